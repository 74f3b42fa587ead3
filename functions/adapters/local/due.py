"""The queue in memory: entries wait until they are due, and then for whoever takes them."""

import heapq
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from functions.adapters.local.fair import FairQueue, Flow
from functions.runtime.arrival import Started

TURN_S = 0.05  # how long one delivery may follow the other while others wait
UNLIMITED = 1_000_000
LONGEST_WAIT_S = 60.0  # since the clock may be set meanwhile
HELD_BYTES = 32 * 1024 * 1024  # of events that wait; those of further ones are read from the table again
NOBODY = Flow("", "")


class Entry(NamedTuple):
    """A row of the queue: due at a time, in seconds since 1970, for one agent.

    Attributes:
        started: What a worker goes on from, where the delivery was begun when its event was published.
        raw: The event, for a taker who need not ask the table for it: of a row that nobody else removes.
        turn: Since when one delivery has followed the other without waiting in the queue; 0 for one that waits.
        flow: Whose it is.
    """

    due: float
    rank: int
    receipt: int
    agent: str
    started: Started | None = None
    turn: float = 0.0
    raw: bytes = b""
    flow: Flow = NOBODY

    def later(self, due: float) -> "Entry":
        """The same, waiting until it is due."""
        return self._replace(due=due, started=None, turn=0.0, raw=b"")


