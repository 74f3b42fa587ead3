"""What is kept, and how long: 30 days for what was said, and for everything about a request that is settled."""

import sqlite3
from datetime import datetime, timedelta

from functions.adapters.local.blobs import LocalBlobs
from functions.adapters.local.store import Store
from functions.ports.conversations import TTL_DAYS

# Everything that belongs to a request, by its columns `tenant` and `request`.
_OF_A_REQUEST = ("delivery", "part", "joined", "written", "dead_letter")


def sweep(store: Store, blobs: LocalBlobs, now: datetime) -> int:
    """Remove what is older than 30 days; how many rows that were. Requests that are not settled stay."""
    oldest = now - timedelta(days=TTL_DAYS)
    removed = store.write(lambda connection: _sweep(connection, oldest.timestamp()))
    blobs.remove_older(oldest)
    return removed


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
    removed += connection.execute(_FORGET_PLANS, (oldest,)).rowcount
    return removed + connection.execute("DELETE FROM request WHERE settled < ?", (oldest,)).rowcount


# A plan that a process has, or that an open request began under, is kept however old it is.
_FORGET_PLANS = """
DELETE FROM plan WHERE seen < ? AND version NOT IN
    (SELECT planversion FROM request WHERE status != 'settled'
    UNION SELECT value FROM process, json_each(process.plans))
"""
