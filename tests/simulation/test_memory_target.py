"""The target in memory, calm: the same answers as the one on SQLite."""

import pytest
from harness import Harness
from memory_target import MemoryTarget
from sample_workflows import (
    BOOK,
    FANNED,
    FORKED,
    LOOPED,
    SINGLE,
    Asked,
    BookAsked,
    DraftAsked,
    ListAsked,
    Looked,
)

from functions.events.event import Event
from functions.runtime.workflow import Workflow


@pytest.mark.parametrize(
    ("workflow", "event"),
    [
        (SINGLE, Asked()),
        (FANNED, ListAsked(texts=("a", "skip", "b"))),
        (FANNED, ListAsked()),
        (FORKED, Looked()),
        (FORKED, Looked(text="right only")),
        (LOOPED, DraftAsked(rounds=2)),
        (BOOK, BookAsked()),
    ],
    ids=lambda each: getattr(each, "name", ""),
)
def test_both_targets_give_the_same_answer(process: type[Harness], workflow: Workflow, event: Event) -> None:
    memory, sqlite = MemoryTarget(workflow), process(workflow)
    for target in (memory, sqlite):
        target.start(event)
        target.run()
    assert memory.settlement() == sqlite.settlement()
    assert memory.letters() == []
    assert memory.leases() == []
    assert memory.bus.messages == {}
    assert sorted(memory.script.effects) == sorted(sqlite.script.effects)


def test_the_requests_of_a_conversation_run_one_after_the_other() -> None:
    target = MemoryTarget(SINGLE)
    for request in ("r1", "r2", "r3"):
        target.start(Asked(text=request), request=request)
    assert [message.agent for message in target.bus.due()] == ["work"]
    target.run()
    assert target.script.calls == ["work r1", "work r2", "work r3"]


def test_a_deadline_that_is_over_settles_the_request_and_starts_the_next() -> None:
    target = MemoryTarget(SINGLE)
    target.start(Asked(), request="r1")
    target.start(Asked(), request="r2", deadline_s=600.0)
    target.bus.acknowledge(target.take())  # lost
    target.clock.advance(61.0)
    target.run_due()
    assert target.view("r1").settlement is not None
    assert target.settlement("r2").texts == ("a, attempt 1",)  # type: ignore[attr-defined]
