"""Two processes at work on one store: each has its rows, and those of a process that is gone go to the other."""

from collections.abc import Callable
from pathlib import Path

import pytest
from harness import Harness
from sample_workflows import FANNED, SINGLE, Answered, Asked, ListAsked

from functions.events.event import AgentFailed
from functions.runtime.workflow import Workflow

Opens = Callable[..., Harness]


@pytest.fixture
def opens(tmp_path: Path, request: pytest.FixtureRequest) -> Opens:
    """Another process on the same store, at the same time by the same clock."""
    opened: list[Harness] = []

    def open_another(*workflows: Workflow) -> Harness:
        clock = opened[0].clock if opened else None
        opened.append(Harness(tmp_path, *workflows, clock=clock))
        request.addfinalizer(opened[-1].store.close)
        return opened[-1]

    return open_another


def run_alone(process: Harness) -> None:
    """Deliver what this process has, not what the other one has."""
    process.bus.look_around()
    while (entry := process.bus.take_due()) is not None:
        process.deliver(entry)


def test_a_process_that_comes_takes_nothing_from_one_that_is_alive(opens: Opens) -> None:
    first = opens(SINGLE)
    first.start(Asked())
    second = opens(SINGLE)
    run_alone(second)
    assert second.script.calls == []
    run_alone(first)
    assert first.settlement() == Answered(texts=("a, attempt 1",))


def test_what_a_process_leaves_is_taken_over_with_its_leases(opens: Opens) -> None:
    first, second = opens(FANNED), opens(FANNED)
    first.start(ListAsked(texts=("a", "b")))
    first.script.during["split"] = lambda: (_ for _ in ()).throw(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        first.step("split")
    assert first.leases()
    first.store.close()
    run_alone(second)
    assert second.settlement() == Answered(texts=("A", "B"))


def test_a_deadline_that_a_process_left_is_kept_by_the_other(opens: Opens) -> None:
    first, second = opens(SINGLE), opens(SINGLE)
    first.start(Asked(), deadline_s=30.0)
    first.store.write(lambda connection: connection.execute("DELETE FROM queue WHERE agent = 'work'"))
    first.store.close()
    second.bus.look_around()
    second.run()
    assert isinstance(second.settlement(), AgentFailed)


def test_messages_of_one_conversation_keep_their_order_over_two_processes(opens: Opens) -> None:
    first, second = opens(SINGLE), opens(SINGLE)
    first.start(Asked(text="one"), request="r1")
    second.start(Asked(text="two"), request="r2")
    run_alone(second)
    assert second.view("r2").status == "waiting"
    run_alone(first)
    run_alone(second)
    assert first.script.calls + second.script.calls == ["work one", "work two"]


def test_a_request_of_a_plan_that_only_another_process_carries_waits_for_that_one(opens: Opens) -> None:
    first, second = opens(SINGLE), opens(FANNED)
    first.start(Asked(), request="r1")
    second.start(ListAsked(texts=("a",)), request="r2")
    first.bus.look_around()
    run_alone(first)
    assert first.view("r2").status == "waiting"
    run_alone(second)
    assert second.settlement("r2") == Answered(texts=("A",))


def test_what_only_another_process_carries_is_left_to_it_when_a_third_one_goes(opens: Opens) -> None:
    gone, first, second = opens(FANNED), opens(SINGLE), opens(FANNED)
    gone.start(ListAsked(texts=("a",)))
    gone.store.close()
    run_alone(first)
    assert first.view().status == "running"
    run_alone(second)
    assert second.settlement() == Answered(texts=("A",))


def test_a_plan_that_nobody_carries_any_more_ends_its_requests_with_what_to_do(opens: Opens) -> None:
    gone, left = opens(FANNED), opens(SINGLE)
    gone.start(ListAsked(texts=("a",)))
    gone.store.close()
    left.bus.look_around()
    left.run()
    view = left.view()
    assert view.settlement is not None
    assert b"ask again" in bytes(view.settlement.data)


def test_who_waits_for_a_request_is_woken_by_what_another_process_writes(opens: Opens) -> None:
    first, second = opens(SINGLE), opens(SINGLE)
    first.start(Asked())
    second.bus.look_around()
    woken: list[int] = []
    with second.bus.settlements.watching("r1", tenant="default", wake=lambda: woken.append(1)):
        run_alone(first)
        second.bus.look_around()
        assert woken
        woken.clear()
        second.bus.look_around()
        assert not woken
