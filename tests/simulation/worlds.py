"""The two targets as the simulation drives them: one interface over SQLite and over what works as a cloud."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec
from harness import Clock
from memory_target import DESK, LONG_AGO, Handed, MemoryTarget
from simulation.observed import Point, Watched, with_points

from functions.adapters.items.conversations import KeptMessage as SaidItem
from functions.adapters.items.keys import CONVERSATION
from functions.adapters.local.blobs import LocalBlobs
from functions.adapters.local.bus import Bus
from functions.adapters.local.conversations import LocalAppend, LocalHistory
from functions.adapters.local.dead_letters import LocalDeadLetters
from functions.adapters.local.due import Entry
from functions.adapters.local.requests import LocalRequests
from functions.adapters.local.rows import DEADLINE
from functions.adapters.local.spending import LocalSpending
from functions.adapters.local.state import LocalState
from functions.adapters.local.store import Store
from functions.events.decoding import decoder
from functions.events.envelope import Envelope, MalformedEnvelopeError, decode
from functions.ports.conversations import Append
from functions.ports.dead_letters import LetterFilter
from functions.ports.requests import RequestView
from functions.ports.spending import Spending
from functions.ports.state import State
from functions.runtime.agent import Grant
from functions.runtime.arrival import LEASE_MARGIN_S
from functions.runtime.delivery import Binding, Outcome, Ports, carry_on, deliver
from functions.runtime.workflow import Plan

AGAIN_S = 1.0  # before a delivery whose port failed is tried again
HIDDEN_S = 1.0  # past its lease, before what a dead worker held is handed out again

Bind = Callable[[Grant, Binding], object]


class Message(NamedTuple):
    """What may be handed to a worker: `label` is the same at every redelivery."""

    label: str
    agent: str
    raw: bytes
    held: Entry | Handed


class Delivered(NamedTuple):
    """The record of a delivery."""

    key: str
    agent: str
    request: str
    attempts: int
    finished: bool
    lease_until: float


class Letter(NamedTuple):
    """A dead letter."""

    key: str
    agent: str
    reason: str
    request: str
    attempt: int


class Said(NamedTuple):
    """A message of a conversation."""

    conversation: str
    request: str
    role: str
    text: str


class World(Protocol):
    """A target: what is due on it, and what becomes of a message that was taken."""

    clock: Clock
    plans: Mapping[str, Plan]

    def accept(self, envelope: Envelope) -> None:
        """Take a request."""

    def due(self) -> list[Message]:
        """What may be handed out now."""

    def take(self, message: Message) -> bool:
        """Give it to one worker; False where it is gone."""

    def deliver(self, message: Message, watch: Callable[[State], Watched]) -> Outcome:
        """Take it through its agent."""

    def end(self, message: Message, outcome: Outcome) -> None:
        """Do with the message what the outcome says."""

    def give_back(self, message: Message, seconds: float) -> None:
        """Hand it out again after so many seconds."""

    def lose(self, message: Message) -> None:
        """Nobody hands it out again."""

    def duplicate(self, message: Message) -> None:
        """Hand it out once more, whatever becomes of this copy."""

    def expire(self) -> None:
        """Settle the requests whose deadline is over."""

    def next_deadline(self) -> float | None:
        """When the next deadline is over."""

    def next_due(self) -> float | None:
        """When there is something to hand out."""

    def restart(self) -> None:
        """Another process, after this one died."""

    def view(self, envelope: Envelope) -> RequestView | None:
        """A request."""

    def waiting(self) -> list[str]:
        """What is left on the bus."""

    def records(self) -> list[Delivered]:
        """Every delivery."""

    def letters(self) -> list[Letter]:
        """Every dead letter."""

    def said(self) -> list[Said]:
        """What was said in every conversation, oldest first."""

    def redrive(self) -> int:
        """Redrive every dead letter that was not redriven; how many there were."""

    def close(self) -> None:
        """Leave nothing open."""


def lease_s(plans: Mapping[str, Plan], agent: str) -> float:
    """How long one attempt of an agent may take."""
    found = [plan.nodes[agent].spec.timeout_s for plan in plans.values() if agent in plan.nodes]
    return max(found, default=0) + LEASE_MARGIN_S


def _label(agent: str, raw: bytes) -> str:
    try:
        envelope = decode(raw)
    except MalformedEnvelopeError:
        return f"{agent} unreadable"
    return f"{agent} {envelope.id[:8]} {envelope.generation}"


class LocalWorld:
    """The shipped SQLite adapter, as `local/process.py` and `local/pool.py` drive it, without their threads."""

    def __init__(  # noqa: PLR0913 - each is another part of what is simulated
        self,
        folder: Path,
        plans: Mapping[str, Plan],
        point: Point,
        published: Callable[[str, bytes], None],
        bind: Bind,
        *,
        places: int,
    ) -> None:
        self.clock = Clock()
        self.plans = plans
        self._folder = folder
        self._point = point
        self._published = published
        self._bind = bind
        self._places = places
        self._start()

    def _start(self) -> None:
        self.store = Store(self._folder)
        writer = self.store._writer
        writer.execute("PRAGMA synchronous = OFF")  # no simulation pulls the plug
        writer.create_function("published", 2, self._published)
        writer.execute(
            "CREATE TEMP TRIGGER published AFTER INSERT ON queue"
            f" WHEN NEW.agent != '{DEADLINE}' BEGIN SELECT published(NEW.agent, NEW.envelope); END"
        )
        self.bus = Bus(self.store, self.plans.values(), self.clock, self._places)
        self.requests = LocalRequests(self.bus)
        self.blobs = with_points(LocalBlobs(self._folder / "blobs"), "blobs", self._point)
        self._ready: list[Message] = []
        self._overdue: list[Entry] = []

    def accept(self, envelope: Envelope) -> None:
        self._point("before accept")
        self.requests.accept(envelope)
        self._point("after accept")

    def due(self) -> list[Message]:
        while (entry := self.bus.take_due()) is not None:
            if entry.agent == DEADLINE:
                self._overdue.append(entry)
            elif (raw := self.bus.envelope(entry)) is not None:
                self._ready.append(Message(_label(entry.agent, raw), entry.agent, raw, entry))
            else:
                self.bus.leave(entry.receipt)
        return self._ready

    def take(self, message: Message) -> bool:
        self._ready = [each for each in self._ready if each is not message]
        return True

    def deliver(self, message: Message, watch: Callable[[State], Watched]) -> Outcome:
        entry = _entry(message)
        state = LocalState(self.bus, entry.receipt, entry if self._places else None)
        watched = watch(with_points(state, "state", self._point))
        ports = Ports(plans=self.bus.routes.plans, state=watched, blobs=self.blobs, bind=self._bind, now=self.clock)
        try:
            if entry.started is None:
                return deliver(entry.agent, message.raw, ports)
            started = state.take_over(entry.started)
            watched.begun(started.arrival.key, started.begun)
            return carry_on(started, ports)
        except Exception:
            state.abandon()
            raise

    def end(self, message: Message, outcome: Outcome) -> None:
        entry = _entry(message)
        self.bus.leave(entry.receipt)
        if outcome.due is not None:
            self.bus.announce([entry.later(outcome.due.timestamp())])

    def give_back(self, message: Message, seconds: float) -> None:
        entry = _entry(message)
        self.bus.leave(entry.receipt)
        self.bus.announce([entry.later(self.clock().timestamp() + seconds)])

    def lose(self, message: Message) -> None:
        entry = _entry(message)
        self.bus.leave(entry.receipt)
        self.store.write(lambda connection: connection.execute("DELETE FROM queue WHERE receipt = ?", (entry.receipt,)))

    def duplicate(self, message: Message) -> None:
        self._ready.append(message._replace(held=_entry(message)._replace(started=None)))

    def expire(self) -> None:
        self.due()
        while self._overdue:
            entry = self._overdue.pop()
            try:
                self._point("before expire")
                if (raw := self.bus.envelope(entry)) is not None:
                    self.requests.expire(raw, entry.receipt)
                self._point("after expire")
            except BaseException:
                self._overdue.append(entry)  # it is tried again
                raise

    def next_deadline(self) -> float | None:
        return self.bus._deadlines.next_due()

    def next_due(self) -> float | None:
        return self.bus.next_due()

    def restart(self) -> None:
        self.store.close()
        self._start()

    def view(self, envelope: Envelope) -> RequestView | None:
        return self.requests.view(envelope.request, tenant=envelope.tenant)

    def waiting(self) -> list[str]:
        return [agent for (agent,) in self.store.read("SELECT agent FROM queue ORDER BY receipt")]

    def records(self) -> list[Delivered]:
        rows = self.store.read(
            "SELECT key, agent, request, attempts, finished IS NOT NULL, lease_until FROM delivery ORDER BY key"
        )
        return [Delivered(*row) for row in rows]

    def letters(self) -> list[Letter]:
        return [
            Letter(*row)
            for row in self.store.read("SELECT key, agent, reason, request, attempt FROM dead_letter ORDER BY key")
        ]

    def said(self) -> list[Said]:
        rows = self.store.read("SELECT conversation, request, role, text FROM message ORDER BY sequence")
        return [Said(*row) for row in rows]

    def redrive(self) -> int:
        blobs = LocalBlobs(self._folder / "blobs")
        shipped = LocalDeadLetters(self.store, self.bus.routes, blobs, self.clock, announce=self.bus.announce)
        letters = with_points(shipped, "letters", self._point)
        return len(letters.redrive(letters.find(LetterFilter())))

    def talk(self, grant: Grant, binding: Binding) -> object:
        """The shipped capability on conversations."""
        kind = LocalAppend if grant.capability is Append else LocalHistory
        return kind(self.store, self.clock, binding)

    def spending(self, binding: Binding) -> Spending:
        """The shipped ledger of a request."""
        return LocalSpending(self.store, tenant=binding.tenant, request=binding.request)

    def close(self) -> None:
        self.store.close()


def _entry(message: Message) -> Entry:
    assert isinstance(message.held, Entry)
    return message.held


class MemoryWorld:
    """The target in memory: its points lie between any two writes."""

    def __init__(
        self, plans: Mapping[str, Plan], point: Point, published: Callable[[str, bytes], None], bind: Bind
    ) -> None:
        self.target = MemoryTarget(*(plan.workflow for plan in plans.values()), step=point)
        self.target.plans = dict(plans)
        self.clock = self.target.clock
        self.plans = plans
        self._bind = bind
        send = self.target.bus.send

        def sent(agent: str, raw: bytes, due: datetime) -> None:
            if agent != DESK:
                published(agent, raw)
            send(agent, raw, due)

        self.target.bus.send = sent  # type: ignore[method-assign]  # to see what is published

    def accept(self, envelope: Envelope) -> None:
        self.target.requests.accept(envelope)

    def due(self) -> list[Message]:
        return [
            Message(_label(handed.agent, handed.raw), handed.agent, handed.raw, handed)
            for handed in self.target.bus.seen()
        ]

    def take(self, message: Message) -> bool:
        self.target.hide(_handed(message))
        return True

    def deliver(self, message: Message, watch: Callable[[State], Watched]) -> Outcome:
        ports = msgspec.structs.replace(self.target.ports(watch), bind=self._bind)
        return self.target.handle(message.agent, message.raw, ports)

    def end(self, message: Message, outcome: Outcome) -> None:
        if outcome.due is None:
            self.target.bus.acknowledge(_handed(message))
        else:
            self.target.bus.hide(_handed(message), outcome.due)

    def give_back(self, message: Message, seconds: float) -> None:
        self.target.bus.hide(_handed(message), self.clock() + timedelta(seconds=seconds))

    def lose(self, message: Message) -> None:
        self.target.bus.acknowledge(_handed(message))

    def duplicate(self, message: Message) -> None:
        self.target.bus.send(message.agent, message.raw, self.clock())

    def expire(self) -> None:
        self.target.requests.sweep()

    def next_deadline(self) -> float | None:
        due = self.target.next_sweep()
        return due.timestamp() if due else None

    def next_due(self) -> float | None:
        return self.target.next_due()

    def restart(self) -> None:
        """Nothing is kept in a process of a cloud."""

    def view(self, envelope: Envelope) -> RequestView | None:
        return self.target.requests.view(envelope.request, tenant=envelope.tenant)

    def waiting(self) -> list[str]:
        return [message.agent for message in self.target.bus.messages.values()]

    def records(self) -> list[Delivered]:
        return [
            Delivered(
                record.key,
                record.agent,
                partition.rpartition("#")[2],
                record.attempts,
                record.finished is not None,
                0 if record.lease_until == LONG_AGO else record.lease_until.timestamp(),
            )
            for partition, record in sorted(self.target.records(), key=lambda each: each[1].key)
        ]

    def letters(self) -> list[Letter]:
        return [
            Letter(letter.key, letter.agent, letter.reason, letter.request, letter.attempt)
            for letter in sorted(self.target.dead_letters(), key=lambda letter: letter.key)
        ]

    def said(self) -> list[Said]:
        said = [
            (message.at, partition.rpartition("#")[2], message)
            for partition in self.target.items.partitions
            if partition.startswith(f"{CONVERSATION}#")
            for item in self.target.items.query(partition)
            for message in [decoder(SaidItem).decode(item.value).message]
        ]
        return [
            Said(conversation, message.request, message.role, message.text)
            for _, conversation, message in sorted(said, key=lambda each: each[0])
        ]

    def redrive(self) -> int:
        letters = self.target.dead_letters_port()
        return len(letters.redrive(letters.find(LetterFilter())))

    def talk(self, grant: Grant, binding: Binding) -> object:
        """The capability on conversations, in memory."""
        del grant
        return self.target.talk(binding)

    def spending(self, binding: Binding) -> Spending:
        """The ledger of a request, in memory."""
        return self.target.spending(request=binding.request, tenant=binding.tenant)

    def close(self) -> None:
        """Nothing is open."""


def _handed(message: Message) -> Handed:
    assert isinstance(message.held, Handed)
    return message.held
