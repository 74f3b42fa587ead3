"""The local bus: a table of deliveries, one row for each agent that an event goes to.

The table is what is true; beside it stands a queue in memory, so that a worker wakes the moment a row is
committed and nobody polls. Whoever takes an entry holds it alone until it is given back or removed. Of several
processes on one store, each has the rows that it holds (ADR 0013).
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime

from functions.adapters.local.due import DueQueue, Entry
from functions.adapters.local.rows import DEADLINE, Routes, flow_of, rank
from functions.adapters.local.sharing import Shares
from functions.adapters.local.stops import LocalStops
from functions.adapters.local.store import Store, StoreError
from functions.adapters.local.watchers import Watchers
from functions.events.envelope import Envelope
from functions.runtime.workflow import Plan


class Bus:
    """The queues in memory over the table on disk; `sharing.Shares` brings in the rows that nobody holds.

    Deadlines have a queue of their own: no amount of work may keep one waiting.

    Args:
        places: How many deliveries may be in work at a time; with 0, none is begun with the end of another.
    """

    def __init__(self, store: Store, plans: Iterable[Plan], now: Callable[[], datetime], places: int = 0) -> None:
        self.store = store
        self.routes = Routes(plans, store.member.id)
        self.now = now
        self.watchers = Watchers()  # of every change
        self.settlements = Watchers()  # of the end alone
        self._changes = 0
        self._deliveries = DueQueue(now, places)
        self._deadlines = DueQueue(now)
        self.stops = LocalStops(store)
        self._shares = Shares(store, self.routes, now, self._count_from)
        self.look_around()

    def next_change(self) -> int:
        """A number for a change of a request, to be asked for inside the transaction that makes the change.

        Numbers grow, also over restarts and from one process to the next: whoever takes over goes on from the highest.
        """
        self._changes = max(self._changes + 1, int(self.now().timestamp() * 1_000_000))
        return self._changes

    def _count_from(self, number: int) -> None:
        self._changes = max(self._changes, number)

    def look_around(self) -> None:
        """Take over what no living process holds, and see what the others did; to be called now and then."""
        if self._shares.changed():
            self.stops.look()
            if not self.routes.leaving:
                self.announce(self._shares.take_over())
            self.watchers.announce_all()
            self.settlements.announce_all()

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

    def replace(self, receipt: int, begun: Sequence[Entry], others: Iterable[Entry], *, reserved: int) -> None:
        """The end of a delivery is on disk: hand what it began, add the others, and give its place back."""
        self._deliveries.replace(receipt, begun, others, reserved=reserved)

    def leave(self, receipt: int) -> None:
        """Give back the place of a delivery that is done with, or given up."""
        self._deliveries.leave(receipt)

    def goes_on(self, envelope: Envelope, turn: float) -> bool:
        """Whether what a delivery publishes may be begun at its place, before what waits.

        It may not where something of a higher priority waits, or somebody's who holds fewer places, nor once its turn
        is over while anything waits.
        """
        return self._deliveries.goes_on(rank(envelope.priority), turn, flow_of(envelope))

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
        """The bytes of an entry; None where the row was removed meanwhile, or another process has it."""
        query = "SELECT envelope FROM queue WHERE receipt = ? AND holder = ?"
        rows = self.store.read(query, (entry.receipt, self.routes.member))
        return bytes(rows[0][0]) if rows else None

    def waiting(self) -> int:
        """How many deliveries wait: to be due, for a place, or for a worker."""
        return len(self._deliveries)

    def depth(self) -> int:
        """How many rows the table has, those in work and those not yet due included."""
        return int(self.store.read("SELECT count(*) FROM queue")[0][0])

    def stop(self) -> None:
        """Let every worker that waits go home, and leave to other processes, if there are any, what is not in work."""
        self.routes.leaving = self._shares.is_shared()
        for queue in self._queues:
            queue.stop()
        self.store.flush()  # what was submitted before may have begun deliveries: those are in work then
        with suppress(StoreError):  # then the others take it once this process is gone
            self._shares.leave(self._deliveries.in_work())

    @property
    def _queues(self) -> tuple[DueQueue, DueQueue]:
        return self._deadlines, self._deliveries
