"""The worker threads: each takes one due delivery at a time, and holds it alone."""

import logging
import threading
from collections.abc import Callable
from datetime import timedelta
from math import inf

from functions.adapters.local.bus import Bus
from functions.adapters.local.due import Entry
from functions.adapters.local.store import StoreError
from functions.runtime.delivery import Outcome

BROKEN_PORT_DELAY_S = 1.0  # before a delivery whose port failed is tried again

log = logging.getLogger("troupe.pool")


class Pool:
    """Threads that deliver until they are stopped.

    Args:
        bus: Where due deliveries come from.
        deliver: Takes one through its agent; None where its end is yet to be written, or nothing is left to do.
        lease_s: Seconds that one attempt of an agent may take.
        size: How many threads.

    A thread that is still at work when its lease ends is given up: another takes its place and its
    delivery, and of the two the first to finish counts.
    """

    def __init__(
        self, bus: Bus, deliver: Callable[[Entry], Outcome | None], lease_s: Callable[[str], float], size: int
    ) -> None:
        self._bus = bus
        self._deliver = deliver
        self._lease_s = lease_s
        self._size = size
        self._holding: dict[threading.Thread, tuple[float, Entry]] = {}
        self._looks_at = inf  # when the leases are looked at next
        self._changed = threading.Condition()
        self._stopping = False
        self._workers: list[threading.Thread] = []
        self._watch = threading.Thread(target=self._watch_leases, name="leases", daemon=True)

    def start(self) -> None:
        """Start the threads."""
        self._bus.store.start_committer()
        for _ in range(self._size + 1):  # one may be at a commit for everybody
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
        self._bus.store.flush()
        return not any(worker.is_alive() for worker in workers)

    def _add_worker(self) -> None:
        worker = threading.Thread(target=self._work, name=f"worker-{len(self._workers) + 1}", daemon=True)
        self._workers.append(worker)
        worker.start()

    def _work(self) -> None:
        me = threading.current_thread()
        while (entry := self._bus.take()) is not None:
            self._hold(me, entry)
            again = self._outcome(entry)
            with self._changed:
                given_up = self._holding.pop(me, None) is None
            if given_up:  # another took over the delivery, and this thread's place
                self._bus.retire()
                return
            if again is not None:
                self._bus.announce([again])

    def _hold(self, worker: threading.Thread, entry: Entry) -> None:
        until = self._bus.now().timestamp() + self._lease_s(entry.agent)
        with self._changed:
            self._holding[worker] = (until, entry)
            if until < self._looks_at:
                self._looks_at = until
                self._changed.notify_all()

    def _outcome(self, entry: Entry) -> Entry | None:
        """The entry as it is due again, if it is."""
        try:
            outcome = self._deliver(entry)
        except Exception as error:  # noqa: BLE001 - whatever it is, the delivery is tried again
            self._bus.leave(entry.receipt)
            return self.later(entry, error)
        if outcome is None:
            return None
        self._bus.leave(entry.receipt)
        return None if outcome.due is None else entry.later(outcome.due.timestamp())

    def later(self, entry: Entry, error: BaseException) -> Entry:
        """The entry as it is tried again, since a port failed."""
        if isinstance(error, StoreError):
            log.error("%s: %s", entry.agent, error)
        else:
            log.error("%s: the delivery could not be recorded, and is tried again", entry.agent, exc_info=error)
        return entry.later(self._bus.now().timestamp() + BROKEN_PORT_DELAY_S)

    def _watch_leases(self) -> None:
        with self._changed:
            while not self._stopping:
                now = self._bus.now().timestamp()
                lost = [worker for worker, (until, _) in self._holding.items() if until < now]
                for worker in lost:
                    _, entry = self._holding.pop(worker)
                    self._workers.remove(worker)
                    self._add_worker()
                    self._bus.leave(entry.receipt)
                    self._bus.announce([entry.later(now)])
                    log.warning("%s is still at work past its time limit: given up, and tried again", entry.agent)
                self._looks_at = min((until for until, _ in self._holding.values()), default=inf)
                self._changed.wait(None if self._looks_at == inf else max(0.0, self._looks_at - now) + 0.01)
