"""The workflows, and who consumes what from whom."""

import inspect
from collections.abc import Mapping, Sequence

import msgspec

from functions.api.http import Reply
from functions.api.problems import not_found
from functions.api.replies import ok
from functions.api.routing import Call
from functions.api.target import Target, takes_messages
from functions.runtime.workflow import Node, Plan


class AgentShown(msgspec.Struct, frozen=True, kw_only=True):
    """An agent in its place.

    Attributes:
        purpose: What it does, in a sentence.
        consumes: Events by name; where it joins, the parts that it waits for.
        emits: One of these at a time.
        fans_out: Any number of these at once.
        scopes: What it runs inside of, outermost first.
        side: Whether the answer does not depend on it.
    """

    name: str
    purpose: str
    consumes: Sequence[str]
    joins: bool
    emits: Sequence[str]
    fans_out: Sequence[str]
    scopes: Sequence[str]
    side: bool


class WorkflowShown(msgspec.Struct, frozen=True, kw_only=True):
    """A workflow as a graph.

    Attributes:
        version: Of its plan: changes with anything that decides how an event travels.
        entry: The event that it starts with.
        answer: The event that ends it.
        takes_messages: Whether a message can be sent to it.
        bounds: How often an event that closes a cycle may be emitted, per scope.
    """

    workflow: str
    version: str
    entry: str
    answer: str
    takes_messages: bool
    agents: Sequence[AgentShown]
    bounds: Mapping[str, int]


class WorkflowsShown(msgspec.Struct, frozen=True, kw_only=True):
    """Every workflow, by name."""

    workflows: Sequence[WorkflowShown]


def get_workflows(target: Target, call: Call) -> Reply:
    """Every workflow."""
    del call
    return ok(WorkflowsShown(workflows=[as_graph(plan) for _, plan in sorted(target.plans.items())]))


def get_workflow(target: Target, call: Call) -> Reply:
    """One workflow."""
    plan = target.plans.get(call.path["workflow"])
    if plan is None:
        raise not_found()
    return ok(as_graph(plan))


def as_graph(plan: Plan) -> WorkflowShown:
    """A plan as a graph."""
    return WorkflowShown(
        workflow=plan.workflow.name,
        version=plan.version,
        entry=plan.workflow.entry.__name__,
        answer=plan.workflow.answer.__name__,
        takes_messages=takes_messages(plan),
        agents=[_agent(name, node) for name, node in plan.nodes.items()],
        bounds=plan.bounds,
    )


def _agent(name: str, node: Node) -> AgentShown:
    spec = node.spec
    return AgentShown(
        name=name,
        purpose=inspect.cleandoc(spec.call.__doc__ or "").partition("\n")[0],
        consumes=[event.__name__ for event in spec.consumes],
        joins=spec.joins,
        emits=[event.__name__ for event in spec.emits],
        fans_out=[event.__name__ for event in spec.fans_out],
        scopes=node.scopes,
        side=node.side,
    )
