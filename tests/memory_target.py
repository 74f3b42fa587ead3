"""A target in memory that works as a cloud's does: the shipped state over items that change one at a time.

`step` is called before and after each write and each message, and whoever gives it may raise there. The bus hands out
at least once and in no order, and shows a message again where nobody acknowledged it in time.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from harness import Clock, Script
from memory_items import MemoryItems, Step

from functions.adapters.items import keys
from functions.adapters.items.conversations import ItemTalk
from functions.adapters.items.dead_letters import ItemDeadLetters
from functions.adapters.items.requests import APART, LONG_AGO, ItemRequests, Opened, Record
from functions.adapters.items.rights import ItemRights, Points
from functions.adapters.items.spending import ItemSpending
from functions.adapters.items.state import ItemState, Letter
from functions.adapters.items.stops import ItemStops
from functions.adapters.local.rows import Routes
from functions.events.decoding import decoder
from functions.events.envelope import LATEST, Envelope, decode, encode, open_request
from functions.events.event import AgentFailed, Event
from functions.ports.requests import RequestView
from functions.ports.spending import Spending
from functions.ports.state import DeadLetter, State, Timer
from functions.runtime.agent import Grant
from functions.runtime.arrival import LEASE_MARGIN_S, claimed
from functions.runtime.delivery import ACKNOWLEDGED, Binding, Outcome, Ports, deliver
from functions.runtime.plans import crew_of
from functions.runtime.topology import topology
from functions.runtime.workflow import Plan, Workflow

HIDDEN_S = 1.0  # past the longest lease: until a message that nobody acknowledged is seen again
DESK = "desk"  # hears what may have settled a request


# --------------------------------------------------------------------------------------------------- the bus


class Handed(msgspec.Struct, frozen=True, kw_only=True):
    """A message of one agent as the bus hands it out.

    Attributes:
        number: Of this copy: the same event sent twice is two messages.
        due: When it is seen; until then it is hidden, e.g. since somebody has it.
    """

    number: int
    agent: str
    raw: bytes
    due: datetime


class MemoryBus:
    """Messages for agents: at least once, in no order."""

    def __init__(self, routes: Routes, now: Callable[[], datetime], step: Step) -> None:
        self.routes = routes
        self._now = now
        self._step = step
        self._sent = 0
        self.messages: dict[int, Handed] = {}

    def publish(self, envelopes: Sequence[Envelope]) -> None:
        """See `Bus.publish`; the same again is one more message."""
        for envelope in envelopes:
            self._publish(envelope, self._now())

    def publish_later(self, timer: Timer) -> None:
        """See `Bus.publish_later`."""
        self._publish(timer.envelope, timer.due)

    def _publish(self, envelope: Envelope, due: datetime) -> None:
        raw, plan = encode(envelope), self.routes.plan(envelope)
        settles = {AgentFailed.__name__} | ({plan.workflow.answer.__name__} if plan else set())
        for agent in [*self.routes.agents(envelope), *([DESK] if envelope.name in settles else [])]:
            self._step(f"before publish {envelope.name} to {agent}")
            self.send(agent, raw, due)
            self._step(f"after publish {envelope.name} to {agent}")

    def send(self, agent: str, raw: bytes, due: datetime) -> None:
        """Put one message there."""
        self._sent += 1
        self.messages[self._sent] = Handed(number=self._sent, agent=agent, raw=raw, due=due)

    def due(self) -> list[Handed]:
        """What can be seen now, and is for an agent."""
        return [message for message in self.seen() if message.agent != DESK]

    def seen(self) -> list[Handed]:
        """What can be seen now."""
        now = self._now()
        return [message for message in self.messages.values() if message.due <= now]

    def hide(self, message: Handed, until: datetime) -> None:
        """Show it again only then; one that was acknowledged stays away."""
        if message.number in self.messages:
            self.messages[message.number] = msgspec.structs.replace(message, due=until)

    def acknowledge(self, message: Handed) -> None:
        """It is done with."""
        self.messages.pop(message.number, None)

    def next_due(self) -> datetime | None:
        """When the next message can be seen."""
        return min((message.due for message in self.messages.values()), default=None)


# ------------------------------------------------------------------------------------- blobs and capabilities


class MemoryBlobs:
    """The `KeptBlobs` port."""

    def __init__(self, now: Callable[[], datetime], step: Step) -> None:
        self._now = now
        self._step = step
        self.stored: dict[str, bytes] = {}
        self.written: dict[str, datetime] = {}

    def put(self, key: str, data: bytes) -> None:
        """See `Blobs.put`."""
        self._step("before put blob")
        self.stored[key], self.written[key] = data, self._now()
        self._step("after put blob")

    def get(self, key: str) -> bytes:
        """See `Blobs.get`."""
        self._step("before get blob")
        return self.stored[key]

    def keys(self, *prefixes: str) -> Sequence[str]:
        """See `KeptBlobs.keys`."""
        return sorted(key for key in self.stored if key.startswith(prefixes))

    def remove(self, names: Iterable[str]) -> None:
        """See `KeptBlobs.remove`."""
        for name in names:
            self._step("before remove blob")
            self.stored.pop(name, None)
            self._step("after remove blob")


# ------------------------------------------------------------------------------------------------ the target


class MemoryTarget:
    """All of it put together, and driven by hand with the same calls as the `Harness` over SQLite.

    Args:
        workflows: What it runs.
        clock: The time, as a test sets it.
        step: Called before and after every write and every message with what it is; may raise.
        items: Where its state is; in memory, unless it is said.
        apart: See `ItemRequests`.
    """

    def __init__(
        self,
        *workflows: Workflow,
        clock: Clock | None = None,
        step: Step = lambda _step: None,
        items: Any = None,  # noqa: ANN401 - what has the calls of `MemoryItems`
        apart: timedelta = APART,
    ) -> None:
        self.clock = clock or Clock()
        self.script = Script()
        self.plans = topology(*workflows)
        self.items: MemoryItems = items or MemoryItems(step)
        self.bus = MemoryBus(Routes(self.plans.values()), self.clock, step)
        self.requests = ItemRequests(self.items, self.bus, self.plans, self.clock, apart)
        self.stops = ItemStops(self.items)
        self.blobs = MemoryBlobs(self.clock, step)

    def expire(self, oldest: datetime) -> None:
        """Remove what was written before then and may be gone, as store and blobs do some day."""
        self.items.expire(self.clock())
        for key in [key for key, at in self.blobs.written.items() if at < oldest]:
            del self.blobs.stored[key], self.blobs.written[key]

    def close(self) -> None:
        """Nothing is open."""

    def opened(self, event: Event, *, request: str = "r1", deadline_s: float = 60.0, **attributes: Any) -> Envelope:
        """The first envelope of a request, not yet accepted."""
        plan = next(plan for plan in self.plans.values() if plan.workflow.entry is type(event))
        given = {"conversation": "c1", "workflow": plan.workflow.name, "planversion": plan.version} | attributes
        now = self.clock()
        return open_request(event, request=request, now=now, deadline=now + timedelta(seconds=deadline_s), **given)

    def start(self, event: Event, **attributes: Any) -> Envelope:
        """Accept a request; its first envelope."""
        envelope = self.opened(event, **attributes)
        assert self.requests.accept(envelope)
        return envelope

    def publish(self, envelope: Envelope) -> None:
        """Put an event on the bus, as if somebody had emitted it."""
        self.bus.publish([envelope])

    def take(self, agent: str = "") -> Handed:
        """The next message that can be seen, of this agent where one is named; hidden until its lease would be over."""
        for message in self.bus.due():
            if agent in ("", message.agent):
                self.hide(message)
                return message
        raise AssertionError(f"no delivery is due for {agent or 'anybody'}")

    def take_due(self) -> Handed | None:
        """The next message that can be seen, once what is overdue is settled; None where none can."""
        self.requests.sweep()
        self.hear()
        return self.take() if self.bus.due() else None

    def hold(self, agent: str) -> Handed:
        """The next message of an agent, for a test alone: it delivers it when it will, or never."""
        message = self.take(agent)
        self.bus.acknowledge(message)
        return message

    def give_back(self, message: Handed) -> None:
        """To whoever takes it next."""
        self.bus.send(message.agent, message.raw, self.clock())

    def raw(self, message: Handed) -> bytes:
        """The bytes of a message."""
        return message.raw

    def hide(self, message: Handed) -> None:
        """Whoever takes a message has it alone for as long as its agent may work."""
        leases = [
            plan.nodes[message.agent].spec.timeout_s for plan in self.plans.values() if message.agent in plan.nodes
        ]
        seconds = max(leases, default=0) + LEASE_MARGIN_S + HIDDEN_S
        self.bus.hide(message, self.clock() + timedelta(seconds=seconds))

    def state(self) -> ItemState:
        """The state as one delivery sees it."""
        return ItemState(self.items, self.blobs, self.bus, self.clock)

    def dead_letters_port(
        self,
        *,
        plans: Sequence[Plan] | None = None,
        in_doubt: Callable[[str, str], bool] = lambda _tenant, _request: False,
    ) -> ItemDeadLetters:
        """What redrives what was given up, of these plans where any are given."""
        carried = self.plans if plans is None else {plan.workflow.name: plan for plan in plans}
        return ItemDeadLetters(self.items, self.blobs, self.bus, self.requests, carried, self.clock, in_doubt=in_doubt)

    def rights(self, points: Points) -> ItemRights:
        """What is held about conversations."""
        crews = {name: crew_of(plan) for name, plan in self.plans.items()}
        return ItemRights(self.items, self.blobs, points, lambda: crews, self.clock)

    def talk(self, binding: Binding) -> ItemTalk:
        """The conversation of one delivery."""
        return ItemTalk(self.items, self.clock, binding)

    def spending(self, *, request: str, tenant: str) -> Spending:
        """The ledger of a request."""
        return ItemSpending(self.items, tenant=tenant, request=request, expires_at=self.clock() + timedelta(days=30))

    def ports(self, wrap: Callable[[State], State] = lambda state: state) -> Ports:
        """What a delivery is handed; `wrap` comes between it and its state."""
        return Ports(
            plans={plan.version: plan for plan in self.plans.values()},
            state=wrap(self.state()),
            blobs=self.blobs,
            bind=self.bind,
            now=self.clock,
        )

    def bind(self, grant: Grant, binding: Binding) -> object:
        """What an agent is handed."""
        return self.script.bind(grant, binding)

    def deliver(self, message: Handed, wrap: Callable[[State], State] = lambda state: state) -> Outcome:
        """Take a message through its agent, and acknowledge it or show it again when it is due."""
        outcome = self.handle(message.agent, message.raw, self.ports(wrap))
        if outcome.due is None:
            self.bus.acknowledge(message)
        else:
            self.bus.hide(message, outcome.due)
        self.hear()
        return outcome

    def handle(self, agent: str, raw: bytes, ports: Ports) -> Outcome:
        """What the function of an agent does with a message, and what that of the desk does."""
        if agent != DESK:
            return deliver(agent, raw, ports)
        self.requests.go_on(decode(raw))
        return ACKNOWLEDGED

    def hear(self) -> None:
        """Let the desk have what is for it."""
        for message in self.bus.seen():
            if message.agent == DESK:
                self.requests.go_on(decode(message.raw))
                self.bus.acknowledge(message)

    def step(self, agent: str = "") -> Outcome:
        """The next delivery that is due now."""
        return self.deliver(self.take(agent))

    def run(self) -> None:
        """Deliver until the bus is empty, moving the clock to what is due next."""
        while (due := self.next_due()) is not None:
            self.clock.move_to(due)
            self.run_due()

    def run_due(self) -> None:
        """Deliver what is due without moving the clock."""
        self.requests.sweep()
        self.hear()
        while self.bus.due():
            self.step()

    def next_due(self) -> float | None:
        """When the next message or deadline is due, in seconds since 1970."""
        found = [due for due in (self.bus.next_due(), self.next_sweep()) if due is not None]
        return min(found).timestamp() if found else None

    def next_sweep(self) -> datetime | None:
        """When the next deadline is over, or what failed at one is tried again."""
        places = self.items.due(keys.OPEN, LATEST, 1)
        (first,) = self.items.get(places) if places else (None,)
        deadline = decoder(Opened).decode(first.value).deadline if first else None
        if deadline is None or deadline > self.clock():
            return deadline
        due = self.items.partitions[places[0][0]][places[0][1]].due
        return due.at if due else deadline

    def queued(self) -> list[Envelope]:
        """What is on the bus."""
        return [decode(message.raw) for message in self.bus.messages.values() if message.agent != DESK]

    def view(self, request: str = "r1", tenant: str = "default") -> RequestView:
        """How a request stands."""
        found = self.requests.view(request, tenant=tenant)
        assert found is not None
        return found

    def settlement(self, request: str = "r1", tenant: str = "default") -> Event:
        """The event that a request was settled with."""
        view = self.view(request, tenant)
        assert view.settlement is not None, f"{request} is {view.status}"
        plan = next(plan for plan in self.plans.values() if plan.workflow.name == view.workflow)
        kind = plan.events[view.settlement.name]
        event: Event = msgspec.json.decode(claimed(view.settlement, self.blobs).data, type=kind)
        return event

    def attempts(self, agent: str, request: str = "r1") -> list[int]:
        """How often each delivery of an agent was attempted."""
        views = self.requests.deliveries(request, tenant="default")
        return [view.attempts for view in views if view.agent == agent]

    def records(self) -> list[tuple[str, Record]]:
        """Every delivery there was, with its partition."""
        return [
            (partition, decoder(Record).decode(kept.item.value))
            for partition, items in self.items.partitions.items()
            for key, kept in items.items()
            if key.startswith("record#") and kept.item is not None
        ]

    def dead_letters(self) -> list[DeadLetter]:
        """What was given up, oldest first."""
        found = [
            decoder(Letter).decode(item.value)
            for partition in self.items.partitions
            if partition.endswith(f"#{keys.LETTERS}")
            for item in self.items.query(partition)
        ]
        letters = [
            msgspec.structs.replace(each.letter, event=self.blobs.get(each.blob)) if each.blob else each.letter
            for each in found
        ]
        return sorted(letters, key=lambda letter: (letter.at, letter.agent, letter.key))

    def letters(self) -> list[tuple[str, str]]:
        """The dead letters: agent and reason."""
        return [(letter.agent, letter.reason) for letter in self.dead_letters()]

    def leases(self) -> list[tuple[str, str]]:
        """The deliveries that somebody holds."""
        return [(record.agent, record.key) for _, record in self.records() if record.lease_until > LONG_AGO]
