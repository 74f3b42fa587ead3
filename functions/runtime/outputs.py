"""What an agent returned, as envelopes with their place in the lineage."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from functions.errors import PermanentError
from functions.events.decoding import decoder
from functions.events.envelope import MAX_PARTS, Envelope, Frame, Lineage, derived_id, digest, pack, type_of, unpack
from functions.events.event import AgentFailed, Event, PartEnded, ScopeExpired
from functions.ports.state import Timer
from functions.runtime.arrival import Arrival, fork_group, scope_deadline, scope_id, timer_id
from functions.runtime.workflow import Node, Plan, fan_out_scope


def envelopes(
    plan: Plan, node: Node, arrival: Arrival, made: Event | Sequence[Event] | None, now: datetime
) -> tuple[Envelope, ...]:
    """The envelopes of what an agent returned: the same ids at every attempt.

    Raises:
        PermanentError: It returned what its signature does not allow, or more of a bounded event than its bound.
    """
    _check(plan, node, arrival, made)
    if made is None:
        return _ended(node, arrival, now)
    if not isinstance(made, Event):
        return _fan_out(plan, node, arrival, made, now)
    made_here = _envelope(node, arrival, made, now)
    return (msgspec.structs.replace(made_here, part=pack(_counted(plan, arrival.lineage, [made]))),)


def failure(node: Node, arrival: Arrival, reason: str, now: datetime) -> tuple[Envelope, ...]:
    """What tells the join, or the caller, that this agent gave up; nobody counts a side branch."""
    if node.side:
        return ()
    event = AgentFailed(agent=node.spec.name, reason=reason)
    return (_envelope(node, arrival, event, now, target=node.closer),)


def request_failed(envelope: Envelope, *, envelope_id: str, agent: str, reason: str, now: datetime) -> Envelope:
    """What ends the whole request of an envelope with an error, from whatever depth of its lineage."""
    return msgspec.structs.replace(
        envelope,
        id=envelope_id,
        source=agent,
        type=type_of(AgentFailed),
        time=now,
        data=msgspec.Raw(msgspec.json.encode(AgentFailed(agent=agent, reason=reason))),
        dataref="",
        part=pack(unpack(envelope.part)[:1]),
        target="",
        causation=envelope.id,
    )


def begun(first: Envelope, plan: Plan | None, now: datetime) -> Envelope:
    """A request's first event, now that it is its turn: how long it waited for that is no part of its age.

    Args:
        first: As the request was accepted.
        plan: The current one of its workflow: it begins under that, where that begins with the same event.
        now: The time.
    """
    begins = plan is not None and not first.target and type_of(plan.workflow.entry) == first.type
    version = plan.version if plan is not None and begins else first.planversion
    return msgspec.structs.replace(first, time=now, planversion=version)


def ended(envelope: Envelope, reason: str, now: datetime) -> Envelope:
    """What ends the request of this first envelope without an answer."""
    return request_failed(envelope, envelope_id=digest(envelope.id, "ended"), agent="runtime", reason=reason, now=now)


def overdue(envelope: Envelope, now: datetime) -> Envelope:
    """What ends the request of this first envelope at its deadline."""
    reason = f"no answer before the deadline ({envelope.deadline:%H:%M:%S} UTC): ask again, or allow more time"
    return ended(envelope, reason, now)


def timers(plan: Plan, node: Node, outputs: Sequence[Envelope]) -> tuple[Timer, ...]:
    """A timer for each scope that these outputs open."""
    found: dict[str, Timer] = {}
    for output in outputs:
        lineage = unpack(output.part)
        opened = len(lineage) - 1 > len(node.scopes)  # the root's frame is no scope
        if opened and not node.side:  # a scope of no parts too: the one event that says so may be lost
            found[lineage[-1].group] = scope_timer(output, lineage, plan.closers[fan_out_scope(node.spec)])
        if output.name in plan.forks:
            found[output.id] = fork_timer(plan, output)
    return tuple(found.values())


def fork_timer(plan: Plan, envelope: Envelope) -> Timer:
    """The timer of the scope that a forked event opens; whoever starts a request whose entry forks sets it too."""
    frame = Frame(fork_group(envelope.id), 0, plan.forks[envelope.name], envelope.deadline)
    forked = msgspec.structs.replace(envelope, deadline=scope_deadline(envelope.time, envelope.deadline))
    return scope_timer(forked, (*unpack(envelope.part), frame), plan.closers[f"fork {envelope.name}"])


def _check(plan: Plan, node: Node, arrival: Arrival, made: Event | Sequence[Event] | None) -> None:
    spec, used = node.spec, dict(arrival.lineage[-1].rounds)
    if made is None:
        if not spec.may_end:
            raise PermanentError(f"{spec.name} returned None, and its signature has no None", reason="wrong output")
        return
    many = not isinstance(made, Event)
    if many and not (spec.fans_out and isinstance(made, list | tuple) and len(made) <= MAX_PARTS):
        expected = f"a list of at most {MAX_PARTS}" if spec.fans_out else "no list"
        raise PermanentError(
            f"{spec.name} returned a {type(made).__name__}, and its signature has {expected}", reason="wrong output"
        )
    allowed = spec.fans_out if many else spec.emits
    for each in (made,) if isinstance(made, Event) else made:
        name = type(each).__name__
        if type(each) not in allowed:
            expected = ", ".join(event.__name__ for event in allowed) or "no event alone"
            raise PermanentError(
                f"{spec.name} returned {name}, and its signature has {expected}", reason="wrong output"
            )
        if used.get(name, 0) >= plan.bounds.get(name, used.get(name, 0) + 1):
            raise PermanentError(f"{spec.name} emitted {name} once more than its bound allows", reason="bound")


def _fan_out(plan: Plan, node: Node, arrival: Arrival, made: Sequence[Event], now: datetime) -> tuple[Envelope, ...]:
    group = derived_id(arrival.key, arrival.origin, "each")
    lineage = _counted(plan, arrival.lineage, made)
    place = msgspec.structs.replace(
        _envelope(node, arrival, PartEnded(), now), plan=group, deadline=scope_deadline(now, arrival.deadline)
    )
    if not made:  # an empty part tells the join that nothing will come
        part = pack((*lineage, Frame(group, 0, 0, arrival.deadline)))
        return (msgspec.structs.replace(place, part=part, target=plan.closers[fan_out_scope(node.spec)]),)
    return tuple(
        msgspec.structs.replace(
            place,
            id=derived_id(arrival.key, arrival.origin, node.spec.name, index),
            type=type_of(type(event)),
            data=_data(event, node),
            part=pack((*lineage, Frame(group, index, len(made), arrival.deadline))),
        )
        for index, event in enumerate(made)
    )


def _ended(node: Node, arrival: Arrival, now: datetime) -> tuple[Envelope, ...]:
    if node.side or not node.scopes:
        return ()
    return (_envelope(node, arrival, PartEnded(), now, target=node.closer),)


def _counted(plan: Plan, lineage: Lineage, made: Sequence[Event]) -> Lineage:
    """The lineage with this round of every bounded event among these."""
    bounded = frozenset(type(event).__name__ for event in made) & plan.bounds.keys()
    return (*lineage[:-1], lineage[-1].counted(bounded)) if bounded else lineage


def _envelope(node: Node, arrival: Arrival, event: Event, now: datetime, *, target: str = "") -> Envelope:
    """An output that stays inside the scopes its agent works in."""
    return msgspec.structs.replace(
        arrival.envelope,
        id=derived_id(arrival.key, arrival.origin, node.spec.name, 0),
        source=node.spec.name,
        type=type_of(type(event)),
        time=now,
        data=_data(event, node),
        dataref="",
        part=pack(arrival.lineage),
        deadline=arrival.deadline,
        target=target,
        hop=arrival.hop + 1,
        causation=arrival.envelope.id,
    )


def _data(event: Event, node: Node) -> msgspec.Raw:
    """The event as JSON, validated: its constructor checks nothing."""
    try:
        raw = msgspec.json.encode(event)
        decoder(type(event)).decode(raw)
    except (msgspec.ValidationError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise PermanentError(
            f"{node.spec.name} returned a {type(event).__name__} that breaks its own contract: {error}",
            reason="wrong output",
        ) from error
    return msgspec.Raw(raw)


def scope_timer(output: Envelope, lineage: Sequence[Frame], closer: str) -> Timer:
    """The timer of the innermost scope of a lineage: it closes when this output is no longer of use."""
    *outer, scope = lineage
    envelope = msgspec.structs.replace(
        output,
        id=timer_id(scope_id(output.tenant, lineage, scope.group)),
        type=type_of(ScopeExpired),
        data=msgspec.Raw(b"{}"),
        dataref="",
        part=pack((*outer, msgspec.structs.replace(scope, index=0))),
        target=closer,
    )
    return Timer(envelope=envelope, due=output.deadline)
