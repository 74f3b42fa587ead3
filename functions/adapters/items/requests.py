"""The `Requests` port over items, and what settles a request.

Of a conversation there is one item with the requests that are open, oldest first. The first of them runs. Whoever
settles it says so on the bus; whoever hears that starts the next one (`go_on`), and a sweep does what was missed.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec

from functions.adapters.items import keys
from functions.events.decoding import decoder
from functions.events.envelope import LATEST, Envelope, digest
from functions.ports.bus import Bus
from functions.ports.conversations import TTL_DAYS
from functions.ports.items import Due, Items, Place
from functions.ports.requests import Change, DeliveryView, Depth, Limits, RequestView
from functions.ports.spending import Spent
from functions.ports.state import Standing
from functions.ports.stops import Stop
from functions.ports.stops import keys as stop_keys
from functions.runtime.outputs import ended, fork_timer, overdue
from functions.runtime.workflow import Plan

STAYS = timedelta(days=TTL_DAYS)
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
APART = timedelta(seconds=1)
SWEPT = 100  # of the requests that are past their deadline, in one pass
_ENCODER = msgspec.json.Encoder()


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """A request. Its first envelope and its settlement are items beside it: they may be large, and are written once.

    Attributes:
        closed: It is settled and its conversation went on: a sweep need not look at it any more.
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
        self._plans = {plan.version: plan for plan in plans.values()}
        self._now = now

    def accept(self, envelope: Envelope, *, limits: Limits | None = None) -> bool:
        """See `Requests.accept`; a caller who does not know whether it was taken asks again."""
        tenant, conversation = envelope.tenant, envelope.conversation
        place = keys.request(tenant, envelope.request)
        found, _ = self._read(place)
        if limits is not None and found is None:
            limits.refuse(_with_one_more(self.depth(conversation, tenant=tenant)))
        is_new = found is None and self._open(envelope)
        if not is_new and (found := self._read(place)[0]) is not None and found.status == "settled":
            return False
        self._queue(tenant, conversation, envelope.request)
        self._start_next(tenant, conversation)
        return is_new

    def first(self, request: str, *, tenant: str) -> Envelope | None:
        """See `Requests.first`."""
        return _envelope(self._items, keys.first(tenant, request))

    def depth(self, conversation: str, *, tenant: str) -> Depth:
        """See `Requests.depth`."""
        open_ = [partition for partition, _ in self._items.due(keys.OPEN, LATEST, limit=10_000)]
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
        settlement = None if found.status != "settled" else _envelope(self._items, keys.settlement(tenant, request))
        return _view(found, settlement, spent(self._items, tenant, request))

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
        self._close(keys.request(settlement.tenant, settlement.request))

    def settle_overdue(self, request: str, *, tenant: str) -> None:
        """Settle a request whose deadline is over: for whoever is about to show it."""
        found, _ = self._read(keys.request(tenant, request))
        if found is not None and found.status != "settled" and found.deadline <= self._now():
            self._expire(found)

    def sweep(self) -> int:
        """Settle what is past its deadline, and go on where nobody did after settling; how many there were."""
        places = self._items.due(keys.OPEN, self._now(), SWEPT)
        for place in places:
            found, _ = self._read(place)
            if found is not None and found.status != "settled":
                self._expire(found)
            self._close(place)
        return len(places)

    def _open(self, envelope: Envelope) -> bool:
        first = keys.first(envelope.tenant, envelope.request)
        expires_at = envelope.deadline + 2 * STAYS  # longer than the request, which a sweep settles at its deadline
        self._items.put(first, encoded(envelope), revision=0, expires_at=expires_at)
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

    def _expire(self, opened: Opened) -> None:
        first = self.first(opened.request, tenant=opened.tenant)
        if first is not None:
            settle(self._items, overdue(first, self._now()), self._now())
            self._close(keys.request(opened.tenant, opened.request))

    def _close(self, place: Place) -> None:
        found, revision = self._read(place)
        if found is None or found.closed or found.status != "settled":
            return
        self._start_next(found.tenant, found.conversation)
        self._write(msgspec.structs.replace(found, closed=True), revision)

    def _queue(self, tenant: str, conversation: str, request: str) -> None:
        place = keys.waiting(tenant, conversation)
        while True:
            waiting, revision = self._waiting(tenant, conversation)
            if request in waiting.requests:
                return
            if self._items.put(place, encoded(Waiting((*waiting.requests, request))), revision=revision):
                return

    def _start_next(self, tenant: str, conversation: str) -> None:
        while True:
            waiting, revision = self._waiting(tenant, conversation)
            if not waiting.requests:
                return
            head, at = self._read(keys.request(tenant, waiting.requests[0]))
            if head is not None and head.status != "settled":
                if head.status == "waiting":
                    self._start(head, at)
                return
            rest = encoded(Waiting(waiting.requests[1:]))
            self._items.put(keys.waiting(tenant, conversation), rest, revision=revision, expires_at=self._now() + STAYS)

    def _start(self, head: Opened, revision: int) -> None:
        """Publish, then mark: between the two somebody may publish it again, and nobody forgets it."""
        first = self.first(head.request, tenant=head.tenant)
        if first is None:  # it was erased
            return
        plan = self._plans.get(first.planversion)
        if not first.target and (plan is None or first.name not in plan.routes):
            reason = "it began under an older deployment, which is not carried here: ask again"
            settle(self._items, ended(first, reason, self._now()), self._now())
            self._close(keys.request(first.tenant, first.request))
            return
        self._bus.publish([first])
        if plan is not None and first.name in plan.forks:
            self._bus.publish_later(fork_timer(plan, first))
        self._write(msgspec.structs.replace(head, status="running"), revision)

    def _records(self, request: str, tenant: str) -> Iterator[Record]:
        agents = sorted({agent for plan in self._plans.values() for agent in plan.nodes})
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


def settle(items: Items, settlement: Envelope, now: datetime) -> None:
    """End a request with this envelope, unless it has ended; the first one that is stored is how it ends."""
    tenant, request = settlement.tenant, settlement.request
    found, revision = read(items, keys.request(tenant, request))
    if found is None or found.status == "settled":
        return
    expires_at = max(now, found.deadline) + STAYS
    items.put(keys.settlement(tenant, request), encoded(settlement), revision=0, expires_at=expires_at)
    while not write(items, msgspec.structs.replace(found, status="settled", settled=now), revision, now):
        found, revision = read(items, keys.request(tenant, request))
        if found is None or found.status == "settled":
            return


def standing(items: Items, envelope: Envelope, now: datetime) -> Standing:
    """How the request of an envelope stands, one more delivery of its conversation counted."""
    tenant, conversation = envelope.tenant, envelope.conversation
    scopes = [keys.stop(scope) for scope in stop_keys(tenant, conversation, envelope.workflow)]
    found, *stops = items.get([keys.request(tenant, envelope.request), *scopes])
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


def encoded(value: msgspec.Struct) -> bytes:
    """As items hold it."""
    return _ENCODER.encode(value)


def written(record: Record, now: datetime) -> datetime:
    """When the next change of a record is, by the clock of whoever makes it."""
    return max(now, record.changed + timedelta(microseconds=1))


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


def _view(found: Opened, settlement: Envelope | None, used: Spent) -> RequestView:
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
    )
