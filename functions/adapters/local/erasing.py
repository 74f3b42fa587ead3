"""Takes what was erased out of the files: collections, blobs, and the store's own.

Each step is a row of `erasing` that is removed once it is done, so that a crash repeats a step and leaves none out.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Protocol

from functions.adapters.local.blobs import LocalBlobs
from functions.adapters.local.holding import Holding
from functions.adapters.local.store import Store


class Points(Protocol):
    """The collections of a workspace."""

    def erase(self, collection: str, ids: Iterable[str], *, tenant: str) -> None:
        """Erase points of a collection, by its key; one that is not there holds none."""
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
        with self._blobs.alone():
            remove_blobs(self._store, self._blobs, self._store.read(_BLOBS))
        self._erase_points()
        self._erase_originals()
        if not self._store.rewrite():
            return False
        _forget(self._store, "DELETE FROM erasing WHERE kind = 'files' AND erasure = ?", files)
        return not pending(self._store)

    def _erase_originals(self) -> None:
        """What a memory had in the vault, unless one of another conversation has it too."""
        with self._holding.storing:
            self._store.write(lambda connection: [connection.execute(step) for step in _ERASE_ORIGINALS])

    def _erase_points(self) -> None:
        with self._holding.storing:
            rows = self._store.read(_POINTS)
            for (tenant, collection), found in groupby(rows, key=lambda row: (row[1], row[2])):
                listed = list(found)
                # what another conversation holds too stays, though not in the versions that it replaced
                ids = {point for *_, point, is_held in listed if not is_held}
                self._points.erase(collection, ids, tenant=tenant)
                done = [(erasure, tenant, collection, point) for erasure, *_, point, _ in listed]
                _forget(self._store, _FORGET_POINT, done)


def remove_blobs(store: Store, blobs: LocalBlobs, listed: Sequence[tuple[str, str]]) -> None:
    """Remove blobs by the erasure and the name; for whoever is alone with the blobs."""
    if not listed:
        return
    blobs.remove(name for _, name in listed)
    _forget(store, "DELETE FROM erasing WHERE kind = 'blob' AND erasure = ? AND item = ?", listed)


def pending(store: Store) -> bool:
    """Whether something that was erased is still in a file."""
    return bool(store.read("SELECT 1 FROM erasing LIMIT 1"))


def _forget(store: Store, query: str, done: Sequence[tuple[str, ...]]) -> None:
    store.write(lambda connection: connection.executemany(query, done).rowcount)


_FORGET_POINT = (
    "DELETE FROM erasing WHERE kind = 'point' AND erasure = ? AND tenant = ? AND collection = ? AND item = ?"
)
_BLOBS = "SELECT erasure, item FROM erasing WHERE kind = 'blob'"
_ERASE_ORIGINALS = (
    """
DELETE FROM original WHERE (tenant, token) IN (SELECT tenant, item FROM erasing WHERE kind = 'original')
    AND NOT EXISTS (SELECT 1 FROM held
        WHERE held.tenant = original.tenant AND instr(CAST(held.passage AS TEXT), original.token))
""",
    "DELETE FROM erasing WHERE kind = 'original'",
)
_POINTS = """
SELECT erasure, tenant, collection, item, EXISTS (
    SELECT 1 FROM held WHERE held.tenant = erasing.tenant AND held.collection = erasing.collection AND point = item
) FROM erasing WHERE kind = 'point' ORDER BY tenant, collection
"""
