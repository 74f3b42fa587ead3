"""A target in memory that works as a cloud's must: every write touches one item and has a condition.

Nothing here is a transaction. `finish` stores the outputs if there are none, settles, publishes one after the other,
marks done; `step` is called before and after each of these, and whoever gives it may raise there. The bus hands
out at least once and in no order, and shows a message again where nobody acknowledged it in time.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from harness import Clock, Script

from functions.adapters.local.rows import DEADLINE, Routes
from functions.adapters.local.settling import ended
from functions.adapters.local.stops import keys, scope_of
from functions.events.envelope import Envelope, decode, encode, open_request
from functions.events.event import Event
from functions.ports.conversations import TTL_DAYS, Message
from functions.ports.requests import DeliveryView, Depth, Limits, RequestView
from functions.ports.spending import Spent
from functions.ports.state import Begun, DeadLetter, Finish, Gathered, Part, Standing, State, Task
from functions.ports.stops import Stop
from functions.runtime.agent import Grant
from functions.runtime.arrival import LEASE_MARGIN_S, claimed
from functions.runtime.delivery import Binding, Outcome, Ports, deliver
from functions.runtime.topology import topology
from functions.runtime.workflow import Workflow

LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
HIDDEN_S = 1.0  # past the longest lease: until a message that nobody acknowledged is seen again

Step = Callable[[str], None]


# ------------------------------------------------------------------------------------------------- the table


class Table:
    """Items by partition and key. Reads see what was written; a write changes one item, if its condition holds.

    An item is frozen, so that to compare is to see whether somebody else replaced it.
    """

    def __init__(self, step: Step) -> None:
        self._step = step
        self._partitions: dict[str, dict[str, Any]] = {}

    def get(self, partition: str, key: str) -> Any:  # noqa: ANN401 - an item is whatever was put
        """The item; None where there is none."""
        return self._partitions.get(partition, {}).get(key)

    def query(self, partition: str) -> list[tuple[str, Any]]:
        """The items of a partition by key, with what was written a moment ago."""
        return sorted(self._partitions.get(partition, {}).items())

    def partitions(self, prefix: str) -> list[str]:
        """The partitions whose name begins so: for whoever looks at everything, no port does."""
        return [name for name in self._partitions if name.startswith(prefix)]

    def put_if_absent(self, partition: str, key: str, item: object) -> bool:
        """Write the item, unless there is one."""
        return self._write("put", partition, key, None, item)

    def swap(self, partition: str, key: str, old: object, new: object) -> bool:
        """Write the item, if the one that is there is the one that was read."""
        return self._write("swap", partition, key, old, new)

    def expire(self, is_over: Callable[[str, str, Any], bool]) -> None:
        """Remove the items whose time to live is over, as the store itself does some day."""
        for partition, items in self._partitions.items():
            for key in [key for key, item in items.items() if is_over(partition, key, item)]:
                del items[key]

    def add(self, partition: str, key: str, spent: Spent) -> None:
        """Count up, whatever is there: the one write without a condition."""
        self._step(f"before add {partition}")
        was = self.get(partition, key) or Spent()
        self._partitions.setdefault(partition, {})[key] = was + spent
        self._step(f"after add {partition}")

    def _write(self, name: str, partition: str, key: str, old: object, new: object) -> bool:
        kind = partition.partition("#")[0]
        self._step(f"before {name} {kind}")
        holds = self.get(partition, key) is old
        if holds:
            self._partitions.setdefault(partition, {})[key] = new
        self._step(f"after {name} {kind}")
        return holds


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

    def publish(self, envelope: Envelope, due: datetime | None = None) -> None:
        """Send an event to each agent that it goes to; the same again is one more message."""
        raw = encode(envelope)
        for agent in self.routes.agents(envelope):
            self._step(f"before publish {envelope.name} to {agent}")
            self.send(agent, raw, due or self._now())
            self._step(f"after publish {envelope.name} to {agent}")

    def send(self, agent: str, raw: bytes, due: datetime) -> None:
        """Put one message there."""
        self._sent += 1
        self.messages[self._sent] = Handed(number=self._sent, agent=agent, raw=raw, due=due)

    def due(self) -> list[Handed]:
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


# ------------------------------------------------------------------------------------------------- the state


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery: who may work on it until when, how often it was tried, whether it is done."""

    task: Task
    attempts: int
    lease_until: datetime
    started: datetime
    finished: datetime | None = None
    error: str = ""


