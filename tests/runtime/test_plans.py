"""Plans as data: the same plan again, with the agents of another deployment."""

import msgspec
import pytest
from deployed_workflows import ANOTHER, BEFORE, COMPATIBLE, INCOMPATIBLE, SIDE_BRANCH, Answered, Handled, deployed
from sample_workflows import BOOK, FANNED, FANNED_WITH_SIDE, FORKED, LOOPED, SINGLE

from functions.events.event import All, Event
from functions.ports.conversations import Append
from functions.runtime.agent import agent
from functions.runtime.plans import Incompatible, frozen, revived
from functions.runtime.topology import topology
from functions.runtime.workflow import Plan, Workflow
from functions.workflows.catalog import WORKFLOWS

EVERY = (SINGLE, FANNED, FANNED_WITH_SIDE, FORKED, LOOPED, BOOK, BEFORE, *WORKFLOWS.values())


def plan_of(workflow: Workflow) -> Plan:
    return topology(workflow)[workflow.name]


def as_found_by(new: Workflow, old: Workflow) -> Plan:
    """The plan of a workflow as it was, in a deployment where it is as it is now."""
    found = revived(frozen(plan_of(old)), topology(new))
    assert isinstance(found, Plan)
    return found


@pytest.mark.parametrize("workflow", EVERY, ids=lambda each: each.name)
def test_a_plan_comes_back_as_it_was(workflow: Workflow) -> None:
    assert as_found_by(workflow, workflow) == plan_of(workflow)


@pytest.mark.parametrize("workflow", EVERY, ids=lambda each: each.name)
def test_the_same_plan_makes_the_same_bytes_which_hold_no_code(workflow: Workflow) -> None:
    raw = frozen(plan_of(workflow))
    again = frozen(as_found_by(workflow, workflow))
    assert raw == again
    assert msgspec.json.decode(raw)["version"] == plan_of(workflow).version


@pytest.mark.parametrize("change", COMPATIBLE)
def test_a_compatible_change_leaves_nothing_of_a_plan_behind(change: str) -> None:
    found = as_found_by(COMPATIBLE[change], BEFORE)
    assert found.gone == {}
    assert found.nodes.keys() == plan_of(BEFORE).nodes.keys()
    assert found.routes == plan_of(BEFORE).routes


@pytest.mark.parametrize("change", [each for each in COMPATIBLE if each != "a side branch is added"])
def test_what_does_not_matter_on_the_way_leaves_the_version_of_a_plan_as_it_is(change: str) -> None:
    assert plan_of(COMPATIBLE[change]).version == plan_of(BEFORE).version


@pytest.mark.parametrize("change", INCOMPATIBLE)
def test_an_incompatible_change_makes_another_plan_in_which_what_cannot_go_on_is_named(change: str) -> None:
    workflow, gone = INCOMPATIBLE[change]
    assert plan_of(workflow).version != plan_of(BEFORE).version
    found = revived(frozen(plan_of(BEFORE)), topology(workflow))
    if gone == plan_of(BEFORE).nodes.keys():
        assert isinstance(found, Incompatible)
        assert found.reasons
    else:
        assert isinstance(found, Plan)
        assert found.gone.keys() == gone
        assert found.nodes.keys() == plan_of(BEFORE).nodes.keys() - gone


def test_every_reason_is_given_at_once() -> None:
    @agent()
    def handle(parts: All[Handled], *, log: Append) -> Answered | None:
        log.append("assistant", "")
        return Answered(texts=tuple(part.text for part in parts))

    now = plan_of(BEFORE)
    spec = handle.__agent__
    changed = msgspec.structs.replace(now, nodes=dict(now.nodes) | {"handle": replaced(now, spec)})
    found = revived(frozen(now), {"deployed": changed})
    assert isinstance(found, Plan)
    assert found.gone["handle"].reason == (
        "handle does not take Piece.v1 any more; handle waits for the parts of a fan-out now; "
        "handle may emit Answered.v1 now"
    )


