"""The worker threads: each takes one due delivery at a time, and holds it alone."""

import logging
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import NamedTuple

from functions.adapters.local.bus import Bus
from functions.adapters.local.due import Entry
from functions.adapters.local.store import StoreError
from functions.runtime.delivery import Outcome

BROKEN_PORT_DELAY_S = 1.0  # before a delivery whose port failed is tried again

log = logging.getLogger("troupe.pool")


class Delivered(NamedTuple):
    """What became of an entry: its outcome, and the delivery that was begun with its end."""

    outcome: Outcome | None
    next: Entry | None = None


class Pool:
    """Threads that deliver until they are stopped.

    Args:
        bus: Where due deliveries come from.
        deliver: Takes one through its agent, for a worker that has gone on from one to the next since a time.
        lease_s: Seconds that one attempt of an agent may take.
        size: How many threads.

    A thread that is still at work when its lease ends is given up: another takes its place and its
    delivery, and of the two the first to finish counts.
    """

    def __init__(
        self, bus: Bus, deliver: Callable[[Entry, float], Delivered], lease_s: Callable[[str], float], size: int
    ) -> None:
        self._bus = bus
        self._deliver = deliver
        self._lease_s = lease_s
        self._size = size
        self._holding: dict[threading.Thread, tuple[float, Entry]] = {}
        self._changed = threading.Condition()
        self._stopping = False
        self._workers: list[threading.Thread] = []
        self._watch = threading.Thread(target=self._watch_leases, name="leases", daemon=True)

    def start(self) -> None:
        """Start the threads."""
        for _ in range(self._size):
            self._add_worker()
        self._watch.start()

    def stop(self, timeout_s: float) -> bool:
        """Let every delivery in work finish, and take no other; whether all did within so many seconds.

        What did not finish is on disk, and is picked up at the next start.
        """
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
            workers = list(self._workers)
        self._bus.stop()
        self._watch.join()
        deadline = self._bus.now() + timedelta(seconds=timeout_s)
        for worker in workers:
            worker.join(max(0.0, (deadline - self._bus.now()).total_seconds()))
        return not any(worker.is_alive() for worker in workers)

    def _add_worker(self) -> None:
        worker = threading.Thread(target=self._work, name=f"worker-{len(self._workers) + 1}", daemon=True)
        self._workers.append(worker)
        worker.start()

    def _work(self) -> None:
        me = threading.current_thread()
        while (entry := self._bus.take()) is not None:
            turn = self._bus.now().timestamp()
            following: Entry | None = entry
            while following is not None:
                self._hold(me, following)
                again, following = self._outcome(following, turn)
                with self._changed:
                    given_up = self._holding.pop(me, None) is None
                if given_up:  # another took over the delivery, and this thread's place
                    self._bus.hand([following] if following else [], reserved=0)
                    return
                if again is not None:
                    self._bus.announce([again])

    def _hold(self, worker: threading.Thread, entry: Entry) -> None:
        until = self._bus.now().timestamp() + self._lease_s(entry.agent)
        with self._changed:
            first = not self._holding or until < min(due for due, _ in self._holding.values())
            self._holding[worker] = (until, entry)
            if first:
                self._changed.notify_all()

    def _outcome(self, entry: Entry, turn: float) -> tuple[Entry | None, Entry | None]:
        """The entry as it is due again, if it is; and the one to go on with, if there is one."""
        try:
            outcome, following = self._deliver(entry, turn)
        except StoreError as error:
            log.error("%s: %s", entry.agent, error)  # noqa: TRY400 - the message says it all
            return self._later(entry, BROKEN_PORT_DELAY_S), None
        except Exception:
            log.exception("%s: the delivery could not be recorded, and is tried again", entry.agent)
            return self._later(entry, BROKEN_PORT_DELAY_S), None
        if outcome is None or outcome.due is None:
            return None, following
        return entry._replace(due=outcome.due.timestamp(), started=None), following

    def _later(self, entry: Entry, delay_s: float) -> Entry:
        return entry._replace(due=self._bus.now().timestamp() + delay_s, started=None)

    def _watch_leases(self) -> None:
        with self._changed:
            while not self._stopping:
                now = self._bus.now().timestamp()
                lost = [worker for worker, (until, _) in self._holding.items() if until < now]
                for worker in lost:
                    _, entry = self._holding.pop(worker)
                    self._workers.remove(worker)
                    self._add_worker()
                    self._bus.announce([entry._replace(due=now, started=None)])
                    log.warning("%s is still at work past its time limit: given up, and tried again", entry.agent)
                next_end = min((until for until, _ in self._holding.values()), default=None)
                self._changed.wait(None if next_end is None else max(0.0, next_end - now) + 0.01)
