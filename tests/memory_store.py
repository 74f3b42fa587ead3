"""The `VectorStore` port in memory: exact, and what the other stores are compared with."""

import math
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import msgspec
import numpy as np
from numpy.typing import NDArray

from functions.adapters.vectors.checking import (
    check_fields,
    check_filter,
    check_ids,
    check_layout,
    check_name,
    check_open,
    check_page,
    check_points,
    check_queries,
    check_same,
    no_such_collection,
    passes,
)
from functions.ports.vector_stores import (
    EVERYTHING,
    SCROLL_POINTS,
    Fields,
    Filter,
    Hit,
    Layout,
    Point,
    Query,
    Terms,
)


class MemoryStore:
    """Every search looks at every point."""

    searches_words = True

    def __init__(self) -> None:
        self._layouts: dict[str, Layout] = {}
        self._points: dict[str, dict[str, Point]] = {}
        self._lock = threading.RLock()
        self._is_open = True

    def create(self, layout: Layout) -> None:
        """See `VectorStore.create`."""
        check_layout(layout)
        with self._used():
            if layout.name in self._layouts:
                check_same(layout, self._layouts[layout.name])
                return
            self._layouts[layout.name] = layout
            self._points[layout.name] = {}

    def drop(self, name: str) -> None:
        """See `VectorStore.drop`."""
        check_name(name)
        with self._used():
            self._layouts.pop(name, None)
            self._points.pop(name, None)

    def layouts(self) -> Sequence[Layout]:
        """See `VectorStore.layouts`."""
        with self._used():
            return sorted(self._layouts.values(), key=lambda layout: layout.name)

    def upsert(self, layout: Layout, points: Sequence[Point]) -> None:
        """See `VectorStore.upsert`."""
        with self._used():
            stored = self._of(layout)
            stored.update({point.id: _kept(point) for point in check_points(layout, points)})

    def search(self, layout: Layout, queries: Sequence[Query]) -> Sequence[Sequence[Hit]]:
        """See `VectorStore.search`."""
        with self._used():
            points = self._of(layout)
            stored = list(points.values())
            return [_found(layout, stored, query) for query in check_queries(layout, queries)]

    def read(self, layout: Layout, ids: Iterable[str], *, vectors: bool = False) -> Sequence[Point]:
        """See `VectorStore.read`."""
        with self._used():
            points = self._of(layout)
            return [_shown(points[each], vectors=vectors) for each in check_ids(ids) if each in points]

    def set_fields(self, layout: Layout, fields: Mapping[str, Fields]) -> None:
        """See `VectorStore.set_fields`."""
        with self._used():
            points = self._of(layout)
            for each, given in check_fields(fields, layout).items():
                if each in points:
                    points[each] = msgspec.structs.replace(points[each], fields={**points[each].fields, **given})

    def delete(self, layout: Layout, ids: Iterable[str]) -> None:
        """See `VectorStore.delete`."""
        with self._used():
            points = self._of(layout)
            for each in check_ids(ids):
                points.pop(each, None)

    def delete_where(self, layout: Layout, where: Filter) -> None:
        """See `VectorStore.delete_where`."""
        with self._used():
            points = self._of(layout)
            asked = check_filter(layout, where)
            for each in [point.id for point in points.values() if passes(asked, point.fields)]:
                del points[each]

    def erase(self, layout: Layout, ids: Iterable[str]) -> None:
        """See `VectorStore.erase`."""
        self.delete(layout, ids)

    def count(self, layout: Layout, where: Filter = EVERYTHING) -> int:
        """See `VectorStore.count`."""
        with self._used():
            points = self._of(layout)
            asked = check_filter(layout, where)
            return sum(passes(asked, point.fields) for point in points.values())

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
        with self._used():
            points = self._of(layout)
            asked = check_filter(layout, where)
            check_page(after, limit)
            ids = sorted(each for each, point in points.items() if each > after and passes(asked, point.fields))
            return [_shown(points[each], vectors=vectors) for each in ids[:limit]]

    def optimize(self, layout: Layout) -> None:
        """See `VectorStore.optimize`: there is no index."""
        with self._used():
            self._of(layout)

    def close(self) -> None:
        """See `VectorStore.close`."""
        with self._lock:
            self._is_open = False

    @contextmanager
    def _used(self) -> Iterator[None]:
        with self._lock:
            check_open(is_open=self._is_open)
            yield

    def _of(self, layout: Layout) -> dict[str, Point]:
        found = self._layouts.get(layout.name)
        if found is None:
            raise no_such_collection(layout.name)
        check_same(layout, found)
        return self._points[layout.name]


def _kept(point: Point) -> Point:
    """A copy that nobody else changes."""
    return msgspec.structs.replace(point, vector=np.array(point.vector, np.float32))


def _shown(point: Point, *, vectors: bool) -> Point:
    shown = msgspec.structs.replace(point, fields=dict(point.fields))
    return _kept(shown) if vectors else msgspec.structs.replace(shown, vector=None, terms=Terms())


def _found(layout: Layout, points: Sequence[Point], query: Query) -> list[Hit]:
    passed = [point for point in points if passes(query.where, point.fields)]
    if not passed:
        return []
    scores = _scores(layout, passed, query.vector)
    words = _Words(query, [point for point in points if passes(query.rarity, point.fields)])
    hits = [
        Hit(id=point.id, score=score, words=words(point.terms), fields=dict(point.fields))
        for point, score in zip(passed, scores, strict=True)
    ]
    hits.sort(key=lambda hit: (-hit.score, hit.id))
    sharing = sorted((hit for hit in hits if hit.words > 0), key=lambda hit: (-hit.words, hit.id))
    chosen = {hit.id for hit in (*hits[: query.limit], *sharing[: query.limit])}
    return [hit for hit in hits if hit.id in chosen]


def _scores(layout: Layout, points: Sequence[Point], vector: NDArray[np.float32]) -> list[float]:
    stored = np.array([point.vector for point in points], np.float32)
    products = stored @ np.asarray(vector, np.float32)
    if layout.distance == "cosine":
        products = products / (np.linalg.norm(stored, axis=1) * np.linalg.norm(vector))
    return [float(each) for each in products]


class _Words:
    """How much a point shares with a query: its weights by the query's, each term by how rare it is (BM25's IDF)."""

    def __init__(self, query: Query, corpus: Sequence[Point]) -> None:
        terms = query.terms or Terms()
        having = dict.fromkeys(terms.indices, 0)
        for point in corpus:
            for index in having.keys() & set(point.terms.indices):
                having[index] += 1
        self._weights = {
            index: weight * math.log(1 + (len(corpus) - having[index] + 0.5) / (having[index] + 0.5))
            for index, weight in zip(terms.indices, terms.weights, strict=True)
        }

    def __call__(self, terms: Terms) -> float:
        given = zip(terms.indices, terms.weights, strict=True)
        return sum(self._weights[index] * weight for index, weight in given if index in self._weights)
