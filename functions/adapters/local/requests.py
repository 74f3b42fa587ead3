"""Requests on the local target: accepted in the transaction that starts them, settled in the one that ends them."""

import sqlite3
import threading
from collections.abc import Sequence
from datetime import datetime

from functions.adapters.local.bus import DEADLINE, Bus, Routes, drop_deadline, enqueue, remove, set_deadline
from functions.adapters.local.due import Entry
from functions.adapters.local.store import utc
from functions.events.envelope import Envelope, MalformedEnvelopeError, decode, digest, encode
from functions.ports.requests import DeliveryView, RequestView
from functions.ports.state import DeadLetter, Standing
from functions.runtime.dead_letters import unreadable
from functions.runtime.outputs import request_failed


def settle(connection: sqlite3.Connection, routes: Routes, envelope: Envelope, now: float) -> list[Entry]:
    """End a request with this envelope, unless it has ended; then start the next one of its conversation."""
    settled = connection.execute(
        "UPDATE request SET status = 'settled', settled = ?, settlement = ?"
        " WHERE tenant = ? AND request = ? AND status != 'settled' RETURNING conversation",
        (now, encode(envelope), envelope.tenant, envelope.request),
    ).fetchone()
    if not settled:
        return []
    drop_deadline(connection, digest(envelope.tenant, settled[0], envelope.request))
    return _start_next(connection, routes, envelope.tenant, settled[0], now)


def standing(connection: sqlite3.Connection, envelope: Envelope) -> Standing:
    """How the request of an envelope stands; a request that nobody accepted here stands as new."""
    row = connection.execute(
        "SELECT status, tokens, micros FROM request WHERE tenant = ? AND request = ?",
        (envelope.tenant, envelope.request),
    ).fetchone()
    stopped = connection.execute(
        "SELECT reason FROM stopped WHERE scope IN (?, ?) LIMIT 1",
        (conversation_scope(envelope.tenant, envelope.conversation), workflow_scope(envelope.workflow)),
    ).fetchone()
    status, tokens, micros = row or ("running", 0, 0)
    return Standing(settled=status == "settled", stopped=stopped[0] if stopped else "", tokens=tokens, micros=micros)


def keep(connection: sqlite3.Connection, letter: DeadLetter) -> None:
    """Add a dead letter; one that is there already stays as it is."""
    connection.execute(
        "INSERT OR IGNORE INTO dead_letter"
        " (key, agent, reason, error, trace, attempt, age_s, at, tenant, conversation, request, event)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            letter.key,
            letter.agent,
            letter.reason,
            letter.error,
            letter.trace,
            letter.attempt,
            letter.age_s,
            letter.at.timestamp(),
            letter.tenant,
            letter.conversation,
            letter.request,
            letter.event,
        ),
    )


def park(connection: sqlite3.Connection, letter: DeadLetter, receipt: int) -> None:
    """Keep a dead letter in the place of the row that it came from."""
    keep(connection, letter)
    remove(connection, receipt)


def conversation_scope(tenant: str, conversation: str) -> str:
    """What the stop switch of a conversation is kept under."""
    return f"conversation#{tenant}#{conversation}"


def workflow_scope(workflow: str) -> str:
    """What the stop switch of a workflow is kept under."""
    return f"workflow#{workflow}"


def _start_next(
    connection: sqlite3.Connection, routes: Routes, tenant: str, conversation: str, now: float
) -> list[Entry]:
    """Start the oldest open request of a conversation, if it is not running already."""
    row = connection.execute(
        "SELECT sequence, status, envelope FROM request"
        " WHERE tenant = ? AND conversation = ? AND status != 'settled' ORDER BY sequence LIMIT 1",
        (tenant, conversation),
    ).fetchone()
    if row is None or row[1] != "waiting":
        return []
    connection.execute("UPDATE request SET status = 'running' WHERE sequence = ?", (row[0],))
    first = decode(row[2])
    if not routes.agents(first):  # it was accepted under a plan that is no longer there
        reason = "it began under an older deployment: ask again"
        return settle(connection, routes, _ended(first, reason, utc(now)), now)
    entries = enqueue(connection, routes, first, now)
    for timer in routes.entry_timers(first):
        entries += enqueue(connection, routes, timer.envelope, timer.due.timestamp())
    return entries


