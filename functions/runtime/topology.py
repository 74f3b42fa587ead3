"""`topology`: from workflows to plans, with every problem reported at once, before anything is deployed.

The idea: an event carries a stack of open scopes. A returned list opens a scope, and so does an event with
two or more consumers on the way to the answer (a fork); `All[...]` closes the innermost. Each agent must be
reached inside the same scopes from everywhere, which is checked as a bytecode verifier checks its stack.
"""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from functions.errors import TroupeError
from functions.events.decoding import decoder
from functions.events.envelope import MAX_COUNT, RUNTIME, digest, type_of
from functions.events.event import PRIORITIES, RESERVED, Event, required_of
from functions.ports.capability import CAPABILITIES
from functions.runtime.agent import AgentSpec, SignatureError, spec_of
from functions.runtime.workflow import Node, Plan, Route, Workflow, fan_out_scope

# The narrowest of the three clouds: a Google service account's id has 30 characters, and shares them with
# the stack's name; Lambda, Pub/Sub and Event Grid allow more.
NAME = re.compile(r"[a-z][a-z0-9_]{0,23}")
EVENT_NAME = re.compile(r"[A-Z][A-Za-z0-9]{0,47}")
# What is shared in the state of a cloud begins with these, as what is an agent's own begins with its name.
SHARED_ITEMS = ("request", "conversation", "collection", "document", "effect", "vault", "socket")
RESERVED_AGENTS = ("entry", RUNTIME, *SHARED_ITEMS)

Scopes = tuple[str, ...]


