"""What a delivery asks of a target's state: its record, its join, its outbox and its dead letters.

`deliver` is the only caller. A cloud answers with conditional writes, one item each; locally one transaction
does it all, which is why the port speaks in whole steps (`begin`, `finish`) and not in single writes.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, Protocol

import msgspec

from functions.events.envelope import Envelope


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One delivery: an event at one agent, or a completed join at its agent.

    Attributes:
        key: Deterministic, the same at every redelivery; also the idempotency key of the agent's effects.
        agent: Who handles it.
        envelope: The event; for a join, the part with the lowest index.
        lease_s: How long one attempt may take, in seconds, before another may take over.
        outrun: What its event began in an older generation of its join, before a redrive took the join further.
    """

    key: str
    agent: str
    envelope: Envelope
    lease_s: float
    outrun: "Task | None" = None


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How the request stands: what the guard decides on.

    Attributes:
        settled: It has its answer or its error.
        stopped: Who stopped what, and why, where it is stopped; else empty.
        tokens: Spent so far.
        micros: Spent so far, in millionths of a US dollar.
        events: How many deliveries of its conversation began in this minute, this one included.
    """

    settled: bool = False
    stopped: str = ""
    tokens: int = 0
    micros: int = 0
    events: int = 0


class Begun(msgspec.Struct, frozen=True, kw_only=True):
    """What `begin` found.

    Attributes:
        status: `leased`: it is ours; `busy`: somebody holds the lease, or a retry waits, until `until`; `done`:
            nothing is left to do.
        attempt: 1 at the first lease; a busy or done delivery counts none.
        until: When the lease ends.
        outputs: What an earlier attempt stored and may not have published; None where there is nothing.
        standing: Of its request.
    """

    status: Literal["leased", "busy", "done"]
    attempt: int
    until: datetime
    outputs: tuple[Envelope, ...] | None = None
    standing: Standing = Standing()


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A part that reached its join.

    Attributes:
        join: The key of the join: scope and agent.
        agent: Who joins.
        index: Of this part.
        total: How many parts complete the set; 0 is complete at once.
        generation: Of the redrive that it came from; 0 before any.
        envelope: The part.
    """

    join: str
    agent: str
    index: int
    total: int
    generation: int
    envelope: Envelope


class Gathered(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a join that is complete or closed: of each position the one of the newest generation.

    Attributes:
        generation: In which the join stands.
    """

    generation: int
    parts: Sequence[Envelope]


class Timer(msgspec.Struct, frozen=True, kw_only=True):
    """An event that is to be published later: it closes a scope that did not complete by then."""

    envelope: Envelope
    due: datetime


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """An event that was given up, with what is needed to understand and to redrive it.

    Attributes:
        key: Of the delivery, or of the bytes where they were no envelope.
        agent: Who gave it up.
        reason: Short and stable, e.g. `attempts exhausted`: what a person filters by.
        error: What went wrong, in words.
        trace: The last lines of the traceback; empty where nothing was raised.
        attempt: How many attempts were made.
        age_s: Seconds since the event was emitted.
        at: When it was given up.
        request: Whose; empty where the bytes were no envelope.
        conversation: Whose; empty where the bytes were no envelope.
        tenant: Whose; empty where the bytes were no envelope.
        event: The event itself, as it arrived.
    """

    key: str
    agent: str
    reason: str
    error: str
    trace: str
    attempt: int
    age_s: float
    at: datetime
    request: str
    conversation: str
    tenant: str
    event: bytes


class Finish(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a delivery: what it leaves behind, whole or not at all.

    Attributes:
        task: The delivery.
        outputs: To be published; stored first, so that every redelivery publishes the same.
        timers: One for each scope that an output opens.
        cancelled: The ids of timers that are of no use any more, since their join completed.
        settlement: The output that ends the request: its answer, or its `AgentFailed`.
        letter: Why it was given up, where it was.
    """

    task: Task
    outputs: tuple[Envelope, ...] = ()
    timers: tuple[Timer, ...] = ()
    cancelled: tuple[str, ...] = ()
    settlement: Envelope | None = None
    letter: DeadLetter | None = None


class State(Protocol):
    """One delivery's view of the state store."""

    def gather(self, part: Part) -> Gathered | None:
        """Record a part; all of them, once it completes the set or the join is closed, else None.

        The join stands in the newest generation that it knows of: of a part, or of a redrive that awaits one. It is
        complete once every part that a redrive awaits is there, and every other index has one, of whatever generation;
        where the join was complete or closed in an earlier generation, an index that has none stays without.

        The first write of an index in a generation wins. A part that arrives after the join was closed in the
        generation in which it stands changes nothing.
        """
        ...

    def close(self, part: Part) -> Gathered | None:
        """Close a join with the parts that are there; None where it stands in a later generation, with its own timer.

        A join that is complete or closed stays as it is.
        """
        ...

    def begin(self, task: Task) -> Begun:
        """Take the lease and count the attempt, unless somebody holds it or the delivery is done.

        A delivery that it has outrun is superseded: its event comes back to this one, and never to that.
        """
        ...

    def finish(self, finish: Finish) -> None:
        """Store the outputs if there are none yet, publish what is stored, settle, mark done.

        Where a redrive has taken the request back to an earlier point, what an older generation makes does not settle
        it.
        """
        ...

    def release(self, task: Task, *, error: str, due: datetime) -> None:
        """Give the lease back after a failed attempt: the next one is due then, and until then it is busy."""
        ...

    def supersede(self, task: Task) -> None:
        """Mark done without outputs: the request was settled before this delivery."""
        ...

    def park(self, letter: DeadLetter) -> None:
        """Keep what could not even be read."""
        ...
