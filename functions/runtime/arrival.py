"""Where a delivery stands: its inputs, its place in the lineage, and its join."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cache

import msgspec

from functions.errors import PermanentError
from functions.events.envelope import (
    CLAIM_CHECK_BYTES,
    Envelope,
    Frame,
    Lineage,
    MalformedEnvelopeError,
    derived_id,
    digest,
    first_id,
    root_group,
    type_of,
    unpack,
)
from functions.events.event import AgentFailed, Event, PartEnded, ScopeExpired
from functions.ports.blobs import Blobs, prefix_of
from functions.ports.state import Begun, Gathered, Part, State, Task
from functions.runtime.workflow import Node, Plan

COUNTED = (AgentFailed, PartEnded, ScopeExpired)  # what a join takes beside its parts
_EMPTY = frozenset(type_of(event) for event in (PartEnded, ScopeExpired))  # what may say that there are no parts
LEASE_MARGIN_S = 5.0  # past an agent's own time limit, for the writes around it
SCOPE_SHARE = 0.8  # of the time that is left: a scope closes early enough for what follows it


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery in its place: what it works on, and inside which open scopes.

    Attributes:
        key: Of the delivery.
        origin: The key that it would have if nothing had been redriven: effects count once by it.
        inputs: The event; for a join, its parts by index.
        envelope: What the outputs inherit from: the input, or the part with the lowest index of the join's generation.
        lineage: The scopes that are open while the agent works.
        deadline: Of the innermost of them.
        hop: How many agents the input passed through.
        emitted: When the youngest input was emitted.
        total: How many parts the joined scope has, those that never came included; 0 elsewhere.
        timer: The timer of the scope that was joined here; empty elsewhere.
        outrun: What the event began, or would have, before a redrive took its join to a newer generation.
    """

    key: str
    origin: str
    inputs: tuple[Envelope, ...]
    envelope: Envelope
    lineage: Lineage
    deadline: datetime
    hop: int
    emitted: datetime
    total: int = 0
    timer: str = ""
    outrun: Task | None = None


