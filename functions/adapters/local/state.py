"""One delivery's view of the SQLite store: every step is one transaction, and the last one publishes.

Outputs need no copy of their own here: storing them, publishing them and marking the delivery done is one commit.
"""

import sqlite3
from collections.abc import Sequence
from datetime import datetime

from functions.adapters.local.bus import Bus, enqueue, postpone, remove
from functions.adapters.local.due import Entry
from functions.adapters.local.settling import keep, park, settle, standing
from functions.adapters.local.store import utc
from functions.events.envelope import Envelope, decode, encode
from functions.ports.state import Begun, DeadLetter, Finish, Part, Task


class LocalState:
    """The `State` port for the delivery with this receipt.

    Acknowledging is part of whichever step ends the delivery, so `deliver` costs two commits: `begin`, which
    counts the attempt before the agent runs, and `finish`.
    """

    def __init__(self, bus: Bus, receipt: int) -> None:
        self._bus = bus
        self._store = bus.store
        self._receipt = receipt
        self._attempt = 0
        self._task: Task | None = None

    def gather(self, part: Part) -> Sequence[Envelope] | None:
        """See `State.gather`; an incomplete join acknowledges the part."""

        def step(connection: sqlite3.Connection) -> list[Envelope] | None:
            if not _is_joined(connection, part):
                connection.execute(
                    "INSERT OR IGNORE INTO part VALUES (?, ?, ?, ?, ?, ?)",
                    (
                        part.join,
                        part.generation,
                        part.index,
                        part.envelope.tenant,
                        part.envelope.request,
                        encode(part.envelope) if part.total else b"",
                    ),
                )
                if _arrived(connection, part) < part.total:
                    remove(connection, self._receipt)
                    return None
                _mark_joined(connection, part)
            return _parts(connection, part)

        return self._store.write(step)

    def close(self, part: Part) -> Sequence[Envelope]:
        """See `State.close`."""

        def step(connection: sqlite3.Connection) -> list[Envelope]:
            _mark_joined(connection, part)
            return _parts(connection, part)

        return self._store.write(step)

    def begin(self, task: Task) -> Begun:
        """See `State.begin`."""
        begun = self._store.write(lambda connection: self._begin(connection, task))
        self._attempt = begun.attempt
        self._task = task if begun.status == "leased" else None
        self._announce(task)
        return begun

    def _begin(self, connection: sqlite3.Connection, task: Task) -> Begun:
        now = self._bus.now().timestamp()
        row = connection.execute(
            "SELECT attempts, lease_until, finished FROM delivery WHERE key = ?", (task.key,)
        ).fetchone()
        attempts, lease_until, finished = row or (0, 0.0, None)
        if finished is not None:
            remove(connection, self._receipt)
            return Begun(status="done", attempt=attempts, until=utc(now))
        if lease_until > now:
            postpone(connection, self._receipt, lease_until)
            return Begun(status="busy", attempt=attempts, until=utc(lease_until))
        lease_until = now + task.lease_s
        connection.execute(
            "INSERT INTO delivery"
            " (key, agent, tenant, request, event, emitted, attempts, lease_until, started, changed)"
            " VALUES (?, ?, ?, ?, ?, ?, 1, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET attempts = attempts + 1,"
            " lease_until = excluded.lease_until, started = excluded.started, changed = excluded.changed",
            (
                task.key,
                task.agent,
                task.envelope.tenant,
                task.envelope.request,
                task.envelope.type,
                task.envelope.time.timestamp(),
                lease_until,
                now,
                self._bus.next_change(),
            ),
        )
        return Begun(
            status="leased",
            attempt=attempts + 1,
            until=utc(lease_until),
            standing=standing(connection, task.envelope),
        )

    def finish(self, finish: Finish) -> None:
        """See `State.finish`; a delivery that somebody else finished meanwhile is only acknowledged.

        Of an attempt that lost its lease, a result still counts, if it is the first; that it gave up does not.
        """
        entries = self._store.write(lambda connection: self._finish(connection, finish))
        self._bus.announce(entries)
        self._announce(finish.task)

    def _finish(self, connection: sqlite3.Connection, finish: Finish) -> list[Entry]:
        now = self._bus.now().timestamp()
        if finish.letter and self._is_taken_over(connection, finish.task):
            return []  # giving up is for the attempt that holds the lease
        remove(connection, self._receipt)
        error = finish.letter.error if finish.letter else ""
        if not _mark_done(connection, finish.task, now, error, self._bus.next_change()):
            return []
        entries = []
        for output in finish.outputs:
            entries += enqueue(connection, self._bus.routes, output, now)
        for timer in finish.timers:
            entries += enqueue(connection, self._bus.routes, timer.envelope, timer.due.timestamp())
        for timer_id in finish.cancelled:
            connection.execute("DELETE FROM queue WHERE envelope_id = ?", (timer_id,))
        if finish.letter:
            keep(connection, finish.letter)
        if finish.settlement:
            entries += settle(connection, self._bus.routes, finish.settlement, now)
        return entries

    def release(self, task: Task, *, error: str, due: datetime) -> None:
        """See `State.release`; a lease that somebody took over meanwhile stays theirs."""

        def step(connection: sqlite3.Connection) -> None:
            if self._is_taken_over(connection, task):
                return
            connection.execute(
                "UPDATE delivery SET lease_until = ?, error = ?, changed = ? WHERE key = ?",
                (due.timestamp(), error, self._bus.next_change(), task.key),
            )
            postpone(connection, self._receipt, due.timestamp())

        self._store.write(step)
        self._announce(task)

    def abandon(self) -> None:
        """Give the lease back where a port failed, so that the next try need not wait for its end."""
        if self._task is not None:
            task, now = self._task, self._bus.now()
            self.release(task, error="interrupted: the store or another port failed", due=now)

    def _is_taken_over(self, connection: sqlite3.Connection, task: Task) -> bool:
        row = connection.execute("SELECT attempts FROM delivery WHERE key = ?", (task.key,)).fetchone()
        return row is not None and row[0] != self._attempt

    def supersede(self, task: Task) -> None:
        """See `State.supersede`."""

        def step(connection: sqlite3.Connection) -> None:
            error, now = "superseded: the request was settled", self._bus.now().timestamp()
            _mark_done(connection, task, now, error, self._bus.next_change())
            remove(connection, self._receipt)

        self._store.write(step)
        self._announce(task)

    def _announce(self, task: Task) -> None:
        self._bus.watchers.announce(task.envelope.request, tenant=task.envelope.tenant)

    def park(self, letter: DeadLetter) -> None:
        """See `State.park`."""
        self._store.write(lambda connection: park(connection, letter, self._receipt))