class TopologyError(TroupeError, ValueError):
    """Workflows that cannot run as written.

    Attributes:
        problems: One sentence each, with what to change.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


def topology(*workflows: Workflow) -> dict[str, Plan]:
    """The plan of each workflow, by its name.

    Raises:
        TopologyError: With every problem of every workflow.
    """
    problems = [
        f"{name}: two workflows have this name: rename one"
        for name in sorted(_repeated(workflow.name for workflow in workflows))
    ]
    plans = {}
    for workflow in workflows:
        graph = _graph(workflow)
        walk = _walk(graph)
        found = [*_naming(graph), *_wiring(graph), *walk.problems, *_scoping(graph, walk), *_cycles(graph, walk)]
        problems += [f"{workflow.name}: {problem}" for problem in dict.fromkeys(found)]
        plans[workflow.name] = (graph, walk)
    if problems:
        raise TopologyError(problems)
    return {name: _plan(graph, walk) for name, (graph, walk) in plans.items()}


# ------------------------------------------------------------------------------------------- the graph


class _Graph(msgspec.Struct, frozen=True, kw_only=True):
    """Who consumes what. `main` are the agents from which the answer can still be reached."""

    repeated: set[str]
    strangers: tuple[str, ...]
    workflow: Workflow
    specs: Mapping[str, AgentSpec]
    takers: Mapping[type[Event], tuple[AgentSpec, ...]]
    main: frozenset[str]

    def consumers(self, event: type[Event]) -> tuple[AgentSpec, ...]:
        return self.takers.get(event, ())

    def answering(self, event: type[Event]) -> tuple[AgentSpec, ...]:
        """The consumers on the way to the answer."""
        return tuple(spec for spec in self.consumers(event) if spec.name in self.main)

    def branches(self, event: type[Event]) -> tuple[AgentSpec, ...]:
        """The consumers that a fork opens a branch for; none where it is no fork."""
        answering = self.answering(event)
        chosen = any(spec.where for spec in answering)  # one of them, by `Where`: a choice
        joined = any(spec.joins for spec in answering)
        return answering if len(answering) > 1 and not chosen and not joined else ()


def _outputs(spec: AgentSpec) -> tuple[type[Event], ...]:
    return (*spec.emits, *spec.fans_out)


def _graph(workflow: Workflow) -> _Graph:
    found = [_spec_or_problem(each) for each in workflow.agents]
    specs = {each.name: each for each in found if isinstance(each, AgentSpec)}
    takers: dict[type[Event], tuple[AgentSpec, ...]] = {}
    for spec in specs.values():
        for event in spec.consumes:
            takers[event] = (*takers.get(event, ()), spec)
    main: set[str] = set()
    while grown := {
        spec.name
        for spec in specs.values()
        if spec.name not in main
        and any(
            event is workflow.answer or any(taker.name in main for taker in takers.get(event, ()))
            for event in _outputs(spec)
        )
    }:
        main |= grown
    return _Graph(
        workflow=workflow,
        specs=specs,
        takers=takers,
        main=frozenset(main),
        repeated=_repeated(each.name for each in found if isinstance(each, AgentSpec)),
        strangers=tuple(each for each in found if isinstance(each, str)),
    )


def _spec_or_problem(function: Callable[..., Any]) -> AgentSpec | str:
    try:
        return spec_of(function)
    except SignatureError as error:
        return str(error)


def _repeated(names: Iterable[str]) -> set[str]:
    seen: set[str] = set()
    return {name for name in names if name in seen or seen.add(name)}  # type: ignore[func-returns-value]


# ------------------------------------------------------------------------- names, wiring and resources


def _naming(graph: _Graph) -> Iterator[str]:
    workflow = graph.workflow
    yield from graph.strangers
    for name in sorted(graph.repeated):
        yield f"two agents are named {name}: rename one"
    for kind, name in (
        ("workflow", workflow.name),
        *(("agent", name) for name in graph.specs),
        *(("resource", name) for name in workflow.resources),
    ):
        if not NAME.fullmatch(name):
            yield f"the {kind} name {name!r} is refused by a cloud: use 1 to 24 of a-z, 0-9 and _, a letter first"
    for name in RESERVED_AGENTS:
        if name in graph.specs:
            yield f"the agent name {name!r} is the runtime's own: rename the agent"
    events = dict.fromkeys(_events(graph))
    for name in sorted(_repeated(event.__name__ for event in events)):
        yield f"two event types are named {name}: rename one"
    for event in events:
        if not EVENT_NAME.fullmatch(event.__name__):
            yield f"the event name {event.__name__!r} is refused by a cloud: use up to 48 letters and digits"
        if event in RESERVED:
            yield f"{event.__name__} is the runtime's own event: use one of yours as entry and answer"


def _events(graph: _Graph) -> Iterator[type[Event]]:
    yield graph.workflow.entry
    yield graph.workflow.answer
    for spec in graph.specs.values():
        yield from spec.consumes
        yield from _outputs(spec)


def _wiring(graph: _Graph) -> Iterator[str]:
    workflow, answer = graph.workflow, graph.workflow.answer
    yield from _limits(workflow)
    if not graph.consumers(workflow.entry):
        yield f"nobody consumes the entry {workflow.entry.__name__}: give it to an agent as its first parameter"
    if not any(answer in _outputs(spec) for spec in graph.specs.values()):
        yield f"nobody emits the answer {answer.__name__}: return it from the last agent"
    for taker in graph.consumers(answer):
        yield f"{taker.name} consumes the answer {answer.__name__}: end the workflow with the event that follows it"
    for spec in graph.specs.values():
        yield from _dead_ends(graph, spec)
        yield from _resources(graph, spec)
    asked = {grant.resource for spec in graph.specs.values() for grant in spec.grants}
    for resource, kind in workflow.resources.items():
        if kind not in CAPABILITIES.values():
            kinds = ", ".join(sorted(set(CAPABILITIES.values())))
            yield f"the resource {resource!r} is a {kind!r}, which no capability acts on: use one of {kinds}"
        if resource not in asked:
            yield f"idle resource: no agent asks for {resource!r}: remove it from the workflow"
    for event in dict.fromkeys(_events(graph)):
        yield from _narrowing(graph, event)


def _limits(workflow: Workflow) -> Iterator[str]:
    if not 0 < workflow.deadline_s < math.inf:
        yield f"deadline_s is {workflow.deadline_s}: give a number of seconds above 0"
    if not 1 <= workflow.max_hops <= MAX_COUNT:
        yield f"max_hops is {workflow.max_hops}: give 1 to {MAX_COUNT}"
    if not 1 <= workflow.max_events_per_minute <= MAX_COUNT:
        yield f"max_events_per_minute is {workflow.max_events_per_minute}: give 1 to {MAX_COUNT}"
    if min(workflow.budget.tokens, workflow.budget.micros) < 0:
        yield f"the budget is {workflow.budget}: give 0 or more of each"


def _dead_ends(graph: _Graph, spec: AgentSpec) -> Iterator[str]:
    answer = graph.workflow.answer
    for event in _outputs(spec):
        if event is answer:
            continue
        if not graph.consumers(event):
            yield (
                f"orphan event: {spec.name} emits {event.__name__} and nobody consumes it: "
                "add a consumer or do not return it"
            )
        elif spec.name in graph.main and not graph.answering(event):
            yield (
                f"dead end: {spec.name} may emit {event.__name__}, from which the answer {answer.__name__} is not "
                "reachable: let a consumer of it lead to the answer"
            )


def _resources(graph: _Graph, spec: AgentSpec) -> Iterator[str]:
    for grant in spec.grants:
        kind = CAPABILITIES[grant.capability]
        declared = graph.workflow.resources.get(grant.resource)
        if declared is None and not grant.optional:
            yield (
                f"undeclared resource: {spec.name} asks for {grant.resource!r} ({grant.capability.__name__}): "
                f"add {grant.resource!r}: {kind!r} to the workflow's resources"
            )
        elif declared not in (None, kind):
            yield (
                f"the resource {grant.resource!r} is a {declared!r}, and {spec.name} asks for it as "
                f"{grant.capability.__name__}, which acts on a {kind!r}: declare another one or change the annotation"
            )


def _narrowing(graph: _Graph, event: type[Event]) -> Iterator[str]:
    """On the way to the answer, `Where` must be a choice that leaves nobody out."""
    answering = graph.answering(event)
    if not any(spec.where for spec in answering):
        return
    if any(spec.where and spec.where.tenant for spec in answering):
        yield (
            f"{event.__name__} is narrowed by tenant on the way to the answer, which would leave other tenants "
            "without one: narrow by priority, or only a side branch"
        )
        return
    for priority in PRIORITIES:
        takers = [spec.name for spec in answering if not spec.where or spec.where.priority == priority]
        if len(takers) != 1:
            yield (
                f"{event.__name__} with priority {priority} goes to {' and '.join(takers) or 'nobody'}: where one "
                "consumer is narrowed by Where, exactly one must take each priority"
            )


# ------------------------------------------------------------------------------------- walking the scopes


class _Arrival(msgspec.Struct, frozen=True):
    """An event on the way to its consumers."""

    event: type[Event]
    scopes: Scopes
    emitter: str


class _Walk(msgspec.Struct):
    """What an abstract run found: in which scopes each agent runs, and who opens and closes them."""

    waiting: list[_Arrival]
    scopes: dict[str, Scopes] = {}
    forks: dict[str, tuple[int, int]] = {}
    openers: dict[str, str] = {}
    closers: dict[str, set[str]] = {}
    problems: list[str] = []


def _walk(graph: _Graph) -> _Walk:
    walk = _Walk([_Arrival(graph.workflow.entry, (), "the entry")])
    while walk.waiting:
        arrival = walk.waiting.pop()
        if arrival.event is graph.workflow.answer:
            if arrival.scopes:
                walk.problems.append(
                    f"{arrival.emitter} answers inside {_shown(arrival.scopes)}: there would be an answer a part: "
                    "join the parts first"
                )
            continue
        for spec in graph.consumers(arrival.event):
            if spec.name in graph.main:
                _visit(graph, walk, spec, arrival)
            else:
                _visit_side(walk, spec)
    return walk


def _visit_side(walk: _Walk, spec: AgentSpec) -> None:
    """A side branch: counted nowhere, so its scopes do not matter."""
    if spec.name in walk.scopes:
        return
    walk.scopes[spec.name] = ()
    if spec.joins:
        walk.problems.append(
            f"{spec.name} joins but leads to no answer: a side branch consumes one event at a time, so drop All[...]"
        )
    if spec.fans_out:
        walk.problems.append(
            f"{spec.name} fans out but leads to no answer: a side branch emits one event at a time, so return no list"
        )
    walk.waiting.extend(_Arrival(event, (), spec.name) for event in spec.emits)


def _visit(graph: _Graph, walk: _Walk, spec: AgentSpec, arrival: _Arrival) -> None:
    event, scopes = arrival.event.__name__, arrival.scopes
    branches = graph.branches(arrival.event)
    if spec.joins and not scopes:
        walk.problems.append(
            f"join without a fan-out: {spec.name} waits for All[{event}], which {arrival.emitter} emits outside any "
            "fan-out: consume the event itself"
        )
    elif spec.joins:
        walk.closers.setdefault(_scope(scopes[-1]), set()).add(spec.name)
        _place(walk, spec, scopes[:-1], arrival.emitter)
    elif branches:
        walk.forks[spec.name] = (branches.index(spec), len(branches))
        walk.openers.setdefault(f"fork {event}", arrival.emitter)
        _place(walk, spec, (*scopes, f"fork {event}/{spec.name}"), arrival.emitter)
    else:
        _place(walk, spec, scopes, arrival.emitter)


def _place(walk: _Walk, spec: AgentSpec, scopes: Scopes, emitter: str) -> None:
    if spec.name in walk.scopes:
        if walk.scopes[spec.name] != scopes:
            walk.problems.append(
                f"unbalanced: {spec.name} is reached inside {_shown(scopes)} from {emitter} and inside "
                f"{_shown(walk.scopes[spec.name])} from another: close the same scopes on every way to it"
            )
        return
    walk.scopes[spec.name] = scopes
    walk.waiting.extend(_Arrival(event, scopes, spec.name) for event in spec.emits)
    if spec.fans_out:
        scope = fan_out_scope(spec)
        walk.openers.setdefault(scope, spec.name)
        walk.waiting.extend(_Arrival(event, (*scopes, scope), spec.name) for event in spec.fans_out)
    if spec.may_end and not scopes:
        walk.problems.append(
            f"{spec.name} may return None outside a fan-out: the request would have no answer: return an event"
        )


def _scope(frame: str) -> str:
    """A fork's branches are one scope."""
    return frame.partition("/")[0]