class LocalRequests:
    """The `Requests` port on SQLite, and what a process of one machine adds to it: waiting, and the stop switch."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._store = bus.store
        self._settled = threading.Condition()

    def accept(self, envelope: Envelope) -> bool:
        """See `Requests.accept`."""
        entries = self._store.write(lambda connection: self._accept(connection, envelope))
        self._bus.announce(entries or ())
        return entries is not None

    def _accept(self, connection: sqlite3.Connection, envelope: Envelope) -> list[Entry] | None:
        now = self._bus.now().timestamp()
        inserted = connection.execute(
            "INSERT OR IGNORE INTO request"
            " (tenant, request, conversation, workflow, status, accepted, deadline, envelope)"
            " VALUES (?, ?, ?, ?, 'waiting', ?, ?, ?)",
            (
                envelope.tenant,
                envelope.request,
                envelope.conversation,
                envelope.workflow,
                now,
                envelope.deadline.timestamp(),
                encode(envelope),
            ),
        ).rowcount
        if not inserted:
            return None
        return [
            *set_deadline(connection, envelope),
            *_start_next(connection, self._bus.routes, envelope.tenant, envelope.conversation, now),
        ]

    def announce_settled(self) -> None:
        """Wake whoever waits for a settlement: one was committed."""
        with self._settled:
            self._settled.notify_all()

    def wait(self, request: str, *, tenant: str, timeout_s: float) -> RequestView | None:
        """The request once it is settled, or as it stands after so many seconds."""
        with self._settled:
            self._settled.wait_for(lambda: self._is_settled(request, tenant), timeout_s)
        return self.view(request, tenant=tenant)

    def _is_settled(self, request: str, tenant: str) -> bool:
        view = self.view(request, tenant=tenant)
        return view is None or view.status == "settled"

    def view(self, request: str, *, tenant: str) -> RequestView | None:
        """See `Requests.view`."""
        rows = self._store.read(
            "SELECT conversation, workflow, status, accepted, deadline, settled, settlement FROM request"
            " WHERE tenant = ? AND request = ?",
            (tenant, request),
        )
        if not rows:
            return None
        conversation, workflow, status, accepted, deadline, settled, settlement = rows[0]
        return RequestView(
            request=request,
            conversation=conversation,
            workflow=workflow,
            status=status,
            accepted=utc(accepted),
            deadline=utc(deadline),
            settled=None if settled is None else utc(settled),
            settlement=None if settlement is None else decode(settlement),
        )

    def deliveries(self, request: str, *, tenant: str) -> Sequence[DeliveryView]:
        """See `Requests.deliveries`."""
        rows = self._store.read(
            "SELECT agent, event, emitted, started, finished, attempts, error FROM delivery"
            " WHERE tenant = ? AND request = ? ORDER BY emitted, started, key",
            (tenant, request),
        )
        return [
            DeliveryView(
                agent=agent,
                event=event,
                emitted=utc(emitted),
                started=None if started is None else utc(started),
                finished=None if finished is None else utc(finished),
                attempts=attempts,
                error=error,
            )
            for agent, event, emitted, started, finished, attempts, error in rows
        ]

    def expire(self, raw: bytes, receipt: int) -> None:
        """Settle a request with an error, unless it was settled before: its deadline is over.

        A row that holds no envelope becomes a dead letter: nobody can tell whose deadline it was.
        """
        now = self._bus.now()
        try:
            error = _overdue(decode(raw), now)
        except MalformedEnvelopeError as malformed:
            letter = unreadable(DEADLINE, raw, malformed, now)
            self._store.write(lambda connection: park(connection, letter, receipt))
            return

        def step(connection: sqlite3.Connection) -> list[Entry]:
            remove(connection, receipt)
            return settle(connection, self._bus.routes, error, now.timestamp())

        self._bus.announce(self._store.write(step))
        self.announce_settled()

    def stop(self, scope: str, reason: str) -> None:
        """Refuse every delivery of a conversation or workflow from now on, with this reason."""
        self._store.write(
            lambda connection: connection.execute("INSERT OR REPLACE INTO stopped VALUES (?, ?)", (scope, reason))
        )

    def resume(self, scope: str) -> None:
        """Let deliveries through again."""
        self._store.write(lambda connection: connection.execute("DELETE FROM stopped WHERE scope = ?", (scope,)))


def _overdue(envelope: Envelope, now: datetime) -> Envelope:
    reason = f"no answer before the deadline ({envelope.deadline:%H:%M:%S} UTC): ask again, or allow more time"
    return _ended(envelope, reason, now)


def _ended(envelope: Envelope, reason: str, now: datetime) -> Envelope:
    """What ends the request of this first envelope without an answer."""
    return request_failed(envelope, envelope_id=digest(envelope.id, "ended"), agent="runtime", reason=reason, now=now)
