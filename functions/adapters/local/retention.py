"""What is kept, and how long: 30 days for what was said, and for everything about a request that is settled."""

import sqlite3
from datetime import datetime, timedelta

from functions.adapters.local.blobs import LocalBlobs
from functions.adapters.local.places import OF_A_REQUEST
from functions.adapters.local.store import Store
from functions.ports.conversations import TTL_DAYS


def sweep(store: Store, blobs: LocalBlobs, now: datetime) -> int:
    """Remove what is older than 30 days; how many rows that were. Requests that are not settled stay."""
    oldest = now - timedelta(days=TTL_DAYS)
    removed = store.write(lambda connection: _sweep(connection, oldest.timestamp()))
    blobs.remove_older(oldest)
    return removed


def _sweep(connection: sqlite3.Connection, oldest: float) -> int:
    removed = connection.execute("DELETE FROM message WHERE at < ?", (oldest,)).rowcount
    for table in OF_A_REQUEST:
        removed += connection.execute(
            f"DELETE FROM {table} WHERE (tenant, request) IN"  # noqa: S608 - of the table of places
            " (SELECT tenant, request FROM request WHERE settled < ?)",
            (oldest,),
        ).rowcount
    # Letters of bytes that were no envelope belong to no request.
    removed += connection.execute("DELETE FROM dead_letter WHERE request = '' AND at < ?", (oldest,)).rowcount
    return removed + connection.execute("DELETE FROM request WHERE settled < ?", (oldest,)).rowcount
