"""How processes share one store: each works on the rows that it holds, and on those of a process that is gone."""

import json
import os
import sqlite3
from collections.abc import Callable, Iterable
from datetime import datetime

from functions.adapters.local.due import Entry
from functions.adapters.local.rows import Routes, rank
from functions.adapters.local.settling import start_next
from functions.adapters.local.store import Store


class Shares:
    """What one process has of a store, beside the others.

    Args:
        routes: Of this process; they learn here which plans the others carry.
    """

    def __init__(self, store: Store, routes: Routes, now: Callable[[], datetime]) -> None:
        self._store = store
        self._routes = routes
        self._now = now
        self._living: frozenset[str] = frozenset()  # so that the first look finds a change
        row = (store.member.id, os.getpid(), now().timestamp(), _list(routes.versions))
        store.write(lambda connection: connection.execute("INSERT INTO process VALUES (?, ?, ?, ?)", row))

    def changed(self) -> bool:
        """Whether another process wrote, came or went since this was asked the last time."""
        living = frozenset(self._store.member.living())
        before, self._living = self._living, living
        return self._store.changed_elsewhere() or living != before

    def take_over(self) -> tuple[list[Entry], int]:
        """Take the rows that no living process holds and no other one carries; start what may start now.

        Returns:
            The rows, and the highest number of a change of a request that is open: those after it are higher.
        """
        self._routes.elsewhere = self._carried_elsewhere()
        if not self._store.read(_LEFT, self._named()):
            return [], 0
        return self._store.write(self._take_over)

    def _named(self) -> dict[str, str]:
        routes = self._routes
        return {
            "me": routes.member,
            "living": _list(self._living),
            "mine": _list(routes.versions),
            "elsewhere": _list(routes.elsewhere),
        }

    def _carried_elsewhere(self) -> frozenset[str]:
        rows = self._store.read(_PLANS, {"me": self._routes.member, "living": _list(self._living)})
        return frozenset(version for (plans,) in rows for version in json.loads(plans))

    def _take_over(self, connection: sqlite3.Connection) -> tuple[list[Entry], int]:
        named, now = self._named(), self._now().timestamp()
        connection.execute(_END_LEASES, named)
        for holder, time in connection.execute(_CLOCKS, named).fetchall():
            if time > now:  # it was set back since, and what waits would wait until it is there again
                connection.execute("UPDATE queue SET due = due - ? WHERE holder = ?", (time - now, holder))
        connection.execute(_FORGET, named)
        newest = connection.execute(_NEWEST_CHANGE).fetchone()[0]
        taken = connection.execute(_TAKE, named).fetchall()
        entries = [Entry(due, rank(priority), receipt, agent) for due, priority, receipt, agent in taken]
        for tenant, conversation in connection.execute(_STARTABLE, named).fetchall():
            entries += start_next(connection, self._routes, tenant, conversation, now)
        return entries, newest


def _list(texts: Iterable[str]) -> str:
    """As one parameter that `json_each` takes apart."""
    return json.dumps(sorted(texts))


_IS_GONE = "NOT IN (SELECT value FROM json_each(:living))"
# A plan is for whoever carries it; one that nobody carries for anybody, to settle its requests with an error.
_OURS = (
    "(planversion IN (SELECT value FROM json_each(:mine))"
    " OR planversion NOT IN (SELECT value FROM json_each(:elsewhere)))"
)
_PLANS = "SELECT plans FROM process WHERE id != :me AND id IN (SELECT value FROM json_each(:living))"
_END_LEASES = f"UPDATE delivery SET lease_until = 0 WHERE finished IS NULL AND holder {_IS_GONE}"  # noqa: S608
_FORGET = f"DELETE FROM process WHERE id {_IS_GONE}"  # noqa: S608
_OPEN = "(tenant, request) IN (SELECT tenant, request FROM request WHERE status != 'settled')"
# The time by the clock of each process that is gone, when it was last seen.
_CLOCKS = f"""
SELECT holder, max(seen) FROM (
    SELECT holder, started AS seen FROM delivery WHERE {_OPEN} UNION ALL SELECT id, started FROM process
) WHERE holder != '' AND holder {_IS_GONE} GROUP BY holder
"""  # noqa: S608
_NEWEST_CHANGE = f"""
SELECT coalesce(max(changed), 0) FROM (
    SELECT changed FROM delivery WHERE {_OPEN} UNION ALL SELECT changed FROM written WHERE {_OPEN}
)
"""  # noqa: S608
_TAKE = f"UPDATE queue SET holder = :me WHERE holder {_IS_GONE} AND {_OURS} RETURNING due, priority, receipt, agent"  # noqa: S608
_STARTABLE = f"""
SELECT tenant, conversation FROM request AS first WHERE status = 'waiting' AND {_OURS} AND NOT EXISTS (
    SELECT 1 FROM request AS earlier WHERE earlier.tenant = first.tenant
    AND earlier.conversation = first.conversation AND earlier.status != 'settled' AND earlier.sequence < first.sequence)
"""  # noqa: S608
_LEFT = f"""
SELECT 1 FROM process WHERE id {_IS_GONE}
UNION ALL SELECT 1 FROM queue WHERE holder {_IS_GONE} AND {_OURS}
UNION ALL SELECT 1 FROM ({_STARTABLE}) LIMIT 1
"""  # noqa: S608
