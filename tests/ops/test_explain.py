"""What `troupe explain` says of an agent: all of its signature, and nothing beside it."""

import inspect
from typing import Annotated

import pytest
from command import Troupe

from functions.events.event import All, Event, Where
from functions.ports.conversations import Append
from functions.runtime.agent import Context, agent
from functions.runtime.topology import topology
from functions.runtime.workflow import Workflow
from functions.workflows.catalog import WORKFLOWS
from ops.explain import Explanation, explain

AGENTS = [(workflow.name, each) for workflow in WORKFLOWS.values() for each in workflow.agents]


class Asked(Event):
    pass


class Answered(Event):
    pass


@agent(memory_mb=128, timeout_s=7)
def usual(event: Asked, *, context: Context) -> Answered:
    """Answer it. In any case."""
    del event, context
    return Answered()


@agent()
def note(event: Annotated[Asked, Where(priority="high", tenant="t")], *, log: Annotated[Append, "talk"] | None) -> None:
    """Take a note of what is urgent."""


def explained(name: str) -> Explanation:
    resources = {"talk": "conversations"}
    workflow = Workflow(name="small", agents=(usual, note), entry=Asked, answer=Answered, resources=resources)
    return explain(topology(workflow)["small"], name)


@pytest.mark.parametrize(("workflow", "function"), AGENTS, ids=lambda given: getattr(given, "__name__", given))
def test_every_parameter_of_every_agent_is_explained(workflow: str, function: object) -> None:
    assert callable(function)
    explanation = explain(topology(*WORKFLOWS.values())[workflow], function.__name__)
    because = "\n".join(line.because for line in explanation.lines)
    signature = inspect.signature(function)
    for parameter in signature.parameters:
        assert f"{parameter}: " in because
    says = "\n".join(line.says for line in explanation.lines)
    spec = function.__agent__  # type: ignore[attr-defined]
    for event in (*spec.consumes, *spec.emits, *spec.fans_out):
        assert event.__name__ in says
    for grant in spec.grants:
        assert repr(grant.resource) in says
    assert explanation.file.startswith(f"functions/agents/{function.__name__}.py:")
    assert explanation.purpose


@pytest.mark.parametrize(("workflow", "function"), AGENTS, ids=lambda given: getattr(given, "__name__", given))
def test_every_agent_can_be_explained_on_the_command_line(troupe: Troupe, workflow: str, function: object) -> None:
    assert callable(function)
    ran = troupe("explain", function.__name__, "--workflow", workflow)
    assert ran.code == 0
    for parameter in inspect.signature(function).parameters:
        assert f"{parameter}:" in ran.out
    data = troupe("explain", function.__name__, "--workflow", workflow, "--json").json()
    assert set(data) == {"agent", "workflow", "file", "purpose", "lines"}
    assert all(set(line) == {"topic", "says", "because"} for line in data["lines"])


def test_the_limits_and_the_context_are_told() -> None:
    explanation = explained("usual")
    lines = {line.topic: line for line in explanation.lines}
    assert explanation.purpose == "Answer it. In any case."
    assert lines["is given"].says == "128 MB, 7 s, 5 attempts 1 to 60 s apart"
    assert lines["is told"].because == "context: Context"


def test_a_narrowed_route_an_optional_capability_and_a_side_branch_are_told() -> None:
    lines = {line.topic: line.says for line in explained("note").lines}
    assert lines["consumes"] == "Asked, where priority is high and tenant is t"
    assert lines["may"] == "append on the conversations 'talk', where the stack has it"
    assert lines["may end"] == "without an event"
    assert lines["place"] == "a side branch: nobody waits for it"


def test_a_join_and_a_fan_out_are_told() -> None:
    plan = topology(*WORKFLOWS.values())["answer"]
    validator = {line.topic: line for line in explain(plan, "validator").lines}
    assert validator["consumes"].says == "every part of the fan-out: DocsRetrieved"
    assert validator["consumes"].because == f"found: {All.__name__}[DocsRetrieved]"
    planner = {line.topic: line for line in explain(plan, "planner").lines}
    assert planner["fans out"].says == "any number of PlanCreated, in parallel"
    orchestrator = [line.says for line in explain(plan, "orchestrator").lines]
    assert "QuestionAsked, at most 2 times in a scope" in orchestrator
