"""How processes share one store: each works on the rows that it holds, and on those of a process that is gone."""

import json
import logging
import os
import sqlite3
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime

from functions.adapters.local.due import Entry
from functions.adapters.local.fair import Flow
from functions.adapters.local.rows import DEADLINE, Routes, postpone, rank
from functions.adapters.local.settling import start_next
from functions.adapters.local.store import Store
from functions.events.envelope import Envelope, decode
from functions.events.event import ScopeExpired
from functions.runtime.plans import Incompatible, frozen, revived
from functions.runtime.workflow import Plan

log = logging.getLogger("troupe.deploys")


class Shares:
    """What one process has of a store, beside the others.

    Args:
        routes: Of this process; they learn here which plans the others carry, and those that others left.
        count_from: Is told, inside the transaction, the highest number of a change that open requests have.
    """

    def __init__(
        self, store: Store, routes: Routes, now: Callable[[], datetime], count_from: Callable[[int], None]
    ) -> None:
        self._store = store
        self._routes = routes
        self._now = now
        self._count_from = count_from
        self._living: frozenset[str] = frozenset()  # so that the first look finds a change
        self._is_first = True
        self._known = set(routes.versions)
        store.write(self._join)

    def changed(self) -> bool:
        """Whether another process wrote, came or went since this was asked the last time."""
        living = frozenset(self._store.member.living())
        before, self._living = self._living, living
        return self._store.changed_elsewhere() or living != before

    def take_over(self) -> list[Entry]:
        """Take the rows that no living process holds and no other one carries; start what may start now.

        Rows that this process cannot deliver go to one that can.
        """
        self._learn()
        named = self._named(self._store.read)
        self._routes.elsewhere = frozenset(json.loads(named["elsewhere"]))
        if not self._store.read(_LEFT, named):
            return []
        return self._store.write(self._take_over)

    def is_shared(self) -> bool:
        """Whether another process is alive."""
        return len(self._store.member.living()) > 1

    def leave(self, in_work: Collection[int]) -> None:
        """Stop: where routes are leaving, every row is for the others but those with these receipts, in work here."""
        mine = _list(self._routes.versions)
        named = {"me": self._routes.member, "mine": mine, "now": self._now().timestamp(), "kept": _list(in_work)}

        def step(connection: sqlite3.Connection) -> None:
            connection.execute(_SEEN, named)
            if self._routes.leaving:
                connection.execute(_CARRY_NOTHING, named)
                connection.execute(_LEAVE, named)

        self._store.write(step)

    def _join(self, connection: sqlite3.Connection) -> None:
        """From now on the others know of this process, and those that come later of its plans."""
        now = self._now().timestamp()
        row = (self._routes.member, os.getpid(), now, _list(self._routes.versions))
        connection.execute("INSERT INTO process (id, pid, started, plans) VALUES (?, ?, ?, ?)", row)
        connection.executemany(
            "INSERT OR REPLACE INTO plan (version, workflow, seen, topology) VALUES (?, ?, ?, ?)",
            [(plan.version, name, now, frozen(plan)) for name, plan in self._routes.current.items()],
        )

    def _learn(self) -> None:
        """Revive the plans of other deployments that were recorded since this was done the last time."""
        for version, workflow, plan in learn_plans(self._store, self._routes, self._known):
            self._known.add(version)
            self._warn(workflow, version, plan)

    def _warn(self, workflow: str, version: str, plan: Plan | Incompatible) -> None:
        """Tell of what cannot be finished here, where anything is open that may come to it."""
        reasons = [gone.reason for gone in plan.gone.values()] if isinstance(plan, Plan) else plan.reasons
        if reasons and (count := self._store.read(_COUNT_OPEN, (version,))[0][0]):
            log.warning(
                "%d open requests of %s began under another deployment, and end with an error where they come to what "
                "changed: %s",
                count,
                workflow,
                "; ".join(reasons),
            )

    def _named(self, read: Callable[[str, dict[str, str]], Iterable[tuple[str]]]) -> dict[str, str]:
        """The parameters of the statements below: what this process and the others carry."""
        routes = self._routes
        named = {"me": routes.member, "living": _list(self._living), "mine": _list(routes.versions)}
        elsewhere = {version for (plans,) in read(_PLANS, named) for version in json.loads(plans)}
        return named | {
            "elsewhere": _list(elsewhere),
            "known": _list(routes.plans),
            "beyond": _list(f"{version} {agent}" for version, agent in routes.beyond),
        }

    def _take_over(self, connection: sqlite3.Connection) -> list[Entry]:
        # Who lives is asked again, inside the transaction: a process that came since then may hold rows already,
        # and while this one writes none can come to any.
        self._living = frozenset(self._store.member.living())
        named, now = self._named(connection.execute), self._now().timestamp()
        if self._is_first or connection.execute(_GONE, named).fetchone():
            connection.execute(_END_LEASES, named)
            for holder, time in connection.execute(_CLOCKS, named).fetchall():
                if time > now:  # it was set back since, and what waits would wait until it is there again
                    connection.execute("UPDATE queue SET due = due - ? WHERE holder = ?", (time - now, holder))
            connection.execute(_FORGET, named)
            self._is_first = False
        for receipt, raw, agent in connection.execute(_HAND_BACK, named).fetchall():
            self._forget_attempts(connection, receipt, decode(raw), agent)
        taken = connection.execute(_TAKE, named).fetchall()
        entries = sorted(_entry(*row) for row in taken)  # by when they are due, as they would have been taken
        for tenant, conversation in connection.execute(_STARTABLE, named).fetchall():
            entries += start_next(connection, self._routes, tenant, conversation, now)
        self._count_from(connection.execute(_LAST_CHANGE).fetchone()[0] or 0)
        return entries

    def _forget_attempts(self, connection: sqlite3.Connection, receipt: int, envelope: Envelope, agent: str) -> None:
        """Those of this process, which could not deliver it: whoever can need not wait for the next one."""
        connection.execute(
            "DELETE FROM delivery WHERE tenant = ? AND request = ? AND agent = ? AND holder = ? AND finished IS NULL",
            (envelope.tenant, envelope.request, agent, self._routes.member),
        )
        if agent != DEADLINE and envelope.name != ScopeExpired.__name__:  # timers come in their time
            postpone(connection, receipt, self._now().timestamp())


