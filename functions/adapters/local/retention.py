"""What is kept, and how long: 30 days for what was said, and for everything about a request that is settled.

A clock that is years ahead would take all of it at once. So where even the newest of it seems older than a year,
nothing is removed before something new is said.
"""

import logging
import sqlite3
from datetime import datetime, timedelta

from functions.adapters.local.blobs import LocalBlobs
from functions.adapters.local.store import Store, utc
from functions.ports.conversations import TTL_DAYS

# Everything that belongs to a request, by its columns `tenant` and `request`.
_OF_A_REQUEST = ("delivery", "part", "joined", "written", "dead_letter")


IDLE_DAYS = 365  # for longer than that, no store is taken to have lain idle: rather the clock is wrong

log = logging.getLogger("troupe.retention")


def sweep(store: Store, blobs: LocalBlobs, now: datetime) -> int:
    """Remove what is older than 30 days; how many rows that were. Requests that are not settled stay."""
    newest = newest_of(store)
    if newest is not None and newest < (now - timedelta(days=IDLE_DAYS)).timestamp():
        log.warning(
            "it is %s by the clock of this machine, and nothing was said since %s: see that the clock is right; "
            "nothing is removed before something new is said",
            now.date(),
            utc(newest).date(),
        )
        return 0
    oldest = now - timedelta(days=TTL_DAYS)
    removed = store.write(lambda connection: _sweep(connection, oldest.timestamp()))
    blobs.remove_older(oldest)
    return removed


def newest_of(store: Store) -> float | None:
    """When the last request was accepted or the last message said, in seconds since 1970; None where there is none."""
    ((newest,),) = store.read(
        "SELECT max(at) FROM (SELECT max(at) AS at FROM message UNION ALL"
        " SELECT accepted FROM request WHERE sequence = (SELECT max(sequence) FROM request))"
    )
    return None if newest is None else float(newest)


def _sweep(connection: sqlite3.Connection, oldest: float) -> int:
    removed = connection.execute("DELETE FROM message WHERE at < ?", (oldest,)).rowcount
    for table in _OF_A_REQUEST:
        removed += connection.execute(
            f"DELETE FROM {table} WHERE (tenant, request) IN"  # noqa: S608 - the names are those above
            " (SELECT tenant, request FROM request WHERE settled < ?)",
            (oldest,),
        ).rowcount
    # Letters of bytes that were no envelope belong to no request.
    removed += connection.execute("DELETE FROM dead_letter WHERE request = '' AND at < ?", (oldest,)).rowcount
    return removed + connection.execute("DELETE FROM request WHERE settled < ?", (oldest,)).rowcount
