"""What stops work that went wrong: the rate of a conversation, and fair turns over the shipped store."""

from collections.abc import Callable

import msgspec
import pytest
from harness import Harness
from sample_workflows import FANNED, FANNED_WITH_SIDE, SINGLE, Answered, Asked, ListAsked

from functions.events.envelope import MAX_PARTS
from functions.events.event import AgentFailed
from functions.runtime.agent import Context, agent
from functions.runtime.topology import TopologyError, topology
from functions.runtime.workflow import Workflow

Opens = Callable[..., Harness]


def slowed(workflow: Workflow, events: int) -> Workflow:
    return msgspec.structs.replace(workflow, max_events_per_minute=events)


# --------------------------------------------------------------------------------------------------- the rate


def test_past_the_rate_of_a_conversation_its_events_are_refused(process: Opens) -> None:
    troupe = process(slowed(FANNED, 3))
    troupe.start(ListAsked(texts=("a", "b", "c", "d")))
    troupe.run_due()
    assert set(troupe.letters()) == {("handle", "rate"), ("collect", "rate")}
    failed = troupe.settlement()
    assert isinstance(failed, AgentFailed)
    assert "raise max_events_per_minute" in failed.reason
    assert sorted(troupe.script.calls) == ["handle a", "handle b", "split"]


def test_up_to_its_rate_a_conversation_is_not_refused(process: Opens) -> None:
    troupe = process(slowed(FANNED, 4))
    troupe.start(ListAsked(texts=("a", "b")))
    troupe.run_due()
    assert troupe.settlement() == Answered(texts=("A", "B"))


def test_the_next_minute_is_counted_anew(process: Opens) -> None:
    troupe = process(slowed(SINGLE, 1))
    for minute in range(3):
        troupe.start(Asked(text="a"), request=f"r{minute}")
        troupe.run_due()
        assert isinstance(troupe.settlement(f"r{minute}"), Answered)
        troupe.clock.advance(60)
    assert troupe.letters() == []


def test_another_conversation_and_another_tenant_have_their_own_rate(process: Opens) -> None:
    troupe = process(slowed(SINGLE, 1))
    troupe.start(Asked(text="a"))
    troupe.start(Asked(text="a"), request="r2", conversation="c2")
    troupe.start(Asked(text="a"), tenant="acme")
    troupe.run_due()
    assert troupe.letters() == []


def test_the_events_of_a_side_branch_count_and_are_refused_too(process: Opens) -> None:
    troupe = process(slowed(FANNED_WITH_SIDE, 5))
    troupe.start(ListAsked(texts=("a", "b")))
    troupe.run_due()
    assert len([call for call in troupe.script.calls if call.startswith(("note", "keep"))]) < 4
    assert ("note", "rate") in troupe.letters() or ("keep", "rate") in troupe.letters()


def test_every_attempt_counts(process: Opens) -> None:
    troupe = process(slowed(SINGLE, 2))
    troupe.script.failures["work a"] = [OSError("busy"), OSError("busy")]
    troupe.start(Asked(text="a"))
    troupe.run()
    assert troupe.letters() == [("work", "rate")]


def test_what_was_begun_with_the_end_of_another_counts_once(process: Opens) -> None:
    troupe = process(slowed(FANNED, 4), places=4)
    troupe.start(ListAsked(texts=("a", "b")))
    troupe.run_due()
    assert troupe.settlement() == Answered(texts=("A", "B"))
    assert troupe.store.read("SELECT events FROM pace") == [(4,)]


def test_the_largest_fan_out_is_possible_with_six_agents_for_each_part() -> None:
    assert FANNED.max_events_per_minute == 6 * MAX_PARTS


@pytest.mark.parametrize("events", [0, 1_000_001])
def test_a_rate_out_of_its_range_is_told_before_anything_runs(events: int) -> None:
    with pytest.raises(TopologyError, match="max_events_per_minute is"):
        topology(slowed(SINGLE, events))


# ------------------------------------------------------------------------------------------------- the deadline


def test_an_agent_is_told_the_deadline_of_its_scope_as_the_time_that_is_left(process: Opens) -> None:
    left: list[float] = []

    @agent()
    def look(event: Asked, *, context: Context) -> Answered:
        left.append((context.deadline - troupe.clock()).total_seconds())
        return Answered(texts=(event.text,))

    flow = Workflow(name="looking", agents=(look,), entry=Asked, answer=Answered)
    troupe = process(flow)
    troupe.start(Asked(text="a"), deadline_s=40.0)
    troupe.clock.advance(15)
    troupe.run_due()
    assert left == [pytest.approx(25.0, abs=0.01)]


# ---------------------------------------------------------------------------------------------------- the turns


@pytest.mark.parametrize("places", [0, 8])
def test_the_largest_fan_out_does_not_hold_up_the_question_of_another_conversation(process: Opens, places: int) -> None:
    troupe = process(FANNED, SINGLE, places=places)
    troupe.store._writer.execute("PRAGMA synchronous = OFF")
    troupe.start(ListAsked(texts=tuple(str(number) for number in range(MAX_PARTS))))
    troupe.step("split")
    for _ in range(20):
        troupe.step()
    troupe.start(Asked(text="quick"), request="r2", conversation="c2")
    before = len(troupe.script.calls)
    while "work quick" not in troupe.script.calls:
        troupe.step()
    assert len(troupe.script.calls) - before <= places + 2


def test_after_a_restart_the_others_still_get_their_turns(process: Opens) -> None:
    troupe = process(FANNED, SINGLE)
    troupe.start(ListAsked(texts=tuple("abcdefghij")))
    troupe.step("split")
    troupe.start(Asked(text="quick"), request="r2", conversation="c2")
    troupe.start(Asked(text="other"), request="r3", tenant="acme")
    again = troupe.restarted()
    for _ in range(4):
        again.step()
    assert {"work quick", "work other"} <= set(again.script.calls)
    again.store.close()


def test_a_fan_out_in_the_background_does_not_stop_while_others_are_more_urgent(process: Opens) -> None:
    troupe = process(FANNED, SINGLE)
    troupe.start(ListAsked(texts=("a", "b")), priority="low")
    for number in range(30):
        troupe.start(Asked(text="u"), request=f"u{number}", conversation=f"u{number}", priority="high")
    for _ in range(30):
        troupe.step()
    assert troupe.script.calls.count("work u") < 30
    assert {"split", "handle a", "handle b"} <= set(troupe.script.calls)
