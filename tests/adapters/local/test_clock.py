"""A clock that is set, while a process runs and between two runs."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from harness import START, Harness
from sample_workflows import FANNED, SINGLE, Answered, Asked, ListAsked

from functions.adapters.local.clock import SteadyClock
from functions.adapters.local.retention import sweep
from functions.adapters.local.store import Store
from functions.events.event import AgentFailed

Opens = Callable[..., Harness]
HOUR_S = 3_600.0
DAY_S = 86_400.0


class Machine:
    """Its clock, which somebody sets, and the seconds since it was switched on."""

    def __init__(self) -> None:
        self.wall = START
        self.uptime = 1000.0

    def pass_by(self, seconds: float) -> None:
        self.uptime += seconds
        self.wall += timedelta(seconds=seconds)

    def steady(self) -> SteadyClock:
        return SteadyClock(wall=self.read, elapsed=lambda: self.uptime)

    def read(self) -> datetime:
        return self.wall


def test_processes_on_one_store_tell_the_same_time_though_the_clock_was_set_between_their_starts(
    tmp_path: Path,
) -> None:
    def hours_ahead(hours: int) -> Store:
        return Store(tmp_path, wall=lambda: datetime.now(UTC) + timedelta(hours=hours))

    first, second = hours_ahead(0), hours_ahead(5)
    assert second.clock.began == first.clock.began
    first.close()
    third = hours_ahead(7)
    assert third.clock.began == first.clock.began
    second.close()
    third.close()
    alone = hours_ahead(9)
    assert alone.clock() - first.clock() > timedelta(hours=8)
    alone.close()


def changes(troupe: Harness) -> list[int]:
    return [each.number for each in troupe.requests.changes("r1", tenant="default")]


def test_a_clock_that_is_set_while_a_process_runs_changes_nothing_in_it() -> None:
    machine = Machine()
    clock = machine.steady()
    for jump in (-HOUR_S, 10 * HOUR_S):
        before = clock()
        machine.wall += timedelta(seconds=jump)
        machine.pass_by(5)
        assert clock() - before == timedelta(seconds=5)
    assert machine.steady()() == machine.wall


def test_what_was_accepted_before_the_clock_was_set_back_is_answered_at_once(process: Opens) -> None:
    troupe = process(FANNED)
    troupe.start(ListAsked(texts=("a", "b")))
    troupe.step("split")
    troupe.clock.advance(-HOUR_S)
    again = troupe.restarted()
    again.run_due()
    assert again.settlement() == Answered(texts=("A", "B"))
    assert again.next_due() is None
    again.store.close()


def test_a_deadline_is_kept_after_the_clock_was_set_back(process: Opens) -> None:
    troupe = process(SINGLE)
    troupe.script.failures["work a"] = [ValueError("always")] * 9
    troupe.start(Asked(), deadline_s=30.0)
    troupe.step("work")
    troupe.clock.advance(-HOUR_S)
    again = troupe.restarted()
    again.script.failures["work a"] = [ValueError("always")] * 9
    set_back_to = again.clock().timestamp()
    again.run()
    assert isinstance(again.settlement(), AgentFailed)
    assert again.clock().timestamp() - set_back_to < 31
    again.store.close()


def test_a_clock_that_is_set_back_once_moves_what_waits_once(process: Opens) -> None:
    troupe = process(SINGLE)
    troupe.script.failures["work a"] = [ValueError("once")]
    troupe.start(Asked(), deadline_s=30.0)
    troupe.step("work")
    troupe.clock.advance(-HOUR_S)
    second = troupe.restarted()
    third = second.restarted()
    third.run()
    assert third.settlement() == Answered(texts=("a, attempt 2",))
    third.store.close()


def test_the_changes_of_a_request_are_numbered_on_after_the_clock_was_set_back(process: Opens) -> None:
    troupe = process(FANNED)
    troupe.start(ListAsked(texts=("a", "b")))
    troupe.step("split")
    before = changes(troupe)
    troupe.clock.advance(-HOUR_S)
    again = troupe.restarted()
    again.run_due()
    after = [number for number in changes(again) if number not in before]
    assert min(after) > max(before)
    again.store.close()


def test_messages_stay_in_the_order_in_which_they_were_said_though_the_clock_was_set_back(process: Opens) -> None:
    troupe = process(SINGLE)
    troupe.start(Asked(text="one"), request="r1")
    troupe.start(Asked(text="two"), request="r2")
    troupe.clock.advance(-HOUR_S)
    again = troupe.restarted()
    again.start(Asked(text="three"), request="r3")
    again.run_due()
    assert again.script.calls == ["work one", "work two", "work three"]
    again.store.close()


def test_a_request_whose_deadline_is_over_by_a_clock_set_forward_ends_in_an_error(process: Opens) -> None:
    troupe = process(SINGLE)
    troupe.start(Asked())
    troupe.clock.advance(HOUR_S)
    again = troupe.restarted()
    again.run_due()
    assert isinstance(again.settlement(), AgentFailed)
    again.store.close()


def test_a_clock_in_the_far_future_removes_nothing_until_something_new_is_said(process: Opens) -> None:
    troupe = process(SINGLE)
    troupe.start(Asked())
    troupe.run()
    troupe.clock.advance(4000 * DAY_S)
    assert sweep(troupe.store, troupe.blobs, troupe.clock()) == 0
    assert troupe.view().status == "settled"
    troupe.start(Asked(), request="r2")
    assert sweep(troupe.store, troupe.blobs, troupe.clock()) > 0
    assert troupe.requests.view("r1", tenant="default") is None
