"""A catalog in which a collection's name stands for one version, whatever it stands for: to look into that one."""

from collections.abc import Sequence

import msgspec

from functions.collections.entries import version_of
from functions.errors import TroupeError
from functions.ports.catalog import Carrier, Catalog, Entry, Progress


class PinnedCatalog:
    """The `Catalog` port over another one, read only.

    Args:
        catalog: What it shows.
        name: Of the collection.
        number: Of the version that its name stands for here.
    """

    def __init__(self, catalog: Catalog, name: str, number: int) -> None:
        self._catalog = catalog
        self._name = name
        self._number = number

    def read(self, name: str) -> Entry | None:
        """See `Catalog.read`.

        Raises:
            UnknownVersionError: The version is dropped.
        """
        entry = self._catalog.read(name)
        if entry is None or name != self._name:
            return entry
        return msgspec.structs.replace(entry, current=version_of(entry, self._number).number)

    def entries(self) -> Sequence[Entry]:
        """See `Catalog.entries`."""
        return [self.read(entry.name) or entry for entry in self._catalog.entries()]

    def write(self, entry: Entry) -> Entry:
        """Refused: here a collection is only looked at."""
        raise TroupeError(f"version {self._number} of {self._name} is only looked at: {entry.name} is not changed here")

    def progress(self, name: str, number: int) -> Progress | None:
        """See `Catalog.progress`."""
        return self._catalog.progress(name, number)

    def put_progress(self, progress: Progress) -> None:
        """Refused, as `write`."""
        raise TroupeError(f"version {self._number} of {self._name} is only looked at: {progress.collection} stays")

    def carriers(self) -> Sequence[Carrier]:
        """See `Catalog.carriers`."""
        return self._catalog.carriers()
