"""The `Requests` port over items, and what settles a request.

Of a conversation there is one item with the requests that are open, oldest first. The first of them runs. Whoever
settles it says so on the bus; whoever hears that starts the next one (`go_on`), and a sweep does what was missed.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec

from functions.adapters.items import keys
from functions.adapters.items.redriving import Plans, begin
from functions.adapters.items.sweeping import each_alone, put_off
from functions.adapters.items.writing import STAYS, encoded, packed, replace, unpacked
from functions.events.decoding import decoder
from functions.events.envelope import LATEST, MAX_COUNT, Envelope, digest
from functions.ports.bus import Bus
from functions.ports.items import Due, Item, Items, Place
from functions.ports.requests import MOST, Change, DeliveryView, Depth, Limits, RequestView
from functions.ports.spending import Spent
from functions.ports.state import Standing
from functions.ports.stops import Stop
from functions.ports.stops import keys as stop_keys
from functions.runtime.outputs import begun, ended, fork_timer, overdue
from functions.runtime.redrive import NotRedrivableError
from functions.runtime.workflow import Plan

LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
APART = timedelta(seconds=1)
AGAIN = b"again"  # in the place of what says that a request was erased: one of its name was taken since
SETTLES = timedelta(minutes=10)  # longer than any attempt: whatever was at work during an erasure has ended
SWEPT = 100  # of the requests that are past their deadline, in one pass


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """A request. Its first envelope and its settlement are items beside it: they may be large, and are written once.

    Attributes:
        closed: It is settled and its conversation went on: a sweep need not look at it any more.
        settlement: The id of the envelope that it was settled with; empty before.
        awaits: The newest generation of a redrive that it awaits: what an older one makes does not settle it.
        redrives: The newest generation of a redrive that it knows of.
    """

    tenant: str
    request: str
    conversation: str
    workflow: str
    deadline: datetime
    origin: str
    accepted: datetime
    status: Literal["waiting", "running", "settled"] = "waiting"
    settled: datetime | None = None
    closed: bool = False
    settlement: str = ""
    awaits: int = 0
    redrives: int = 0


class Redrives(msgspec.Struct, frozen=True, kw_only=True):
    """What was redriven of a request that somebody asked: one item, so that one redrive of it goes at a time.

    Attributes:
        generation: The newest one that a redrive opened.
        linked: The requests that redrive it, the oldest first.
        led: The letters whose events went again, with the generation and the request that they went under.
        pending: The redrive that is under way, or that a crash cut off; None between two.
    """

    generation: int = 0
    linked: tuple[str, ...] = ()
    led: tuple["Led", ...] = ()
    pending: "Pending | None" = None


class Led(msgspec.Struct, frozen=True, kw_only=True):
    """A letter whose event went again."""

    key: str
    agent: str
    generation: int
    request: str


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """A redrive that was decided: whoever finds it can do all of it, again or for the first time.

    Attributes:
        at: When.
        letters: All of them: agent and key.
        leaders: Of those that lead to the answer, the keys of those whose events go again.
        request: The one that carries on; empty where there are side branches alone.
        status: Of that request: it runs, it waits, it is new, or the work was done before.
        since: The generation in which that request began.
    """

    generation: int
    at: datetime
    letters: tuple[tuple[str, str], ...]
    leaders: tuple[str, ...] = ()
    request: str = ""
    status: Literal["", "running", "waiting", "linked", "settled"] = ""
    since: int = 0

    def led(self, key: str, agent: str) -> Led:
        """A leader of it, as it is remembered."""
        generation = self.since if self.status == "waiting" else self.generation
        return Led(key=key, agent=agent, generation=generation, request=self.request)


Start = Callable[["Opened"], bool]  # starts a request; whether it may be looked at again


class Waiting(msgspec.Struct, frozen=True):
    """The open requests of a conversation, the oldest first."""

    requests: tuple[str, ...] = ()


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery: who may work on it until when, how often it was tried, whether it is done. A kilobyte at most.

    Attributes:
        changed: When it was last written, by the clock of whoever did; later than what it was before.
    """

    key: str
    agent: str
    event: str
    emitted: datetime
    attempts: int
    lease_until: datetime
    changed: datetime
    started: datetime
    finished: datetime | None = None
    error: str = ""
    failed: bool = False