def _shown(scopes: Scopes) -> str:
    return f"[{', '.join(scopes)}]" if scopes else "no scope"


def _scoping(graph: _Graph, walk: _Walk) -> Iterator[str]:
    for name, spec in graph.specs.items():
        if name not in walk.scopes:
            events = " or ".join(event.__name__ for event in spec.consumes)
            yield f"unreachable: {name} never receives {events}: let an agent on the way from the entry emit it"
    for event in graph.takers:
        answering = graph.answering(event)
        if len(answering) > 1 and any(spec.joins for spec in answering):
            names = ", ".join(spec.name for spec in answering)
            yield f"ambiguous join: {event.__name__} goes to {names}: an event that is joined has no other consumer"
    for scope, opener in walk.openers.items():
        joins = sorted(walk.closers.get(scope, ()))
        if not joins:
            yield f"never joined: [{scope}], opened by {opener}: let one agent consume All[...] of what its parts emit"
        elif len(joins) > 1:
            yield f"ambiguous join: [{scope}] is joined by {' and '.join(joins)}: let one agent join it"
    for join in sorted({join for joins in walk.closers.values() for join in joins}):
        closed = sorted(scope for scope, joins in walk.closers.items() if join in joins)
        if len(closed) > 1:
            yield f"ambiguous join: {join} closes {' and '.join(closed)}: give each scope a join of its own"


