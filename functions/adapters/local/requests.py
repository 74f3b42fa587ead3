"""Requests on the local target: accepted in the transaction that starts them, settled in the one that ends them."""

import sqlite3
import threading
import time
from collections.abc import Sequence
from typing import Any

from functions.adapters.local.ahead import Publication
from functions.adapters.local.bus import Bus
from functions.adapters.local.due import Entry
from functions.adapters.local.rows import DEADLINE, remove, set_deadline
from functions.adapters.local.settling import park, settle, start_next
from functions.adapters.local.store import utc
from functions.events.envelope import Envelope, MalformedEnvelopeError, decode, encode
from functions.ports.requests import MOST, Change, DeliveryView, Depth, Limits, RequestView, TokensView
from functions.ports.stops import Stop, scope_of
from functions.runtime.dead_letters import unreadable
from functions.runtime.outputs import overdue

MEGABYTE = 1_000_000


class LocalRequests:
    """The `Requests` port on SQLite, and what a process of one machine adds to it: waiting, and the stop switch."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._store = bus.store

    def accept(self, envelope: Envelope, *, limits: Limits | None = None) -> bool:
        """See `Requests.accept`."""
        places = self._bus.reserve(1)
        accepted = None
        try:
            accepted = self._store.write(lambda connection: self._accept(connection, envelope, limits, places))
        finally:
            self._bus.hand(accepted.started if accepted else [], reserved=places)
        self._bus.announce(accepted.waiting if accepted else ())
        self._bus.watchers.announce(envelope.request, tenant=envelope.tenant)
        return accepted is not None

    def _accept(
        self, connection: sqlite3.Connection, envelope: Envelope, limits: Limits | None, places: int
    ) -> Publication | None:
        now = self._bus.now().timestamp()
        inserted = connection.execute(
            "INSERT OR IGNORE INTO request"
            " (tenant, request, conversation, workflow, status, accepted, deadline, envelope, planversion)"
            " VALUES (?, ?, ?, ?, 'waiting', ?, ?, ?, ?)",
            (
                envelope.tenant,
                envelope.request,
                envelope.conversation,
                envelope.workflow,
                now,
                envelope.deadline.timestamp(),
                encode(envelope),
                envelope.planversion,
            ),
        ).rowcount
        if not inserted:
            return None
        if limits is not None:
            row = connection.execute(_COUNT_OPEN, _counted(envelope.conversation, envelope.tenant)).fetchone()
            limits.refuse(self._depth(row))
        accepted = Publication(connection, self._bus, now, places)
        publish = accepted.publish if places else None
        accepted.waiting += set_deadline(connection, self._bus.routes, envelope)
        accepted.waiting += start_next(
            connection, self._bus.routes, envelope.tenant, envelope.conversation, now, publish=publish
        )
        return accepted

    def first(self, request: str, *, tenant: str) -> Envelope | None:
        """See `Requests.first`."""
        rows = self._store.read("SELECT envelope FROM request WHERE tenant = ? AND request = ?", (tenant, request))
        return decode(rows[0][0]) if rows else None

    def depth(self, conversation: str, *, tenant: str, most: int = MOST) -> Depth:
        """See `Requests.depth`; here all are counted."""
        del most
        return self._depth(self._store.read(_COUNT_OPEN, _counted(conversation, tenant))[0])

    def _depth(self, row: Sequence[int]) -> Depth:
        size = self._store.size()
        return Depth(
            open=row[0],
            of_tenant=row[1],
            of_conversation=row[2],
            events=self._bus.waiting(),
            store_mb=size.held // MEGABYTE,
            free_mb=size.free // MEGABYTE,
        )

    def wait(self, request: str, *, tenant: str, timeout_s: float) -> RequestView | None:
        """The request once it is settled, or as it stands after so many seconds."""
        changed = threading.Event()
        until = time.monotonic() + timeout_s
        with self._bus.settlements.watching(request, tenant=tenant, wake=changed.set):
            while True:
                changed.clear()
                view = self.view(request, tenant=tenant)
                left = until - time.monotonic()
                if view is None or view.status == "settled" or left <= 0:
                    return view
                changed.wait(left)

    def view(self, request: str, *, tenant: str) -> RequestView | None:
        """See `Requests.view`."""
        rows = self._store.read(
            "SELECT conversation, workflow, status, accepted, deadline, settled, settlement, tokens, micros, origin,"
            " (SELECT later.request FROM request AS later WHERE later.tenant = request.tenant"
            " AND later.origin = request.request AND later.origin != '' ORDER BY later.sequence DESC LIMIT 1)"
            " FROM request WHERE tenant = ? AND request = ?",
            (tenant, request),
        )
        if not rows:
            return None
        conversation, workflow, status, accepted, deadline, settled, settlement, tokens, micros, *linked = rows[0]
        return RequestView(
            request=request,
            conversation=conversation,
            workflow=workflow,
            status=status,
            accepted=utc(accepted),
            deadline=utc(deadline),
            settled=None if settled is None else utc(settled),
            settlement=None if settlement is None else decode(settlement),
            tokens=tokens,
            micros=micros,
            origin=linked[0],
            redriven_as=linked[1] or "",
        )

    def deliveries(self, request: str, *, tenant: str) -> Sequence[DeliveryView]:
        """See `Requests.deliveries`."""
        rows = self._store.read(
            f"SELECT {_DELIVERY} FROM delivery WHERE tenant = ? AND request = ? ORDER BY emitted, started, key",  # noqa: S608
            (tenant, request),
        )
        return [_delivery(row) for row in rows]

    def changes(self, request: str, *, tenant: str, after: int = 0) -> Sequence[Change]:
        """See `Requests.changes`."""
        rows = self._store.read(_CHANGES, (tenant, request, after) * 2)
        return [_change(*row) for row in rows]

    def expire(self, raw: bytes, receipt: int) -> None:
        """Settle a request with an error, unless it was settled before: its deadline is over.

        A row that holds no envelope becomes a dead letter: nobody can tell whose deadline it was.
        """
        now = self._bus.now()
        try:
            error = overdue(decode(raw), now)
        except MalformedEnvelopeError as malformed:
            letter = unreadable(DEADLINE, raw, malformed, now)
            self._store.write(lambda connection: park(connection, letter, receipt))
            return

        def step(connection: sqlite3.Connection) -> list[Entry]:
            remove(connection, receipt)
            return settle(connection, self._bus.routes, error, now.timestamp())

        self._bus.announce(self._store.write(step))
        self._bus.watchers.announce(error.request, tenant=error.tenant)
        self._bus.settlements.announce(error.request, tenant=error.tenant)

    def stop(self, scope: str, reason: str) -> None:
        """Refuse every delivery of what is kept under this key from now on, with this reason (stops.py)."""
        self._bus.stops.stop(Stop(scope=scope_of(scope), reason=reason, by="", at=self._bus.now()))

    def resume(self, scope: str) -> None:
        """Let deliveries through again."""
        self._bus.stops.resume(scope_of(scope))


# The counts are of the index `open_request`, which holds no more than what is open.
_COUNT_OPEN = """
SELECT (SELECT count(*) FROM request WHERE status != 'settled'),
    (SELECT count(*) FROM request WHERE tenant = ? AND status != 'settled'),
    (SELECT count(*) FROM request WHERE tenant = ? AND conversation = ? AND status != 'settled')
