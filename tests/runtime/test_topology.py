"""Every check of `topology`: a workflow that fails it, and what is said; and the shapes that pass."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import msgspec
import pytest
from sample_workflows import BOOK, FANNED, FANNED_WITH_SIDE, FORKED, LOOPED, SINGLE

from functions.events.event import AgentFailed, All, Event, Where
from functions.ports.vectors import Search
from functions.runtime.agent import Delivery, agent, spec_of
from functions.runtime.topology import TopologyError, topology
from functions.runtime.workflow import Budget, Workflow


class Go(Event):
    pass


class A(Event):
    pass


class B(Event):
    pass


class C(Event):
    pass


class D(Event):
    pass


class Answer(Event):
    pass


class Low_Case(Event):  # noqa: N801 - a name that a cloud refuses
    pass


OtherA = type(Event)("A", (Event,), {"__module__": __name__})

# Agents, named by what they consume and emit: `a_b` consumes A and emits B, `s` is a list, `all` a join, `x` no event.
# fmt: off


@agent()
def go_a(event: Go) -> A: ...
@agent()
def go_answer(event: Go) -> Answer: ...
@agent()
def go_low_case(event: Go) -> Low_Case: ...
@agent()
def low_case_answer(event: Low_Case) -> Answer: ...
@agent()
def go_other_a(event: Go) -> OtherA: ...
@agent()
def go_as(event: Go) -> list[A]: ...
@agent()
def go_as_or_bs(event: Go) -> list[A | B]: ...
@agent()
def go_as_or_bs_or_c(event: Go) -> list[A | B] | C: ...
@agent()
def c_bs_or_as(event: C) -> list[B | A]: ...
@agent()
def go_as_or_answer(event: Go) -> list[A] | Answer: ...
@agent()
def go_as_or_c(event: Go) -> list[A] | C: ...
@agent()
def go_a_or_b(event: Go) -> A | B: ...
@agent()
def go_maybe(event: Go) -> Answer | None: ...
@agent()
def a_b(event: A) -> B: ...
@agent()
def a_c(event: A) -> C: ...
@agent()
def a_c_too(event: A) -> C: ...
@agent()
def a_d(event: A) -> D: ...
@agent()
def a_x(event: A) -> None: ...
@agent()
def a_b_or_x(event: A) -> B | None: ...
@agent()
def a_bs(event: A) -> list[B]: ...
@agent()
def a_as(event: A) -> list[A]: ...
@agent()
def a_answer(event: A) -> Answer: ...
@agent()
def a_b_or_answer(event: A) -> B | Answer: ...
@agent()
def a_or_b_answer(event: A | B) -> Answer: ...
@agent()
def b_a(event: B) -> A: ...
@agent()
def b_a_or_c(event: B) -> A | C: ...
@agent()
def b_c(event: B) -> C: ...
@agent()
def b_d(event: B) -> D: ...
@agent()
def b_x(event: B) -> None: ...
@agent()
def c_x(event: C) -> None: ...
@agent()
def c_answer(event: C) -> Answer: ...
@agent()
def answer_x(event: Answer) -> None: ...
@agent()
def all_a_answer(parts: All[A]) -> Answer: ...
@agent()
def all_b_answer(parts: All[B]) -> Answer: ...
@agent()
def all_b_c(parts: All[B]) -> C: ...
@agent()
def all_b_go_or_answer(parts: All[B]) -> Go | Answer: ...
@agent()
def all_b_as_or_answer(parts: All[B]) -> list[A] | Answer: ...
@agent()
def all_b_or_c_d(parts: All[B | C]) -> D: ...
@agent()
def a_b_or_c(event: A) -> B | C: ...
@agent()
def c_a_aside(event: C) -> B: ...
@agent()
def all_b_x(parts: All[B]) -> None: ...
@agent()
def all_c_answer(parts: All[C]) -> Answer: ...
@agent()
def all_b_or_c_answer(parts: All[B | C]) -> Answer: ...
@agent()
def all_d_answer(parts: All[D]) -> Answer: ...
@agent()
def c_bs(event: C) -> list[B]: ...
@agent()
def a_high(event: Annotated[A, Where(priority="high")]) -> Answer: ...
@agent()
def a_normal(event: Annotated[A, Where(priority="normal")]) -> Answer: ...
@agent()
def a_low(event: Annotated[A, Where(priority="low")]) -> Answer: ...
@agent()
def a_acme(event: Annotated[A, Where(tenant="acme")]) -> Answer: ...
@agent()
def a_acme_aside(event: Annotated[A, Where(tenant="acme")]) -> None: ...
@agent()
def go_search(event: Go, *, documents: Search) -> Answer: ...
@agent()
def go_search_maybe(event: Go, *, documents: Search | None) -> Answer: ...
@agent()
def runtime(event: Go) -> Answer: ...
@agent()
def Shouting(event: Go) -> Answer: ...  # noqa: N802 - a name that a cloud refuses
@agent()
def a_name_of_more_than_24_chars(event: Go) -> Answer: ...
def no_agent(event: Go) -> Answer: ...


# fmt: on


def flow(*agents: object, **changes: Any) -> Workflow:
    given: dict[str, Any] = {"name": "flow", "agents": agents, "entry": Go, "answer": Answer} | changes
    return Workflow(**given)


def problems(*workflows: Workflow) -> tuple[str, ...]:
    with pytest.raises(TopologyError) as raised:
        topology(*workflows)
    return raised.value.problems


@pytest.mark.parametrize(
    ("workflow", "said"),
    [
        # names
        (flow(go_answer, go_answer), "two agents are named go_answer: rename one"),
        (flow(go_answer, name="Flow"), "the workflow name 'Flow' is refused by a cloud: use 1 to 24 of a-z, 0-9 and _"),
        (flow(go_answer, name=""), "the workflow name '' is refused"),
        (flow(Shouting), "the agent name 'Shouting' is refused by a cloud"),
        (flow(a_name_of_more_than_24_chars), "the agent name 'a_name_of_more_than_24_chars' is refused by a cloud"),
        (
            flow(go_search, resources={"documents": "collection", "my-docs": "collection"}),
            "the resource name 'my-docs' is refused by a cloud",
        ),
        (flow(runtime), "the agent name 'runtime' is the runtime's own: rename the agent"),
        (flow(go_low_case, low_case_answer), "the event name 'Low_Case' is refused by a cloud: use up to 48 letters"),
        (flow(go_other_a, a_answer), "two event types are named A: rename one"),
        (flow(go_answer, entry=AgentFailed), "AgentFailed is the runtime's own event: use one of yours as entry"),
        (flow(go_answer, no_agent), "no_agent is no agent: put @agent() on it"),
        # limits
        (flow(go_answer, deadline_s=0), "deadline_s is 0: give a number of seconds above 0"),
        (flow(go_answer, deadline_s=float("inf")), "deadline_s is inf: give a number of seconds above 0"),
        (flow(go_answer, max_hops=0), "max_hops is 0: give 1 to"),
        (flow(go_answer, budget=Budget(tokens=-1)), "tokens=-1, micros=1000000): give 0 or more of each"),
        # wiring
        (flow(a_answer), "nobody consumes the entry Go: give it to an agent as its first parameter"),
        (flow(go_a, a_x), "nobody emits the answer Answer: return it from the last agent"),
        (
            flow(go_answer, answer_x),
            "answer_x consumes the answer Answer: end the workflow with the event that follows it",
        ),
        (
            flow(go_a_or_b, a_answer),
            "orphan event: go_a_or_b emits B and nobody consumes it: add a consumer or do not return it",
        ),
        (
            flow(go_a_or_b, a_answer, b_x),
            (
                "dead end: go_a_or_b may emit B, from which the answer Answer is not reachable: "
                "let a consumer of it lead to the answer"
            ),
        ),
        (
            flow(go_answer, b_c, c_x),
            "unreachable: b_c never receives B: let an agent on the way from the entry emit it",
        ),
        (flow(go_maybe), "go_maybe may return None outside a fan-out: the request would have no answer"),
        # resources
        (
            flow(go_search),
            (
                "undeclared resource: go_search asks for 'documents' (Search): "
                "add 'documents': 'collection' to the workflow's resources"
            ),
        ),
        (
            flow(go_search, resources={"documents": "conversations"}),
            (
                "the resource 'documents' is a 'conversations', and go_search asks for it as Search, "
                "which acts on a 'collection': declare another one or change the annotation"
            ),
        ),
        (
            flow(go_search_maybe, resources={"documents": "shelf"}),
            "the resource 'documents' is a 'shelf', which no capability acts on: use one of ",
        ),
        (
            flow(go_answer, resources={"documents": "collection"}),
            "idle resource: no agent asks for 'documents': remove it from the workflow",
        ),
        # Where
        (flow(go_a, a_high), "A with priority normal goes to nobody: where one consumer is narrowed by Where"),
        (flow(go_a, a_high, a_answer), "A with priority high goes to a_high and a_answer"),
        (
            flow(go_a, a_acme),
            "without one: narrow by priority, or only a side branch",
        ),
        # scopes
        (
            flow(go_as, a_answer),
            "a_answer answers inside [each A]: there would be an answer a part: join the parts first",
        ),
        (
            flow(go_a, all_a_answer),
            (
                "join without a fan-out: all_a_answer waits for All[A], which go_a emits outside any fan-out: "
                "consume the event itself"
            ),
        ),
        (
            flow(go_as_or_c, a_c, all_c_answer),
            "join without a fan-out: all_c_answer waits for All[C]",
        ),
        (
            flow(go_as_or_bs, a_bs, all_b_answer),
            "unbalanced: all_b_answer is reached inside ",
        ),
        (flow(go_a, a_as, a_answer), "unbalanced: a_as is reached inside "),
        (
            flow(go_as_or_c, a_d, c_bs, b_d, all_d_answer),
            "ambiguous join: all_d_answer closes each A and each B: give each scope a join of its own",
        ),
        (
            flow(go_as, a_bs, b_c, all_c_answer),
            "all_c_answer answers inside [each A]",
        ),
        (
            flow(go_as, a_b, b_a_or_c, c_answer, bounds={A: 1}),
            "never joined: [each A], opened by go_as: let one agent consume All[...] of what its parts emit",
        ),
        (
            flow(go_as_or_bs, a_c, b_d, all_c_answer, all_d_answer),
            "ambiguous join: [each A|B] is joined by all_c_answer and all_d_answer: let one agent join it",
        ),
        (
            flow(go_as, a_b, all_b_answer, b_c, c_answer),
            "ambiguous join: B goes to all_b_answer, b_c: an event that is joined has no other consumer",
        ),
        # forks
        (
            flow(go_a, a_c, a_d, all_c_answer),
            "orphan event: a_d emits D",
        ),
        (
            flow(go_a, a_c, a_c_too, c_answer),
            "unbalanced: c_answer is reached inside [fork A/a_c",
        ),
        (
            flow(go_a, a_answer, a_or_b_answer),
            "a_answer answers inside [fork A/a_answer]",
        ),
        # side branches
        (
            flow(go_answer, go_a, a_b, all_b_x),
            "all_b_x joins but leads to no answer: a side branch consumes one event at a time, so drop All[...]",
        ),
        (
            flow(go_answer, go_as, a_x),
            "go_as fans out but leads to no answer: a side branch emits one event at a time, so return no list",
        ),
        # cycles
        (
            flow(go_a, a_b_or_answer, b_a),
            (
                "cycle without a bound: a_b_or_answer -> b_a -> a_b_or_answer: name in the workflow's bounds, "
                "with how often it may be emitted, an event of it that is emitted inside no scope"
            ),
        ),
        (flow(go_a, a_b_or_answer, b_a, bounds={B: 0}), "the bound of B is 0: give 1 or more"),
        (flow(go_answer, bounds={B: 1}), "idle bound: no agent emits B: remove it from the bounds"),
        (
            flow(go_as, a_b, all_b_go_or_answer, bounds={B: 2}),
            (
                "cycle without a bound: go_as -> a_b -> all_b_go_or_answer -> go_as: name in the workflow's bounds, "
                "with how often it may be emitted, an event of it that is emitted inside no scope"
            ),
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_workflow_that_cannot_run_is_refused_with_what_to_change(workflow: Workflow, said: str) -> None:
    found = problems(workflow)
    assert any(said in problem for problem in found), found
    assert all(problem.startswith(f"{workflow.name}: ") for problem in found)


def test_every_problem_of_every_workflow_is_said_at_once() -> None:
    first = flow(go_a, a_b, name="First")
    second = flow(go_maybe, bounds={B: 0}, resources={"documents": "shelf"}, name="second")
    found = problems(first, second, second)
    assert sum(problem.startswith("First: ") for problem in found) >= 3
    for said in (
        "which no capability",
        "idle resource",
        "may return None",
        "bound of B is 0",
        "idle bound",
        "two workflows",
    ):
        assert any(problem.startswith("second: ") and said in problem for problem in found), said


def test_a_problem_is_said_once() -> None:
    found = problems(flow(go_a, a_b_or_answer, b_a))
    assert len(found) == len(set(found)) == 1


# ------------------------------------------------------------------------------------------- what is accepted


@pytest.mark.parametrize(
    "workflow",
    [
        SINGLE,
        FANNED,
        FANNED_WITH_SIDE,
        FORKED,
        LOOPED,
        BOOK,
        flow(go_as, a_bs, all_b_c, all_c_answer, name="nested"),
        flow(go_as_or_answer, a_b, all_b_answer, name="choice_of_list"),
        flow(go_as, a_b_or_x, all_b_answer, name="part_that_ends"),
        flow(go_a, a_b, a_c, all_b_or_c_answer, name="fork"),
        flow(go_as, a_b, a_c, all_b_or_c_d, all_d_answer, name="fork_in_a_list"),
        flow(go_a, a_b_or_answer, b_a, bounds={B: 2}, name="cycle"),
        flow(go_as, a_b, all_b_go_or_answer, bounds={Go: 2}, name="cycle_around_a_list"),
        flow(go_as, a_b, all_b_as_or_answer, bounds={A: 2}, name="list_opened_again"),
        flow(go_as, a_b_or_c, b_a, all_c_answer, bounds={B: 1}, name="cycle_in_a_list"),
        flow(go_as_or_bs_or_c, c_bs_or_as, a_d, b_d, all_d_answer, name="list_in_another_order"),
        flow(go_a, a_high, a_normal, a_low, name="choice_by_priority"),
        flow(go_a, a_answer, a_acme_aside, a_x, name="side_branches"),
        flow(go_a, a_answer, a_b, b_x, name="side_branch_of_two"),
        flow(go_a, a_answer, a_c, c_a_aside, b_c, bounds={B: 3}, name="cycle_aside"),
        flow(go_search_maybe, name="left_out"),
        flow(go_search, resources={"documents": "collection"}, name="declared"),
    ],
    ids=lambda workflow: workflow.name,
)
def test_a_workflow_that_can_run_is_accepted(workflow: Workflow) -> None:
    assert set(topology(workflow)) == {workflow.name}


def test_several_workflows_share_agents_and_events() -> None:
    plans = topology(FANNED, FANNED_WITH_SIDE)
    assert plans["fanned"].version != plans["fanned_side"].version
    assert not plans["fanned"].nodes["handle"].side
    assert plans["fanned_side"].nodes["note"].side


def test_the_plan_knows_where_each_agent_runs() -> None:
    (plan,) = topology(BOOK).values()
    scopes = {name: node.scopes for name, node in plan.nodes.items()}
    chapter, section = "each Chapter", "each Section"
    assert scopes["plan_book"] == scopes["bind_book"] == ()
    assert scopes["plan_chapter"] == scopes["close_chapter"] == (chapter,)
    assert scopes["write"] == scopes["close_section"] == (chapter, section)
    assert scopes["spell"] == (chapter, section, "fork Written/spell")
    assert plan.nodes["source"].fork == (1, 2)
    assert plan.nodes["spell"].closer == "close_section"
    assert plan.closers == {chapter: "bind_book", section: "close_chapter", "fork Written": "close_section"}
    assert plan.forks == {"Written": 2}
    assert plan.bounds == {"Weak": 2}
    assert [name for name, node in plan.nodes.items() if node.side] == ["file_away", "shelve"]


# -------------------------------------------------------------------------------------------------- versions


def version(workflow: Workflow) -> str:
    (plan,) = topology(workflow).values()
    return plan.version


@agent(memory_mb=2048, timeout_s=60, delivery=Delivery(attempts=1))
def go_roomy(event: Go) -> Answer: ...


def renamed(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    def copy(event: Go) -> Answer: ...

    copy.__name__ = name
    spec = spec_of(function)
    return agent(memory_mb=spec.memory_mb, timeout_s=spec.timeout_s, delivery=spec.delivery)(copy)


@pytest.mark.parametrize(
    "changed",
    [
        {"agents": (renamed(go_roomy, "go_answer"),)},
        {"deadline_s": 5.0},
        {"max_hops": 3},
        {"budget": Budget(tokens=1)},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_a_plan_keeps_its_version_where_no_event_takes_another_way(changed: Mapping[str, Any]) -> None:
    workflow = flow(go_answer)
    assert version(msgspec.structs.replace(workflow, **changed)) == version(workflow)


@pytest.mark.parametrize(
    "changed",
    [
        flow(go_a, a_b_or_answer, b_a, bounds={B: 3}),
        flow(go_a, a_b_or_answer, b_a, bounds={A: 2}),
        flow(go_a, a_b_or_answer, b_a, bounds={B: 2}, name="flow2"),
        flow(go_a, a_b_or_answer, b_a, a_x, bounds={B: 2}),
        flow(go_a, a_b_or_answer, b_a, a_acme_aside, bounds={B: 2}),
    ],
)
def test_a_plan_has_another_version_where_the_graph_is_another(changed: Workflow) -> None:
    assert version(changed) != version(flow(go_a, a_b_or_answer, b_a, bounds={B: 2}))


def test_a_narrowed_route_and_a_fork_in_another_order_are_other_plans() -> None:
    aside = flow(go_a, a_answer, a_x)
    assert version(aside) != version(flow(go_a, a_answer, a_acme_aside))
    assert version(flow(go_a, a_b, a_c, all_b_or_c_answer)) != version(flow(go_a, a_c, a_b, all_b_or_c_answer))


def test_a_version_is_the_same_in_every_process() -> None:
    assert version(flow(go_answer)) == "f2c294a97915"