# ----------------------------------------------------------------------------------------------- cycles


def _cycles(graph: _Graph, walk: _Walk) -> Iterator[str]:
    workflow = graph.workflow
    emitted = {event for spec in graph.specs.values() for event in _outputs(spec)}
    for event, bound in workflow.bounds.items():
        if bound < 1:
            yield f"the bound of {event.__name__} is {bound}: give 1 or more"
        if event not in emitted:
            yield f"idle bound: no agent emits {event.__name__}: remove it from the bounds"
    for cycle in _unbounded(graph, walk):
        yield (
            f"cycle without a bound: {' -> '.join(cycle)}: name in the workflow's bounds, with how often it may be "
            f"emitted, an event of it that is emitted inside {_shown(walk.scopes.get(cycle[0], ()))}"
        )


def _unbounded(graph: _Graph, walk: _Walk) -> Iterator[list[str]]:
    """The cycles that pass no bounded event in their outermost scope: a scope inside them counts from 0 each time."""
    depths = {name: len(walk.scopes.get(name, ())) for name in graph.specs}
    seen: set[frozenset[str]] = set()
    for start, depth in depths.items():
        edges = {
            name: [
                taker.name
                for event in _outputs(spec)
                if event not in graph.workflow.bounds or depths[name] > depth
                for taker in graph.consumers(event)
                if depths[taker.name] >= depth
            ]
            for name, spec in graph.specs.items()
        }
        cycle = _way_back(edges, start)
        if cycle and frozenset(cycle) not in seen:
            seen.add(frozenset(cycle))
            yield cycle


