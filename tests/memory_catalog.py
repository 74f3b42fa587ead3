"""The `Catalog` port in memory, for tests that are about collections and not about where their entries are kept."""

import threading
from collections.abc import Sequence

import msgspec

from functions.ports.catalog import Carrier, ChangedMeanwhileError, Entry, Progress


class MemoryCatalog:
    """Attributes:
    living: What `carriers` tells.
    """

    def __init__(self) -> None:
        self.living: list[Carrier] = []
        self._entries: dict[str, Entry] = {}
        self._progress: dict[tuple[str, int], Progress] = {}
        self._lock = threading.Lock()

    def read(self, name: str) -> Entry | None:
        return self._entries.get(name)

    def entries(self) -> Sequence[Entry]:
        return [self._entries[name] for name in sorted(self._entries)]

    def write(self, entry: Entry) -> Entry:
        with self._lock:
            found = self._entries.get(entry.name)
            if (found.revision if found else 0) != entry.revision:
                raise ChangedMeanwhileError(f"{entry.name} was changed meanwhile")
            self._entries[entry.name] = msgspec.structs.replace(entry, revision=entry.revision + 1)
            return self._entries[entry.name]

    def progress(self, name: str, number: int) -> Progress | None:
        return self._progress.get((name, number))

    def put_progress(self, progress: Progress) -> None:
        self._progress[progress.collection, progress.number] = progress

    def carriers(self) -> Sequence[Carrier]:
        return list(self.living)
