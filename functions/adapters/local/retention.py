"""What is kept, and how long: 30 days for what was said, and for everything about a request that is settled.

It is removed in passes, each a write of a few milliseconds, so that deliveries go on between them. A clock that is
years ahead would take all of it at once: where even the newest of it seems older than a year, nothing is removed before
something new is said.
"""

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial

from functions.adapters.local.blobs import LocalBlobs
from functions.adapters.local.places import OF_A_REQUEST
from functions.adapters.local.store import Store, utc
from functions.adapters.local.vault import LocalVault
from functions.ports.conversations import TTL_DAYS

EVERY_S = 3600.0
ROWS = 500  # that a pass removes, and no more of any table
IDLE_DAYS = 365  # for longer than that, no store is taken to have lain idle: rather the clock is wrong
BLOB_DAYS = TTL_DAYS + 1  # a blob is older than the rows that name it, and none of them outlives it
PACE_MINUTES = 10  # of which only the last one is looked at

log = logging.getLogger("troupe.retention")

_WHOSE = "tenant = :tenant AND request = :request"
# What goes by its own age, with its key. A dead letter waits for its request, where it has one.
_HAS_REQUEST = (
    "SELECT 1 FROM request WHERE request.tenant = dead_letter.tenant AND request.request = dead_letter.request"
)
_BY_AGE = {
    "message": ("sequence", "at < :oldest"),
    "dead_letter": ("key", f"at < :oldest AND NOT EXISTS ({_HAS_REQUEST})"),
    "pace": ("tenant, conversation", "minute < :minute"),
}
# None is settled before it is accepted, so what comes later in the table is too young as well. A request that was
# redriven is kept as long as the last of those that carry on: they count on its parts.
_ACCEPTED = """
SELECT sequence, tenant, request, settled < :oldest AND NOT EXISTS (
    SELECT 1 FROM request AS later WHERE later.tenant = request.tenant AND later.origin = request.request
    AND later.origin != '' AND ifnull(later.settled >= :oldest, 1))
FROM request WHERE sequence > :sequence AND accepted < :oldest ORDER BY sequence LIMIT 100
"""
# A plan that a process has, or that an open request began under, is kept however old it is.
_FORGET_PLANS = """
DELETE FROM plan WHERE seen < ? AND version NOT IN
    (SELECT planversion FROM request WHERE status != 'settled'
    UNION SELECT value FROM process, json_each(process.plans))
"""


class Sweeper:
    """A thread that sweeps at its start, and every hour from then on.

    Args:
        expiring: What else removes, when it is called, what has expired of its own.
    """

    def __init__(
        self,
        store: Store,
        blobs: LocalBlobs,
        now: Callable[[], datetime],
        every_s: float = EVERY_S,
        expiring: Sequence[Callable[[], object]] = (),
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._now = now
        self._every_s = every_s
        self._expiring = expiring
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="retention", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End it after the pass that it is at."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                for _ in passes(self._store, self._blobs, self._now()):
                    if self._stopping.is_set():
                        return
            except Exception:
                log.exception("what is older than %d days could not be removed, which is tried again", TTL_DAYS)
            self._expire()
            self._stopping.wait(self._every_s)

    def _expire(self) -> None:
        for expire in self._expiring:
            if self._stopping.is_set():
                return
            try:
                expire()
            except Exception:
                log.exception("what has expired could not be removed, which is tried again")


def sweep(store: Store, blobs: LocalBlobs, now: datetime) -> int:
    """Remove what is older than 30 days; how many rows that were. Requests that are not settled stay."""
    return sum(passes(store, blobs, now))


def passes(store: Store, blobs: LocalBlobs, now: datetime) -> Iterator[int]:
    """The same in steps: how many rows each pass removed."""
    if _is_far_ahead(store, now):
        return
    oldest = (now - timedelta(days=TTL_DAYS)).timestamp()
    for requests in _settled(store, oldest):
        yield from _removed(store, requests)
    named = {"oldest": oldest, "minute": int(now.timestamp() // 60) - PACE_MINUTES}
    for table, (key, condition) in _BY_AGE.items():
        delete = _deleting(table, key, condition, named)
        while removed := store.write(delete):
            yield removed
    yield LocalVault(store).expire(now)
    yield store.write(lambda connection: connection.execute(_FORGET_PLANS, (oldest,)).rowcount)
    blobs.remove_older(now - timedelta(days=BLOB_DAYS))


def _settled(store: Store, oldest: float) -> Iterator[list[dict[str, str]]]:
    sequence = 0
    while rows := store.read(_ACCEPTED, {"sequence": sequence, "oldest": oldest}):
        sequence = rows[-1][0]
        yield [{"tenant": tenant, "request": request} for _, tenant, request, is_over in rows if is_over]


def _removed(store: Store, requests: Sequence[Mapping[str, str]]) -> Iterator[int]:
    while requests:
        removed, ended = store.write(partial(_remove, requests=requests))
        yield removed
        requests = requests[ended:]


def _remove(connection: sqlite3.Connection, requests: Sequence[Mapping[str, str]]) -> tuple[int, int]:
    """Remove as many requests as one pass may; how many rows that were, and how many requests are gone."""
    removed = 0
    for ended, whose in enumerate(requests):
        if removed >= ROWS:
            return removed, ended
        counts = [_deleting(table, key, _WHOSE, whose)(connection) for table, key in OF_A_REQUEST.items()]
        removed += sum(counts)
        if ROWS in counts:  # there is more of it
            return removed, ended
        removed += _deleting("request", "sequence", _WHOSE, whose)(connection)
    return removed, len(requests)


def _deleting(table: str, key: str, condition: str, named: Mapping[str, object]) -> Callable[[sqlite3.Connection], int]:
    delete = (
        f"DELETE FROM {table} WHERE {condition}"  # noqa: S608 - the names are those above
        f" AND ({key}) IN (SELECT {key} FROM {table} WHERE {condition} LIMIT {ROWS})"
    )
    return lambda connection: connection.execute(delete, named).rowcount


def _is_far_ahead(store: Store, now: datetime) -> bool:
    newest = newest_of(store)
    if newest is None or newest >= (now - timedelta(days=IDLE_DAYS)).timestamp():
        return False
    log.warning(
        "it is %s by the clock of this machine, and nothing was said since %s: see that the clock is right; "
        "nothing is removed before something new is said",
        now.date(),
        utc(newest).date(),
    )
    return True


def newest_of(store: Store) -> float | None:
    """When the last request was accepted or the last message said, in seconds since 1970; None where there is none."""
    ((newest,),) = store.read(
        "SELECT max(at) FROM (SELECT max(at) AS at FROM message UNION ALL"
        " SELECT accepted FROM request WHERE sequence = (SELECT max(sequence) FROM request))"
    )
    return None if newest is None else float(newest)
