"""What is kept, and how long: 30 days for what was said, and for everything about a request that is settled."""

import sqlite3
from datetime import datetime, timedelta

from functions.adapters.local.blobs import LocalBlobs
from functions.adapters.local.store import Store
from functions.ports.conversations import TTL_DAYS

# Everything that belongs to a request, by its columns `tenant` and `request`.
_OF_A_REQUEST = ("delivery", "part", "joined", "awaited", "written", "dead_letter")
# A request that was redriven is kept as long as the last of those that carry on: they count on its parts.
_SETTLED_BEFORE = """FROM request WHERE settled < :oldest AND NOT EXISTS (
    SELECT 1 FROM request AS later WHERE later.tenant = request.tenant AND later.origin = request.request
    AND later.origin != '' AND ifnull(later.settled >= :oldest, 1))"""


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
            f" (SELECT tenant, request {_SETTLED_BEFORE})",
            {"oldest": oldest},
        ).rowcount
    # Letters of bytes that were no envelope belong to no request.
    removed += connection.execute("DELETE FROM dead_letter WHERE request = '' AND at < ?", (oldest,)).rowcount
    return removed + connection.execute(f"DELETE {_SETTLED_BEFORE}", {"oldest": oldest}).rowcount
