"""A workflow as its author writes it, and the plan that `topology` makes of it."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from functions.events.envelope import MAX_PARTS
from functions.events.event import Event, Where
from functions.runtime.agent import AgentSpec


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """What one request may spend on models. Past it, a model refuses, and so does the guard where an agent needs one.

    Attributes:
        tokens: Input and output tokens together.
        micros: Money, in millionths of a US dollar.
    """

    tokens: int = 200_000
    micros: int = 1_000_000


class Workflow(msgspec.Struct, frozen=True, kw_only=True):
    """Which agents answer which event with which event.

    Attributes:
        name: Part of every route and resource name.
        agents: The `@agent` functions, each in one file.
        entry: The event a request starts with.
        answer: The event that ends it.
        bounds: How often an event that closes a cycle may be emitted, per scope.
        resources: What the agents' capabilities act on: name -> kind, e.g. `documents` -> `collection`.
        deadline_s: How long a request may take, in seconds.
        max_hops: How many agents an event may pass through.
        max_events_per_minute: How many events of one conversation agents may take in a minute, side branches and
            retries included. By default, six agents for each part of the largest fan-out (`MAX_PARTS`).
        budget: What a request may spend on models.
    """

    name: str
    agents: tuple[Callable[..., Any], ...]
    entry: type[Event]
    answer: type[Event]
    bounds: Mapping[type[Event], int] = {}
    resources: Mapping[str, str] = {}
    deadline_s: float = 60.0
    max_hops: int = 64
    max_events_per_minute: int = 6 * MAX_PARTS
    budget: Budget = Budget()


class Route(msgspec.Struct, frozen=True):
    """One agent that an event goes to, and what narrows the way there."""

    agent: str
    where: Where | None


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """An agent in its place in the graph.

    Attributes:
        spec: Its signature.
        scopes: The scopes it runs in, outermost first; for a join, those left after it closed its own.
        fork: Its position among the branches of a fork, and how many there are.
        side: Whether the answer is not reachable from it.
        closer: The join that closes its innermost scope; empty at the root.
    """

    spec: AgentSpec
    scopes: tuple[str, ...]
    fork: tuple[int, int] | None
    side: bool
    closer: str


class Gone(msgspec.Struct, frozen=True, kw_only=True):
    """An agent of an earlier deployment's plan that this deployment cannot stand in for.

    Attributes:
        reason: In words.
        side: Whether the answer was not reachable from it.
    """

    reason: str
    side: bool


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A workflow whose topology was checked: what `deliver` works from.

    Attributes:
        workflow: As it was written; of an earlier deployment's plan, as it is now, with the answer that it had then.
        version: A digest of everything below that decides how an event travels.
        nodes: By the agent's name.
        routes: By the event's name.
        forks: How many branches an event opens, for those that open any.
        closers: Which join closes a scope.
        events: By name, the runtime's own included.
        bounds: By the event's name.
        gone: By the agent's name: those of an earlier deployment that this one cannot stand in for.
    """

    workflow: Workflow
    version: str
    nodes: Mapping[str, Node]
    routes: Mapping[str, tuple[Route, ...]]
    forks: Mapping[str, int]
    closers: Mapping[str, str]
    events: Mapping[str, type[Event]]
    bounds: Mapping[str, int]
    gone: Mapping[str, Gone] = {}


def fan_out_scope(spec: AgentSpec) -> str:
    """The scope that an agent's returned list opens: agents that fan out to the same events share it."""
    return "each " + "|".join(sorted(event.__name__ for event in spec.fans_out))
