"""The rows of the queue: who an event goes to, in which process; steps inside somebody's transaction."""

import sqlite3
from collections.abc import Iterable, Sequence

import msgspec

from functions.adapters.local.due import Entry
from functions.adapters.local.fair import Flow
from functions.events.envelope import RUNTIME, Envelope, MalformedEnvelopeError, decode, digest, encode
from functions.events.event import PRIORITIES
from functions.ports.state import Timer
from functions.runtime.outputs import fork_timer
from functions.runtime.workflow import Plan, Route

DEADLINE = RUNTIME  # who the row of a request's deadline is for


class Routes:
    """Which agents an event goes to, by workflow and event, as the plans say, and in which process.

    Args:
        plans: The current ones of this process.
        member: This process among those that share the store; empty where it delivers nothing itself.

    Attributes:
        current: The plans that this process begins requests with, by the workflow's name.
        versions: Of the current plans.
        plans: Those and the ones of other deployments that it can finish requests under, by version.
        elsewhere: The versions of the current plans of other processes.
        leaving: Whether what is published from now on is for the others.
    """

    def __init__(self, plans: Iterable[Plan], member: str = "") -> None:
        self.current = {plan.workflow.name: plan for plan in plans}
        self.plans = {plan.version: plan for plan in self.current.values()}
        self.versions = frozenset(self.plans)
        self.member = member
        self.elsewhere: frozenset[str] = frozenset()
        self.leaving = False

    @property
    def beyond(self) -> list[tuple[str, str]]:
        """Versions and agents of other deployments that this one cannot stand in for."""
        return [(version, agent) for version, plan in self.plans.items() for agent in plan.gone]

    def holder(self, envelope: Envelope, agent: str) -> str:
        """Who the row of this agent is for; empty for another process, which carries its plan."""
        plan = self.plans.get(envelope.planversion)
        is_better_off = (plan is None or agent in plan.gone) and envelope.planversion in self.elsewhere
        return "" if is_better_off or self.leaving else self.member

    def agents(self, envelope: Envelope) -> list[str]:
        """The agents that this envelope goes to; the one it is meant for, where it names one."""
        if envelope.target:
            return [envelope.target]
        return [
            route.agent
            for route in self._routes(envelope)
            if not route.where or route.where.accepts(priority=envelope.priority, tenant=envelope.tenant)
        ]

    def entry_timers(self, envelope: Envelope) -> list[Timer]:
        """The timer of the fork that a request's first event opens, where it opens one."""
        plan = self.plan(envelope)
        return [fork_timer(plan, envelope)] if plan and envelope.name in plan.forks else []

    def plan(self, envelope: Envelope) -> Plan | None:
        """The plan that this envelope was made under, if it is known here."""
        return self.plans.get(envelope.planversion)

    def _routes(self, envelope: Envelope) -> Sequence[Route]:
        plan = self.plan(envelope)
        return plan.routes.get(envelope.name, ()) if plan else ()


def enqueue(connection: sqlite3.Connection, routes: Routes, envelope: Envelope, due: float) -> list[Entry]:
    """Add a row for each agent that the envelope goes to; one that is there already stays as it is."""
    raw = encode(envelope)
    added = [add_row(connection, routes, envelope, agent, due, raw) for agent in routes.agents(envelope)]
    return [entry for entry in added if entry is not None]


def add_row(  # noqa: PLR0913, PLR0917 - each is a column, or decides one
    connection: sqlite3.Connection, routes: Routes, envelope: Envelope, agent: str, due: float, raw: bytes
) -> Entry | None:
    """Add the row of one agent; None where it is there already, or is not for this process."""
    holder = routes.holder(envelope, agent)
    row = (envelope.id, envelope.generation, agent, envelope.priority, due, raw, envelope.planversion, holder)
    receipt = _insert(connection, row)
    if receipt is None and _is_of_another(connection, envelope, agent):
        receipt = _insert(connection, (digest(envelope.tenant, envelope.request, envelope.id), *row[1:]))
    if receipt is None or not holder:
        return None
    return Entry(due, rank(envelope.priority), receipt, agent, raw=raw, flow=flow_of(envelope))


def _insert(connection: sqlite3.Connection, row: tuple[object, ...]) -> int | None:
    cursor = connection.execute(
        "INSERT OR IGNORE INTO queue (envelope_id, generation, agent, priority, due, envelope, planversion, holder)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        row,
    )
    return cursor.lastrowid if cursor.rowcount else None


def _is_of_another(connection: sqlite3.Connection, envelope: Envelope, agent: str) -> bool:
    """Whether the row that has this id is of another request: somebody made an id that is no hash."""
    (raw,) = connection.execute(
        "SELECT envelope FROM queue WHERE envelope_id = ? AND generation = ? AND agent = ?",
        (envelope.id, envelope.generation, agent),
    ).fetchone()
    try:
        there = decode(raw)
    except MalformedEnvelopeError:  # bytes under an id that somebody worked out
        return True
    return (there.tenant, there.request) != (envelope.tenant, envelope.request)


def set_timer(connection: sqlite3.Connection, routes: Routes, timer: Timer) -> list[Entry]:
    """Add the rows of an event that comes later, unless it is cancelled meanwhile: then its row is gone."""
    due = timer.due.timestamp()
    return [entry.later(due) for entry in enqueue(connection, routes, timer.envelope, due)]


def set_deadline(connection: sqlite3.Connection, routes: Routes, envelope: Envelope) -> list[Entry]:
    """Add the row that ends a request at its deadline, for whoever takes it to settle."""
    due, raw = envelope.deadline.timestamp(), encode(envelope)
    row = msgspec.structs.replace(envelope, id=_deadline_id(envelope.id), priority=PRIORITIES[0])
    entry = add_row(connection, routes, row, DEADLINE, due, raw)
    return [entry.later(due)] if entry else []


def drop_deadline(connection: sqlite3.Connection, envelope_id: str) -> None:
    """Remove that row: the request is settled."""
    connection.execute("DELETE FROM queue WHERE envelope_id = ?", (_deadline_id(envelope_id),))


def _deadline_id(envelope_id: str) -> str:
    return digest(envelope_id, "deadline")


def postpone(connection: sqlite3.Connection, receipt: int, due: float) -> None:
    """Let the row wait until it is due again."""
    connection.execute("UPDATE queue SET due = ? WHERE receipt = ?", (due, receipt))


def remove(connection: sqlite3.Connection, receipt: int) -> None:
    """Acknowledge: the row is done with."""
    connection.execute("DELETE FROM queue WHERE receipt = ?", (receipt,))


def flow_of(envelope: Envelope) -> Flow:
    """Whose turns an event takes."""
    return Flow(envelope.tenant, envelope.conversation)


def is_queued(connection: sqlite3.Connection, receipt: int) -> bool:
    """Whether the row is there."""
    return connection.execute("SELECT 1 FROM queue WHERE receipt = ?", (receipt,)).fetchone() is not None


def holds(connection: sqlite3.Connection, routes: Routes, receipt: int) -> bool:
    """Whether the row is there, and for this process."""
    query = "SELECT 1 FROM queue WHERE receipt = ? AND holder = ?"
    return connection.execute(query, (receipt, routes.member)).fetchone() is not None


def rank(priority: str) -> int:
    """The place of a priority; of one that does not exist, that of the normal one: its delivery will say so."""
    return PRIORITIES.index(priority if priority in PRIORITIES else "normal")
