"""What was said and settled is gone after 30 days; what is still open stays."""

import os
import threading
import time
from collections.abc import Callable

from harness import Harness
from sample_workflows import FANNED, FANNED_WITH_SIDE, SINGLE, Answered, Asked, ListAsked

from functions.adapters.local.retention import ROWS, Sweeper, passes, sweep

DAY_S = 86_400
PATIENCE_S = 60.0  # how long a test waits for what must happen
OF_REQUESTS = ("request", "delivery", "part", "joined", "dead_letter")

Opens = Callable[..., Harness]


def _rows(troupe: Harness) -> dict[str, int]:
    count = "SELECT count(*) FROM {}"
    return {table: troupe.store.read(count.format(table))[0][0] for table in OF_REQUESTS}


def test_everything_about_a_settled_request_is_gone_after_thirty_days(process: Opens) -> None:
    troupe = process(FANNED_WITH_SIDE)
    troupe.script.failures["handle b"] = [ValueError("always")] * 9
    troupe.start(ListAsked(texts=("a", "b")))
    troupe.run()
    assert all(_rows(troupe).values()), "the request left a trace in every table"
    troupe.clock.advance(30 * DAY_S - 60)
    sweep(troupe.store, troupe.blobs, troupe.clock())
    assert _rows(troupe)["request"] == 1, "it is not 30 days old yet"
    troupe.clock.advance(120 + DAY_S)
    sweep(troupe.store, troupe.blobs, troupe.clock())
    assert _rows(troupe) == dict.fromkeys(OF_REQUESTS, 0)


def test_a_request_that_is_not_settled_stays(process: Opens) -> None:
    troupe = process(SINGLE)
    troupe.start(Asked(text="x"))
    troupe.clock.advance(40 * DAY_S)
    sweep(troupe.store, troupe.blobs, troupe.clock())
    assert _rows(troupe)["request"] == 1


def test_a_blob_is_gone_a_day_after_the_rows_that_may_name_it(process: Opens) -> None:
    troupe = process(SINGLE)
    troupe.blobs.put("old", b"1")
    troupe.blobs.put("named", b"2")
    now = troupe.clock().timestamp()
    os.utime(troupe.folder / "blobs" / "old", (now - 31 * DAY_S - 60,) * 2)
    os.utime(troupe.folder / "blobs" / "named", (now - 31 * DAY_S + 60,) * 2)
    sweep(troupe.store, troupe.blobs, troupe.clock())
    assert troupe.blobs.get("named") == b"2"
    assert [path.name for path in (troupe.folder / "blobs").iterdir()] == ["named"]


def aged(troupe: Harness) -> None:
    troupe.clock.advance(31 * DAY_S)


def test_no_pass_removes_more_than_its_share_and_all_of_them_everything(process: Opens) -> None:
    troupe = process(FANNED)
    troupe.store._writer.execute("PRAGMA synchronous = OFF")
    troupe.start(ListAsked(texts=tuple(str(number) for number in range(2 * ROWS))))
    troupe.run()
    for number in range(5):
        troupe.start(ListAsked(texts=("a", "b")), request=f"s{number}", conversation=f"s{number}")
    troupe.run()
    aged(troupe)
    tables = ("delivery", "part", "joined", "request", "pace")
    removed = list(passes(troupe.store, troupe.blobs, troupe.clock()))
    assert sum(removed) > 4 * ROWS
    assert max(removed) < 3 * ROWS, "of the tables, only two hold a row for each part"
    assert [troupe.store.read(f"SELECT count(*) FROM {table}") for table in tables] == [[(0,)]] * len(tables)  # noqa: S608


def test_between_two_passes_others_write(process: Opens) -> None:
    troupe = process(SINGLE)
    for number in range(2):
        troupe.start(Asked(text="x"), request=f"r{number}", conversation=f"c{number}")
    troupe.run()
    aged(troupe)
    for number, _ in enumerate(passes(troupe.store, troupe.blobs, troupe.clock())):
        troupe.start(Asked(text="y"), request=f"new{number}", conversation=f"new{number}")
    troupe.run()
    assert isinstance(troupe.settlement("new0"), Answered)
    assert troupe.requests.view("r1", tenant="default") is None


def test_the_pace_of_a_conversation_that_fell_silent_is_forgotten(process: Opens) -> None:
    troupe = process(SINGLE)
    troupe.start(Asked(text="x"))
    troupe.run()
    troupe.clock.advance(30 * 60)
    troupe.start(Asked(text="y"), request="r2", conversation="c2")
    troupe.run_due()
    sweep(troupe.store, troupe.blobs, troupe.clock())
    assert troupe.store.read("SELECT conversation FROM pace") == [("c2",)]


def test_a_letter_stays_as_long_as_its_request_and_one_of_nobody_goes_by_its_own_age(process: Opens) -> None:
    troupe = process(SINGLE)
    troupe.script.failures["work x"] = [ValueError("always")] * 9
    troupe.start(Asked(text="x"))
    troupe.run()
    aged(troupe)
    troupe.store.write(lambda connection: connection.execute("UPDATE request SET settled = settled + 86400 * 5"))
    sweep(troupe.store, troupe.blobs, troupe.clock())
    assert troupe.letters() == [("work", "attempts exhausted")]
    troupe.store.write(lambda connection: connection.execute("UPDATE dead_letter SET request = ''"))
    sweep(troupe.store, troupe.blobs, troupe.clock())
    assert troupe.letters() == []


def test_a_process_at_work_sweeps_again_and_again(process: Opens) -> None:
    troupe = process(SINGLE)
    sweeper = Sweeper(troupe.store, troupe.blobs, troupe.clock, every_s=0.01)
    sweeper.start()
    try:
        for number in range(3):
            troupe.start(Asked(text="x"), request=f"r{number}", conversation=f"c{number}")
            troupe.run()
            aged(troupe)
            until = time.monotonic() + PATIENCE_S
            while troupe.store.read("SELECT 1 FROM request"):
                assert time.monotonic() < until, "nobody swept"
    finally:
        sweeper.stop()


def test_a_process_at_work_removes_what_expired_elsewhere_and_goes_on_after_an_error(process: Opens) -> None:
    troupe = process(SINGLE)
    called = threading.Event()

    def fail() -> None:
        raise OSError("it is away")

    sweeper = Sweeper(troupe.store, troupe.blobs, troupe.clock, expiring=[fail, called.set])
    sweeper.start()
    try:
        assert called.wait(PATIENCE_S), "nobody swept"
    finally:
        sweeper.stop()
