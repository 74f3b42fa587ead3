"""What the collections of one machine stand on: a vector store, the catalog in the store, long texts in files."""

from typing import TYPE_CHECKING

import msgspec

from functions.adapters.local.blobs import LocalTexts
from functions.adapters.local.catalog import LocalCatalog
from functions.adapters.local.home import home_id
from functions.adapters.local.store import Store
from functions.adapters.vectors.namespaced import NamespacedStore
from functions.adapters.vectors.settings import EMBEDDED, VectorSettings, opened
from functions.collections.collection import VersionedCollection
from functions.collections.gathering import GatheringCollection
from functions.collections.opening import current_of, ensured
from functions.collections.points import Model
from functions.ports.encoders import Encoders
from functions.ports.personal import Reveal
from functions.ports.vector_stores import VectorStore

if TYPE_CHECKING:
    from functions.personal.tokenizer import PersonalTokenizer

TEXTS = "texts"  # the folder of the texts that are too long for a payload: they stay as long as their passages


def vectors_of(store: Store, settings: VectorSettings) -> VectorStore:
    """Where the vectors of a home are; of a service that others may use too, the part that is its own.

    Raises:
        VectorStoreError: It cannot be opened.
    """
    own = within_home(settings, store)
    found = opened(own, store.folder)
    return NamespacedStore(found, own.namespace) if own.is_service else found


def within_home(settings: VectorSettings, store: Store) -> VectorSettings:
    """The settings with the namespace of a home, where they say none and the service may be others' too."""
    if not settings.is_service or settings.namespace:
        return settings
    return msgspec.structs.replace(settings, namespace=home_id(store))


class Shelf:
    """Opens collections; close it after the last use of one.

    Args:
        store: With the catalog; the rest is in folders beside it.
        encoders: Those that this process carries.
        model: The one of them that a new collection is made for.
        personal: Takes personal data out of what is stored and asked; without one, it stays.
        vectors: Where the vectors are; by default Qdrant's engine in this process.

    Raises:
        VectorStoreError: The vector store cannot be opened.
    """

    def __init__(
        self,
        store: Store,
        encoders: Encoders,
        model: Model,
        *,
        personal: "PersonalTokenizer | None" = None,
        vectors: VectorSettings = EMBEDDED,
    ) -> None:
        self.catalog = LocalCatalog(store, vectors.place)
        self.vectors = vectors_of(store, vectors)
        self.settings = vectors
        self.texts = LocalTexts(store.folder / TEXTS)
        self.encoders = encoders
        self.personal = personal
        self._model = model
        self._now = store.clock

    def open(self, name: str) -> GatheringCollection:
        """A collection, which is made where it is not there; many small upserts at a time are few large ones.

        Raises:
            UnknownEncoderError: Its current version is of an encoder that is not carried here.
            VectorStoreError: It is in use by another process, damaged, or of a newer format.
        """
        self.catalog.carry(self.encoders.versions)  # before it is used: who changes a collection asks who can follow
        entry = ensured(name, catalog=self.catalog, store=self.vectors, encoder=self._model, now=self._now)
        self.encoders.encoder(current_of(entry).layout.encoder)  # else whoever asks first would wait for it
        return GatheringCollection(
            VersionedCollection(
                name,
                catalog=self.catalog,
                store=self.vectors,
                encoders=self.encoders,
                blobs=self.texts,
                now=self._now,
                tokenizer=self.personal,
            )
        )

    def reveal(self, tenant: str) -> Reveal | None:
        """The capability to give originals back, where they are taken out at all."""
        if self.personal is None:
            return None
        from functions.personal.tokenizer import TenantReveal  # noqa: PLC0415 - slow, and not for all

        return TenantReveal(self.personal, tenant)

    def close(self) -> None:
        """Release the vectors."""
        self.vectors.close()
