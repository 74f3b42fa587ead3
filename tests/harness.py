"""The shipped runtime over the shipped SQLite store, driven by hand: no threads, and a clock that only tests move."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from functions.adapters.local.blobs import LocalBlobs
from functions.adapters.local.bus import Bus
from functions.adapters.local.due import Entry
from functions.adapters.local.requests import LocalRequests
from functions.adapters.local.rows import DEADLINE, enqueue
from functions.adapters.local.state import LocalState
from functions.adapters.local.stops import LocalStops
from functions.adapters.local.store import Store
from functions.events.envelope import Envelope, decode, open_request
from functions.events.event import Event
from functions.ports.requests import RequestView
from functions.ports.state import State
from functions.runtime.agent import Grant
from functions.runtime.arrival import claimed
from functions.runtime.delivery import Binding, Outcome, Ports, carry_on, deliver
from functions.runtime.topology import topology
from functions.runtime.workflow import Workflow

START = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)


class Clock:
    """The time, in UTC, as a test sets it."""

    def __init__(self) -> None:
        self.time = START

    def __call__(self) -> datetime:
        return self.time

    def advance(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)

    def move_to(self, seconds: float) -> None:
        """To a point in seconds since 1970, or a moment past it, since a float may round down."""
        self.time = max(self.time, datetime.fromtimestamp(seconds, UTC) + timedelta(microseconds=2))


class Script:
    """What the agents of a test are handed as `Append`: counts their effects, and fails where a test says so.

    Attributes:
        calls: The texts, in the order in which they were appended, failed ones included.
        effects: How often each idempotency key had each effect that did not fail.
        failures: For a text, what its next appends raise; None lets one through.
        during: For a text, what runs once while its agent is at work.
        meanwhile: What runs whenever an agent is at work.
        made: What makes a capability of this type for a delivery, in the place of the script.
    """

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.effects: dict[tuple[str, str], int] = defaultdict(int)
        self.failures: dict[str, list[BaseException | None]] = {}
        self.during: dict[str, Callable[[], None]] = {}
        self.meanwhile: Callable[[], None] = lambda: None
        self.made: dict[type, Callable[[Binding], object]] = {}

    def bind(self, grant: Grant, binding: Binding) -> object:
        """The capability of one delivery: this script, unless a test has another made."""
        make = self.made.get(grant.capability, lambda bound: Log(self, bound.key))
        return make(binding)

    def append(self, key: str, text: str) -> None:
        self.calls.append(text)
        self.meanwhile()
        if text in self.during:
            self.during.pop(text)()
        failure = self.failures[text].pop(0) if self.failures.get(text) else None
        if failure is not None:
            raise failure
        if (key, text) in self.effects:
            return  # an idempotent effect: the same key again changes nothing
        self.effects[key, text] += 1


class Log:
    """The `Append` of one delivery, and its language model."""

    def __init__(self, script: Script, key: str) -> None:
        self._script = script
        self._key = key

    def append(self, role: str, text: str) -> None:
        del role
        self._script.append(self._key, text)

    def write(self, instructions: str, text: str, *, max_tokens: int) -> str:
        """What a language model says: its words again."""
        del instructions, max_tokens
        self._script.append(self._key, f"model: {text}")
        return text


class Harness:
    """One process on one folder.

    Args:
        folder: Of the store.
        workflows: What it runs; `plans` also holds those that an earlier process on this folder ran.
        clock: Kept over a restart.
        places: How many deliveries may be begun with the end of another at a time, as a pool of workers does.
    """

    def __init__(self, folder: Path, *workflows: Workflow, clock: Clock | None = None, places: int = 0) -> None:
        self.folder = folder
        self.places = places
        self.clock = clock or Clock()
        self.script = Script()
        self.plans = topology(*workflows)
        self.store = Store(folder)
        self.bus = Bus(self.store, self.plans.values(), self.clock, places)
        self.requests = LocalRequests(self.bus)
        self.blobs = LocalBlobs(folder / "blobs")
        self.stops = LocalStops(self.store)

    def restarted(self, *workflows: Workflow) -> "Harness":
        """Another process on the same folder, after this one is gone."""
        self.store.close()
        chosen = workflows or tuple(plan.workflow for plan in self.plans.values())
        return Harness(self.folder, *chosen, clock=self.clock, places=self.places)

    def close(self) -> None:
        """Leave nothing open."""
        self.store.close()

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
        now = self.clock().timestamp()
        self.bus.announce(self.store.write(lambda connection: enqueue(connection, self.bus.routes, envelope, now)))

    def take(self, agent: str = "") -> Entry:
        """The next entry that is due now, of this agent where one is named; the others stay."""
        held = []
        try:
            while (entry := self.bus.take_due()) is not None:
                if agent in ("", entry.agent) and self.bus.envelope(entry) is not None:
                    return entry
                held.append(entry)
        finally:
            self.bus.announce(held)
        raise AssertionError(f"no delivery is due for {agent or 'anybody'}")

    def take_due(self) -> Entry | None:
        """The next entry that is due now; None where none is."""
        return self.bus.take_due()

    def hold(self, agent: str) -> Entry:
        """The next entry of an agent that is due now, for a test alone: it delivers it when it will, or never."""
        return self.take(agent)

    def give_back(self, entry: Entry) -> None:
        """To whoever takes it next."""
        self.bus.announce([entry])

    def ports(self, receipt: int, wrap: Callable[[State], State] = lambda state: state) -> Ports:
        """What a delivery is handed; `wrap` comes between it and its state."""
        return self._ports(wrap(LocalState(self.bus, receipt)))

    def _ports(self, state: State) -> Ports:
        return Ports(
            plans=self.bus.routes.plans,
            state=state,
            blobs=self.blobs,
            bind=self.bind,
            now=self.clock,
        )

    def bind(self, grant: Grant, binding: Binding) -> object:
        """What an agent is handed."""
        return self.script.bind(grant, binding)

    def deliver(self, entry: Entry, wrap: Callable[[State], State] = lambda state: state) -> Outcome | None:
        """Take an entry through its agent, and back to the bus where it is due again; None where its row is gone."""
        raw = self.bus.envelope(entry)
        if raw is None:
            return None
        if entry.agent == DEADLINE:
            self.requests.expire(raw, entry.receipt)
            return None
        return self.deliver_again(entry, raw, wrap)

    def deliver_again(self, entry: Entry, raw: bytes, wrap: Callable[[State], State] = lambda state: state) -> Outcome:
        """The same for bytes that the bus handed out: a duplicate may come after its row is gone."""
        state = LocalState(self.bus, entry.receipt, entry if self.places else None)
        if entry.started is not None:
            outcome = carry_on(state.take_over(entry.started), self._ports(wrap(state)))
        else:
            outcome = deliver(entry.agent, raw, self._ports(wrap(state)))
        if outcome.due is not None:
            self.bus.announce([entry.later(outcome.due.timestamp())])
        return outcome

    def raw(self, entry: Entry) -> bytes:
        """The bytes of an entry."""
        found = self.bus.envelope(entry)
        assert found is not None
        return found

    def step(self, agent: str = "") -> Outcome | None:
        """The next delivery that is due now."""
        return self.deliver(self.take(agent))

    def run(self) -> None:
        """Deliver until the bus is empty, moving the clock to what is due next."""
        while (due := self.next_due()) is not None:
            self.clock.move_to(due)
            self.run_due()

    def run_due(self) -> None:
        """Deliver what is due without moving the clock."""
        while (entry := self.bus.take_due()) is not None:
            self.deliver(entry)
        due = self.next_due()
        assert due is None or due > self.clock().timestamp(), "a row is due that the bus does not know of"

    def next_due(self) -> float | None:
        """When the next row is due, in seconds since 1970."""
        due: float | None = self.store.read("SELECT min(due) FROM queue")[0][0]
        return due

    def queued(self) -> list[Envelope]:
        """What waits on the bus, the rows of deadlines left out."""
        rows = self.store.read("SELECT envelope FROM queue WHERE agent != ? ORDER BY receipt", (DEADLINE,))
        return [decode(raw) for (raw,) in rows]

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

    def letters(self) -> list[tuple[str, str]]:
        """The dead letters: agent and reason."""
        return self.store.read("SELECT agent, reason FROM dead_letter ORDER BY at, agent, key")

    def leases(self) -> Sequence[tuple[Any, ...]]:
        """The deliveries that somebody holds."""
        return self.store.read("SELECT agent, key FROM delivery WHERE lease_until > 0")
