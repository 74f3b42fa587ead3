"""The queue in memory: entries wait until they are due, and then for whoever takes them."""

import heapq
import itertools
import threading
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import NamedTuple

LONGEST_WAIT_S = 60.0  # since the clock may be set meanwhile


class Entry(NamedTuple):
    """A row of the queue: due at a time, in seconds since 1970, for one agent."""

    due: float
    rank: int
    receipt: int
    agent: str


class DueQueue:
    """Entries by when they are due; of those that are, by rank and then by arrival. Whoever takes one has it alone."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._changed = threading.Condition()
        self._waiting: list[Entry] = []  # a heap by time
        self._ready: list[tuple[int, int, Entry]] = []  # a heap by rank, then by arrival
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
            while not self._stopped:
                self._move_due()
                if self._ready:
                    return heapq.heappop(self._ready)[2]
                self._changed.wait(self._until_next())
        return None

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
