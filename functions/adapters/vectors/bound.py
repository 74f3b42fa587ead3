"""The capabilities of a collection, bound to the tenant of a delivery: the same over every vector store."""

from collections.abc import Iterable, Sequence

from functions.events.common import Passage
from functions.ports.vectors import Collection


class TenantSearch:
    """The `Search` capability."""

    def __init__(self, collection: Collection, tenant: str) -> None:
        self._collection = collection
        self._tenant = tenant

    def find(self, text: str, *, limit: int = 5) -> Sequence[Passage]:
        """See `Search.find`."""
        return self._collection.search(text, limit=limit, tenant=self._tenant)


class TenantLookup:
    """The `Lookup` capability."""

    def __init__(self, collection: Collection, tenant: str) -> None:
        self._collection = collection
        self._tenant = tenant

    def read(self, ids: Iterable[str]) -> Sequence[Passage]:
        """See `Lookup.read`."""
        return self._collection.read(ids, tenant=self._tenant)


class TenantUpsert:
    """The `Upsert` capability."""

    def __init__(self, collection: Collection, tenant: str) -> None:
        self._collection = collection
        self._tenant = tenant

    def upsert(self, passages: Sequence[Passage]) -> None:
        """See `Upsert.upsert`."""
        self._collection.upsert(passages, tenant=self._tenant)
