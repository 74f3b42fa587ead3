"""The `Rights` port on SQLite: every place is read in one snapshot, and emptied in one transaction."""

import base64
import sqlite3
import uuid
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec

from functions.adapters.local.blobs import LocalBlobs
from functions.adapters.local.erasing import remove_blobs
from functions.adapters.local.holding import tokens_held
from functions.adapters.local.places import NAMED_PLACES, PLACES, Place, whose
from functions.adapters.local.store import Store
from functions.ports.blobs import prefix_of
from functions.ports.rights import Export, Holdings, Row

BLOBS = "blobs"
# The keys of blobs stand in the events that refer to them; those of earlier versions can only be found so.
_REFERRED = """
SELECT json_extract(CAST(event AS TEXT), '$.dataref') FROM (
    SELECT envelope AS event FROM request WHERE tenant = :tenant AND conversation = :conversation
    UNION ALL SELECT settlement FROM request WHERE tenant = :tenant AND conversation = :conversation
    UNION ALL SELECT event FROM dead_letter WHERE tenant = :tenant AND conversation = :conversation
    UNION ALL SELECT envelope FROM part WHERE (tenant, request) IN
        (SELECT tenant, request FROM request WHERE tenant = :tenant AND conversation = :conversation)
) WHERE json_valid(CAST(event AS TEXT)) AND json_extract(CAST(event AS TEXT), '$.dataref') IS NOT NULL
"""


class LocalRights:
    """The `Rights` port; `erasing.Erasures` removes what an erased conversation has outside the tables.

    Args:
        erased: Called after an erasure, for whoever watches what is no more.
    """

    def __init__(
        self,
        store: Store,
        blobs: LocalBlobs,
        now: Callable[[], datetime],
        erased: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._now = now
        self._erased = erased

    def conversations(self, *, tenant: str) -> Sequence[Holdings]:
        """See `Rights.conversations`."""
        found: dict[str, dict[str, int]] = {}
        with self._store.snapshot() as connection:
            for place in NAMED_PLACES:
                query = f"SELECT conversation, count(*) FROM {place.table} WHERE tenant = ? GROUP BY 1"  # noqa: S608 - of the table
                for conversation, count in connection.execute(query, (tenant,)):
                    found.setdefault(conversation, {})[place.name] = count
        found.pop("", None)  # what could not be read is of no conversation
        return [Holdings(conversation=name, items=found[name]) for name in sorted(found)]

    def holdings(self, conversation: str, *, tenant: str) -> Holdings | None:
        """See `Rights.holdings`."""
        with self._store.snapshot() as connection:
            found = self._holdings(connection, conversation, tenant)
        return found if found.items else None

    def export(self, conversation: str, *, tenant: str) -> Export | None:
        """See `Rights.export`."""
        named = whose(conversation, tenant)
        with self._store.snapshot() as connection:
            rows = {place.name: _rows(connection, place, named) for place in PLACES}
            keys = self._keys(connection, conversation, tenant)
        places = {name: found for name, found in rows.items() if found}
        if not places and not keys:
            return None
        return Export(
            tenant=tenant, conversation=conversation, exported=self._now(), places=places, blobs=self._read(keys)
        )

    def erase(self, conversation: str, *, tenant: str) -> Holdings | None:
        """See `Rights.erase`."""
        with self._blobs.alone():  # so that none comes after they were listed
            held, blobs = self._store.write(lambda connection: self._erase(connection, conversation, tenant))
            remove_blobs(self._store, self._blobs, blobs)
        self._erased()
        return held

    def _erase(
        self, connection: sqlite3.Connection, conversation: str, tenant: str
    ) -> tuple[Holdings | None, Sequence[tuple[str, str]]]:
        """How much there was, and the names of its blobs, each after the id of this erasure."""
        held, named = self._holdings(connection, conversation, tenant), whose(conversation, tenant)
        prefix = prefix_of(tenant, conversation)
        if not held.items:
            pending = connection.execute("SELECT 1 FROM erasing WHERE kind = 'files' AND item = ?", (prefix,))
            return (held if pending.fetchone() else None), ()
        erasure = uuid.uuid4().hex
        names = [*self._keys(connection, conversation, tenant), *self._blobs.remains(prefix)]
        connection.executemany(
            "INSERT INTO erasing (erasure, kind, item) VALUES (?, ?, ?)",
            [*((erasure, "blob", name) for name in names), (erasure, "files", prefix)],
        )
        connection.execute(
            "INSERT INTO erasing (erasure, kind, tenant, collection, item)"
            " SELECT ?, 'point', tenant, collection, point FROM held WHERE tenant = ? AND conversation = ?",
            (erasure, tenant, conversation),
        )
        tokens = tokens_held(connection, conversation, tenant)
        connection.executemany(
            "INSERT INTO erasing (erasure, kind, tenant, item) VALUES (?, 'original', ?, ?)",
            [(erasure, tenant, token) for token in tokens],
        )
        for place in PLACES:
            connection.execute(f"DELETE FROM {place.table} WHERE {place.rows}", named)  # noqa: S608 - of the table
        return held, [(erasure, name) for name in names]

    def _holdings(self, connection: sqlite3.Connection, conversation: str, tenant: str) -> Holdings:
        named = whose(conversation, tenant)
        counts = {place.name: _count(connection, place, named) for place in PLACES}
        counts[BLOBS] = len(self._keys(connection, conversation, tenant))
        return Holdings(conversation=conversation, items={name: count for name, count in counts.items() if count})

    def _keys(self, connection: sqlite3.Connection, conversation: str, tenant: str) -> list[str]:
        referred = {key for (key,) in connection.execute(_REFERRED, whose(conversation, tenant))}
        without_prefix = {key for key in referred if "-" not in key and self._blobs.has(key)}
        return sorted(without_prefix.union(self._blobs.keys(prefix_of(tenant, conversation))))

    def _read(self, keys: Iterable[str]) -> dict[str, Any]:
        found = {}
        for key in keys:
            try:
                found[key] = _shown(self._blobs.get(key))
            except KeyError:  # erased, or of an event that is gone, since it was listed
                continue
        return found


def _count(connection: sqlite3.Connection, place: Place, named: dict[str, str]) -> int:
    query = f"SELECT count(*) FROM {place.table} WHERE {place.rows}"  # noqa: S608 - of the table of places
    return int(connection.execute(query, named).fetchone()[0])


def _rows(connection: sqlite3.Connection, place: Place, named: dict[str, str]) -> list[Row]:
    cursor = connection.execute(f"SELECT * FROM {place.table} WHERE {place.rows}", named)  # noqa: S608 - the same
    columns = [column for column, *_ in cursor.description]
    return [{column: _shown(value) for column, value in zip(columns, row, strict=True)} for row in cursor]


def _shown(value: Any) -> Any:  # noqa: ANN401 - whatever SQLite gives, as JSON has it
    if not isinstance(value, bytes):
        return value
    try:
        return msgspec.json.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {"base64": base64.b64encode(value).decode()}