def _entry(due: float, priority: str, receipt: int, agent: str, *flow: object) -> Entry:
    return Entry(due, rank(priority), receipt, agent, flow=Flow(*map(str, flow)))


def learn_plans(store: Store, routes: Routes, known: Collection[str]) -> Sequence[tuple[str, str, Plan | Incompatible]]:
    """Add the recorded plans that requests can finish under to the routes: all but these versions; what was found.

    Returns:
        The version, the workflow and the revived plan of each, those that no request can finish under among them.
    """
    rows = store.read(
        "SELECT version, workflow, topology FROM plan WHERE version NOT IN (SELECT value FROM json_each(?))",
        (_list(known),),
    )
    found = [(version, workflow, revived(topology, routes.current)) for version, workflow, topology in rows]
    routes.plans.update({version: plan for version, _, plan in found if isinstance(plan, Plan)})
    return found


def at_work(store: Store) -> list[int]:
    """The process ids of those that deliver what is in a store."""
    living = store.member.living()
    return [living[member] for (member,) in store.read("SELECT id FROM process") if member in living]


def _list(values: Iterable[str] | Iterable[int]) -> str:
    """As one parameter that `json_each` takes apart."""
    return json.dumps(list(values))


def _is_in(name: str) -> str:
    return f"IN (SELECT value FROM json_each(:{name}))"  # noqa: S608 - the names are those below


_IS_GONE = f"NOT {_is_in('living')}"
# A plan is for whoever has it as a current one; one that nobody has for anybody, who finishes its requests with the
# agents of today, or settles them with an error.
_OURS = f"(planversion {_is_in('mine')} OR planversion NOT {_is_in('elsewhere')})"
_BETTER_OFF = (
    f"holder = :me AND planversion {_is_in('elsewhere')} AND planversion NOT {_is_in('mine')}"
    f" AND (planversion NOT {_is_in('known')} OR planversion || ' ' || agent {_is_in('beyond')})"
)
_COUNT_OPEN = "SELECT count(*) FROM request WHERE status != 'settled' AND planversion = ?"
_PLANS = f"SELECT plans FROM process WHERE id != :me AND id {_is_in('living')}"  # noqa: S608
_GONE = f"SELECT 1 FROM process WHERE id {_IS_GONE}"  # noqa: S608
_END_LEASES = f"UPDATE delivery SET lease_until = 0 WHERE finished IS NULL AND holder {_IS_GONE}"  # noqa: S608
_FORGET = f"DELETE FROM process WHERE id {_IS_GONE}"  # noqa: S608
_OPEN = "(tenant, request) IN (SELECT tenant, request FROM request WHERE status != 'settled')"
# The time by the clock of each process that is gone, when it was last seen.
_CLOCKS = f"""
SELECT holder, max(seen) FROM (
    SELECT holder, started AS seen FROM delivery WHERE {_OPEN} UNION ALL SELECT id, started FROM process
) WHERE holder != '' AND holder {_IS_GONE} GROUP BY holder
"""  # noqa: S608
# Whose a row is stands in its envelope; one that is no envelope is nobody's.
_TEXT = "CASE WHEN json_valid(CAST(envelope AS TEXT)) THEN CAST(envelope AS TEXT) ELSE '{}' END"
_HAND_BACK = f"UPDATE queue SET holder = '' WHERE {_BETTER_OFF} RETURNING receipt, envelope, agent"  # noqa: S608
_TAKE = f"""
UPDATE queue SET holder = :me WHERE holder {_IS_GONE} AND {_OURS} RETURNING due, priority, receipt, agent,
    coalesce(json_extract({_TEXT}, '$.tenant'), 'default'), coalesce(json_extract({_TEXT}, '$.conversation'), '')
"""  # noqa: S608
_CARRY_NOTHING = "UPDATE process SET plans = '[]' WHERE id = :me"
_SEEN = f"UPDATE plan SET seen = :now WHERE version {_is_in('mine')}"  # noqa: S608
_LEAVE = f"UPDATE queue SET holder = '' WHERE holder = :me AND receipt NOT {_is_in('kept')}"  # noqa: S608
_STARTABLE = f"""
SELECT tenant, conversation FROM request AS first WHERE status = 'waiting' AND {_OURS} AND NOT EXISTS (
    SELECT 1 FROM request AS earlier WHERE earlier.tenant = first.tenant
    AND earlier.conversation = first.conversation AND earlier.status != 'settled' AND earlier.sequence < first.sequence)
"""  # noqa: S608
_LEFT = f"""
{_GONE}
UNION ALL SELECT 1 FROM queue WHERE holder {_IS_GONE} AND {_OURS}
UNION ALL SELECT 1 FROM queue WHERE {_BETTER_OFF}
UNION ALL SELECT 1 FROM ({_STARTABLE}) LIMIT 1
"""  # noqa: S608
_OF_OPEN = "WHERE (tenant, request) IN (SELECT tenant, request FROM request WHERE status != 'settled')"
_LAST_CHANGE = f"""
SELECT max(changed) FROM
    (SELECT changed FROM delivery {_OF_OPEN} UNION ALL SELECT changed FROM written {_OF_OPEN})
"""  # noqa: S608
