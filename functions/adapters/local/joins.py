"""The parts of joins in the store: steps inside somebody's transaction."""

import sqlite3

from functions.events.envelope import Envelope, decode, encode
from functions.ports.state import Part


def gather(connection: sqlite3.Connection, part: Part) -> list[Envelope] | None:
    """Record a part; all of them where that completes the set or the join is closed already, else None."""
    if not _is_joined(connection, part):
        connection.execute(
            "INSERT OR IGNORE INTO part VALUES (?, ?, ?, ?, ?, ?)",
            (
                part.join,
                part.generation,
                part.index,
                part.envelope.tenant,
                part.envelope.request,
                encode(part.envelope) if part.total else b"",
            ),
        )
        if _arrived(connection, part) < part.total:
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


def _is_joined(connection: sqlite3.Connection, part: Part) -> bool:
    query = "SELECT 1 FROM joined WHERE joining = ? AND generation = ?"
    return connection.execute(query, (part.join, part.generation)).fetchone() is not None


def _arrived(connection: sqlite3.Connection, part: Part) -> int:
    """How many parts are there: counted without reading them, or n parts would be read n times."""
    query = "SELECT count(DISTINCT position) FROM part WHERE joining = ? AND generation <= ? AND length(envelope) > 0"
    return int(connection.execute(query, (part.join, part.generation)).fetchone()[0])
