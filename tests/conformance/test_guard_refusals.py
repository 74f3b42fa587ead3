"""What the guard refuses, and what it lets through."""

from collections.abc import Callable

import msgspec
import pytest
from guarantees import guarantee
from harness import Clock
from sample_workflows import (
    FANNED,
    FANNED_WITH_SIDE,
    LOG,
    LOOPED,
    SINGLE,
    Answered,
    Asked,
    DraftAsked,
    ListAsked,
    work,
)
from target import Deploys, Troupe

from functions.events.envelope import decode, encode
from functions.events.event import AgentFailed
from functions.ports.models import LanguageModel
from functions.ports.spending import Spent
from functions.runtime.agent import agent
from functions.runtime.workflow import Budget, Workflow

HOPS = guarantee("hops", "An event that passed through too many agents is refused.")
DEADLINE = guarantee("deadline", "Nobody works on a request after its deadline, nor waits for a retry past it.")
BUDGET = guarantee(
    "budget", "Once the budget is passed, an agent that needs a model is refused; one that can do without goes on."
)
STOP = guarantee(
    "stop",
    "The stop switch of a conversation, a workflow or the stack refuses its deliveries until released, and no others.",
)
BOUND = guarantee("bound", "A cycle ends at its bound.")


SPENDING = Budget(tokens=10, micros=20)
MODEL = {"model": "model"}


@agent()
def think(event: Asked, *, model: LanguageModel) -> Answered:
    del model
    return Answered(texts=(event.text,))


@agent()
def think_or_not(event: Asked, *, model: LanguageModel | None = None) -> Answered:
    del model
    return Answered(texts=(event.text,))


def overspent(troupe: Troupe, spent: Spent) -> None:
    """Runs a request that spent this much before its agent."""
    troupe.start(Asked(text="a"))
    troupe.target.spending(request="r1", tenant="default").spend(spent)
    troupe.run()


@HOPS
def test_an_event_that_passed_too_many_agents_is_refused(deploy: Deploys) -> None:
    troupe = deploy(msgspec.structs.replace(LOOPED, max_hops=3))
    troupe.start(DraftAsked(rounds=2))
    troupe.run()
    failed = troupe.settlement()
    assert isinstance(failed, AgentFailed)
    assert failed.reason.startswith("passed through 3 agents, and looped allows 3")
    assert troupe.letters() == [("check", "hops")]


@HOPS
def test_a_join_counts_the_hops_of_the_part_that_came_furthest(deploy: Deploys) -> None:
    troupe = deploy(msgspec.structs.replace(FANNED, max_hops=9))
    troupe.start(ListAsked(texts=("a", "b")))
    troupe.step("split")
    near, far = troupe.take("handle"), troupe.take("handle")
    raw = encode(msgspec.structs.replace(decode(far.raw), hop=8))
    for entry, each in ((near, near.raw), (far, raw)):
        troupe.deliver(entry, each)
    troupe.run()
    assert troupe.letters() == [("collect", "hops")]


@DEADLINE
def test_an_agent_is_not_called_after_its_deadline(deploy: Deploys, clock: Clock) -> None:
    troupe = deploy(SINGLE)
    troupe.start(Asked(text="a"), deadline_s=10.0)
    clock.advance(11)
    troupe.step("work")
    assert troupe.script.calls == []
    assert troupe.letters() == [("work", "deadline")]


@BUDGET
@pytest.mark.parametrize("spent", [Spent(tokens=11), Spent(micros=21)], ids=["tokens", "money"])
def test_an_agent_that_needs_a_model_is_refused_once_the_budget_is_passed(deploy: Deploys, spent: Spent) -> None:
    flow = Workflow(name="thinks", agents=(think,), entry=Asked, answer=Answered, resources=MODEL, budget=SPENDING)
    troupe = deploy(flow)
    overspent(troupe, spent)
    assert troupe.letters() == [("think", "budget")]
    failed = troupe.settlement()
    assert isinstance(failed, AgentFailed)
    assert "raise the workflow's budget" in failed.reason


@BUDGET
def test_what_is_spent_to_the_last_token_is_not_passed(deploy: Deploys) -> None:
    flow = Workflow(name="thinks", agents=(think,), entry=Asked, answer=Answered, resources=MODEL, budget=SPENDING)
    troupe = deploy(flow)
    overspent(troupe, Spent(tokens=10, micros=20))
    assert troupe.settlement() == Answered(texts=("a",))


@BUDGET
@pytest.mark.parametrize("needless", [think_or_not, work])
def test_an_agent_that_needs_no_model_goes_on_past_the_budget(
    deploy: Deploys, needless: Callable[..., Answered]
) -> None:
    given = LOG if needless is work else MODEL
    flow = Workflow(name="plain", agents=(needless,), entry=Asked, answer=Answered, resources=given, budget=SPENDING)
    troupe = deploy(flow)
    overspent(troupe, Spent(tokens=11, micros=21))
    assert isinstance(troupe.settlement(), Answered)
    assert troupe.letters() == []


@STOP
@pytest.mark.parametrize(
    ("scope", "stopped"),
    [
        (("conversation", "default", "c1"), "the conversation c1"),
        (("workflow", "single"), "the workflow single"),
        (("stack",), "everything"),
    ],
    ids=["conversation", "workflow", "stack"],
)
def test_the_stop_switch_refuses_deliveries_until_it_is_released(
    deploy: Deploys, scope: tuple[str, ...], stopped: str
) -> None:
    troupe = deploy(SINGLE)
    troupe.target.stop(*scope, reason="a bad answer is going round")
    troupe.start(Asked(text="a"))
    troupe.run()
    assert troupe.settlement() == AgentFailed(
        agent="work", reason=f"{stopped} was stopped: a bad answer is going round"
    )
    assert troupe.letters() == [("work", "stopped")]
    troupe.target.resume(*scope)
    troupe.start(Asked(text="b"), request="r2")
    troupe.run()
    assert troupe.settlement("r2") == Answered(texts=("b, attempt 1",))


@STOP
def test_the_stop_switch_of_another_conversation_stops_nothing_here(deploy: Deploys) -> None:
    troupe = deploy(SINGLE)
    troupe.target.stop("conversation", "default", "c2", reason="stopped")
    troupe.target.stop("conversation", "acme", "c1", reason="stopped")
    troupe.target.stop("workflow", "fanned", reason="stopped")
    troupe.start(Asked(text="a"))
    troupe.run()
    assert troupe.settlement() == Answered(texts=("a, attempt 1",))


@STOP
def test_the_stop_switch_stops_side_branches_too(deploy: Deploys) -> None:
    troupe = deploy(FANNED_WITH_SIDE)
    troupe.start(ListAsked(texts=("a",)))
    for name in ("split", "handle", "collect"):
        troupe.step(name)
    troupe.target.stop("workflow", "fanned_side", reason="leaking")
    troupe.run()
    assert troupe.letters() == [("note", "stopped")]


@BOUND
def test_an_agent_that_passes_its_bound_is_given_up(deploy: Deploys) -> None:
    troupe = deploy(LOOPED)
    troupe.start(DraftAsked(rounds=1000))
    troupe.run()
    assert troupe.settlement() == AgentFailed(
        agent="check", reason="check emitted Rejected once more than its bound allows"
    )
    assert troupe.letters() == [("check", "bound")]


@BOUND
def test_a_bounded_cycle_ends_at_its_bound(deploy: Deploys) -> None:
    troupe = deploy(LOOPED)
    troupe.start(DraftAsked(rounds=9))
    troupe.run()
    assert troupe.settlement() == Answered(texts=("round 3",))