class DueQueue:
    """Entries by when they are due; those that are, in fair turns (fair.py). Whoever takes one has it alone.

    Args:
        places: How many may be in work at a time; a deliveries' place is free once its end is on disk.
    """

    def __init__(self, now: Callable[[], datetime], places: int = UNLIMITED) -> None:
        self._now = now
        self._places = places
        self._changed = threading.Condition()
        self._waiting: list[Entry] = []  # a heap by time
        self._ready: FairQueue[Entry] = FairQueue()
        self._handed: deque[Entry] = deque()  # begun: each has its place
        self._in_work: dict[int, Flow] = {}  # by receipt
        self._reserved = 0  # places for what will be handed
        self._takers: set[int] = set()  # the threads that take
        self._idle = 0  # how many of them wait
        self._bytes = 0  # of the events that the entries hold
        self._stopped = False

    def __len__(self) -> int:
        """How many entries wait: for their time, for a place, or for a worker."""
        return len(self._waiting) + len(self._ready) + len(self._handed)

    def announce(self, entries: Iterable[Entry]) -> None:
        """Add entries, and wake a taker."""
        with self._changed:
            if self._add(entries) or not self._comes_back():
                self._changed.notify()

    def _add(self, entries: Iterable[Entry]) -> bool:
        """Add entries; whether any of them comes later, for which somebody has to set the alarm."""
        now = self._move_due()
        comes_later = False
        for entry in entries:
            bounded = self._bounded(entry)
            if entry.due <= now:
                self._ready.push(bounded)
            else:
                heapq.heappush(self._waiting, bounded)
                comes_later = True
        return comes_later

    def _bounded(self, entry: Entry) -> Entry:
        """The entry, without its event where too many bytes are held already."""
        if not entry.raw:
            return entry
        if self._bytes + len(entry.raw) > HELD_BYTES:
            return entry._replace(raw=b"")
        self._bytes += len(entry.raw)
        return entry

    def take(self) -> Entry | None:
        """Wait for the next entry that is due and has a place; None once the queue is stopped.

        A taker wakes the next one where there is more, so that short work is not spread over many threads.
        """
        with self._changed:
            self._takers.add(threading.get_ident())
            while True:
                entry = self._next()
                if entry is not None:
                    if self._handed or self._ready:
                        self._changed.notify()
                    return entry
                if self._stopped and not self._in_work:  # else a write that is under way may begin one more
                    return None
                self._idle += 1
                self._changed.wait(self._until_next())
                self._idle -= 1

    def retire(self) -> None:
        """This thread takes no more: whatever it left is for others to look at."""
        with self._changed:
            self._takers.discard(threading.get_ident())
            self._changed.notify()

    def _next(self) -> Entry | None:
        if self._handed:  # begun already, so not even a stop leaves them
            return self._handed.popleft()
        self._move_due()
        if self._stopped or not self._ready or self._free() <= 0:
            return None
        entry = self._pop()
        if self._places != UNLIMITED:  # else nobody gives a place back
            self._hold(entry)
        return entry._replace(turn=self._now().timestamp())

    def _pop(self) -> Entry:
        entry = self._ready.pop()
        self._bytes -= len(entry.raw)
        return entry

    def _hold(self, entry: Entry) -> None:
        self._in_work[entry.receipt] = entry.flow
        self._ready.places.hold(entry.flow)

    def _let_go(self, receipt: int) -> None:
        flow = self._in_work.pop(receipt, None)
        if flow is not None:
            self._ready.places.let_go(flow)

    def _comes_back(self) -> bool:
        """Whether this thread takes next, so that nobody need be woken: where there is more, it wakes another then."""
        return threading.get_ident() in self._takers

    def _free(self) -> int:
        return self._places - len(self._in_work) - self._reserved

    def leave(self, receipt: int) -> None:
        """Give back the place of an entry; it may have been given back already."""
        with self._changed:
            self._let_go(receipt)
            if self._stopped:
                self._changed.notify_all()
            elif self._ready:
                self._changed.notify()

    def reserve(self, wanted: int) -> int:
        """Keep places for what will be handed: as many as wanted, or as nobody waits for.

        Where threads take, no more than are idle: what is handed would wait for them with its lease running.
        """
        with self._changed:
            self._move_due()
            found = 0 if self._stopped else min(wanted, self._free() - len(self._ready))
            if self._takers:
                found = min(found, self._idle - len(self._handed) - self._reserved)
            found = max(0, found)
            self._reserved += found
            return found

    def hand(self, entries: Sequence[Entry], *, reserved: int) -> None:
        """Have begun entries taken before any other, and end so many reservations."""
        with self._changed:
            self._hand(entries, reserved)
            if (self._handed or self._ready) and not self._comes_back():
                self._changed.notify()

    def replace(self, receipt: int, begun: Sequence[Entry], others: Iterable[Entry], *, reserved: int) -> None:
        """An entry's end: hand what it began, add the others, and only then give its place to whose turn it is."""
        with self._changed:
            self._hand(begun, reserved)
            comes_later = self._add(others)
            self._let_go(receipt)
            if self._stopped:
                self._changed.notify_all()
            elif comes_later or ((self._handed or self._ready) and not self._comes_back()):
                self._changed.notify()

    def _hand(self, entries: Sequence[Entry], reserved: int) -> None:
        self._handed.extend(entries)
        for entry in entries:
            self._hold(entry)
        self._reserved -= reserved

    def goes_on(self, rank: int, turn: float, flow: Flow) -> bool:
        """Whether what has this rank may go before what waits, at the place of an entry whose turn began then.

        It may not where what goes next has a higher rank, or holds so few places that one more is its fair share.
        """
        with self._changed:
            self._move_due()
            if self._stopped:
                return False
            waiting = self._ready.next()
            if waiting is None:
                return True
            if waiting.rank < rank or self._ready.places.is_owed(waiting.flow, flow):
                return False
            return self._now().timestamp() - turn < TURN_S

    def is_alone(self) -> bool:
        """Whether one entry at most is in work, and none that is due waits."""
        with self._changed:
            self._move_due()
            return len(self._in_work) <= 1 and not self._ready and not self._handed

    def take_due(self) -> Entry | None:
        """The next entry that is due now, or None."""
        with self._changed:
            if self._handed:
                return self._handed.popleft()
            self._move_due()
            return self._pop() if self._ready else None

    def next_due(self) -> float | None:
        """When the next entry that is not due yet will be, in seconds since 1970; None where none waits."""
        with self._changed:
            return self._waiting[0].due if self._waiting else None

    def in_work(self) -> list[int]:
        """The receipts of what has a place."""
        with self._changed:
            return list(self._in_work)

    def stop(self) -> None:
        """Let every taker that waits go home."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _move_due(self) -> float:
        """Let those go in turns that are due now; returns the time."""
        now = self._now().timestamp()
        while self._waiting and self._waiting[0].due <= now:
            self._ready.push(heapq.heappop(self._waiting))
        return now

    def _until_next(self) -> float | None:
        if not self._waiting:
            return None
        return min(max(self._waiting[0].due - self._now().timestamp(), 0.0), LONGEST_WAIT_S)
