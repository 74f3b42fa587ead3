"""How redriven events get into the queue: steps inside somebody's transaction."""

import sqlite3
from datetime import datetime

from functions.adapters.local.due import Entry
from functions.adapters.local.rows import Routes, enqueue, set_timer
from functions.events.envelope import Envelope
from functions.runtime.redrive import Redriven, candidate, leading, redriven


def publish(connection: sqlite3.Connection, routes: Routes, wanted: Redriven) -> list[Entry]:
    """Add the row of a redriven event and those of its timers; let every join around it await it."""
    envelope = wanted.envelope
    connection.executemany(
        "INSERT OR IGNORE INTO awaited VALUES (?, ?, ?, ?, ?)",
        [(join, envelope.generation, index, envelope.tenant, envelope.request) for join, index, _ in wanted.awaited],
    )
    entries = enqueue(connection, routes, envelope, envelope.time.timestamp())
    for timer in wanted.timers:
        entries += set_timer(connection, routes, timer)
    return entries


def begin(connection: sqlite3.Connection, routes: Routes, first: Envelope, now: datetime) -> list[Entry]:
    """Start a request that redrives letters of an earlier one, now that it is its turn.

    Raises:
        NotRedrivableError: One of them cannot be redriven here any more; nothing was written.
    """
    rows = connection.execute(
        "SELECT key, agent, event FROM dead_letter WHERE tenant = ? AND redriven_as = ? AND generation > 0",
        (first.tenant, first.request),
    ).fetchall()
    letters = [candidate(key, agent, event, routes.plan) for key, agent, event in rows]
    entries = []
    for letter in leading(letters) if letters else ():
        wanted = redriven(letter, request=first.request, generation=first.generation, deadline=first.deadline, now=now)
        entries += publish(connection, routes, wanted)
    return entries