class Joined(msgspec.Struct, frozen=True):
    """A join that is closed, with the parts that count: a part that comes later changes nothing."""

    generation: int
    parts: tuple[str, ...]


class MemoryState:
    """The `State` port for one delivery; nothing here awaits what is redriven."""

    def __init__(self, table: Table, bus: MemoryBus, requests: "MemoryRequests", now: Callable[[], datetime]) -> None:
        self._table = table
        self._bus = bus
        self._requests = requests
        self._now = now
        self._attempt = 0

    def gather(self, part: Part) -> Gathered | None:
        """See `State.gather`."""
        generation = self._newest(part)
        joined = self._table.get(_join(part), _closed(generation))
        if joined is None:
            if part.total:
                self._table.put_if_absent(_join(part), f"part#{part.generation:07}#{part.index:05}", part)
            found = self._arrived(part)
            if len(found) < part.total and not self._closed(part):
                return None
            joined = self._joined(part, generation, found)
        return self._gathered(part, generation, joined)

    def close(self, part: Part) -> Gathered | None:
        """See `State.close`."""
        if self._newest(part) > part.generation:
            return None
        return self._gathered(part, part.generation, self._joined(part, part.generation, self._arrived(part)))

    def _newest(self, part: Part) -> int:
        """The generation in which the join stands."""
        parts = [item.generation for _, item in self._table.query(_join(part)) if isinstance(item, Part)]
        return max([part.generation, *parts, *self._closed(part)])

    def _closed(self, part: Part) -> list[int]:
        """In which generations the join was closed."""
        return [item.generation for _, item in self._table.query(_join(part)) if isinstance(item, Joined)]

    def _arrived(self, part: Part) -> dict[int, str]:
        """The key of the newest part of each index."""
        return {item.index: key for key, item in self._table.query(_join(part)) if isinstance(item, Part)}

    def _joined(self, part: Part, generation: int, found: dict[int, str]) -> Joined:
        closed = Joined(generation, tuple(found.values()))
        self._table.put_if_absent(_join(part), _closed(generation), closed)
        joined: Joined = self._table.get(_join(part), _closed(generation))
        return joined

    def _gathered(self, part: Part, generation: int, joined: Joined) -> Gathered:
        parts = [self._table.get(_join(part), key).envelope for key in joined.parts]
        return Gathered(generation=generation, parts=parts)

    def begin(self, task: Task) -> Begun:
        """See `State.begin`."""
        if task.outrun:
            self._mark_done(task.outrun, "superseded: its join was redriven")
        while True:
            now, record = self._now(), self._record(task)
            if record is not None and record.finished is not None:
                return Begun(status="done", attempt=record.attempts, until=now)
            if record is not None and record.lease_until > now:
                return Begun(status="busy", attempt=record.attempts, until=record.lease_until)
            leased = Record(
                task=task,
                attempts=record.attempts + 1 if record else 1,
                lease_until=now + timedelta(seconds=task.lease_s),
                started=now,
                error=record.error if record else "",
            )
            if self._table.swap(_deliveries(task), task.key, record, leased):
                return self._begun(task, leased)

    def _begun(self, task: Task, leased: Record) -> Begun:
        self._attempt = leased.attempts
        stored: Finish | None = self._table.get(_outputs(task), task.key)
        return Begun(
            status="leased",
            attempt=leased.attempts,
            until=leased.lease_until,
            outputs=stored.outputs if stored else None,
            standing=self._requests.standing(task.envelope),
        )

    def finish(self, finish: Finish) -> None:
        """See `State.finish`: whoever stored first, that is what everybody publishes."""
        task, record = finish.task, self._record(finish.task)
        if record is not None and record.finished is not None:
            return
        if finish.letter and record is not None and record.attempts != self._attempt:
            return  # giving up is for the attempt that holds the lease
        self._table.put_if_absent(_outputs(task), task.key, finish)
        stored: Finish = self._table.get(_outputs(task), task.key)
        if stored.letter:
            self.park(stored.letter)
        if stored.settlement:
            self._requests.settle(stored.settlement)
        for output in stored.outputs:
            self._bus.publish(output)
        for timer in stored.timers:  # no bus takes a message back: one that is of no use any more finds its join done
            self._bus.publish(timer.envelope, timer.due)
        self._mark_done(task, stored.letter.error if stored.letter else "")

    def release(self, task: Task, *, error: str, due: datetime) -> None:
        """See `State.release`; a lease that somebody took over meanwhile stays theirs."""
        while (record := self._record(task)) is not None and record.attempts == self._attempt:
            released = msgspec.structs.replace(record, lease_until=due, error=error)
            if record.finished or self._table.swap(_deliveries(task), task.key, record, released):
                return

    def supersede(self, task: Task) -> None:
        """See `State.supersede`."""
        self._mark_done(task, "superseded: the request was settled")

    def park(self, letter: DeadLetter) -> None:
        """See `State.park`."""
        self._table.put_if_absent("dead_letter", letter.key, letter)

    def _mark_done(self, task: Task, error: str) -> None:
        while (record := self._record(task)) is not None and record.finished is None:
            done = msgspec.structs.replace(
                record, finished=self._now(), lease_until=LONG_AGO, error=error or record.error
            )
            if self._table.swap(_deliveries(task), task.key, record, done):
                return

    def _record(self, task: Task) -> Record | None:
        found: Record | None = self._table.get(_deliveries(task), task.key)
        return found


