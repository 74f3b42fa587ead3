"""The `Catalog` port in the store: an entry is one row, and is written only over the revision that was read."""

import os
import sqlite3
from collections.abc import Collection, Sequence

import msgspec

from functions.adapters.local.store import Store
from functions.events.decoding import decoder
from functions.ports.catalog import Carrier, ChangedMeanwhileError, Entry, Progress


class LocalCatalog:
    """The collections of one machine in one vector store: those in another one are known, and not touched.

    Args:
        store: With the rows.
        place: Which vector store (`VectorSettings.place`).
    """

    def __init__(self, store: Store, place: str) -> None:
        self._store = store
        self._place = place

    def read(self, name: str) -> Entry | None:
        """See `Catalog.read`."""
        rows = self._store.read("SELECT entry FROM collection WHERE place = ? AND name = ?", (self._place, name))
        return decoder(Entry).decode(rows[0][0]) if rows else None

    def entries(self) -> Sequence[Entry]:
        """See `Catalog.entries`."""
        rows = self._store.read("SELECT entry FROM collection WHERE place = ? ORDER BY name", (self._place,))
        return [decoder(Entry).decode(row[0]) for row in rows]

    def write(self, entry: Entry) -> Entry:
        """See `Catalog.write`."""
        written = msgspec.structs.replace(entry, revision=entry.revision + 1)

        def step(connection: sqlite3.Connection) -> None:
            found = connection.execute(
                "SELECT revision FROM collection WHERE place = ? AND name = ?", (self._place, entry.name)
            ).fetchone()
            if (found[0] if found else 0) != entry.revision:
                raise ChangedMeanwhileError(
                    f"the collection {entry.name} was changed by somebody else meanwhile: look at it, and try again"
                )
            row = (self._place, written.name, written.revision, msgspec.json.encode(written))
            connection.execute("INSERT OR REPLACE INTO collection VALUES (?, ?, ?, ?)", row)

        self._store.write(step)
        return written

    def progress(self, name: str, number: int) -> Progress | None:
        """See `Catalog.progress`."""
        rows = self._store.read(
            "SELECT progress FROM filling WHERE place = ? AND collection = ? AND number = ?",
            (self._place, name, number),
        )
        return decoder(Progress).decode(rows[0][0]) if rows else None

    def put_progress(self, progress: Progress) -> None:
        """See `Catalog.put_progress`."""
        row = (self._place, progress.collection, progress.number, msgspec.json.encode(progress))
        self._store.write(
            lambda connection: connection.execute("INSERT OR REPLACE INTO filling VALUES (?, ?, ?, ?)", row)
        )

    def carry(self, encoders: Collection[str]) -> None:
        """Let the others know which encoders this process carries, before it uses a collection and while it lives."""
        me, living = self._store.member.id, msgspec.json.encode(list(self._store.member.living())).decode()
        row = (me, os.getpid(), msgspec.json.encode(sorted(encoders)).decode())

        def step(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM carrier WHERE id NOT IN (SELECT value FROM json_each(?))", (living,))
            connection.execute("INSERT OR REPLACE INTO carrier VALUES (?, ?, ?)", row)

        self._store.write(step)

    def carriers(self) -> Sequence[Carrier]:
        """See `Catalog.carriers`: the processes that are alive and said what they carry."""
        living = self._store.member.living()
        rows = self._store.read("SELECT id, pid, encoders FROM carrier ORDER BY pid")
        return [
            Carrier(name=f"process {pid}", encoders=frozenset(msgspec.json.decode(encoders, type=list[str])))
            for member, pid, encoders in rows
            if member in living
        ]


def places_of(store: Store, key: str) -> Sequence[str]:
    """The vector stores that hold a collection of this key."""
    rows = store.read("SELECT place, entry FROM collection ORDER BY place")
    return [place for place, entry in rows if decoder(Entry).decode(entry).key == key]
