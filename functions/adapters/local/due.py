"""The queue in memory: entries wait until they are due, and then for whoever takes them."""

import heapq
import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import NamedTuple

from functions.runtime.arrival import Started

TURN_S = 0.05  # how long a worker may go on with what it publishes while other deliveries wait
LONGEST_WAIT_S = 60.0  # since the clock may be set meanwhile


class Entry(NamedTuple):
    """A row of the queue: due at a time, in seconds since 1970, for one agent.

    `started` is what a worker goes on from where the delivery was begun when its event was published.
    """

    due: float
    rank: int
    receipt: int
    agent: str
    started: Started | None = None


class DueQueue:
    """Entries by when they are due; of those that are, by rank and then by arrival. Whoever takes one has it alone."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._changed = threading.Condition()
        self._waiting: list[Entry] = []  # a heap by time
        self._ready: list[tuple[int, int, Entry]] = []  # a heap by rank, then by arrival
        self._handed: deque[Entry] = deque()  # begun, each for a taker that was reserved
        self._idle = 0  # takers that wait
        self._reserved = 0  # of those, how many are kept for what will be handed
        self._arrivals = itertools.count()
        self._stopped = False

    def announce(self, entries: Iterable[Entry]) -> None:
        """Add entries, and wake as many takers."""
        with self._changed:
            for entry in entries:
                heapq.heappush(self._waiting, entry)
                self._changed.notify()

    def take(self) -> Entry | None:
        """Wait for the next entry that is due; None once the queue is stopped."""
        with self._changed:
            while True:
                if self._handed:  # begun already, so not even a stop leaves them
                    return self._handed.popleft()
                if self._stopped:
                    return None
                self._move_due()
                if self._ready and self._idle >= self._reserved:
                    return heapq.heappop(self._ready)[2]
                self._idle += 1
                self._changed.wait(self._until_next())
                self._idle -= 1

    def reserve(self, wanted: int) -> int:
        """Keep takers that wait for what will be handed to them: as many as wanted, or as there are."""
        with self._changed:
            self._move_due()
            free = self._idle - self._reserved - len(self._handed) - len(self._ready)
            found = 0 if self._stopped else max(0, min(wanted, free))
            self._reserved += found
            return found

    def hand(self, entries: Iterable[Entry], *, reserved: int) -> None:
        """Give entries to takers before any other, and end so many reservations."""
        with self._changed:
            self._handed.extend(entries)
            self._reserved -= reserved
            self._changed.notify(max(reserved, len(self._handed)))

    def goes_on(self, rank: int, since: float) -> bool:
        """Whether what has this rank may go before what waits, for a taker that has been at it since then."""
        with self._changed:
            self._move_due()
            if self._stopped:
                return False
            if not self._ready:
                return True
            return self._ready[0][0] >= rank and self._now().timestamp() - since < TURN_S

    def take_due(self) -> Entry | None:
        """The next entry that is due now, or None."""
        with self._changed:
            self._move_due()
            return heapq.heappop(self._ready)[2] if self._ready else None

    def next_due(self) -> float | None:
        """When the next entry that is not due yet will be, in seconds since 1970; None where none waits."""
        with self._changed:
            return self._waiting[0].due if self._waiting else None

    def stop(self) -> None:
        """Let every taker that waits go home."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _move_due(self) -> None:
        now = self._now().timestamp()
        while self._waiting and self._waiting[0].due <= now:
            entry = heapq.heappop(self._waiting)
            heapq.heappush(self._ready, (entry.rank, next(self._arrivals), entry))

    def _until_next(self) -> float | None:
        if not self._waiting:
            return None
        return min(max(self._waiting[0].due - self._now().timestamp(), 0.0), LONGEST_WAIT_S)