def _deliveries(task: Task) -> str:
    return f"delivery#{task.envelope.tenant}#{task.envelope.request}"


def _outputs(task: Task) -> str:
    return f"outputs#{task.envelope.tenant}#{task.envelope.request}"


def _join(part: Part) -> str:
    return f"join#{part.join}"


def _closed(generation: int) -> str:
    return f"closed#{generation:07}"


# ---------------------------------------------------------------------------------------------- the requests


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """A request.

    Attributes:
        closed: It is settled and its conversation went on: a sweep need not look at it any more.
    """

    envelope: Envelope
    accepted: datetime
    status: str = "waiting"
    settled: datetime | None = None
    settlement: Envelope | None = None
    closed: bool = False


class MemoryRequests:
    """The `Requests` port, and what settles a request.

    Of a conversation there is one item with the requests that are open, oldest first. The first of them runs; whoever
    settles it starts the next one, and whoever finds that undone does it again.
    """

    def __init__(self, table: Table, bus: MemoryBus, now: Callable[[], datetime]) -> None:
        self._table = table
        self._bus = bus
        self._now = now

    def accept(self, envelope: Envelope, *, limits: Limits | None = None) -> bool:
        """See `Requests.accept`; a caller who does not know whether it was taken asks again."""
        tenant, conversation = envelope.tenant, envelope.conversation
        if limits is not None and self._item(envelope) is None:
            depth = self.depth(conversation, tenant=tenant)
            limits.refuse(
                Depth(
                    open=depth.open + 1,
                    of_tenant=depth.of_tenant + 1,
                    of_conversation=depth.of_conversation + 1,
                )
            )
        opened = Opened(envelope=envelope, accepted=self._now())
        is_new = self._table.put_if_absent(_requests(tenant), envelope.request, opened)
        if not is_new and self._item(envelope).status == "settled":  # type: ignore[union-attr]  # it is there
            return False
        self._queue(tenant, conversation, envelope.request)
        self._start_next(tenant, conversation)
        return is_new

    def _queue(self, tenant: str, conversation: str, request: str) -> None:
        while request not in ((waiting := self._waiting(tenant, conversation)) or ()):
            self._table.swap(_conversations(tenant), conversation, waiting, (*(waiting or ()), request))

    def _waiting(self, tenant: str, conversation: str) -> tuple[str, ...] | None:
        found: tuple[str, ...] | None = self._table.get(_conversations(tenant), conversation)
        return found

    def _start_next(self, tenant: str, conversation: str) -> None:
        while waiting := self._waiting(tenant, conversation):
            head: Opened = self._table.get(_requests(tenant), waiting[0])
            if head.status == "settled":
                self._table.swap(_conversations(tenant), conversation, waiting, waiting[1:])
                continue
            if head.status == "waiting":
                self._start(head)
            return

    def _start(self, head: Opened) -> None:
        """Publish, then mark: between the two somebody may publish it again, and nobody forgets it."""
        first, tenant = head.envelope, head.envelope.tenant
        if not self._bus.routes.agents(first):
            self.settle(ended(first, "it began under an older deployment: ask again", self._now()))
            return
        self._bus.publish(first)
        for timer in self._bus.routes.entry_timers(first):
            self._bus.publish(timer.envelope, timer.due)
        self._table.swap(_requests(tenant), first.request, head, msgspec.structs.replace(head, status="running"))

    def settle(self, settlement: Envelope) -> None:
        """End a request with this envelope, unless it has ended; then start the next one of its conversation."""
        tenant, request = settlement.tenant, settlement.request
        while (item := self._item(settlement)) is not None and item.status != "settled":
            ending = msgspec.structs.replace(item, status="settled", settled=self._now(), settlement=settlement)
            if self._table.swap(_requests(tenant), request, item, ending):
                break
        item = self._item(settlement)
        if item is None or item.closed:
            return
        self._start_next(tenant, item.envelope.conversation)
        self._table.swap(_requests(tenant), request, item, msgspec.structs.replace(item, closed=True))

    def sweep(self) -> None:
        """Settle what is past its deadline, and go on where somebody stopped after settling."""
        for item in self._overdue():
            reason = f"no answer before the deadline ({item.envelope.deadline:%H:%M:%S} UTC): ask again"
            self.settle(ended(item.envelope, reason, self._now()))

    def next_sweep(self) -> datetime | None:
        """When there is something to sweep."""
        return min((item.envelope.deadline for item in self._all() if not item.closed), default=None)

    def _overdue(self) -> list[Opened]:
        now = self._now()
        return [item for item in self._all() if not item.closed and item.envelope.deadline <= now]

    def _all(self) -> Iterator[Opened]:
        for partition in self._table.partitions("request#"):
            yield from (item for _, item in self._table.query(partition))

    def _item(self, envelope: Envelope) -> Opened | None:
        found: Opened | None = self._table.get(_requests(envelope.tenant), envelope.request)
        return found

    def standing(self, envelope: Envelope) -> Standing:
        """How the request of an envelope stands."""
        item = self._item(envelope)
        scopes = keys(envelope.tenant, envelope.conversation, envelope.workflow)
        stopped = [stop for scope in scopes if (stop := self._table.get("stopped", scope))]
        spent = self.spent(envelope.request, tenant=envelope.tenant)
        return Standing(
            settled=item is not None and item.status == "settled",
            stopped=str(stopped[0]) if stopped else "",
            tokens=spent.tokens,
            micros=spent.micros,
        )

    def spent(self, request: str, *, tenant: str) -> Spent:
        """What a request spent so far."""
        return self._table.get(f"ledger#{tenant}", request) or Spent()

    def stop(self, scope: str, reason: str) -> None:
        """Refuse every delivery of a conversation or workflow from now on, with this reason."""
        stop = Stop(scope=scope_of(scope), reason=reason, by="", at=self._now())
        self._table.swap("stopped", scope, self._table.get("stopped", scope), stop)

    def resume(self, scope: str) -> None:
        """Let deliveries through again."""
        self._table.swap("stopped", scope, self._table.get("stopped", scope), None)

    def first(self, request: str, *, tenant: str) -> Envelope | None:
        """See `Requests.first`."""
        item: Opened | None = self._table.get(_requests(tenant), request)
        return item.envelope if item else None

    def depth(self, conversation: str, *, tenant: str) -> Depth:
        """See `Requests.depth`."""
        open_ = [item.envelope for item in self._all() if item.status != "settled"]
        mine = [each for each in open_ if each.tenant == tenant]
        return Depth(
            open=len(open_),
            of_tenant=len(mine),
            of_conversation=sum(each.conversation == conversation for each in mine),
        )

    def view(self, request: str, *, tenant: str) -> RequestView | None:
        """See `Requests.view`."""
        item: Opened | None = self._table.get(_requests(tenant), request)
        if item is None:
            return None
        spent = self.spent(request, tenant=tenant)
        return RequestView(
            request=request,
            conversation=item.envelope.conversation,
            workflow=item.envelope.workflow,
            status=item.status,  # type: ignore[arg-type]  # one of the three
            accepted=item.accepted,
            deadline=item.envelope.deadline,
            settled=item.settled,
            settlement=item.settlement,
            tokens=spent.tokens,
            micros=spent.micros,
        )

    def deliveries(self, request: str, *, tenant: str) -> Sequence[DeliveryView]:
        """See `Requests.deliveries`."""
        letters = {key for key, _ in self._table.query("dead_letter")}
        found = [record for _, record in self._table.query(f"delivery#{tenant}#{request}")]
        return [
            DeliveryView(
                key=record.task.key,
                agent=record.task.agent,
                event=record.task.envelope.type,
                emitted=record.task.envelope.time,
                started=record.started,
                finished=record.finished,
                attempts=record.attempts,
                error=record.error,
                failed=record.task.key in letters,
            )
            for record in sorted(found, key=lambda record: (record.task.envelope.time, record.started, record.task.key))
        ]