def replaced(plan: Plan, spec: object) -> object:
    return msgspec.structs.replace(plan.nodes["handle"], spec=spec)


def test_an_agent_that_may_end_where_somebody_waits_for_its_event_cannot_stand_in() -> None:
    now = plan_of(BEFORE)
    say = now.nodes["say"]
    ending = msgspec.structs.replace(say, spec=msgspec.structs.replace(say.spec, may_end=True))
    found = revived(frozen(now), {"deployed": msgspec.structs.replace(now, nodes=dict(now.nodes) | {"say": ending})})
    assert isinstance(found, Plan)
    assert found.gone["say"].reason == "say may end without an event now"


def test_an_agent_that_fans_out_to_other_events_cannot_stand_in() -> None:
    class Half(Event):
        text: str

    @agent()
    def halve(event: Half, *, log: Append) -> Handled:
        log.append("assistant", event.text)
        return Handled(text=event.text)

    now = plan_of(BEFORE)
    split = now.nodes["split"]
    wider = msgspec.structs.replace(split.spec, fans_out=(*split.spec.fans_out, Half))
    changed = dict(now.nodes) | {"split": msgspec.structs.replace(split, spec=wider)}
    found = revived(frozen(now), {"deployed": msgspec.structs.replace(now, nodes=changed)})
    assert isinstance(found, Plan)
    assert found.gone["split"].reason == "split fans out to Half.v1 or Piece.v1 now"


def test_an_agent_of_a_side_branch_that_is_gone_is_told_from_one_that_is_awaited() -> None:
    found = as_found_by(BEFORE, SIDE_BRANCH)
    assert found.gone["note"].side
    assert not as_found_by(INCOMPATIBLE["an agent is renamed"][0], BEFORE).gone["handle"].side


def test_the_limits_of_today_count_and_the_answer_of_then() -> None:
    later = msgspec.structs.replace(SIDE_BRANCH, deadline_s=5.0, max_hops=9)
    found = as_found_by(later, BEFORE)
    assert (found.workflow.deadline_s, found.workflow.max_hops) == (5.0, 9)
    assert found.workflow.answer is Answered


@pytest.mark.parametrize(
    ("raw", "reason"),
    [(b"{}", "cannot be read"), (b'{"type":"plan.v2"}', "cannot be read"), (b"\xff", "cannot be read")],
)
def test_a_plan_that_cannot_be_read_is_none(raw: bytes, reason: str) -> None:
    found = revived(raw, topology(BEFORE))
    assert isinstance(found, Incompatible)
    assert reason in found.reasons[0]


def test_a_workflow_that_is_gone_takes_its_plan_along() -> None:
    assert revived(frozen(plan_of(BEFORE)), topology(ANOTHER)) == Incompatible(
        reasons=("there is no workflow deployed any more",)
    )


def test_the_order_in_which_a_signature_names_its_events_changes_no_plan() -> None:
    @agent()
    def one(event: Handled) -> Answered | Handled:
        return event

    @agent()
    def other(event: Handled) -> Handled | Answered:
        return event

    other.__name__ = "one"
    versions = {
        plan_of(
            Workflow(
                name="w",
                agents=(each,),
                entry=Handled,
                answer=Answered,
                bounds={Handled: 2},
            )
        ).version
        for each in (one, named(other, "one"))
    }
    assert len(versions) == 1


def named(function: object, name: str) -> object:
    function.__agent__ = msgspec.structs.replace(function.__agent__, name=name)
    return function


def test_a_deployment_after_many_others_finds_the_plan_of_each() -> None:
    compatible = [deployed(), SIDE_BRANCH, *COMPATIBLE.values()]
    for old in compatible:
        for new in compatible:
            assert not [gone for gone in as_found_by(new, old).gone.values() if not gone.side]