def _way_back(edges: Mapping[str, Sequence[str]], start: str) -> list[str]:
    """The shortest path from an agent back to itself; empty where there is none."""
    paths = [[start]]
    reached: set[str] = set()
    for path in paths:  # grows while it is walked: breadth first
        for step in edges[path[-1]]:
            if step == start:
                return [*path, step]
            if step not in reached:
                reached.add(step)
                paths.append([*path, step])
    return []


# ------------------------------------------------------------------------------------------------- plan


def _plan(graph: _Graph, walk: _Walk) -> Plan:
    closers = {scope: next(iter(joins)) for scope, joins in walk.closers.items()}
    nodes = {
        name: Node(
            spec=graph.specs[name],
            scopes=scopes,
            fork=walk.forks.get(name),
            side=name not in graph.main,
            closer=closers[_scope(scopes[-1])] if scopes else "",
        )
        for name, scopes in walk.scopes.items()
    }
    return Plan(
        workflow=graph.workflow,
        version=_version(graph, nodes),
        nodes=nodes,
        routes={
            event.__name__: tuple(Route(spec.name, spec.where) for spec in takers)
            for event, takers in graph.takers.items()
        },
        forks={event.__name__: len(branches) for event in graph.takers if (branches := graph.branches(event))},
        closers=closers,
        events={event.__name__: _looked_at(event) for event in (*_events(graph), *RESERVED[1:])},
        bounds={event.__name__: bound for event, bound in graph.workflow.bounds.items()},
    )


def _looked_at(event: type[Event]) -> type[Event]:
    """The event, whose type any thread may use from now on."""
    decoder(event)
    return event


def _version(graph: _Graph, nodes: Mapping[str, Node]) -> str:
    """Everything that decides where an event goes and who can read it: all that two deployments must agree on.

    Neither code nor limits, nor the order in which a signature names its events, nor a field with a default.
    """
    agents = sorted(
        (
            name,
            _contracts(node.spec.consumes),
            node.spec.joins,
            str(node.spec.where),
            _contracts(node.spec.emits),
            _contracts(node.spec.fans_out),
            node.fork,
        )
        for name, node in nodes.items()
    )
    workflow = graph.workflow
    bounds = sorted((event.__name__, bound) for event, bound in workflow.bounds.items())
    return digest(workflow.name, _contracts([workflow.entry]), _contracts([workflow.answer]), agents, bounds)[:12]


def _contracts(events: Iterable[type[Event]]) -> list[tuple[str, tuple[str, ...]]]:
    return sorted((type_of(event), required_of(event)) for event in events)
