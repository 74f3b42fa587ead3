"""The capabilities of a collection, bound to a delivery's tenant and time: the same over every vector store."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from functions.errors import TroupeError
from functions.events.common import Passage
from functions.ports.vectors import ANY, Collection, Only


class OutOfTimeError(TroupeError):
    """The time of the attempt was over before its collection was asked: no such call can be cut off, so none begins."""


class Time:
    """How long an attempt may ask a collection."""

    def __init__(self, until: datetime, now: Callable[[], datetime]) -> None:
        self._until = until
        self._now = now

    def left_s(self) -> float:
        """Seconds that are left.

        Raises:
            OutOfTimeError: None are.
        """
        left = (self._until - self._now()).total_seconds()
        if left <= 0:
            raise OutOfTimeError(
                f"the collection was not asked: the attempt's time was over at {self._until:%H:%M:%S} UTC"
            )
        return left


class TenantSearch:
    """The `Search` capability."""

    def __init__(self, collection: Collection, tenant: str, time: Time) -> None:
        self._collection = collection
        self._tenant = tenant
        self._time = time

    def find(self, text: str, *, limit: int = 5, only: Only = ANY, minimum: float = 0.0) -> Sequence[Passage]:
        """See `Search.find`."""
        self._time.left_s()
        return self._collection.search(text, limit=limit, tenant=self._tenant, only=only, minimum=minimum)

    def find_each(
        self, texts: Sequence[str], *, limit: int = 5, only: Only = ANY, minimum: float = 0.0
    ) -> Sequence[Sequence[Passage]]:
        """See `Search.find_each`."""
        self._time.left_s()
        return self._collection.search_each(texts, limit=limit, tenant=self._tenant, only=only, minimum=minimum)


class TenantLookup:
    """The `Lookup` capability."""

    def __init__(self, collection: Collection, tenant: str, time: Time) -> None:
        self._collection = collection
        self._tenant = tenant
        self._time = time

    def read(self, ids: Iterable[str]) -> Sequence[Passage]:
        """See `Lookup.read`."""
        self._time.left_s()
        return self._collection.read(ids, tenant=self._tenant)


class TenantUpsert:
    """The `Upsert` capability."""

    def __init__(self, collection: Collection, tenant: str, time: Time) -> None:
        self._collection = collection
        self._tenant = tenant
        self._time = time

    def upsert(self, passages: Sequence[Passage], *, ttl_s: float | None = None) -> None:
        """See `Upsert.upsert`."""
        self._time.left_s()
        self._collection.upsert(passages, tenant=self._tenant, ttl_s=ttl_s)


class TenantRemove:
    """The `Remove` capability."""

    def __init__(self, collection: Collection, tenant: str, time: Time) -> None:
        self._collection = collection
        self._tenant = tenant
        self._time = time

    def delete(self, ids: Iterable[str]) -> None:
        """See `Remove.delete`."""
        self._time.left_s()
        self._collection.delete(ids, tenant=self._tenant)