def _requests(tenant: str) -> str:
    return f"request#{tenant}"


def _conversations(tenant: str) -> str:
    return f"conversation#{tenant}"


# ------------------------------------------------------------------------------------- blobs and capabilities


class MemoryBlobs:
    """The `Blobs` port."""

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


class MemorySpending:
    """The `Spending` port of one request."""

    def __init__(self, table: Table, *, tenant: str, request: str) -> None:
        self._table = table
        self._tenant, self._request = tenant, request

    def spent(self) -> Spent:
        """See `Spending.spent`."""
        return self._table.get(f"ledger#{self._tenant}", self._request) or Spent()

    def reserve(self, spent: Spent, *, within: Spent) -> bool:
        """See `Spending.reserve`."""
        while True:
            was = self._table.get(f"ledger#{self._tenant}", self._request)
            total = (was or Spent()) + spent
            if total.tokens > within.tokens or total.micros > within.micros:
                return False
            if self._table.swap(f"ledger#{self._tenant}", self._request, was, total):
                return True

    def spend(self, spent: Spent) -> None:
        """See `Spending.spend`."""
        self._table.add(f"ledger#{self._tenant}", self._request, spent)


class MemoryTalk:
    """The capabilities `Append` and `History` of one delivery."""

    def __init__(self, table: Table, now: Callable[[], datetime], binding: Binding) -> None:
        self._table = table
        self._now = now
        self._binding = binding
        self._partition = f"message#{binding.tenant}#{binding.conversation}"
        self._appended = 0

    def append(self, role: str, text: str) -> None:
        """See `Append.append`."""
        self._appended += 1
        said = Message(role=role, text=text, at=self._now(), request=self._binding.request)  # type: ignore[arg-type]
        self._table.put_if_absent(self._partition, f"{self._binding.origin}#{self._appended}", said)

    def history(self, *, limit: int = 20) -> Sequence[Message]:
        """See `History.history`."""
        oldest = self._now() - timedelta(days=TTL_DAYS)
        said = [
            item
            for key, item in self._table.query(self._partition)
            if item.at >= oldest and not key.startswith(f"{self._binding.origin}#")
        ]
        return sorted(said, key=lambda message: message.at)[-limit:]


