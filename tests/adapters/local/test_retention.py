"""What was said and settled is gone after 30 days; what is still open stays."""

import os
from collections.abc import Callable

from harness import Harness
from sample_workflows import FANNED_WITH_SIDE, SINGLE, Asked, ListAsked

from functions.adapters.local.retention import sweep

DAY_S = 86_400
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