def _is_joined(connection: sqlite3.Connection, part: Part) -> bool:
    query = "SELECT 1 FROM joined WHERE joining = ? AND generation = ?"
    return connection.execute(query, (part.join, part.generation)).fetchone() is not None


def _mark_joined(connection: sqlite3.Connection, part: Part) -> None:
    connection.execute(
        "INSERT OR IGNORE INTO joined VALUES (?, ?, ?, ?)",
        (part.join, part.generation, part.envelope.tenant, part.envelope.request),
    )


def _arrived(connection: sqlite3.Connection, part: Part) -> int:
    """How many parts are there: counted without reading them, or n parts would be read n times."""
    query = "SELECT count(DISTINCT position) FROM part WHERE joining = ? AND generation <= ? AND length(envelope) > 0"
    return int(connection.execute(query, (part.join, part.generation)).fetchone()[0])


def _parts(connection: sqlite3.Connection, part: Part) -> list[Envelope]:
    """The newest of each index, up to this generation."""
    rows = connection.execute(
        "SELECT position, envelope FROM part WHERE joining = ? AND generation <= ? ORDER BY generation",
        (part.join, part.generation),
    ).fetchall()
    newest = dict(rows)
    return [decode(raw) for raw in newest.values() if raw]


def _mark_done(connection: sqlite3.Connection, task: Task, now: float, error: str, change: int) -> bool:
    updated = connection.execute(
        "UPDATE delivery SET finished = ?, lease_until = 0, changed = ?,"
        " error = CASE WHEN ? = '' THEN error ELSE ? END WHERE key = ? AND finished IS NULL",
        (now, change, error, error, task.key),
    )
    return updated.rowcount == 1
