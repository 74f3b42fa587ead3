"""One delivery's view of the SQLite store: every step is one transaction, and the last one publishes.

Outputs need no copy of their own here: storing them, publishing them and marking the delivery done is one commit.
"""

import sqlite3
import threading
from collections.abc import Callable
from datetime import datetime

import msgspec

from functions.adapters.local.ahead import Publication, begin
from functions.adapters.local.bus import Bus
from functions.adapters.local.due import Entry
from functions.adapters.local.joins import close, gather, is_outrun
from functions.adapters.local.rows import enqueue, flow_of, holds, is_queued, postpone, rank, remove, set_timer
from functions.adapters.local.settling import keep, mark_done, park, row_key, settle
from functions.ports.state import Begun, DeadLetter, Finish, Gathered, Part, Task
from functions.runtime.arrival import Started, task_of

Look = Callable[[sqlite3.Connection, Part], Gathered | None]  # at a join


class LocalState:
    """The `State` port for the delivery with this receipt.

    Acknowledging is part of whichever step ends the delivery, so a delivery costs two commits: `begin`, which
    counts the attempt before the agent runs, and `finish`. What follows may be begun in that one.

    Args:
        bus: Where it came from.
        receipt: Of its row.
        entry: As a worker took it; None where nobody would go on with what it publishes.
        interrupted: What to do with the entry where its end could not be written; called from a thread of its own.
    """

    def __init__(
        self,
        bus: Bus,
        receipt: int,
        entry: Entry | None = None,
        interrupted: Callable[[Entry, BaseException], None] = lambda _entry, _error: None,
    ) -> None:
        self._bus = bus
        self._store = bus.store
        self._receipt = receipt
        self._entry = entry
        self._interrupted = interrupted
        self._attempt = 0
        self._task: Task | None = None
        self.ends_later = False

    def take_over(self, started: Started) -> Started:
        """Take over a delivery that was begun with the end of the one before it; it may have been stopped since."""
        self._attempt = started.begun.attempt
        self._task = task = task_of(started.node, started.arrival)
        envelope = task.envelope
        stop = self._bus.stops.known(
            tenant=envelope.tenant, conversation=envelope.conversation, workflow=envelope.workflow
        )
        if stop is None:
            return started
        standing = msgspec.structs.replace(started.begun.standing, stopped=str(stop))
        return msgspec.structs.replace(started, begun=msgspec.structs.replace(started.begun, standing=standing))

    def gather(self, part: Part) -> Gathered | None:
        """See `State.gather`; an incomplete join acknowledges the part, as does an event that was erased."""
        return self._store.write(lambda connection: self._found(connection, gather, part))

    def close(self, part: Part) -> Gathered | None:
        """See `State.close`; the timer of an older generation is acknowledged."""
        return self._store.write(lambda connection: self._found(connection, close, part))

    def _found(self, connection: sqlite3.Connection, look: Look, part: Part) -> Gathered | None:
        if not is_queued(connection, self._receipt):
            return None
        found = look(connection, part)
        if found is None:
            remove(connection, self._receipt)
        return found

    def begin(self, task: Task) -> Begun:
        """See `State.begin`."""
        begun = self._store.write(lambda connection: begin(connection, self._bus, task, self._receipt))
        self._attempt = begun.attempt
        self._task = task if begun.status == "leased" else None
        self._announce(task)
        return begun

    def finish(self, finish: Finish) -> None:
        """See `State.finish`; a delivery that somebody else finished meanwhile is only acknowledged.

        Of an attempt that lost its lease, a result still counts, if it is the first; that it gave up does not.

        A worker does not wait for the disk (`ends_later`): it takes another delivery, and nobody acts on what this
        one published before it is written. What it published is begun in the same write, at the place of this
        delivery where that may go on, and at those that are free.
        """
        entry = self._entry
        if entry is None:
            published = self._store.write(lambda connection: self._finish(connection, finish, 0))
            self._bus.announce(published.waiting)
            self._announce_end(finish)
            return
        own, reserved = self._places(finish, entry)
        self.ends_later = True

        def written(published: Publication | None, error: BaseException | None) -> None:
            begun, waiting = (published.started, published.waiting) if published else ((), ())
            begun = [each._replace(turn=entry.turn) for each in begun]
            self._bus.replace(self._receipt, begun, waiting, reserved=reserved)
            if published is None or error is not None:
                threading.Thread(target=self._interrupted, args=(entry, error)).start()
                return
            self._announce_end(finish)

        submit = self._store.submit_at_once if self._bus.is_alone() else self._store.submit
        submit(lambda connection: self._finish(connection, finish, own + reserved), written)

    def _places(self, finish: Finish, entry: Entry) -> tuple[int, int]:
        """How many of its outputs may be begun: at its own place, and at free ones."""
        wanted = len(finish.outputs)
        if finish.settlement or not wanted:
            return 0, 0
        own = int(self._bus.goes_on(finish.task.envelope, entry.turn))
        return own, self._bus.reserve(wanted - own) if wanted > own else 0

    def _announce_end(self, finish: Finish) -> None:
        self._announce(finish.task)
        if finish.settlement:
            self._bus.settlements.announce(finish.settlement.request, tenant=finish.settlement.tenant)

    def _finish(self, connection: sqlite3.Connection, finish: Finish, places: int) -> Publication:
        now = self._bus.now().timestamp()
        published = Publication(connection, self._bus, now, places)
        if finish.letter and self._is_taken_over(connection, finish.task):
            published.waiting += self._later(connection, finish.task, now)
            return published  # giving up is for the attempt that holds the lease
        remove(connection, self._receipt)
        error = finish.letter.error if finish.letter else ""
        if not mark_done(connection, finish.task, now, error, self._bus.next_change()):
            return published
        for output in finish.outputs:
            if self._entry is None:
                published.waiting += enqueue(connection, self._bus.routes, output, now)
            else:
                published.publish(output)
        for timer in finish.timers:
            published.waiting += set_timer(connection, self._bus.routes, timer)
        for timer_id in finish.cancelled:
            connection.execute("DELETE FROM queue WHERE envelope_id = ?", (timer_id,))
        if finish.letter:
            keep(connection, finish.letter)
        if finish.settlement and not is_outrun(connection, finish.settlement):
            published.waiting += settle(connection, self._bus.routes, finish.settlement, now)
        return published

    def _later(self, connection: sqlite3.Connection, task: Task, now: float) -> list[Entry]:
        """To see what became of it, unless its row is another process's by now, or was erased."""
        if not holds(connection, self._bus.routes, self._receipt):
            return []
        due = now + task.lease_s
        postpone(connection, self._receipt, due)
        return [Entry(due, rank(task.envelope.priority), self._receipt, task.agent, flow=flow_of(task.envelope))]

    def release(self, task: Task, *, error: str, due: datetime) -> None:
        """See `State.release`; a lease that somebody took over meanwhile stays theirs."""

        def step(connection: sqlite3.Connection) -> None:
            if self._is_taken_over(connection, task):
                return
            connection.execute(
                "UPDATE delivery SET lease_until = ?, error = ?, changed = ?"
                " WHERE tenant = ? AND request = ? AND key = ? AND finished IS NULL",
                (due.timestamp(), error, self._bus.next_change(), *row_key(task)),
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
        """Whether another attempt holds the lease, or the record was handed to another process or erased."""
        row = connection.execute(
            "SELECT attempts FROM delivery WHERE tenant = ? AND request = ? AND key = ?", row_key(task)
        ).fetchone()
        return row is None or row[0] != self._attempt

    def supersede(self, task: Task) -> None:
        """See `State.supersede`."""

        def step(connection: sqlite3.Connection) -> None:
            error, now = "superseded: the request was settled", self._bus.now().timestamp()
            mark_done(connection, task, now, error, self._bus.next_change())
            remove(connection, self._receipt)

        self._store.write(step)
        self._announce(task)

    def _announce(self, task: Task) -> None:
        self._bus.watchers.announce(task.envelope.request, tenant=task.envelope.tenant)

    def is_there(self) -> bool:
        """Whether the event is still in the queue: it is not once its conversation was erased."""
        return bool(self._store.read("SELECT 1 FROM queue WHERE receipt = ?", (self._receipt,)))

    def park(self, letter: DeadLetter) -> None:
        """See `State.park`."""
        self._store.write(lambda connection: park(connection, letter, self._receipt))
