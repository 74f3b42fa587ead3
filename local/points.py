"""The points of a workspace's collections, by key: of those that are open here, and on disk of the others."""

from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager

from functions.adapters.encoders.registry import CarriedEncoders
from functions.adapters.local.blobs import LocalTexts
from functions.adapters.local.catalog import LocalCatalog, places_of
from functions.adapters.local.store import Store
from functions.adapters.vectors.settings import EMBEDDED, VectorSettings, embedded
from functions.collections.collection import VersionedCollection
from functions.collections.points import point_id
from functions.ports.vector_stores import VectorStore
from functions.ports.vectors import Collection
from local.shelf import TEXTS, Shelf, vectors_of


class Points:
    """Erases points.

    Args:
        store: Of the workspace.
        opened: The collections that are open in this process.
        shelf: What they stand on, where they are Troupe's own.
        vectors: Where the vectors are.
    """

    def __init__(
        self,
        store: Store,
        opened: Iterable[Collection],
        shelf: Shelf | None = None,
        *,
        vectors: VectorSettings = EMBEDDED,
    ) -> None:
        self._store = store
        self._opened = {collection.key: collection for collection in opened}
        self._shelf = shelf
        self._settings = vectors if shelf is None else shelf.settings

    def erase(self, collection: str, ids: Iterable[str], *, tenant: str) -> None:
        """Erase points of a collection, by its key, in every vector store that has it; else there is nothing.

        Raises:
            VectorSettingsError: It is in a service that is not set.
        """
        erased, opened = list(ids), self._opened.get(collection)
        if opened is not None:
            opened.erase(erased, tenant=tenant)
        here = {self._settings.place} if opened is None else set[str]()
        elsewhere = set(places_of(self._store, collection)) - {self._settings.place}
        for place in sorted(here | elsewhere):
            settings = self._settings if place in here else embedded(place)
            with self._vectors(settings) as vectors:
                self._erase_apart(vectors, settings, collection, erased, tenant)

    def _erase_apart(
        self, vectors: VectorStore, settings: VectorSettings, key: str, ids: Iterable[str], tenant: str
    ) -> None:
        """Nothing is encoded for it; what was never in the catalog is a physical collection of the name of its key."""
        catalog = LocalCatalog(self._store, settings.place)
        names = [entry.name for entry in catalog.entries() if entry.key == key]
        for name in names:
            VersionedCollection(
                name,
                catalog=catalog,
                store=vectors,
                encoders=CarriedEncoders(()),
                blobs=LocalTexts(self._store.folder / TEXTS),
                now=self._store.clock,
            ).erase(ids, tenant=tenant)
        if names:
            return
        for layout in vectors.layouts():
            if layout.name == key:
                vectors.erase(layout, [point_id(tenant, each) for each in ids])

    @contextmanager
    def _vectors(self, settings: VectorSettings) -> Iterator[VectorStore]:
        if self._shelf is not None and settings == self._settings:
            yield self._shelf.vectors
            return
        with closing(vectors_of(self._store, settings)) as vectors:
            yield vectors