# ------------------------------------------------------------------------------------------------ the target


class MemoryTarget:
    """All of it put together, and driven by hand with the same calls as the `Harness` over SQLite.

    Args:
        workflows: What it runs.
        clock: The time, as a test sets it.
        step: Called before and after every write and every message with what it is; may raise.
    """

    def __init__(self, *workflows: Workflow, clock: Clock | None = None, step: Step = lambda _step: None) -> None:
        self.clock = clock or Clock()
        self.script = Script()
        self.plans = topology(*workflows)
        self.table = Table(step)
        self.bus = MemoryBus(Routes(self.plans.values()), self.clock, step)
        self.requests = MemoryRequests(self.table, self.bus, self.clock)
        self.blobs = MemoryBlobs(self.clock, step)

    def expire(self, oldest: datetime) -> None:
        """Remove what was said, and everything about a request that was settled, before then."""
        settled = {
            (item.envelope.tenant, item.envelope.request)
            for partition in self.table.partitions("request#")
            for _, item in self.table.query(partition)
            if item.settled and item.settled < oldest
        }

        def is_over(partition: str, key: str, item: Any) -> bool:  # noqa: ANN401 - an item is whatever was put
            kind, *names = partition.split("#")
            if kind == "message":
                return bool(item.at < oldest)
            if isinstance(item, DeadLetter | Part):
                owner = item if isinstance(item, DeadLetter) else item.envelope
                return (owner.tenant, owner.request) in settled
            return (*names, key)[:2] in settled and kind in ("request", "delivery", "outputs", "ledger")

        self.table.expire(is_over)
        for key in [key for key, at in self.blobs.written.items() if at < oldest]:
            del self.blobs.stored[key], self.blobs.written[key]

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
        self.bus.publish(envelope)

    def take(self, agent: str = "") -> Handed:
        """The next message that can be seen, of this agent where one is named; hidden until its lease would be over."""
        for message in self.bus.due():
            if agent in ("", message.agent):
                self.hide(message)
                return message
        raise AssertionError(f"no delivery is due for {agent or 'anybody'}")

    def hide(self, message: Handed) -> None:
        """Whoever takes a message has it alone for as long as its agent may work."""
        leases = [
            plan.nodes[message.agent].spec.timeout_s for plan in self.plans.values() if message.agent in plan.nodes
        ]
        seconds = max(leases, default=0) + LEASE_MARGIN_S + HIDDEN_S
        self.bus.hide(message, self.clock() + timedelta(seconds=seconds))

    def state(self) -> MemoryState:
        """The state as one delivery sees it."""
        return MemoryState(self.table, self.bus, self.requests, self.clock)

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
        outcome = deliver(message.agent, message.raw, self.ports(wrap))
        if outcome.due is None:
            self.bus.acknowledge(message)
        else:
            self.bus.hide(message, outcome.due)
        return outcome

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
        while self.bus.due():
            self.step()

    def next_due(self) -> float | None:
        """When the next message or deadline is due, in seconds since 1970."""
        found = [due for due in (self.bus.next_due(), self.requests.next_sweep()) if due is not None]
        return min(found).timestamp() if found else None

    def queued(self) -> list[Envelope]:
        """What is on the bus."""
        return [decode(message.raw) for message in self.bus.messages.values() if message.agent != DEADLINE]

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

    def records(self) -> list[Record]:
        """Every delivery there was."""
        return [item for partition in self.table.partitions("delivery#") for _, item in self.table.query(partition)]

    def letters(self) -> list[tuple[str, str]]:
        """The dead letters: agent and reason."""
        found = sorted((letter.at, letter.agent, letter.key, letter) for _, letter in self.table.query("dead_letter"))
        return [(letter.agent, letter.reason) for _, _, _, letter in found]

    def leases(self) -> list[tuple[str, str]]:
        """The deliveries that somebody holds."""
        return [(record.task.agent, record.task.key) for record in self.records() if record.lease_until > LONG_AGO]
