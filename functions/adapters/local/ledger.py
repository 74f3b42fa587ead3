"""What was read into a collection, in the SQLite store: a row a source."""

import sqlite3
from collections.abc import Iterable, Sequence

import msgspec

from functions.adapters.local.store import Store
from functions.events.decoding import decoder
from functions.ports.ledger import Entry


class LocalLedger:
    """The `Ledger` port for one corpus in one collection of one tenant: `corpus` names the three."""

    def __init__(self, store: Store, corpus: str) -> None:
        self._store = store
        self._corpus = corpus

    def entries(self) -> Sequence[Entry]:
        """See `Ledger.entries`."""
        rows = self._store.read("SELECT entry FROM document WHERE corpus = ?", (self._corpus,))
        return [decoder(Entry).decode(row[0]) for row in rows]

    def find(self, source: str) -> Entry | None:
        """See `Ledger.find`."""
        rows = self._store.read("SELECT entry FROM document WHERE corpus = ? AND source = ?", (self._corpus, source))
        return next((decoder(Entry).decode(row[0]) for row in rows), None)

    def put(self, entries: Sequence[Entry]) -> None:
        """See `Ledger.put`."""
        rows = [(self._corpus, entry.source, msgspec.json.encode(entry)) for entry in entries]

        def step(connection: sqlite3.Connection) -> None:
            connection.executemany("INSERT OR REPLACE INTO document VALUES (?, ?, ?)", rows)

        self._store.write(step)

    def remove(self, sources: Iterable[str]) -> None:
        """See `Ledger.remove`."""
        rows = [(self._corpus, source) for source in sources]

        def step(connection: sqlite3.Connection) -> None:
            connection.executemany("DELETE FROM document WHERE corpus = ? AND source = ?", rows)

        self._store.write(step)
