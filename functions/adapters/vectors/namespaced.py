"""The `VectorStore` port on a part of another one: for a service that several homes or stacks keep their vectors in.

What is in a namespace is called by it there, `<namespace>.<name>`; what is called otherwise is another's, and neither
listed nor used. A name has its first dot only after its version, and a namespace none, so that two never meet.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from functions.ports.vector_stores import (
    EVERYTHING,
    SCROLL_POINTS,
    Fields,
    Filter,
    Hit,
    Layout,
    Point,
    Query,
    VectorStore,
)


class NamespacedStore:
    """One store, as far as it is in a namespace.

    Args:
        store: Where everything is; it is closed with this one.
        namespace: Of a-z, 0-9 and `-`.
    """

    def __init__(self, store: VectorStore, namespace: str) -> None:
        self._store = store
        self._prefix = f"{namespace}."

    @property
    def searches_words(self) -> bool:
        """See `VectorStore.searches_words`."""
        return self._store.searches_words

    def create(self, layout: Layout) -> None:
        """See `VectorStore.create`."""
        self._store.create(self._there(layout))

    def drop(self, name: str) -> None:
        """See `VectorStore.drop`."""
        self._store.drop(self._prefix + name)

    def layouts(self) -> Sequence[Layout]:
        """See `VectorStore.layouts`: those of the namespace."""
        return [
            msgspec.structs.replace(layout, name=layout.name.removeprefix(self._prefix))
            for layout in self._store.layouts()
            if layout.name.startswith(self._prefix)
        ]

    def upsert(self, layout: Layout, points: Sequence[Point]) -> None:
        """See `VectorStore.upsert`."""
        self._store.upsert(self._there(layout), points)

    def search(self, layout: Layout, queries: Sequence[Query]) -> Sequence[Sequence[Hit]]:
        """See `VectorStore.search`."""
        return self._store.search(self._there(layout), queries)

    def read(self, layout: Layout, ids: Iterable[str], *, vectors: bool = False) -> Sequence[Point]:
        """See `VectorStore.read`."""
        return self._store.read(self._there(layout), ids, vectors=vectors)

    def set_fields(self, layout: Layout, fields: Mapping[str, Fields]) -> None:
        """See `VectorStore.set_fields`."""
        self._store.set_fields(self._there(layout), fields)

    def delete(self, layout: Layout, ids: Iterable[str]) -> None:
        """See `VectorStore.delete`."""
        self._store.delete(self._there(layout), ids)

    def delete_where(self, layout: Layout, where: Filter) -> None:
        """See `VectorStore.delete_where`."""
        self._store.delete_where(self._there(layout), where)

    def erase(self, layout: Layout, ids: Iterable[str]) -> None:
        """See `VectorStore.erase`."""
        self._store.erase(self._there(layout), ids)

    def count(self, layout: Layout, where: Filter = EVERYTHING) -> int:
        """See `VectorStore.count`."""
        return self._store.count(self._there(layout), where)

    def scroll(
        self,
        layout: Layout,
        where: Filter = EVERYTHING,
        *,
        after: str = "",
        limit: int = SCROLL_POINTS,
        vectors: bool = False,
    ) -> Sequence[Point]:
        """See `VectorStore.scroll`."""
        return self._store.scroll(self._there(layout), where, after=after, limit=limit, vectors=vectors)

    def optimize(self, layout: Layout) -> None:
        """See `VectorStore.optimize`."""
        self._store.optimize(self._there(layout))

    def close(self) -> None:
        """See `VectorStore.close`."""
        self._store.close()

    def _there(self, layout: Layout) -> Layout:
        return msgspec.structs.replace(layout, name=self._prefix + layout.name)