class Started(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery that was begun in the write that published its event."""

    plan: Plan
    node: Node
    arrival: Arrival
    begun: Begun


def claimed(envelope: Envelope, blobs: Blobs) -> Envelope:
    """The envelope with its data, wherever that is.

    Raises:
        PermanentError: The data is another conversation's.
    """
    if not envelope.dataref:
        return envelope
    owner, mark, _ = envelope.dataref.rpartition("-")
    # without the mark, it was kept by an earlier version
    if mark and owner + mark != prefix_of(envelope.tenant, envelope.conversation):
        raise PermanentError("dataref leads to the data of another conversation", reason="malformed envelope")
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
    found = state.close(part) if envelope.name == ScopeExpired.__name__ else state.gather(part)
    return None if found is None else complete(node, envelope, found)


def task_of(node: Node, arrival: Arrival) -> Task:
    """What the state store is told of a delivery."""
    return _task(node, arrival.key, arrival.envelope, arrival.outrun)


def _task(node: Node, key: str, envelope: Envelope, outrun: Task | None = None) -> Task:
    lease_s = node.spec.timeout_s + LEASE_MARGIN_S
    return Task(key=key, agent=node.spec.name, envelope=envelope, lease_s=lease_s, outrun=outrun)


def place(node: Node, envelope: Envelope) -> Arrival:
    """Where the delivery of an agent that joins nothing stands."""
    lineage, deadline = unpack(envelope.part), envelope.deadline
    if node.fork:
        index, branches = node.fork
        lineage = (*lineage, Frame(fork_group(envelope.id), index, branches, deadline))
        deadline = scope_deadline(envelope.time, deadline)
    return Arrival(
        key=delivery_key(envelope, node.spec.name),
        origin=_key(envelope, first_id(envelope.id), node.spec.name, 0),
        inputs=(envelope,),
        envelope=envelope,
        lineage=lineage,
        deadline=deadline,
        hop=envelope.hop,
        emitted=envelope.time,
    )


def delivery_key(envelope: Envelope, agent: str) -> str:
    """Of the delivery of an event to an agent that joins nothing; no other request has the same, whatever its ids."""
    return _key(envelope, envelope.id, agent, envelope.generation)


def _key(envelope: Envelope, envelope_id: str, agent: str, generation: int) -> str:
    root = unpack(envelope.part)[0].group  # of the request that was redriven, where it is linked to one
    return digest(envelope.tenant, root, envelope_id, agent, generation)


def refuse_foreign(envelope: Envelope, workflow: str) -> None:
    """Pass an event that belongs where it says.

    Raises:
        MalformedEnvelopeError: Its lineage is that of another request, or its plan that of another workflow.
    """
    asked = envelope.origin or envelope.request
    if unpack(envelope.part)[0].group != root_group(envelope.tenant, envelope.conversation, asked):
        raise MalformedEnvelopeError(f"part is of another request than {envelope.request!r}")
    if envelope.workflow != workflow:
        raise MalformedEnvelopeError(f"workflow is {envelope.workflow!r}, and its plan is that of {workflow!r}")


def refuse_other_places(node: Node, envelope: Envelope) -> None:
    """Pass an event that its agent is reached with.

    Raises:
        MalformedEnvelopeError: As `arrive` says.
    """
    _refuse_other_events(node, envelope)
    lineage = unpack(envelope.part)
    _refuse_other_depth(node, lineage)
    if node.spec.joins and not lineage[-1].total and envelope.type not in _EMPTY:
        raise MalformedEnvelopeError(f"part says that there are no parts, and {envelope.type} is one")


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
    lineage = unpack(envelope.part)
    scope = lineage[-1]
    return Part(
        join=join_key(envelope.tenant, lineage, scope.group, node.spec.name),
        agent=node.spec.name,
        index=scope.index,
        total=scope.total,
        generation=envelope.generation,
        envelope=envelope,
    )


def complete(node: Node, envelope: Envelope, found: Gathered) -> Arrival:
    """Where the delivery of a join stands that this event completed or closed, with the parts that were found."""
    # of the join's generation: its request, its deadlines; an older part may be what it waited for
    first = next((each for each in found.parts if each.generation == found.generation), envelope)
    lineage = unpack(first.part)
    *outer, around, scope = lineage
    scope_key = scope_id(envelope.tenant, lineage, scope.group)
    outrun = None
    if envelope.generation < found.generation:
        outrun = _task(node, digest(scope_key, node.spec.name, envelope.generation), envelope)
    total = _agreed_total(found.parts, scope.total)
    inputs = tuple(sorted((each for each in found.parts if _total(each) == total), key=part_index))
    return Arrival(
        key=digest(scope_key, node.spec.name, found.generation),
        origin=digest(scope_id(envelope.tenant, lineage, first_id(scope.group)), node.spec.name, 0),
        inputs=inputs,
        envelope=first,
        lineage=(*outer, around.joined(found.generation)),
        deadline=scope.deadline,
        hop=max((each.hop for each in inputs), default=envelope.hop),
        emitted=max((each.time for each in inputs), default=envelope.time),
        total=total,
        timer=timer_id(scope_key),
        outrun=outrun,
    )


def part_index(part: Envelope) -> int:
    """Which part of its innermost scope an envelope is."""
    return unpack(part.part)[-1].index


def _agreed_total(found: Sequence[Envelope], told: int) -> int:
    """How many parts there are, as most of them say: one that says otherwise lies, and counts as missing."""
    said = Counter(_total(each) for each in found)
    return max(said, key=said.__getitem__, default=told)


def _total(part: Envelope) -> int:
    return unpack(part.part)[-1].total


def scope_id(tenant: str, lineage: Sequence[Frame], group: str) -> str:
    """Of a scope around an event: no other tenant and no other request has the same, whatever groups it names."""
    return digest(tenant, lineage[0].group, group)


def join_key(tenant: str, lineage: Sequence[Frame], group: str, closer: str) -> str:
    """Of what is known of a join: its scope and who joins."""
    return digest(scope_id(tenant, lineage, group), closer)


def scope_deadline(start: datetime, deadline: datetime) -> datetime:
    """When a scope that was opened at `start` closes, so that its join can still work before `deadline`."""
    return start + max(deadline - start, timedelta()) * SCOPE_SHARE


def timer_id(scope: str) -> str:
    """The id of the event that closes the scope with this id."""
    return digest(scope, "timer")


def fork_group(envelope_id: str) -> str:
    """The id of the scope that a forked event opens."""
    return derived_id(envelope_id, first_id(envelope_id), "fork")
