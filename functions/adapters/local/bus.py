"""The local bus: a table of deliveries, one row for each agent that an event goes to.

The table is what is true; beside it stands a queue in memory, so that a worker wakes the moment a row is
committed and nobody polls. Whoever takes an entry holds it alone until it is given back or removed.
"""

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from functions.adapters.local.due import DueQueue, Entry
from functions.adapters.local.store import Store
from functions.adapters.local.watchers import Watchers
from functions.events.envelope import RUNTIME, Envelope, decode, digest, encode
from functions.events.event import PRIORITIES
from functions.ports.state import Timer
from functions.runtime.outputs import fork_timer
from functions.runtime.workflow import Plan, Route

DEADLINE = RUNTIME  # who the row of a request's deadline is for


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
        plan = self.plan(envelope)
        return [fork_timer(plan, envelope)] if plan and envelope.name in plan.forks else []

    def plan(self, envelope: Envelope) -> Plan | None:
        """The plan that this envelope was made under, if it is known here."""
        return self._plans.get(envelope.planversion)

    def _routes(self, envelope: Envelope) -> Sequence[Route]:
        plan = self.plan(envelope)
        return plan.routes.get(envelope.name, ()) if plan else ()


def enqueue(connection: sqlite3.Connection, routes: Routes, envelope: Envelope, due: float) -> list[Entry]:
    """Add a row for each agent that the envelope goes to; one that is there already stays as it is."""
    raw = encode(envelope)
    added = [add_row(connection, envelope, agent, due, raw) for agent in routes.agents(envelope)]
    return [entry for entry in added if entry is not None]


def add_row(connection: sqlite3.Connection, envelope: Envelope, agent: str, due: float, raw: bytes) -> Entry | None:
    """Add the row of one agent; None where it is there already."""
    row = (envelope.id, envelope.generation, agent, envelope.priority, due, raw)
    receipt = _insert(connection, row)
    if receipt is None and _is_of_another(connection, envelope, agent):
        receipt = _insert(connection, (digest(envelope.tenant, envelope.request, envelope.id), *row[1:]))
    rank = PRIORITIES.index(envelope.priority)
    return None if receipt is None else Entry(due, rank, receipt, agent, raw=raw)


def _insert(connection: sqlite3.Connection, row: tuple[str, int, str, str, float, bytes]) -> int | None:
    cursor = connection.execute(
        "INSERT OR IGNORE INTO queue (envelope_id, generation, agent, priority, due, envelope)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        row,
    )
    return cursor.lastrowid if cursor.rowcount else None


def _is_of_another(connection: sqlite3.Connection, envelope: Envelope, agent: str) -> bool:
    """Whether the row that has this id is of another request: somebody made an id that is no hash."""
    (raw,) = connection.execute(
        "SELECT envelope FROM queue WHERE envelope_id = ? AND generation = ? AND agent = ?",
        (envelope.id, envelope.generation, agent),
    ).fetchone()
    there = decode(raw)
    return (there.tenant, there.request) != (envelope.tenant, envelope.request)


def set_timer(connection: sqlite3.Connection, routes: Routes, timer: Timer) -> list[Entry]:
    """Add the rows of an event that comes later, unless it is cancelled meanwhile: then its row is gone."""
    due = timer.due.timestamp()
    return [entry.later(due) for entry in enqueue(connection, routes, timer.envelope, due)]


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


def _rank(priority: str) -> int:
    """The place of a priority; of one that does not exist, that of the normal one: its delivery will say so."""
    return PRIORITIES.index(priority if priority in PRIORITIES else "normal")


class Bus:
    """The queues in memory over the table on disk; what is in the table at the start is picked up.

    Deadlines have a queue of their own: no amount of work may keep one waiting.

    Args:
        places: How many deliveries may be in work at a time; with 0, none is begun with the end of another.
    """

    def __init__(self, store: Store, plans: Iterable[Plan], now: Callable[[], datetime], places: int = 0) -> None:
        self.store = store
        self.routes = Routes(plans)
        self.now = now
        self.watchers = Watchers()  # of every change
        self.settlements = Watchers()  # of the end alone
        self._changes = 0
        self._deliveries = DueQueue(now, places)
        self._deadlines = DueQueue(now)
        store.write(_end_leases)
        self.announce(
            Entry(due, _rank(priority), receipt, agent)
            for due, priority, receipt, agent in store.read("SELECT due, priority, receipt, agent FROM queue")
        )

    def next_change(self) -> int:
        """A number for a change of a request, to be asked for inside the transaction that makes the change.

        Numbers grow, also over restarts, as long as the clock is not set back meanwhile.
        """
        self._changes = max(self._changes + 1, int(self.now().timestamp() * 1_000_000))
        return self._changes

    def announce(self, entries: Iterable[Entry]) -> None:
        """Let the workers know of rows that were committed."""
        listed = list(entries)
        deadlines = [entry for entry in listed if entry.agent == DEADLINE]
        if deadlines:
            self._deadlines.announce(deadlines)
        if len(deadlines) < len(listed):
            self._deliveries.announce(entry for entry in listed if entry.agent != DEADLINE)

    def reserve(self, wanted: int) -> int:
        """Keep places for what a write will begin: as many as wanted, or as nobody waits for."""
        return self._deliveries.reserve(wanted)

    def hand(self, entries: Sequence[Entry], *, reserved: int) -> None:
        """Have begun deliveries taken at once, and let go the places that were reserved."""
        self._deliveries.hand(entries, reserved=reserved)

    def leave(self, receipt: int) -> None:
        """Give back the place of a delivery that is done with, or given up."""
        self._deliveries.leave(receipt)

    def goes_on(self, priority: str, turn: float) -> bool:
        """Whether what a delivery publishes may be begun at its place, before what waits.

        It may not where something of a higher priority waits, nor once its turn is over while anything waits.
        """
        return self._deliveries.goes_on(_rank(priority), turn)

    def is_alone(self) -> bool:
        """Whether one delivery at most is in work, and none waits for its turn."""
        return self._deliveries.is_alone()

    def take(self) -> Entry | None:
        """Wait for the next delivery that is due; None once the bus is stopped."""
        return self._deliveries.take()

    def retire(self) -> None:
        """This thread takes no deliveries any more."""
        self._deliveries.retire()

    def take_deadline(self) -> Entry | None:
        """Wait for the next deadline that is over; None once the bus is stopped."""
        return self._deadlines.take()

    def take_due(self) -> Entry | None:
        """A deadline or a delivery that is due now, or None: for whoever drives the bus by hand."""
        return self._deadlines.take_due() or self._deliveries.take_due()

    def next_due(self) -> float | None:
        """When the next entry will be due, in seconds since 1970; None where none waits."""
        return min((due for queue in self._queues if (due := queue.next_due()) is not None), default=None)

    def envelope(self, entry: Entry) -> bytes | None:
        """The bytes of an entry; None where the row was removed meanwhile."""
        rows = self.store.read("SELECT envelope FROM queue WHERE receipt = ?", (entry.receipt,))
        return bytes(rows[0][0]) if rows else None

    def depth(self) -> int:
        """How many rows the table has, those in work and those not yet due included."""
        return int(self.store.read("SELECT count(*) FROM queue")[0][0])

    def stop(self) -> None:
        """Let every worker that waits go home."""
        for queue in self._queues:
            queue.stop()

    @property
    def _queues(self) -> tuple[DueQueue, DueQueue]:
        return self._deadlines, self._deliveries
