"""The parts of joins in the store, and what redrives await: steps inside somebody's transaction."""

import sqlite3

from functions.events.envelope import Envelope, decode, encode, unpack
from functions.ports.state import Gathered, Part


def gather(connection: sqlite3.Connection, part: Part) -> Gathered | None:
    """See `State.gather`."""
    connection.execute(
        _RECORD,
        {
            "join": part.join,
            "generation": part.generation,
            "position": part.index,
            "tenant": part.envelope.tenant,
            "request": part.envelope.request,
            "envelope": encode(part.envelope) if part.total else b"",
        },
    )
    newest, closed, closed_before, awaited, arrived = _standing(connection, part)
    if not closed:
        if awaited and _is_awaiting(connection, part):
            return None
        if arrived < part.total and not closed_before:
            return None
        _mark_joined(connection, part, newest)
    return Gathered(generation=newest, parts=_parts(connection, part.join))


def close(connection: sqlite3.Connection, part: Part) -> Gathered | None:
    """See `State.close`."""
    newest, closed, *_ = _standing(connection, part)
    if newest > part.generation:
        return None
    if not closed:
        connection.execute("DELETE FROM awaited WHERE joining = ?", (part.join,))
        _mark_joined(connection, part, part.generation)
    return Gathered(generation=part.generation, parts=_parts(connection, part.join))


def is_outrun(connection: sqlite3.Connection, envelope: Envelope) -> bool:
    """Whether what ends a request was made in an older generation than the one that its answer is awaited in."""
    row = connection.execute(
        "SELECT 1 FROM awaited WHERE joining = ? AND generation > ? LIMIT 1",
        (unpack(envelope.part)[0].group, envelope.generation),
    ).fetchone()
    return row is not None


def _mark_joined(connection: sqlite3.Connection, part: Part, generation: int) -> None:
    connection.execute(
        "INSERT OR IGNORE INTO joined VALUES (?, ?, ?, ?)",
        (part.join, generation, part.envelope.tenant, part.envelope.request),
    )


def _parts(connection: sqlite3.Connection, join: str) -> list[Envelope]:
    """The newest of each index."""
    rows = connection.execute(
        "SELECT position, envelope FROM part WHERE joining = ? ORDER BY generation", (join,)
    ).fetchall()
    newest = dict(rows)
    return [decode(raw) for raw in newest.values() if raw]


def _is_awaiting(connection: sqlite3.Connection, part: Part) -> bool:
    """Whether a redrive still awaits a part, once it is taken down that this one is here."""
    connection.execute(
        "DELETE FROM awaited WHERE joining = ? AND generation <= ? AND position = ?",
        (part.join, part.generation, part.index),
    )
    return connection.execute("SELECT 1 FROM awaited WHERE joining = ? LIMIT 1", (part.join,)).fetchone() is not None


def _standing(connection: sqlite3.Connection, part: Part) -> tuple[int, bool, bool, bool, int]:
    """In which generation a join stands, whether it is closed there, or was before, what is awaited, what is there.

    The parts are counted without reading them, or n would be read n times.
    """
    row: tuple[int, bool, bool, bool, int] = connection.execute(_STANDING, {"join": part.join}).fetchone()
    return row


_NEWEST = """max(
    coalesce((SELECT max(generation) FROM part WHERE joining = :join), 0),
    coalesce((SELECT max(generation) FROM awaited WHERE joining = :join), 0),
    {})"""
_RECORD = f"""
INSERT OR IGNORE INTO part SELECT :join, :generation, :position, :tenant, :request, :envelope WHERE NOT EXISTS (
    SELECT 1 FROM joined WHERE joining = :join AND generation >= {_NEWEST.format(":generation")})
"""  # noqa: S608 - it is put together from what stands here
_STANDING = f"""
SELECT newest, ifnull(closed = newest, 0), closed IS NOT NULL,
    EXISTS (SELECT 1 FROM awaited WHERE joining = :join),
    (SELECT count(DISTINCT position) FROM part WHERE joining = :join AND length(envelope) > 0)
FROM (SELECT {_NEWEST.format("coalesce(closed, 0)")} AS newest, closed
    FROM (SELECT max(generation) AS closed FROM joined WHERE joining = :join))
"""  # noqa: S608 - it is put together from what stands here
