"""The local bus: a table of deliveries, one row for each agent that an event goes to.

The table is what is true; beside it stands a queue in memory, so that a worker wakes the moment a row is
committed and nobody polls. Whoever takes an entry holds it alone until it is given back or removed.
"""

import heapq
import itertools
import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from functions.adapters.local.store import Store
from functions.events.envelope import Envelope, digest, encode
from functions.events.event import PRIORITIES
from functions.ports.state import Timer
from functions.runtime.addressing import fork_timer
from functions.runtime.workflow import Plan, Route

DEADLINE = "runtime"  # who the row of a request's deadline is for; no agent may be named so


class Entry(NamedTuple):
    """A row of the queue: due at a time, in seconds since 1970, for one agent."""

    due: float
    rank: int
    receipt: int
    agent: str


class Routes:
    """Which agents an event goes to, by workflow and event, as the plans say."""

    def __init__(self, plans: Iterable[Plan]) -> None:
        self._plans = {plan.version: plan for plan in plans}

    def agents(self, envelope: Envelope) -> list[str]:
        """The agents that this envelope goes to; the one it is meant for, where it names one."""
        if envelope.target:
            return [envelope.target]
        return [
            route.agent
            for route in self._routes(envelope)
            if not route.where or route.where.accepts(priority=envelope.priority, tenant=envelope.tenant)
        ]

    def entry_timers(self, envelope: Envelope) -> list[Timer]:
        """The timer of the fork that a request's first event opens, where it opens one."""
        plan = self._plans.get(envelope.planversion)
        return [fork_timer(plan, envelope)] if plan and envelope.name in plan.forks else []

    def _routes(self, envelope: Envelope) -> Sequence[Route]:
        plan = self._plans.get(envelope.planversion)
        return plan.routes.get(envelope.name, ()) if plan else ()


def enqueue(connection: sqlite3.Connection, routes: Routes, envelope: Envelope, due: float) -> list[Entry]:
    """Add a row for each agent that the envelope goes to; one that is there already stays as it is."""
    raw = encode(envelope)
    added = []
    for agent in routes.agents(envelope):
        cursor = connection.execute(
            "INSERT OR IGNORE INTO queue (envelope_id, generation, agent, priority, due, envelope)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (envelope.id, envelope.generation, agent, envelope.priority, due, raw),
        )
        if cursor.rowcount and cursor.lastrowid is not None:
            added.append(Entry(due, PRIORITIES.index(envelope.priority), cursor.lastrowid, agent))
    return added


def set_deadline(connection: sqlite3.Connection, envelope: Envelope) -> list[Entry]:
    """Add the row that ends a request at its deadline, for whoever takes it to settle."""
    due = envelope.deadline.timestamp()
    receipt = connection.execute(
        "INSERT INTO queue (envelope_id, generation, agent, priority, due, envelope) VALUES (?, ?, ?, 'high', ?, ?)",
        (_deadline_id(envelope.id), envelope.generation, DEADLINE, due, encode(envelope)),
    ).lastrowid
    return [Entry(due, 0, receipt, DEADLINE)] if receipt is not None else []


def drop_deadline(connection: sqlite3.Connection, envelope_id: str) -> None:
    """Remove that row: the request is settled."""
    connection.execute("DELETE FROM queue WHERE envelope_id = ?", (_deadline_id(envelope_id),))


def _deadline_id(envelope_id: str) -> str:
    return digest(envelope_id, "deadline")


def postpone(connection: sqlite3.Connection, receipt: int, due: float) -> None:
    """Let the row wait until it is due again."""
    connection.execute("UPDATE queue SET due = ? WHERE receipt = ?", (due, receipt))


def remove(connection: sqlite3.Connection, receipt: int) -> None:
    """Acknowledge: the row is done with."""
    connection.execute("DELETE FROM queue WHERE receipt = ?", (receipt,))


def _end_leases(connection: sqlite3.Connection) -> None:
    """A store has one process, so whoever held a lease when this one starts is gone."""
    connection.execute("UPDATE delivery SET lease_until = 0 WHERE finished IS NULL")


class Bus:
    """The queue in memory over the table on disk; what is in the table at the start is picked up."""

    def __init__(self, store: Store, plans: Iterable[Plan], now: Callable[[], datetime]) -> None:
        self.store = store
        self.routes = Routes(plans)
        self.now = now
        self._changed = threading.Condition()
        self._waiting: list[Entry] = []  # a heap by time
        self._ready: list[tuple[int, int, Entry]] = []  # a heap by priority, then by arrival
        self._arrivals = itertools.count()
        self._stopped = False
        store.write(_end_leases)
        self.announce(
            Entry(due, PRIORITIES.index(priority), receipt, agent)
            for due, priority, receipt, agent in store.read("SELECT due, priority, receipt, agent FROM queue")
        )

    def announce(self, entries: Iterable[Entry]) -> None:
        """Let the workers know of rows that were committed."""
        with self._changed:
            for entry in entries:
                heapq.heappush(self._waiting, entry)
                self._changed.notify()

    def take(self) -> Entry | None:
        """Wait for the next entry that is due; None once the bus is stopped."""
        with self._changed:
            while not self._stopped:
                self._move_due()
                if self._ready:
                    return heapq.heappop(self._ready)[2]
                self._changed.wait(self._until_next())
        return None

    def take_due(self) -> Entry | None:
        """The next entry that is due now, or None: for whoever drives the bus by hand."""
        with self._changed:
            self._move_due()
            return heapq.heappop(self._ready)[2] if self._ready else None

    def envelope(self, entry: Entry) -> bytes | None:
        """The bytes of an entry; None where the row was removed meanwhile."""
        rows = self.store.read("SELECT envelope FROM queue WHERE receipt = ?", (entry.receipt,))
        return bytes(rows[0][0]) if rows else None

    def depth(self) -> int:
        """How many rows the table has, those in work and those not yet due included."""
        return int(self.store.read("SELECT count(*) FROM queue")[0][0])

    def stop(self) -> None:
        """Let every worker that waits go home."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _move_due(self) -> None:
        now = self.now().timestamp()
        while self._waiting and self._waiting[0].due <= now:
            entry = heapq.heappop(self._waiting)
            heapq.heappush(self._ready, (entry.rank, next(self._arrivals), entry))

    def _until_next(self) -> float | None:
        """Seconds until the next entry is due, at most a minute, since the clock may be set."""
        if not self._waiting:
            return None
        return min(max(self._waiting[0].due - self.now().timestamp(), 0.0), 60.0)
