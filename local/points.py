"""The points of a workspace's collections, by physical name: of those that are open here, and on disk of the others."""

from collections.abc import Iterable
from pathlib import Path

from functions.adapters.vectors.qdrant_edge import erase_apart
from functions.ports.vectors import Collection

COLLECTIONS = "collections"  # the folder beside the store


class Points:
    """Erases points.

    Args:
        home: The folder of the workspace.
        opened: The collections that are open in this process.
    """

    def __init__(self, home: Path, opened: Iterable[Collection]) -> None:
        self._folder = home / COLLECTIONS
        self._opened = {collection.physical_name: collection for collection in opened}

    def erase(self, collection: str, ids: Iterable[str], *, tenant: str) -> None:
        """Erase points of a collection, by its physical name; one that is not there holds none."""
        opened = self._opened.get(collection)
        if opened is not None:
            opened.erase(ids, tenant=tenant)
        else:
            erase_apart(self._folder / collection, ids, tenant=tenant)
