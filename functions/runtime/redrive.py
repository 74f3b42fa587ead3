"""A redrive: the event of a dead letter as it goes through its agent again, in a new generation.

Everything that it makes has new ids. Every join around it, and the request itself, awaits what comes of it (ADR 0014).
"""

import math
from collections.abc import Callable, Sequence
from datetime import datetime

import msgspec

from functions.errors import TroupeError
from functions.events.envelope import Envelope, Frame, Lineage, MalformedEnvelopeError, decode, pack, unpack
from functions.ports.state import Timer
from functions.runtime.arrival import fork_group, join_key, refuse_other_places, scope_deadline
from functions.runtime.outputs import fork_timer, scope_timer
from functions.runtime.workflow import Node, Plan


class NotRedrivableError(TroupeError):
    """A letter whose event cannot go through its agent again."""


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A letter whose event can be redriven.

    Attributes:
        key: Of the letter.
        envelope: The event, as it was given up.
        path: The scopes that were open while its agent worked.
    """

    key: str
    plan: Plan
    node: Node
    envelope: Envelope
    path: Lineage


class Redriven(msgspec.Struct, frozen=True, kw_only=True):
    """What a redrive writes.

    Attributes:
        envelope: The event, for its agent alone.
        timers: Of the scopes around it.
        awaited: The key of each join around it, which of its parts is to come, and who joins; the request stands as
            one, too, and comes first.
    """

    envelope: Envelope
    timers: tuple[Timer, ...]
    awaited: tuple[tuple[str, int, str], ...]


def candidate(key: str, agent: str, raw: bytes, plan_of: Callable[[Envelope], Plan | None]) -> Candidate:
    """The letter of this key, agent and event, as far as it can be redriven.

    Raises:
        NotRedrivableError: Its bytes are no envelope, its plan is not carried here, or its agent cannot take it.
    """
    try:
        envelope = decode(raw)
    except MalformedEnvelopeError as error:
        raise NotRedrivableError(f"it holds no event ({error}): drop it, and mend what sent it") from error
    plan = plan_of(envelope)
    if plan is None or agent not in plan.nodes:
        raise NotRedrivableError(
            f"it was made under the plan {envelope.planversion} of {envelope.workflow}, which is not carried here: "
            "redrive it with the version that carries it, or ask again"
        )
    node = plan.nodes[agent]
    try:
        refuse_other_places(node, envelope)
    except MalformedEnvelopeError as error:
        raise NotRedrivableError(f"its agent cannot take its event ({error}): drop it") from error
    return Candidate(key=key, plan=plan, node=node, envelope=envelope, path=_path(node, envelope))


def leading(candidates: Sequence[Candidate], depth: int = 0) -> list[Candidate]:
    """Of letters of one origin, those whose redrives do the work of all: none comes after another.

    What stands inside a scope comes before what stands behind its join, and so does a scope before the next one. Where
    the same way was gone in several generations, the newest counts.
    """
    earliest = max(_order(each.path[depth]) for each in candidates)
    here = [each for each in candidates if _order(each.path[depth]) == earliest]
    inside = [each for each in here if len(each.path) > depth + 1]
    newest = max(each.envelope.generation for each in inside or here)
    if not inside:
        return [each for each in here if each.envelope.generation == newest]
    groups = {each.path[depth + 1].group for each in inside if each.envelope.generation == newest}
    parts: dict[tuple[str, int], list[Candidate]] = {}
    for each in inside:
        frame = each.path[depth + 1]
        if frame.group in groups:
            parts.setdefault((frame.group, frame.index), []).append(each)
    return [leader for part in parts.values() for leader in leading(part, depth + 1)]


def outdoes(one: Candidate, other: Candidate) -> bool:
    """Whether a redrive of the one does the work of the other again."""
    return all(each.key != other.key for each in leading((one, other)))


def _order(frame: Frame) -> tuple[float, ...]:
    """Greater for what comes earlier inside a scope, or after a join that was repeated later."""
    return (*frame.joins, math.inf)


def _path(node: Node, envelope: Envelope) -> Lineage:
    lineage = unpack(envelope.part)
    if node.spec.joins:
        return lineage[:-1]
    if node.fork:
        return (*lineage, Frame(fork_group(envelope.id), *node.fork, envelope.deadline))
    return lineage


def redriven(letter: Candidate, *, request: str, generation: int, deadline: datetime, now: datetime) -> Redriven:
    """What a redrive writes that carries on under this request and is to be done by its deadline."""
    plan, node = letter.plan, letter.node
    asked = letter.envelope.origin or letter.envelope.request
    frames = _rebased(unpack(letter.envelope.part), deadline, now)
    envelope = msgspec.structs.replace(
        letter.envelope,
        time=now,
        request=request,
        origin="" if request == asked else asked,
        generation=generation,
        part=pack(tuple(frame for frame, _ in frames)),
        deadline=frames[-1][1],
        target=node.spec.name,
    )
    if node.side:
        return Redriven(envelope=envelope, timers=(), awaited=())
    around = list(zip(frames[1:], _closers(plan, node), strict=False))  # a fork's own scope is not in its event
    lineage = unpack(envelope.part)
    awaited = [
        (join_key(envelope.tenant, lineage, frame.group, closer), frame.index, closer) for (frame, _), closer in around
    ]
    timers = [
        scope_timer(
            msgspec.structs.replace(envelope, deadline=inside),
            [outer for outer, _ in frames[: depth + 1]],
            closer,
        )
        for depth, ((frame, inside), closer) in enumerate(around, 1)
        if frame.total
    ]
    if node.fork:
        group = fork_group(envelope.id)
        awaited.append((join_key(envelope.tenant, lineage, group, node.closer), node.fork[0], node.closer))
        timers.append(fork_timer(plan, envelope))
    return Redriven(envelope=envelope, timers=tuple(timers), awaited=((frames[0][0].group, 0, ""), *awaited))


def _closers(plan: Plan, node: Node) -> list[str]:
    """The joins of the scopes that are open where an agent is reached, outermost first."""
    closers = [plan.closers[scope.partition("/")[0]] for scope in node.scopes]
    return [*closers, node.spec.name] if node.spec.joins else closers


def _rebased(lineage: Lineage, deadline: datetime, now: datetime) -> list[tuple[Frame, datetime]]:
    """Each frame with its new deadline, and the deadline of what is inside it, as if its scope was opened now."""
    found, inside = [], deadline
    for depth, frame in enumerate(lineage):
        outside, inside = inside, scope_deadline(now, inside) if depth else inside
        found.append((msgspec.structs.replace(frame, deadline=outside), inside))
    return found
