"""What the conformance suite asks of a target: a deployment of workflows whose platform a test plays by hand.

A cloud joins with one class like `local_target.LocalTarget`, and its name in `targets.TARGETS`.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar, Protocol

import msgspec
from harness import Clock, Script

from functions.events.envelope import Envelope, MalformedEnvelopeError, decode, open_request
from functions.events.event import Event
from functions.ports.blobs import Blobs
from functions.ports.conversations import Append, History
from functions.ports.requests import DeliveryView, Requests, RequestView
from functions.ports.spending import Spending
from functions.ports.state import DeadLetter, State
from functions.runtime.arrival import claimed
from functions.runtime.delivery import Binding, Outcome
from functions.runtime.workflow import Plan


class Handed(msgspec.Struct, frozen=True):
    """An event as a platform hands it to an agent; `ticket` is what the platform knows it by."""

    agent: str
    raw: bytes
    ticket: object


class Target(Protocol):
    """A deployment.

    Attributes:
        sets_clock: Whether a test may move its time; where not, the tests that ask for `clock` do not run on it.
        script: What every capability of its agents is.
    """

    sets_clock: ClassVar[bool]
    clock: Clock
    script: Script
    plans: Mapping[str, Plan]
    requests: Requests
    blobs: Blobs

    def publish(self, envelope: Envelope) -> None:
        """Put an event on the bus, as if an agent had emitted it."""
        ...

    def send(self, agent: str, raw: bytes) -> None:
        """Have the platform hand these bytes to an agent, whatever they are."""
        ...

    def take(self, agent: str = "") -> Handed:
        """The next event that is due for this agent, or for any; nobody else is handed it meanwhile."""
        ...

    def deliver(self, handed: Handed, raw: bytes) -> Outcome:
        """Take these bytes through their agent; they stay handed, so the same again is a duplicate."""
        ...

    def put_back(self, handed: Handed) -> None:
        """Whoever had it died: the platform hands it out again."""
        ...

    def lose(self, handed: Handed) -> None:
        """The platform loses it for good."""
        ...

    def settle_overdue(self) -> None:
        """Settle the requests whose deadline is over."""
        ...

    def run_due(self) -> None:
        """Deliver all that is due, and what that publishes."""
        ...

    def run(self) -> None:
        """Deliver until nothing is left, waiting for what is due later."""
        ...

    def queued(self) -> Sequence[Envelope]:
        """The events that wait and can be read, those that are due later included."""
        ...

    def letters(self) -> Sequence[DeadLetter]:
        """The dead letters, oldest first."""
        ...

    def leases(self) -> int:
        """How many deliveries somebody holds."""
        ...

    def at_rest(self) -> bytes:
        """Everything that it keeps, in any form in which a text can be found."""
        ...

    def conversation(self, binding: Binding) -> tuple[Append, History]:
        """What a delivery that is bound so is handed."""
        ...

    def spending(self, *, request: str, tenant: str) -> Spending:
        """The budget ledger of a request."""
        ...

    def state(self, handed: Handed) -> State:
        """The state as the delivery of this event sees it."""
        ...

    def stop(self, *scope: str, reason: str) -> None:
        """Refuse what belongs to `"workflow", name` or to `"conversation", tenant, name`."""
        ...

    def resume(self, *scope: str) -> None:
        """Let it through again."""
        ...

    def sweep(self) -> None:
        """Remove what is older than is kept."""
        ...


def readable(raw: bytes) -> Envelope | None:
    """The envelope in bytes that hold one."""
    try:
        return decode(raw)
    except MalformedEnvelopeError:
        return None


class Troupe:
    """What a test does with a target, in its own words."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.script = target.script
        self.requests = target.requests

    def now(self) -> datetime:
        return self.target.clock()

    def opened(self, event: Event, *, request: str = "r1", deadline_s: float = 60.0, **attributes: Any) -> Envelope:
        """The first envelope of a request, not yet accepted."""
        plan = next(plan for plan in self.target.plans.values() if plan.workflow.entry is type(event))
        given = {"conversation": "c1", "workflow": plan.workflow.name, "planversion": plan.version} | attributes
        now = self.now()
        return open_request(event, request=request, now=now, deadline=now + timedelta(seconds=deadline_s), **given)

    def start(self, event: Event, **attributes: Any) -> Envelope:
        """Accept a request; its first envelope."""
        envelope = self.opened(event, **attributes)
        assert self.requests.accept(envelope)
        return envelope

    def take(self, agent: str = "") -> Handed:
        return self.target.take(agent)

    def deliver(self, handed: Handed, raw: bytes | Envelope = b"") -> Outcome:
        """Hand it to its agent; other bytes in its place, where they are given."""
        given = msgspec.json.encode(raw) if isinstance(raw, Envelope) else raw
        return self.target.deliver(handed, given or handed.raw)

    def step(self, agent: str = "") -> Outcome:
        """The next delivery that is due now."""
        return self.deliver(self.take(agent))

    def lose(self, agent: str) -> None:
        """The platform loses the next event for this agent."""
        self.target.lose(self.take(agent))

    def run(self) -> None:
        self.target.run()

    def run_due(self) -> None:
        self.target.run_due()

    def view(self, request: str = "r1", tenant: str = "default") -> RequestView:
        """How a request stands."""
        found = self.requests.view(request, tenant=tenant)
        assert found is not None
        return found

    def settlement(self, request: str = "r1", tenant: str = "default") -> Event:
        """The event that a request was settled with."""
        view = self.view(request, tenant)
        assert view.settlement is not None, f"{request} is {view.status}"
        kind = self.target.plans[view.workflow].events[view.settlement.name]
        event: Event = msgspec.json.decode(claimed(view.settlement, self.target.blobs).data, type=kind)
        return event

    def deliveries(self, agent: str, request: str = "r1", tenant: str = "default") -> list[DeliveryView]:
        """What an agent did for a request."""
        return [view for view in self.requests.deliveries(request, tenant=tenant) if view.agent == agent]

    def attempts(self, agent: str, request: str = "r1") -> list[int]:
        """How often each delivery of an agent was attempted."""
        return [view.attempts for view in self.deliveries(agent, request)]

    def queued(self) -> list[Envelope]:
        return list(self.target.queued())

    def letters(self) -> list[tuple[str, str]]:
        """The dead letters: agent and reason."""
        return [(letter.agent, letter.reason) for letter in self.target.letters()]


Deploys = Callable[..., Troupe]
