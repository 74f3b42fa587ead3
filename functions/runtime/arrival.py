"""Where a delivery stands: its inputs, its place in the lineage, and its join."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cache

import msgspec

from functions.events.envelope import (
    CLAIM_CHECK_BYTES,
    Envelope,
    Frame,
    Lineage,
    MalformedEnvelopeError,
    digest,
    type_of,
    unpack,
)
from functions.events.event import AgentFailed, Event, PartEnded, ScopeExpired
from functions.ports.blobs import Blobs, prefix_of
from functions.ports.state import Begun, Part, State, Task
from functions.runtime.workflow import Node, Plan

COUNTED = (AgentFailed, PartEnded, ScopeExpired)  # what a join takes beside its parts
LEASE_MARGIN_S = 5.0  # past an agent's own time limit, for the writes around it
SCOPE_SHARE = 0.8  # of the time that is left: a scope closes early enough for what follows it


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery in its place: what it works on, and inside which open scopes.

    Attributes:
        key: Of the delivery.
        inputs: The event; for a join, its parts by index.
        envelope: What the outputs inherit from: the input, or the part with the lowest index of this generation.
        lineage: The scopes that are open while the agent works.
        deadline: Of the innermost of them.
        hop: How many agents the input passed through.
        emitted: When the youngest input was emitted.
        total: How many parts the joined scope has, those that never came included; 0 elsewhere.
        timer: The timer of the scope that was joined here; empty elsewhere.
    """

    key: str
    inputs: tuple[Envelope, ...]
    envelope: Envelope
    lineage: Lineage
    deadline: datetime
    hop: int
    emitted: datetime
    total: int = 0
    timer: str = ""


class Started(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery that was begun in the write that published its event."""

    plan: Plan
    node: Node
    arrival: Arrival
    begun: Begun


def claimed(envelope: Envelope, blobs: Blobs) -> Envelope:
    """The envelope with its data, wherever that is."""
    if not envelope.dataref:
        return envelope
    return msgspec.structs.replace(envelope, data=msgspec.Raw(blobs.get(envelope.dataref)), dataref="")


def claim_checked(envelope: Envelope, blobs: Blobs) -> Envelope:
    """The envelope, its data left in the blob store where it is too large to travel."""
    data = bytes(envelope.data)
    if len(data) <= CLAIM_CHECK_BYTES:
        return envelope
    # two attempts may make other data of the same id
    key = prefix_of(envelope.tenant, envelope.conversation) + digest(envelope.id, data)
    blobs.put(key, data)
    return msgspec.structs.replace(envelope, data=msgspec.Raw(b"null"), dataref=key)


def arrive(node: Node, envelope: Envelope, state: State, blobs: Blobs) -> Arrival | None:
    """Where the delivery stands in the lineage; None while its join waits for other parts.

    Raises:
        MalformedEnvelopeError: The agent does not consume such an event, or the lineage has more or fewer open
            scopes than the agent is reached in.
    """
    refuse_other_places(node, envelope)
    if not node.spec.joins:
        return place(node, envelope)
    part = part_of(node, claim_checked(envelope, blobs))
    if envelope.name == ScopeExpired.__name__:
        return complete(node, envelope, state.close(part))
    found = state.gather(part)
    return None if found is None else complete(node, envelope, found)


def task_of(node: Node, arrival: Arrival) -> Task:
    """What the state store is told of a delivery."""
    return Task(
        key=arrival.key,
        agent=node.spec.name,
        envelope=arrival.envelope,
        lease_s=node.spec.timeout_s + LEASE_MARGIN_S,
    )


def place(node: Node, envelope: Envelope) -> Arrival:
    """Where the delivery of an agent that joins nothing stands."""
    lineage, deadline = unpack(envelope.part), envelope.deadline
    if node.fork:
        index, branches = node.fork
        lineage = (*lineage, Frame(fork_group(envelope.id), index, branches, deadline))
        deadline = scope_deadline(envelope.time, deadline)
    return Arrival(
        key=digest(envelope.id, node.spec.name, envelope.generation),
        inputs=(envelope,),
        envelope=envelope,
        lineage=lineage,
        deadline=deadline,
        hop=envelope.hop,
        emitted=envelope.time,
    )


def refuse_other_places(node: Node, envelope: Envelope) -> None:
    """Pass an event that its agent is reached with.

    Raises:
        MalformedEnvelopeError: As `arrive` says.
    """
    _refuse_other_events(node, envelope)
    _refuse_other_depth(node, unpack(envelope.part))


def _refuse_other_events(node: Node, envelope: Envelope) -> None:
    expected = _types(node.spec.consumes, COUNTED if node.spec.joins else ())
    if envelope.type not in expected:
        raise MalformedEnvelopeError(f"{envelope.type} came to {node.spec.name}, which consumes {sorted(expected)}")


@cache  # asked at every delivery, with one answer for each agent
def _types(consumed: tuple[type[Event], ...], counted: tuple[type[Event], ...]) -> frozenset[str]:
    return frozenset(type_of(event) for event in (*consumed, *counted))


def _refuse_other_depth(node: Node, lineage: Lineage) -> None:
    opened = len(node.scopes) + node.spec.joins - (node.fork is not None)
    if not node.side and len(lineage) - 1 != opened:  # the root's frame is no scope
        raise MalformedEnvelopeError(
            f"part has {len(lineage) - 1} open scopes, and {node.spec.name} is reached inside {opened}"
        )


def part_of(node: Node, envelope: Envelope) -> Part:
    """What the join of this agent records of an event that reached it."""
    scope = unpack(envelope.part)[-1]
    return Part(
        join=digest(scope.group, node.spec.name),
        agent=node.spec.name,
        index=scope.index,
        total=scope.total,
        generation=envelope.generation,
        envelope=envelope,
    )


def complete(node: Node, envelope: Envelope, found: Sequence[Envelope]) -> Arrival:
    """Where the delivery of a join stands that this event completed or closed, with the parts that were found."""
    *outer, scope = unpack(envelope.part)
    inputs = tuple(sorted(found, key=part_index))
    # of this generation, since a redrive of a settled request carries on under another request
    first = next((each for each in inputs if each.generation == envelope.generation), envelope)
    return Arrival(
        key=digest(scope.group, node.spec.name, envelope.generation),
        inputs=inputs,
        envelope=first,
        lineage=tuple(outer),
        deadline=scope.deadline,
        hop=max((each.hop for each in inputs), default=envelope.hop),
        emitted=max((each.time for each in inputs), default=envelope.time),
        total=scope.total,
        timer=timer_id(scope.group),
    )


def part_index(part: Envelope) -> int:
    """Which part of its innermost scope an envelope is."""
    return unpack(part.part)[-1].index


def scope_deadline(start: datetime, deadline: datetime) -> datetime:
    """When a scope that was opened at `start` closes, so that its join can still work before `deadline`."""
    return start + max(deadline - start, timedelta()) * SCOPE_SHARE


def timer_id(group: str) -> str:
    """The id of the event that closes a scope."""
    return digest(group, "timer")


def fork_group(envelope_id: str) -> str:
    """The id of the scope that a forked event opens."""
    return digest(envelope_id, "fork")