class ItemRequests:
    """See `Requests`.

    Args:
        items: Of the stack.
        bus: Carries first events.
        plans: The current ones, by the workflow's name.
        now: The time, in UTC.
        apart: How far the clocks of two functions, and the clock of one and its write, may be apart for a stream of
            changes to hold each of them; it runs behind by as much.
    """

    def __init__(
        self,
        items: Items,
        bus: Bus,
        plans: Mapping[str, Plan],
        now: Callable[[], datetime],
        apart: timedelta = APART,
    ) -> None:
        self._items = items
        self._apart = apart
        self._bus = bus
        self._current = plans
        self._plans = Plans({plan.version: plan for plan in plans.values()})
        self._now = now

    def accept(self, envelope: Envelope, *, limits: Limits | None = None) -> bool:
        """See `Requests.accept`; a caller who does not know whether it was taken asks again."""
        tenant, conversation = envelope.tenant, envelope.conversation
        place = keys.request(tenant, envelope.request)
        found, _ = self._read(place)
        if limits is not None and found is None:
            limits.refuse(_with_one_more(self.depth(conversation, tenant=tenant, most=limits.open)))
        is_new = found is None and self._open(envelope)
        if not is_new and (found := self._read(place)[0]) is not None and found.status == "settled":
            return False
        self._queue(tenant, conversation, envelope.request)
        self._start_next(tenant, conversation, self._start_asked)
        return is_new

    def link(self, first: Envelope) -> None:
        """Take a request that redrives another one; again, it does nothing."""
        if self._read(keys.request(first.tenant, first.request))[0] is None:
            self._open(first)
        self._queue(first.tenant, first.conversation, first.request)
        self._start_next(first.tenant, first.conversation, self._start)

    def first(self, request: str, *, tenant: str) -> Envelope | None:
        """See `Requests.first`."""
        return _envelope(self._items, keys.first(tenant, request))

    def depth(self, conversation: str, *, tenant: str, most: int = MOST) -> Depth:
        """See `Requests.depth`; one request more than that is listed, each of which costs."""
        open_ = [partition for partition, _ in self._items.due(keys.OPEN, LATEST, limit=most + 1)]
        mine = keys.joined(keys.REQUEST, tenant, "")
        waiting, _ = self._waiting(tenant, conversation)
        return Depth(
            open=len(open_),
            of_tenant=sum(each.startswith(mine) for each in open_),
            of_conversation=len(waiting.requests),
        )

    def view(self, request: str, *, tenant: str) -> RequestView | None:
        """See `Requests.view`."""
        found, _ = self._read(keys.request(tenant, request))
        if found is None:
            return None
        settled = found.status == "settled"
        settlement = _envelope(self._items, keys.settlement(tenant, request, found.settlement)) if settled else None
        (redrives,) = self._items.get([keys.redrives(tenant, request)])
        linked = decoder(Redrives).decode(redrives.value).linked if redrives else ()
        return _view(found, settlement, spent(self._items, tenant, request), linked[-1] if linked else "")

    def deliveries(self, request: str, *, tenant: str) -> Sequence[DeliveryView]:
        """See `Requests.deliveries`."""
        records = sorted(self._records(request, tenant), key=lambda each: (each.emitted, each.started, each.key))
        return [_delivery(record) for record in records]

    def changes(self, request: str, *, tenant: str, after: int = 0) -> Sequence[Change]:
        """See `Requests.changes`; none of the pieces that a model writes, which are not kept.

        A number is the time of the change, so that it costs no write. Another function's change of an earlier time may
        be written a moment later; therefore what is younger than `apart` is not told yet, until the request is settled.
        What comes later than that is missing in a stream, and is in the deliveries that `settled` tells.
        """
        opened, _ = self._read(keys.request(tenant, request))
        if opened is None:
            return []
        ripe = LATEST if opened.status == "settled" else self._now() - self._apart
        changed = [record for record in self._records(request, tenant) if record.changed <= ripe]
        changes = [Change(number=_number(record), view=_delivery(record)) for record in changed]
        return sorted((each for each in changes if each.number > after), key=lambda each: each.number)

    def go_on(self, settlement: Envelope) -> None:
        """Start the next request of a conversation, if this envelope settled the one before; again, it does nothing."""
        self._close(keys.request(settlement.tenant, settlement.request), self._start)

    def settle_overdue(self, request: str, *, tenant: str) -> None:
        """Settle a request whose deadline is over: for whoever is about to show it."""
        found, _ = self._read(keys.request(tenant, request))
        if found is not None and found.status != "settled" and found.deadline <= self._now():
            self._expire(found, self._start_asked)

    def sweep(self) -> int:
        """Settle what is past its deadline, and go on where nobody did after settling; how many there were."""
        places = self._items.due(keys.OPEN, self._now(), SWEPT)
        each_alone(places, self._end, lambda place: put_off(self._items, place, keys.OPEN, self._now(), _is_open))
        return len(places)

    def _end(self, place: Place) -> None:
        found, _ = self._read(place)
        if found is not None and found.status != "settled":
            self._expire(found, self._start)
        self._close(place, self._start)

    def _open(self, envelope: Envelope) -> bool:
        tenant, conversation, request = envelope.tenant, envelope.conversation, envelope.request
        expires_at = envelope.deadline + 2 * STAYS  # longer than the request, which a sweep settles at its deadline
        unerase(self._items, tenant, conversation, request, until=expires_at)
        replace(self._items, (keys.conversations(tenant), conversation), b"", expires_at=expires_at)
        named = keys.of_conversation(tenant, conversation, request)  # before the request: what there is can be found
        self._items.put(named, b"", revision=0, expires_at=expires_at)
        self._keep_first(envelope, expires_at)
        opened = Opened(
            tenant=envelope.tenant,
            request=envelope.request,
            conversation=envelope.conversation,
            workflow=envelope.workflow,
            deadline=envelope.deadline,
            origin=envelope.origin,
            accepted=self._now(),
        )
        return self._write(opened, 0)

    def _keep_first(self, envelope: Envelope, expires_at: datetime) -> None:
        """What is there of one that never opened, or that is gone, counts while that could still be answered."""
        place = keys.first(envelope.tenant, envelope.request)
        if not self._items.put(place, encoded(envelope), revision=0, expires_at=expires_at):
            left = _envelope(self._items, place)
            if left is not None and left.deadline <= self._now():
                replace(self._items, place, encoded(envelope), expires_at=expires_at)

    def _expire(self, opened: Opened, start: Start) -> None:
        first = self.first(opened.request, tenant=opened.tenant)
        if first is not None:
            settle(self._items, overdue(first, self._now()), self._now())
            self._close(keys.request(opened.tenant, opened.request), start)

    def _close(self, place: Place, start: Start) -> None:
        found, revision = self._read(place)
        if found is None or found.closed or found.status != "settled":
            return
        if self._start_next(found.tenant, found.conversation, start):
            self._write(msgspec.structs.replace(found, closed=True), revision)

    def _queue(self, tenant: str, conversation: str, request: str) -> None:
        place = keys.waiting(tenant, conversation)
        while True:
            waiting, revision = self._waiting(tenant, conversation)
            if request in waiting.requests:
                return
            if self._items.put(place, encoded(Waiting((*waiting.requests, request))), revision=revision):
                return

    def _start_next(self, tenant: str, conversation: str, start: Start) -> bool:
        """Start the oldest open request of a conversation, if there is one; whether it runs then.

        One that ends instead of beginning makes room for the one after it; it is closed when one runs.
        """
        begun: list[Place] = []
        while True:
            waiting, revision = self._waiting(tenant, conversation)
            if not waiting.requests:
                break
            place = keys.request(tenant, waiting.requests[0])
            head, _ = self._read(place)
            if head is not None and head.status != "settled":
                if head.status == "running":
                    break
                if not start(head):
                    return False
                begun.append(place)
                continue
            rest = encoded(Waiting(waiting.requests[1:]))
            self._items.put(keys.waiting(tenant, conversation), rest, revision=revision, expires_at=self._now() + STAYS)
        for place in begun:
            self._mark_closed(place)
        return True

    def _mark_closed(self, place: Place) -> None:
        found, revision = self._read(place)
        if found is not None and found.status == "settled" and not found.closed:
            self._write(msgspec.structs.replace(found, closed=True), revision)

    def _start_asked(self, head: Opened) -> bool:
        """Start what somebody asked; what redrives is for whoever may publish what agents make: desk and sweep."""
        return not head.origin and self._start(head)

    def _start(self, head: Opened) -> bool:
        """Publish, then mark: between the two somebody may publish it again, and nobody forgets it."""
        first = self.first(head.request, tenant=head.tenant)
        if first is None:  # it was erased
            return False
        if reason := self._publish_first(first):
            settle(self._items, ended(first, reason, self._now()), self._now())
            return True
        self._mark_running(keys.request(head.tenant, head.request))
        return True

    def _mark_running(self, place: Place) -> None:
        """As it stands now: what was published may have changed it, e.g. what a redrive awaits."""
        while True:
            found, revision = self._read(place)
            if found is None or found.status != "waiting":
                return
            if self._write(msgspec.structs.replace(found, status="running"), revision):
                return

    def _publish_first(self, first: Envelope) -> str:
        """Why nothing was published; empty where something was."""
        if first.generation:
            try:
                begin(self._items, self._bus, self._plans, first, self._now())
            except NotRedrivableError as error:  # a deploy came between
                return str(error)
            return ""
        first = self._begun(first)
        plan = self._plans.of(first)
        if not first.target and (plan is None or first.name not in plan.routes):
            return "it began under an older deployment, which is not carried here: ask again"
        self._bus.publish([first])
        if plan is not None and first.name in plan.forks:
            self._bus.publish_later(fork_timer(plan, first))
        return ""

    def _begun(self, first: Envelope) -> Envelope:
        """As it begins: stored before it is published, so that whoever publishes it again sends the same."""
        place = keys.begun(first.tenant, first.request)
        now_begun = begun(first, self._current.get(first.workflow), self._now())
        expires_at = first.deadline + 2 * STAYS
        if self._items.put(place, encoded(now_begun), revision=0, expires_at=expires_at):
            return now_begun
        stored = _envelope(self._items, place)
        if stored is not None and stored.deadline == first.deadline:
            return stored
        replace(self._items, place, encoded(now_begun), expires_at=expires_at)  # of one of its name that is gone
        return now_begun

    def _records(self, request: str, tenant: str) -> Iterator[Record]:
        agents = sorted({agent for plan in self._plans.by_version.values() for agent in plan.nodes})
        for agent in agents:
            for item in self._items.query(keys.deliveries(agent, tenant, request), keys.joined("record", "")):
                yield decoder(Record).decode(item.value)

    def _waiting(self, tenant: str, conversation: str) -> tuple[Waiting, int]:
        (item,) = self._items.get([keys.waiting(tenant, conversation)])
        return (decoder(Waiting).decode(item.value), item.revision) if item else (Waiting(), 0)

    def _read(self, place: Place) -> tuple[Opened | None, int]:
        return read(self._items, place)

    def _write(self, opened: Opened, revision: int) -> bool:
        return write(self._items, opened, revision, self._now())


