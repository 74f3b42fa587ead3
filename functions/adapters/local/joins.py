"""The parts of joins in the store: steps inside somebody's transaction."""

import sqlite3

from functions.events.envelope import Envelope, decode, encode
from functions.ports.state import Part


def gather(connection: sqlite3.Connection, part: Part) -> list[Envelope] | None:
    """Record a part; all of them where that completes the set or the join is closed already, else None."""
    connection.execute(
        "INSERT OR IGNORE INTO part SELECT ?, ?, ?, ?, ?, ?"
        " WHERE NOT EXISTS (SELECT 1 FROM joined WHERE joining = ? AND generation = ?)",
        (
            part.join,
            part.generation,
            part.index,
            part.envelope.tenant,
            part.envelope.request,
            encode(part.envelope) if part.total else b"",
            part.join,
            part.generation,
        ),
    )
    joined, arrived = _standing(connection, part)
    if not joined:
        if arrived < part.total:
            return None
        mark_joined(connection, part)
    return parts(connection, part)


def mark_joined(connection: sqlite3.Connection, part: Part) -> None:
    """Close a join; one that is closed stays so."""
    connection.execute(
        "INSERT OR IGNORE INTO joined VALUES (?, ?, ?, ?)",
        (part.join, part.generation, part.envelope.tenant, part.envelope.request),
    )


def parts(connection: sqlite3.Connection, part: Part) -> list[Envelope]:
    """The newest of each index, up to this generation."""
    rows = connection.execute(
        "SELECT position, envelope FROM part WHERE joining = ? AND generation <= ? ORDER BY generation",
        (part.join, part.generation),
    ).fetchall()
    newest = dict(rows)
    return [decode(raw) for raw in newest.values() if raw]


def _standing(connection: sqlite3.Connection, part: Part) -> tuple[int, int]:
    """Whether it is closed, and how many parts are there: counted without reading them, or n would be read n times."""
    joined, arrived = connection.execute(
        "SELECT EXISTS (SELECT 1 FROM joined WHERE joining = ?1 AND generation = ?2),"
        " (SELECT count(DISTINCT position) FROM part"
        " WHERE joining = ?1 AND generation <= ?2 AND length(envelope) > 0)",
        (part.join, part.generation),
    ).fetchone()
    return joined, arrived
