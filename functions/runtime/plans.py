"""Plans as data: what one deployment leaves of a plan, so that the next ones finish its requests with their own agents.

The bytes are the same on every target: one machine keeps them in its store, a cloud's bundle carries them as a file.
What may change between two deployments is in docs/deploys.md.
"""

from collections.abc import Iterator, Mapping

import msgspec

from functions.events.decoding import decoder
from functions.events.envelope import type_of
from functions.events.event import RESERVED, Event, fields_of, required_of
from functions.runtime.agent import AgentSpec
from functions.runtime.workflow import Gone, Node, Plan, Route


class Incompatible(msgspec.Struct, frozen=True, kw_only=True):
    """A plan that no request can finish under any more.

    Attributes:
        reasons: Every one, a sentence each.
    """

    reasons: tuple[str, ...]


class Crew(msgspec.Struct, frozen=True):
    """The agents of one plan or of several, by name.

    Attributes:
        joining: Those of them that wait for the parts of a scope.
    """

    agents: frozenset[str] = frozenset()
    joining: frozenset[str] = frozenset()

    def __or__(self, other: "Crew") -> "Crew":
        """Those of both."""
        return Crew(self.agents | other.agents, self.joining | other.joining)


class _Members(msgspec.Struct, frozen=True):
    """As much of a plan without code as every version of this project writes."""

    nodes: "tuple[_Member, ...]"


class _Member(msgspec.Struct, frozen=True):
    agent: str
    joins: bool


class _FrozenNode(msgspec.Struct, frozen=True, kw_only=True):
    """A node, its events as `PlanCreated.v1`."""

    agent: str
    consumes: tuple[str, ...]
    joins: bool
    emits: tuple[str, ...]
    fans_out: tuple[str, ...]
    scopes: tuple[str, ...]
    fork: tuple[int, int] | None
    side: bool
    closer: str


class _FrozenPlan(msgspec.Struct, frozen=True, kw_only=True, tag="plan.v1"):
    """A plan without code. `events` has the fields that each event had."""

    workflow: str
    version: str
    answer: str
    events: Mapping[str, tuple[str, ...]]
    nodes: tuple[_FrozenNode, ...]
    routes: Mapping[str, tuple[Route, ...]]
    forks: Mapping[str, int]
    closers: Mapping[str, str]
    bounds: Mapping[str, int]


def frozen(plan: Plan) -> bytes:
    """A plan as JSON: the same plan, the same bytes."""
    own = (event for event in plan.events.values() if event not in RESERVED)
    return msgspec.json.encode(
        _FrozenPlan(
            workflow=plan.workflow.name,
            version=plan.version,
            answer=type_of(plan.workflow.answer),
            events={type_of(event): fields_of(event) for event in own},
            nodes=tuple(_frozen(plan.nodes[name]) for name in sorted(plan.nodes)),
            routes=plan.routes,
            forks=plan.forks,
            closers=plan.closers,
            bounds=plan.bounds,
        ),
        order="deterministic",
    )


def crew_of(plan: Plan) -> Crew:
    """The agents of a plan of this deployment."""
    return Crew(frozenset(plan.nodes), frozenset(name for name, node in plan.nodes.items() if node.spec.joins))


def crew_in(raw: bytes) -> Crew:
    """The agents of the plan in these bytes, also of one that no request can finish under any more."""
    nodes = decoder(_Members).decode(raw).nodes
    return Crew(frozenset(node.agent for node in nodes), frozenset(node.agent for node in nodes if node.joins))


def revived(raw: bytes, current: Mapping[str, Plan]) -> Plan | Incompatible:
    """The plan in these bytes, at work with the agents and within the limits of the current plan of its workflow.

    An agent that is gone, or that does not do here what that plan needs of it, is in `Plan.gone`; the others go on.

    Args:
        raw: What `frozen` made, in this deployment or an earlier one.
        current: The plans of this deployment, by the workflow's name.
    """
    try:
        old = decoder(_FrozenPlan).decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        return Incompatible(reasons=(f"its plan cannot be read here ({error})",))
    now = current.get(old.workflow)
    if now is None:
        return Incompatible(reasons=(f"there is no workflow {old.workflow} any more",))
    events = {type_of(event): event for event in now.events.values()}
    if unanswered := tuple(_unreadable(old, events, old.answer)):
        return Incompatible(reasons=unanswered)
    nodes, gone = {}, {}
    for node in old.nodes:
        found = now.nodes.get(node.agent)
        misfits = _misfits(old, node, found.spec, events) if found else [f"there is no agent {node.agent} any more"]
        if found is None or misfits:
            gone[node.agent] = Gone(reason="; ".join(misfits), side=node.side)
        else:
            nodes[node.agent] = Node(
                spec=found.spec, scopes=node.scopes, fork=node.fork, side=node.side, closer=node.closer
            )
    known = [events[each] for each in old.events if not any(_unreadable(old, events, each))]
    return Plan(
        workflow=msgspec.structs.replace(now.workflow, answer=events[old.answer]),
        version=old.version,
        nodes=nodes,
        routes=old.routes,
        forks=old.forks,
        closers=old.closers,
        events={event.__name__: event for event in (*known, *RESERVED[1:])},
        bounds=old.bounds,
        gone=gone,
    )


def _frozen(node: Node) -> _FrozenNode:
    spec = node.spec
    return _FrozenNode(
        agent=spec.name,
        consumes=tuple(sorted(_types(spec.consumes))),
        joins=spec.joins,
        emits=tuple(sorted(_types(spec.emits))),
        fans_out=tuple(sorted(_types(spec.fans_out))),
        scopes=node.scopes,
        fork=node.fork,
        side=node.side,
        closer=node.closer,
    )


def _types(events: tuple[type[Event], ...]) -> set[str]:
    return {type_of(event) for event in events}


def _misfits(old: _FrozenPlan, node: _FrozenNode, spec: AgentSpec, events: Mapping[str, type[Event]]) -> list[str]:
    """Why an agent of this deployment cannot stand where the old plan has one of its name."""
    return [
        *(f"{spec.name} does not take {each} any more" for each in _missing(node.consumes, spec.consumes)),
        *(reason for each in node.consumes for reason in _unreadable(old, events, each)),
        *_misplaced(node, spec),
    ]


def _missing(wanted: tuple[str, ...], found: tuple[type[Event], ...]) -> list[str]:
    return sorted(set(wanted) - _types(found))


def _misplaced(node: _FrozenNode, spec: AgentSpec) -> Iterator[str]:
    if spec.joins != node.joins:
        yield f"{spec.name} {'waits for' if spec.joins else 'does not wait for'} the parts of a fan-out now"
    for each in sorted(_types(spec.emits) - set(node.emits)):
        yield f"{spec.name} may emit {each} now"
    if _types(spec.fans_out) != set(node.fans_out):
        yield f"{spec.name} fans out to {' or '.join(sorted(_types(spec.fans_out))) or 'nothing'} now"
    if spec.may_end and not node.scopes and not node.side:
        yield f"{spec.name} may end without an event now"


def _unreadable(old: _FrozenPlan, events: Mapping[str, type[Event]], kind: str) -> Iterator[str]:
    """Why what that deployment emitted as an event of this kind cannot be read here."""
    event = events.get(kind)
    if event is None:
        yield f"there is no event {kind} any more"
        return
    for field in sorted(set(required_of(event)) - set(old.events[kind])):
        yield f"{kind} needs {field} now, which it did not have"