"""
_DELIVERY = (
    "key, agent, event, emitted, started, finished, attempts, error,"
    " EXISTS (SELECT 1 FROM dead_letter WHERE dead_letter.key = delivery.key)"
)
# Both tables in one statement, and so as they were at one moment: a stream goes on after the last number it was given.
_CHANGES = f"""
SELECT changed, agent, NULL, NULL, NULL, {_DELIVERY} FROM delivery
    WHERE tenant = ? AND request = ? AND changed > ?
UNION ALL
SELECT changed, agent, attempt, position, text, {", ".join(["NULL"] * 9)} FROM written
    WHERE tenant = ? AND request = ? AND changed > ?
ORDER BY changed
"""  # noqa: S608


def _change(number: int, agent: str, attempt: int | None, position: int, text: str, *delivery: Any) -> Change:
    if attempt is None:
        return Change(number=number, view=_delivery(delivery))
    return Change(number=number, view=TokensView(agent=agent, attempt=attempt, position=position, text=text))


def _delivery(row: Sequence[Any]) -> DeliveryView:
    key, agent, event, emitted, started, finished, attempts, error, failed = row
    return DeliveryView(
        key=key,
        agent=agent,
        event=event,
        emitted=utc(emitted),
        started=None if started is None else utc(started),
        finished=None if finished is None else utc(finished),
        attempts=attempts,
        error=error,
        failed=bool(failed),
    )


def _counted(conversation: str, tenant: str) -> tuple[str, str, str]:
    return tenant, tenant, conversation
