"""How requests begin and end in the store: steps inside somebody's transaction, on the path of every delivery."""

import sqlite3
from collections.abc import Callable

from functions.adapters.local.due import Entry
from functions.adapters.local.redriving import begin
from functions.adapters.local.rows import Routes, drop_deadline, enqueue, is_queued, remove, set_timer
from functions.adapters.local.stops import found_in
from functions.adapters.local.store import utc
from functions.events.envelope import Envelope, decode, digest, encode
from functions.ports.state import DeadLetter, Standing, Task
from functions.ports.stops import keys
from functions.runtime.outputs import begun, ended
from functions.runtime.redrive import NotRedrivableError


def settle(connection: sqlite3.Connection, routes: Routes, envelope: Envelope, now: float) -> list[Entry]:
    """End a request with this envelope, unless it has ended; then start the next one of its conversation."""
    settled = connection.execute(
        "UPDATE request SET status = 'settled', settled = ?, settlement = ?"
        " WHERE tenant = ? AND request = ? AND status != 'settled' RETURNING conversation",
        (now, encode(envelope), envelope.tenant, envelope.request),
    ).fetchone()
    if not settled:
        return []
    drop_deadline(connection, digest(envelope.tenant, settled[0], envelope.request))
    return start_next(connection, routes, envelope.tenant, settled[0], now)


def count_event(connection: sqlite3.Connection, envelope: Envelope, now: float) -> int:
    """Count a delivery that begins; how many of its conversation began in this minute."""
    row = connection.execute(
        "INSERT INTO pace (tenant, conversation, minute, events) VALUES (?, ?, ?, 1)"
        " ON CONFLICT (tenant, conversation) DO UPDATE SET"
        " events = CASE minute WHEN excluded.minute THEN events + 1 ELSE 1 END, minute = excluded.minute"
        " RETURNING events",
        (envelope.tenant, envelope.conversation, int(now // 60)),
    ).fetchone()
    return int(row[0])


def standing(connection: sqlite3.Connection, envelope: Envelope, events: int) -> Standing:
    """How the request of an envelope stands; a request that nobody accepted here stands as new."""
    tenant, conversation, workflow = envelope.tenant, envelope.conversation, envelope.workflow
    is_stopped, status, tokens, micros = connection.execute(
        "SELECT EXISTS (SELECT 1 FROM stopped WHERE scope IN (?, ?, ?)), status, tokens, micros"
        " FROM (SELECT 1) LEFT JOIN request ON tenant = ? AND request = ?",
        (*keys(tenant, conversation, workflow), tenant, envelope.request),
    ).fetchone()
    return Standing(
        settled=status == "settled",
        stopped=str(found_in(connection, tenant, conversation, workflow)) if is_stopped else "",
        tokens=tokens or 0,
        micros=micros or 0,
        events=events,
    )


def keep(connection: sqlite3.Connection, letter: DeadLetter) -> None:
    """Add a dead letter; one that is there already stays as it is."""
    connection.execute(
        "INSERT OR IGNORE INTO dead_letter"
        " (key, agent, reason, error, trace, attempt, age_s, at, tenant, conversation, request, event)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            letter.key,
            letter.agent,
            letter.reason,
            letter.error,
            letter.trace,
            letter.attempt,
            letter.age_s,
            letter.at.timestamp(),
            letter.tenant,
            letter.conversation,
            letter.request,
            letter.event,
        ),
    )


def park(connection: sqlite3.Connection, letter: DeadLetter, receipt: int) -> None:
    """Keep a dead letter in the place of the row that it came from; without the row, somebody did or erased it."""
    if is_queued(connection, receipt):
        keep(connection, letter)
        remove(connection, receipt)


def mark_done(connection: sqlite3.Connection, task: Task, now: float, error: str, change: int) -> bool:
    """End a delivery, with an error where there is one; whether it had not ended before."""
    updated = connection.execute(
        "UPDATE delivery SET finished = ?, lease_until = 0, changed = ?,"
        " error = CASE WHEN ? = '' THEN error ELSE ? END"
        " WHERE tenant = ? AND request = ? AND key = ? AND finished IS NULL",
        (now, change, error, error, *row_key(task)),
    )
    return updated.rowcount == 1


def row_key(task: Task) -> tuple[str, str, str]:
    """The primary key of a delivery: those of one request stand beside each other."""
    return task.envelope.tenant, task.envelope.request, task.key


def start_next(  # noqa: PLR0913 - whose conversation it is, and what its first event is published with
    connection: sqlite3.Connection,
    routes: Routes,
    tenant: str,
    conversation: str,
    now: float,
    *,
    publish: Callable[[Envelope], None] | None = None,
) -> list[Entry]:
    """Start the oldest open request of a conversation, if it is not running already.

    `publish` is given its first event, where that may be begun in the same write.
    """
    row = connection.execute(
        "SELECT sequence, status, envelope FROM request"
        " WHERE tenant = ? AND conversation = ? AND status != 'settled' ORDER BY sequence LIMIT 1",
        (tenant, conversation),
    ).fetchone()
    if row is None or row[1] != "waiting":
        return []
    first = decode(row[2])
    if first.planversion not in routes.versions and _is_carried(connection, routes, first):  # that process begins it
        return []
    first = begun(first, routes.current.get(first.workflow), utc(now))
    connection.execute(
        "UPDATE request SET status = 'running', planversion = ? WHERE sequence = ?", (first.planversion, row[0])
    )
    if not routes.agents(first):  # it was accepted under a plan that is no longer there
        reason = "it began under an older deployment, which is not carried here: ask again"
        return settle(connection, routes, ended(first, reason, utc(now)), now)
    if first.generation:
        try:
            return begin(connection, routes, first, utc(now))
        except NotRedrivableError as error:  # a deploy came between
            return settle(connection, routes, ended(first, str(error), utc(now)), now)
    entries: list[Entry] = []
    if publish is None:
        entries += enqueue(connection, routes, first, now)
    else:
        publish(first)
    for timer in routes.entry_timers(first):
        entries += set_timer(connection, routes, timer)
    return entries


def _is_carried(connection: sqlite3.Connection, routes: Routes, first: Envelope) -> bool:
    """Whether another process has its plan as a current one; of one that is gone, whoever forgets it begins it."""
    row = connection.execute(
        "SELECT 1 FROM process, json_each(process.plans) WHERE process.id != ? AND json_each.value = ?",
        (routes.member, first.planversion),
    ).fetchone()
    return row is not None
