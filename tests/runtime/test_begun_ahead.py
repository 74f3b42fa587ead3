"""Deliveries that are begun in the write that publishes their event: who may, and what a crash leaves."""

import sqlite3
from collections.abc import Callable

import pytest
from harness import Harness
from sample_workflows import FANNED, FANNED_WITH_SIDE, SINGLE, Answered, Asked, ListAsked

from functions.adapters.local.due import TURN_S
from functions.adapters.local.store import Store
from functions.errors import PermanentError

Opens = Callable[..., Harness]


class ShutdownError(BaseException):
    """The process dies here: nothing catches it."""


def begun(troupe: Harness) -> list[tuple[str, int]]:
    """Which deliveries somebody holds, and at which attempt."""
    return troupe.store.read("SELECT agent, attempts FROM delivery WHERE lease_until > 0 ORDER BY agent, key")


def commits_from_now(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One for each commit."""
    made: list[str] = []
    original = Store._commit

    def counted(store: Store, batch: object) -> None:
        made.append("commit")
        original(store, batch)

    monkeypatch.setattr(Store, "_commit", counted)
    return made


def test_a_request_begins_with_its_acceptance_and_each_step_with_the_end_of_the_one_before(
    process: Opens, monkeypatch: pytest.MonkeyPatch
) -> None:
    troupe = process(FANNED, places=4)
    made = commits_from_now(monkeypatch)
    troupe.start(ListAsked(texts=("a", "b")))
    assert begun(troupe) == [("split", 1)]
    troupe.run()
    assert troupe.settlement() == Answered(texts=("A", "B"))
    assert len(made) == 5, "accept, split, two of handle, collect"
    assert troupe.bus.depth() == 0
    assert troupe.leases() == []


def test_without_a_free_place_nothing_is_begun_ahead(process: Opens) -> None:
    troupe = process(FANNED)
    troupe.start(ListAsked(texts=("a", "b")))
    assert begun(troupe) == []
    troupe.step("split")
    assert begun(troupe) == []


def test_as_many_parts_are_begun_as_there_are_places_and_the_leases_of_the_others_do_not_run(process: Opens) -> None:
    troupe = process(FANNED, places=2)
    troupe.start(ListAsked(texts=("a", "b", "c", "d")))
    troupe.step("split")
    assert begun(troupe) == [("handle", 1)] * 2
    troupe.run()
    assert troupe.settlement() == Answered(texts=("A", "B", "C", "D"))
    assert troupe.attempts("handle") == [1] * 4


def test_an_attempt_that_was_begun_ahead_counts_where_the_process_dies_before_the_agent_runs(process: Opens) -> None:
    troupe = process(FANNED, places=1)
    troupe.start(ListAsked(texts=("a",)))
    troupe.step("split")
    assert begun(troupe) == [("handle", 1)]
    again = troupe.restarted()
    assert again.leases() == [], "whoever held it is gone"
    again.run()
    assert again.settlement() == Answered(texts=("A",))
    assert again.attempts("handle") == [2]
    assert again.script.calls == ["handle a", "collect"]
    again.store.close()


def test_a_process_that_dies_again_and_again_in_an_agent_gives_its_event_up(process: Opens) -> None:
    troupe = process(FANNED, places=1)
    troupe.start(ListAsked(texts=("a",)))
    troupe.step("split")
    for _ in range(3):
        troupe.script.failures["handle a"] = [ShutdownError()]
        with pytest.raises(ShutdownError):
            troupe.step("handle")
        troupe = troupe.restarted()
    troupe.run()
    assert troupe.letters() == [("handle", "attempts exhausted")]
    troupe.store.close()


def test_a_join_that_is_begun_ahead_survives_a_crash_with_its_parts(process: Opens) -> None:
    troupe = process(FANNED, places=1)
    troupe.start(ListAsked(texts=("a",)))
    troupe.step("split")
    troupe.step("handle")
    assert begun(troupe) == [("collect", 1)]
    again = troupe.restarted()
    again.run()
    assert again.settlement() == Answered(texts=("A",))
    assert again.attempts("collect") == [2]
    again.store.close()


def test_a_part_that_does_not_complete_its_join_needs_no_row(process: Opens) -> None:
    troupe = process(FANNED, places=1)
    troupe.start(ListAsked(texts=("a", "b")))
    troupe.step("split")
    troupe.step("handle")
    now = troupe.clock().timestamp()
    due = troupe.store.read("SELECT agent FROM queue WHERE due <= ?", (now,))
    assert due == [("handle",)], "the other part, and no delivery for the join"
    assert troupe.store.read("SELECT count(*) FROM part") == [(1,)]


def test_what_has_a_higher_priority_goes_before_the_next_step(process: Opens) -> None:
    troupe = process(FANNED, SINGLE, places=1)
    troupe.start(ListAsked(texts=("a",)))
    troupe.start(Asked(text="urgent"), request="r2", conversation="c2", priority="high")
    troupe.step("split")
    assert begun(troupe) == []
    troupe.run()
    assert troupe.script.calls == ["split", "work urgent", "handle a", "collect"]


def test_what_waits_goes_first_once_a_turn_is_over(process: Opens) -> None:
    troupe = process(FANNED, SINGLE, places=1)
    troupe.start(ListAsked(texts=("a",)))
    troupe.start(Asked(text="waits"), request="r2", conversation="c2")
    troupe.script.during["split"] = lambda: troupe.clock.advance(2 * TURN_S)
    troupe.step("split")
    assert begun(troupe) == []
    troupe.run()
    assert troupe.script.calls == ["split", "work waits", "handle a", "collect"]


def test_a_step_goes_on_before_what_waits_as_long_as_its_turn_lasts(process: Opens) -> None:
    troupe = process(FANNED, SINGLE, places=1)
    troupe.start(ListAsked(texts=("a",)))
    troupe.start(Asked(text="waits"), request="r2", conversation="c2")
    troupe.run()
    assert troupe.script.calls == ["split", "handle a", "collect", "work waits"]


def test_nothing_is_begun_once_the_bus_is_stopped(process: Opens) -> None:
    troupe = process(FANNED, places=4)
    troupe.start(ListAsked(texts=("a",)))
    entry = troupe.take("split")
    troupe.bus.stop()
    troupe.deliver(entry)
    assert begun(troupe) == []
    again = troupe.restarted()
    again.run()
    assert again.settlement() == Answered(texts=("A",))
    again.store.close()


def test_a_failed_attempt_that_was_begun_ahead_is_retried_like_any_other(process: Opens) -> None:
    troupe = process(FANNED, places=2)
    troupe.script.failures["handle a"] = [OSError("the shelf is down"), PermanentError("gone")]
    troupe.start(ListAsked(texts=("a", "b")))
    troupe.run()
    assert troupe.settlement() == Answered(texts=("B",), missing=("gone",))
    assert sorted(troupe.attempts("handle")) == [1, 2]
    assert troupe.bus.depth() == 0


def test_side_branches_are_done_whether_or_not_they_are_begun_ahead(process: Opens) -> None:
    troupe = process(FANNED_WITH_SIDE, places=2)
    troupe.start(ListAsked(texts=("a", "b")))
    troupe.run()
    assert troupe.settlement() == Answered(texts=("A", "B"))
    assert sorted(call for call in troupe.script.calls if call.startswith("keep")) == ["keep A", "keep B"]


@pytest.mark.parametrize("scope", ["conversation#default#c1", "workflow#fanned", "stack"])
def test_what_was_begun_ahead_is_refused_where_it_is_stopped_before_a_worker_comes_to_it(
    process: Opens, scope: str
) -> None:
    troupe = process(FANNED, places=1)
    troupe.start(ListAsked(texts=("a",)))
    assert begun(troupe) == [("split", 1)]
    troupe.requests.stop(scope, "enough")
    troupe.run()
    assert troupe.script.calls == []
    assert troupe.letters() == [("split", "stopped")]


def test_what_was_begun_ahead_goes_on_where_the_stop_is_over_before_a_worker_comes_to_it(process: Opens) -> None:
    troupe = process(FANNED, places=1)
    troupe.start(ListAsked(texts=("a",)))
    troupe.requests.stop("stack", "enough")
    troupe.requests.resume("stack")
    troupe.run()
    assert troupe.settlement() == Answered(texts=("A",))


def test_an_end_that_is_not_written_publishes_nothing_and_frees_its_places(
    process: Opens, monkeypatch: pytest.MonkeyPatch
) -> None:
    troupe = process(FANNED, places=1)
    troupe.start(ListAsked(texts=("a",)))
    entry = troupe.take("split")
    original = Store._commit

    def broken(_store: Store, batch: list[object]) -> None:
        monkeypatch.setattr(Store, "_commit", original)
        for ticket in batch:
            ticket.error = sqlite3.OperationalError("disk I/O error")  # type: ignore[attr-defined]
            ticket.done = True  # type: ignore[attr-defined]

    monkeypatch.setattr(Store, "_commit", broken)
    troupe.deliver(entry)
    assert begun(troupe) == [("split", 1)]
    troupe.clock.advance(60)
    troupe.deliver(entry.later(0))
    troupe.run()
    assert troupe.attempts("split") == [2]
    assert troupe.settlement() != Answered()