def settle(items: Items, settlement: Envelope, now: datetime, *, generation: int = MAX_COUNT) -> None:
    """End a request with this envelope, unless it has ended; the first one that is stored of an id is what counts.

    Args:
        items: Where.
        settlement: With what.
        now: The time.
        generation: In which it was made; of what the runtime ends a request with, the newest.
    """
    tenant, request = settlement.tenant, settlement.request
    while True:
        found, revision = read(items, keys.request(tenant, request))
        if found is None or found.status == "settled" or found.awaits > generation:
            return
        place, expires_at = keys.settlement(tenant, request, settlement.id), max(now, found.deadline) + STAYS
        items.put(place, encoded(settlement), revision=0, expires_at=expires_at)
        if write(
            items,
            msgspec.structs.replace(found, status="settled", settled=now, settlement=settlement.id),
            revision,
            now,
        ):
            return


def standing(items: Items, envelope: Envelope, now: datetime) -> Standing | None:
    """How the request of an envelope stands, one more delivery of its conversation counted; None once it is erased."""
    tenant, conversation, request = envelope.tenant, envelope.conversation, envelope.request
    scopes = [keys.stop(scope) for scope in stop_keys(tenant, conversation, envelope.workflow)]
    erased, found, *stops = items.get([keys.erased(tenant, request), keys.request(tenant, request), *scopes])
    if _says_erased(erased):
        return None
    stopped = next((str(decoder(Stop).decode(stop.value)) for stop in stops if stop is not None), "")
    opened = decoder(Opened).decode(found.value) if found else None
    used = spent(items, tenant, envelope.request)
    pace = keys.pace(tenant, conversation, int(now.timestamp() // 60))
    events = items.count(pace, {"events": 1}, expires_at=now + timedelta(minutes=2))
    return Standing(
        settled=opened is not None and opened.status == "settled",
        stopped=stopped,
        tokens=used.tokens,
        micros=used.micros,
        events=(events or {})["events"],
    )


def is_erased(items: Items, tenant: str, request: str) -> bool:
    """Whether a request was erased: whoever works on it leaves nothing behind."""
    return _says_erased(items.get([keys.erased(tenant, request)])[0])


def _says_erased(item: Item | None) -> bool:
    return item is not None and item.value != AGAIN


class Erasing(msgspec.Struct, frozen=True, kw_only=True):
    """An erasure that is not finished.

    Attributes:
        at: When it was asked for.
        requests: That the conversation had.
        done: How many of these this pass has removed, from the first on.
        workflows: Of these: what their agents stored is found by them.
        removed: All of it was removed once; what was at work meanwhile may have left something.
    """

    tenant: str
    conversation: str
    at: datetime
    requests: tuple[str, ...]
    done: int = 0
    workflows: tuple[str, ...]
    removed: bool = False


def unerase(items: Items, tenant: str, conversation: str, request: str, *, until: datetime) -> None:
    """Let a request of a name begin that was erased: what the erasure still removes is not this one."""
    place = keys.erasing(tenant, conversation)
    while is_erased(items, tenant, request):
        (item,) = items.get([place])
        erasing = erasing_in(item) if item else None
        if item is None or erasing is None or request not in erasing.requests:
            replace(items, keys.erased(tenant, request), AGAIN, expires_at=until)
            return
        write_erasing(items, _without(erasing, request), item.revision)


def _without(erasing: Erasing, request: str) -> Erasing:
    at = erasing.requests.index(request)
    requests = erasing.requests[:at] + erasing.requests[at + 1 :]
    return msgspec.structs.replace(erasing, requests=requests, done=erasing.done - (at < erasing.done))


def erasing_in(item: Item) -> Erasing:
    """The erasure that an item holds."""
    return unpacked(Erasing, item)


def write_erasing(items: Items, erasing: Erasing, revision: int) -> bool:
    """Write an erasure in the place of the one of this revision; a sweep finds it, once it has something to do."""
    due = Due(keys.ERASING, erasing.at + SETTLES if erasing.removed else erasing.at)
    place = keys.erasing(erasing.tenant, erasing.conversation)
    return items.put(place, packed(erasing), revision=revision, due=due)


def spent(items: Items, tenant: str, request: str) -> Spent:
    """What a request spent so far."""
    (counts,) = items.counted([keys.ledger(tenant, request)])
    return Spent(counts.get("tokens", 0), counts.get("micros", 0))


def read(items: Items, place: Place) -> tuple[Opened | None, int]:
    """A request and its revision."""
    (item,) = items.get([place])
    return (decoder(Opened).decode(item.value), item.revision) if item else (None, 0)


def write(items: Items, opened: Opened, revision: int, now: datetime) -> bool:
    """Write a request in the place of the one of this revision; it is listed as open until it is closed."""
    place = keys.request(opened.tenant, opened.request)
    due = None if opened.closed else Due(keys.OPEN, opened.deadline)
    expires_at = now + STAYS if opened.settled else None
    return items.put(place, encoded(opened), revision=revision, expires_at=expires_at, due=due)


def _envelope(items: Items, place: Place) -> Envelope | None:
    (item,) = items.get([place])
    return decoder(Envelope).decode(item.value) if item else None


def written(record: Record, now: datetime) -> datetime:
    """When the next change of a record is, by the clock of whoever makes it."""
    return max(now, record.changed + timedelta(microseconds=1))


def _is_open(item: Item) -> bool:
    return not decoder(Opened).decode(item.value).closed


def _number(record: Record) -> int:
    """Microseconds since 1970, then three digits that tell apart what was changed at the same one."""
    since = record.changed - LONG_AGO
    digits = int(digest(record.agent, record.key), 16) % 1000
    return since // timedelta(microseconds=1) * 1000 + digits


def _delivery(record: Record) -> DeliveryView:
    return DeliveryView(
        key=record.key,
        agent=record.agent,
        event=record.event,
        emitted=record.emitted,
        started=record.started,
        finished=record.finished,
        attempts=record.attempts,
        error=record.error,
        failed=record.failed,
    )


def _with_one_more(depth: Depth) -> Depth:
    return msgspec.structs.replace(
        depth, open=depth.open + 1, of_tenant=depth.of_tenant + 1, of_conversation=depth.of_conversation + 1
    )


def _view(found: Opened, settlement: Envelope | None, used: Spent, redriven_as: str) -> RequestView:
    return RequestView(
        request=found.request,
        conversation=found.conversation,
        workflow=found.workflow,
        status=found.status,
        accepted=found.accepted,
        deadline=found.deadline,
        settled=found.settled,
        settlement=settlement,
        tokens=used.tokens,
        micros=used.micros,
        origin=found.origin,
        redriven_as=redriven_as,
    )
