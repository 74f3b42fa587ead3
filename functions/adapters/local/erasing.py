"""Takes what was erased out of the files: collections, blobs, and the store's own.

Each step is a row of `erasing` that is removed once it is done, so that a crash repeats a step and leaves none out.
"""

from collections.abc import Iterable
from itertools import groupby
from typing import Protocol

from functions.adapters.local.blobs import LocalBlobs
from functions.adapters.local.holding import Holding
from functions.adapters.local.store import Store


class Points(Protocol):
    """The collections of a workspace."""

    def erase(self, collection: str, ids: Iterable[str], *, tenant: str) -> None:
        """Erase points of a collection, by its physical name; one that is not there holds none."""
        ...


class Erasures:
    """What is left to do for erased conversations; for the one process that has the collections.

    Args:
        blobs: Of the workspace.
        holding: Of this process.
    """

    def __init__(self, store: Store, blobs: LocalBlobs, holding: Holding, points: Points) -> None:
        self._store = store
        self._blobs = blobs
        self._holding = holding
        self._points = points

    def finish(self) -> bool:
        """Remove what was erased from every file; whether nothing is left to do."""
        files = self._store.read("SELECT erasure FROM erasing WHERE kind = 'files'")
        if not files:
            return True
        self._erase_blobs()
        self._erase_points()
        if not self._store.rewrite():
            return False
        self._store.write(
            lambda connection: (
                connection.executemany("DELETE FROM erasing WHERE kind = 'files' AND erasure = ?", files).rowcount
            )
        )
        return not pending(self._store)

    def _erase_points(self) -> None:
        with self._holding.storing:
            rows = self._store.read(_POINTS)
            for (tenant, collection), found in groupby(rows, key=lambda row: (row[1], row[2])):
                listed = list(found)
                # what another conversation holds too stays, though not in the versions that it replaced
                ids = {point for *_, point, is_held in listed if not is_held}
                self._points.erase(collection, ids, tenant=tenant)
                self._forget("point", [(erasure, tenant, collection, point) for erasure, *_, point, _ in listed])

    def _erase_blobs(self) -> None:
        for erasure, prefix in self._store.read("SELECT erasure, item FROM erasing WHERE kind = 'blobs'"):
            keys = self._store.read("SELECT item FROM erasing WHERE kind = 'blob' AND erasure = ?", (erasure,))
            self._blobs.erase(prefix, (key for (key,) in keys))
            self._forget("blob", [(erasure, "", "", key) for (key,) in keys])
            self._forget("blobs", [(erasure, "", "", prefix)])

    def _forget(self, kind: str, done: list[tuple[str, str, str, str]]) -> None:
        query = "DELETE FROM erasing WHERE erasure = ? AND tenant = ? AND collection = ? AND item = ? AND kind = ?"
        rows = [(*row, kind) for row in done]
        self._store.write(lambda connection: connection.executemany(query, rows).rowcount)


def pending(store: Store) -> bool:
    """Whether something that was erased is still in a file."""
    return bool(store.read("SELECT 1 FROM erasing LIMIT 1"))


_POINTS = """
SELECT erasure, tenant, collection, item, EXISTS (
    SELECT 1 FROM held WHERE held.tenant = erasing.tenant AND held.collection = erasing.collection AND point = item
) FROM erasing WHERE kind = 'point' ORDER BY tenant, collection
"""
