"""Begins deliveries in the write that publishes their events: one commit where there would be two.

A delivery is begun this way only where there is a place for it (docs/delivery.md), so that a worker comes to it before
anything that waits in the queue. Otherwise its lease would run while its event waits its turn.
"""

import sqlite3

from functions.adapters.local.bus import Bus
from functions.adapters.local.due import Entry
from functions.adapters.local.joins import gather
from functions.adapters.local.rows import add_row, postpone, remove
from functions.adapters.local.settling import count_event, mark_done, standing
from functions.adapters.local.store import utc
from functions.events.envelope import Envelope, MalformedEnvelopeError, encode
from functions.ports.state import Begun, Task
from functions.runtime.arrival import Arrival, Started, complete, part_of, place, refuse_other_places, task_of
from functions.runtime.workflow import Node, Plan


class Publication:
    """What one write publishes.

    Args:
        connection: In the transaction of the write.
        places: How many deliveries may be begun.

    Attributes:
        waiting: The entries of what nobody has begun.
        started: The entries of what was begun here, at most one a place.
    """

    def __init__(self, connection: sqlite3.Connection, bus: Bus, now: float, places: int) -> None:
        self._connection = connection
        self._bus = bus
        self._now = now
        self._places = places
        self.waiting: list[Entry] = []
        self.started: list[Entry] = []

    def publish(self, envelope: Envelope) -> None:
        """Add a row for each agent that the envelope goes to, and begin as many as there are places left.

        A part that does not complete its join needs no row: once it is recorded, nobody has to deliver it.
        """
        plan = self._bus.routes.plan(envelope)
        for agent in self._bus.routes.agents(envelope):
            node = plan.nodes.get(agent) if plan else None
            if plan is None or node is None or not _belongs(node, envelope):
                self._add(envelope, agent)
            elif node.spec.joins:
                self._join(plan, node, envelope)
            else:
                self._start(plan, node, place(node, envelope), envelope)

    def _join(self, plan: Plan, node: Node, envelope: Envelope) -> None:
        found = gather(self._connection, part_of(node, envelope))
        if found is not None:
            self._start(plan, node, complete(node, envelope, found), envelope)

    def _start(self, plan: Plan, node: Node, arrival: Arrival, envelope: Envelope) -> None:
        entry = self._add(envelope, node.spec.name)
        if entry is None or len(self.started) == self._places:
            return
        begun = begin(self._connection, self._bus, task_of(node, arrival), entry.receipt)
        self.waiting.pop()
        if begun.status == "leased":
            started = Started(plan=plan, node=node, arrival=arrival, begun=begun)
            self.started.append(entry._replace(started=started, turn=self._now, raw=b""))
        elif begun.status == "busy":
            self.waiting.append(entry._replace(due=begun.until.timestamp()))

    def _add(self, envelope: Envelope, agent: str) -> Entry | None:
        entry = add_row(self._connection, self._bus.routes, envelope, agent, self._now, encode(envelope))
        if entry is not None:
            self.waiting.append(entry)
        return entry


def _belongs(node: Node, envelope: Envelope) -> bool:
    """Whether this is where the event is expected; its own delivery says why where it is not."""
    try:
        refuse_other_places(node, envelope)
    except MalformedEnvelopeError:
        return False
    return True


def begin(connection: sqlite3.Connection, bus: Bus, task: Task, receipt: int) -> Begun:
    """See `State.begin`; a step inside somebody's transaction."""
    now, envelope = bus.now().timestamp(), task.envelope
    if task.outrun:
        mark_done(connection, task.outrun, now, "superseded: its join was redriven", bus.next_change())
    lease_until = now + task.lease_s
    leased = connection.execute(
        "INSERT INTO delivery"
        " (key, agent, tenant, request, event, emitted, attempts, lease_until, started, changed, holder)"
        " SELECT ?, ?, ?, ?, ?, ?, 1, ?, ?, ?, ? WHERE EXISTS (SELECT 1 FROM queue WHERE receipt = ? AND holder = ?)"
        " ON CONFLICT (tenant, request, key) DO UPDATE SET"
        " attempts = attempts + 1, lease_until = excluded.lease_until, started = excluded.started,"
        " changed = excluded.changed, holder = excluded.holder"
        " WHERE finished IS NULL AND lease_until <= excluded.started RETURNING attempts",
        (
            task.key,
            task.agent,
            envelope.tenant,
            envelope.request,
            envelope.type,
            envelope.time.timestamp(),
            lease_until,
            now,
            bus.next_change(),
            bus.routes.member,
            receipt,
            bus.routes.member,
        ),
    ).fetchone()
    if leased:
        stands = standing(connection, envelope, count_event(connection, envelope, now))
        return Begun(status="leased", attempt=leased[0], until=utc(lease_until), standing=stands)
    found = connection.execute(
        "SELECT attempts, lease_until, finished FROM delivery WHERE tenant = ? AND request = ? AND key = ?",
        (envelope.tenant, envelope.request, task.key),
    ).fetchone()
    if found is None:  # nor an event that is this process's: it was erased, or handed to another one
        return Begun(status="done", attempt=0, until=utc(now))
    attempts, lease_until, finished = found
    if finished is not None:
        remove(connection, receipt)
        return Begun(status="done", attempt=attempts, until=utc(now))
    postpone(connection, receipt, lease_until)
    return Begun(status="busy", attempt=attempts, until=utc(lease_until))
