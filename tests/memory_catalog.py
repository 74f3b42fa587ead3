"""The `Catalog` port in memory, for tests that are about collections and not about where their entries are kept."""

import threading
from collections.abc import Callable, Sequence

import msgspec

from functions.ports.catalog import Carrier, ChangedMeanwhileError, Entry, Progress


class MemoryCatalog:
    """Attributes:
    kept: The entries, by name.
    living: What `carriers` tells.
    before: Called before each reading; may change what is read.
    """

    def __init__(self) -> None:
        self.living: list[Carrier] = []
        self.kept: dict[str, Entry] = {}
        self.before: Callable[[], None] = lambda: None
        self._progress: dict[tuple[str, int], Progress] = {}
        self._lock = threading.Lock()

    def read(self, name: str) -> Entry | None:
        self.before()
        return self.kept.get(name)

    def entries(self) -> Sequence[Entry]:
        return [self.kept[name] for name in sorted(self.kept)]

    def write(self, entry: Entry) -> Entry:
        with self._lock:
            found = self.kept.get(entry.name)
            if (found.revision if found else 0) != entry.revision:
                raise ChangedMeanwhileError(f"{entry.name} was changed meanwhile")
            self.kept[entry.name] = msgspec.structs.replace(entry, revision=entry.revision + 1)
            return self.kept[entry.name]

    def progress(self, name: str, number: int) -> Progress | None:
        return self._progress.get((name, number))

    def put_progress(self, progress: Progress) -> None:
        self._progress[progress.collection, progress.number] = progress

    def carriers(self) -> Sequence[Carrier]:
        return list(self.living)
