"""What a search of a `FaissStore` looks at, in memory: vectors, filterable fields and words of each row.

A row never changes. A point that is stored again is another row, and the one before is dead: so a search may compute
on the vectors while others are added. Up to some size every vector is compared; beyond it Faiss's graph (HNSW) finds
the nearest of the rows that it was built over, and the rows that came later are compared one by one.
"""

import heapq
import importlib
import math
from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from functions.adapters.vectors.faiss_file import Graph, Row
from functions.ports.vector_stores import Condition, Equals, Filter, Layout, OneOf, Point, Query, Range, Terms, Value

#: With one question so many vectors are compared one by one; above it, the graph is asked.
COMPARED = 20_000
_NEIGHBOURS = 32  # of each node of the graph
_BUILD_EFFORT = 100
_EFFORT = 128  # nodes that a search keeps in sight, of those that a filter passes
_MOST_EFFORT = 4_096
_SPARE = 16  # found beyond the limit, so that equal scores are told apart by their ids
_CLOSE = 1e-5  # by so much, of the greatest, a product of float32 may be wrong
_MOST_UNSORTED = 65_536
_GONE = ""

Numbers = NDArray[np.intp]
Mask = NDArray[np.bool_]
Vectors = NDArray[np.float32]


class Part(msgspec.Struct, frozen=True):
    """The vectors of the rows from `first` on, with Faiss's graph over them where there is one."""

    first: int
    vectors: Vectors
    graph: Any = None
    storage: Any = None  # of the graph's vectors: freed by Python, not by the graph


class Asked(msgspec.Struct, frozen=True):
    """A query and what it may find: made while nobody stores, computed with at any time after."""

    vector: NDArray[np.float64]
    limit: int
    mask: Mask
    words: NDArray[np.float64]
    parts: tuple[Part, ...]


class Found(msgspec.Struct, frozen=True):
    """A row that a search found."""

    row: int
    score: float
    words: float


class Rows:
    """The rows of one collection. Everything but `nearest` is for one thread at a time."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._ids: list[str] = []
        self._row_of: dict[str, int] = {}
        self._positions = _Column("q")
        self._living = _Column("?")
        self._head: Part | None = None
        self._vectors = _Column("f4", layout.dimension)  # of the rows behind the head
        self._keywords: dict[str, defaultdict[str, array[int]]] = {
            name: defaultdict(_numbers) for name, kind in layout.fields.items() if kind == "keyword"
        }
        self._numbers = {name: _Column("f8") for name, kind in layout.fields.items() if kind == "number"}
        self._words = _Words()

    @classmethod
    def loaded(cls, layout: Layout, batches: Iterable[Sequence[Row]], graph: Graph | None) -> "Rows":
        """Those of a file."""
        rows = cls(layout)
        nodes: Iterator[int] = iter(graph.nodes.tolist() if graph else ())
        for batch in batches:
            rows.add(list(_with_gaps(batch, nodes, layout.dimension)))
        rows.add([_gap(position, layout.dimension) for position in nodes])
        if graph:
            rows._use(graph)
        return rows

    def __len__(self) -> int:
        return len(self._row_of)

    def positions(self, ids: Iterable[str]) -> dict[str, int]:
        """Where the living rows of these ids are in the file, of those that exist."""
        return {each: int(self._positions.values[self._row_of[each]]) for each in ids if each in self._row_of}

    def at(self, rows: Iterable[int]) -> list[int]:
        """Where these rows were put in the file."""
        return [int(self._positions.values[row]) for row in rows]

    def ids(self, where: Filter, after: str = "", limit: int | None = None) -> list[str]:
        """The ids behind `after` that a filter passes: the first of them in order, or all."""
        mask = self.passing(where)
        passed = (each for each, row in self._row_of.items() if each > after and mask[row])
        return list(passed) if limit is None else heapq.nsmallest(limit, passed)

    def passing(self, where: Filter) -> Mask:
        """Which rows a filter passes, of those that are living."""
        mask = self._living.values.copy()
        for each in where.must:
            mask &= self._holding(each)
        for each in where.must_not:
            mask &= ~self._holding(each)
        return mask

    def add(self, rows: Sequence[Row]) -> None:
        """Take rows in, each in the place of the one with its id."""
        points = [row.point for row in rows]
        self.remove(point.id for point in points)
        first = len(self._ids)
        for row, point in enumerate(points, first):
            if point.id != _GONE:
                self._row_of[point.id] = row
            for name, known in self._keywords.items():
                for value in dict.fromkeys(_strings(point.fields.get(name))):
                    known[value].append(row)
        for name, column in self._numbers.items():
            column.extend([point.fields.get(name, math.nan) for point in points])
        self._words.add(first, [point.terms for point in points])
        self._vectors.extend([point.vector for point in points])
        self._positions.extend([row.position for row in rows])
        self._living.extend([point.id != _GONE for point in points])
        self._ids += (point.id for point in points)

    def remove(self, ids: Iterable[str]) -> None:
        """Leave the rows of these ids out from now on."""
        self._living.values[[row for each in ids if (row := self._row_of.pop(each, None)) is not None]] = False

    def ask(self, queries: Sequence[Query]) -> list[Asked]:
        """What is to be computed for each query."""
        masks = {where: self.passing(where) for query in queries for where in (query.where, query.rarity)}
        parts = (*([self._head] if self._head else []), Part(self._tail, self._vectors.values))
        asked = []
        for query in queries:
            mask = masks[query.where]
            words = self._words.scores(query.terms or Terms(), mask, masks[query.rarity])
            vector = np.asarray(query.vector, np.float64)
            if self._layout.distance == "cosine":
                vector = vector / np.linalg.norm(vector)
            asked.append(Asked(vector, query.limit, mask, words, parts))
        return asked

    def nearest(self, asked: Asked) -> list[Found]:
        """The rows that a query finds: its nearest, and those that share most words; best first."""
        rows = np.concatenate([_nearest_of(part, asked) for part in asked.parts])
        near = self._first(rows, self._scores(rows, asked), asked.limit)
        sharing = _greatest(np.flatnonzero(asked.words), asked.words[np.flatnonzero(asked.words)], asked.limit)
        sharing = self._first(sharing, asked.words[sharing], asked.limit)
        chosen = np.union1d(near, sharing)
        scores = self._scores(chosen, asked)
        ordered = sorted(zip(chosen, scores, strict=True), key=lambda each: (-each[1], self._ids[each[0]]))
        return [Found(int(row), float(score), float(asked.words[row])) for row, score in ordered]

    def vectors(self) -> tuple[NDArray[np.int64], Vectors]:
        """The positions and vectors of the living rows, in the order of the positions."""
        living = np.flatnonzero(self._living.values)
        living = living[np.argsort(self._positions.values[living])]
        head = self._head.vectors if self._head else self._vectors.values[:0]
        tail = self._tail
        return self._positions.values[living], np.concatenate(
            [head[living[living < tail]], self._vectors.values[living[living >= tail] - tail]]
        )

    def is_untidy(self) -> bool:
        """Whether many rows have no graph over them, or most are dead."""
        return len(self._vectors.values) > COMPARED or len(self._ids) > 2 * len(self._row_of) + COMPARED

    @property
    def _tail(self) -> int:
        return len(self._head.vectors) if self._head else 0

    def _use(self, graph: Graph) -> None:
        """Lay the graph over the first rows, which are its nodes."""
        faiss = _faiss()
        count, dimension = len(graph.nodes), self._layout.dimension
        flat = faiss.IndexFlatIP(dimension)
        flat.add(self._vectors.values[:count])
        index = faiss.deserialize_index(np.frombuffer(graph.data, np.uint8))
        index.storage, index.own_fields = flat, False
        vectors = faiss.rev_swig_ptr(flat.get_xb(), count * dimension).reshape(count, dimension)
        self._head = Part(0, vectors, index, flat)
        rest = self._vectors.values[count:]
        self._vectors = _Column("f4", dimension)
        self._vectors.extend(rest)

    def _holding(self, condition: Condition) -> Mask:
        mask = np.zeros(len(self._ids), np.bool_)
        if isinstance(condition, Range):
            return _within(self._numbers[condition.field].values, condition)
        if isinstance(condition, Equals) and not isinstance(condition.value, str):
            return np.asarray(self._numbers[condition.field].values == condition.value)
        for value in condition.values if isinstance(condition, OneOf) else (condition.value,):
            if rows := self._keywords[condition.field].get(str(value)):
                mask[np.frombuffer(rows, np.uint32)] = True
        return mask

    def _scores(self, rows: Numbers, asked: Asked) -> NDArray[np.float64]:
        """The products with these rows, each computed alike: equal vectors have equal scores."""
        scores = np.empty(len(rows))
        for part in asked.parts:
            here = (rows >= part.first) & (rows < part.first + len(part.vectors))
            scores[here] = (part.vectors[rows[here] - part.first] * asked.vector).sum(axis=1)
        return scores.clip(-1, 1) if self._layout.distance == "cosine" else scores

    def _first(self, rows: Numbers, scores: NDArray[np.float64], limit: int) -> Numbers:
        ordered = sorted(zip(rows, scores, strict=True), key=lambda each: (-each[1], self._ids[each[0]]))
        return np.array([row for row, _ in ordered[:limit]], np.intp)


def graph_over(positions: NDArray[np.int64], vectors: Vectors) -> Graph:
    """Build the graph; takes minutes for a million, on all processors."""
    faiss = _faiss()
    index = faiss.IndexHNSWFlat(vectors.shape[1], _NEIGHBOURS, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = _BUILD_EFFORT
    index.add(vectors)
    writer = faiss.VectorIOWriter()
    faiss.write_index(index, writer, faiss.IO_FLAG_SKIP_STORAGE)
    return Graph(positions, faiss.vector_to_array(writer.data).tobytes())


def _nearest_of(part: Part, asked: Asked) -> Numbers:
    """The rows of one part among which its nearest are."""
    mask = asked.mask[part.first : part.first + len(part.vectors)]
    rows = np.flatnonzero(mask)
    if part.graph is not None and len(rows) > COMPARED:
        return _walked(part, asked, mask, len(rows)) + part.first
    vector = asked.vector.astype(np.float32)
    products = part.vectors @ vector if len(rows) == len(mask) else _products(part.vectors, vector, rows)
    return _greatest(rows, products, asked.limit) + part.first


def _products(vectors: Vectors, vector: Vectors, rows: Numbers) -> NDArray[np.float32]:
    """With these rows only, read where they are."""
    faiss, products, numbers = _faiss(), np.empty(len(rows), np.float32), rows.astype(np.int64)
    places = [faiss.swig_ptr(each) for each in (products, vector, vectors, numbers)]  # which nothing else keeps alive
    faiss.fvec_inner_products_by_idx(*places, vectors.shape[1], 1, len(rows))
    return products


def _walked(part: Part, asked: Asked, mask: Mask, passing: int) -> Numbers:
    faiss = _faiss()
    wanted = min(asked.limit + _SPARE, passing)
    effort = min(int(max(_EFFORT, 2 * wanted) * len(mask) / passing), max(_MOST_EFFORT, 2 * wanted))
    parameters = faiss.SearchParametersHNSW(efSearch=effort)
    if passing < len(mask):
        bits = np.packbits(mask, bitorder="little")
        parameters = faiss.SearchParametersHNSW(efSearch=effort, sel=faiss.IDSelectorBitmap(bits))
    answer = part.graph.search(asked.vector.astype(np.float32)[np.newaxis], wanted, params=parameters)
    found: Numbers = np.asarray(answer[1][0], np.intp)
    return np.compress(found >= 0, found)


def _greatest(rows: Numbers, scores: NDArray[Any], limit: int) -> Numbers:
    """The rows of the `limit` greatest scores, and those as close to the last of them as can't be told apart here."""
    if len(rows) <= limit:
        return rows
    last = np.partition(scores, len(scores) - limit)[len(scores) - limit]
    return np.compress(scores >= last - _CLOSE * np.abs(scores).max(), rows)


def _faiss() -> Any:  # noqa: ANN401 - as its docstring says
    """Slow to import, and typed without half of its classes."""
    return importlib.import_module("faiss")


def _within(values: NDArray[np.float64], condition: Range) -> Mask:
    mask = ~np.isnan(values)
    for bound, compare in (
        (condition.above, np.greater),
        (condition.at_least, np.greater_equal),
        (condition.below, np.less),
        (condition.at_most, np.less_equal),
    ):
        if bound is not None:
            mask &= np.asarray(compare(values, bound), np.bool_)
    return mask


def _strings(value: Value | None) -> Sequence[str]:
    """What a keyword field holds."""
    if isinstance(value, str):
        return (value,)
    return value if isinstance(value, Sequence) else ()


def _with_gaps(batch: Iterable[Row], nodes: Iterator[int], dimension: int) -> Iterator[Row]:
    """The rows, with a gap for each node of the graph whose row is gone: the graph counts its nodes."""
    for row in batch:
        for position in nodes:
            if position == row.position:
                break
            yield _gap(position, dimension)
        yield row


def _gap(position: int, dimension: int) -> Row:
    return Row(position, Point(id=_GONE, vector=np.zeros(dimension, np.float32)))


def _numbers() -> "array[int]":
    return array("I")


class _Column:
    """A value, or several, by row. It only grows: what was taken from it stays as it is."""

    def __init__(self, kind: str, *width: int) -> None:
        self._all = np.empty((64, *width), kind)
        self._size = 0

    @property
    def values(self) -> NDArray[Any]:
        return self._all[: self._size]

    def extend(self, values: Sequence[Any] | NDArray[Any]) -> None:
        size = self._size + len(values)
        if size > len(self._all):
            grown = np.empty((max(size, 2 * len(self._all)), *self._all.shape[1:]), self._all.dtype)
            grown[: self._size] = self.values
            self._all = grown
        if len(values):
            self._all[self._size : size] = values
        self._size = size


class _Words:
    """Which rows hold a term, with its weight: sorted by term, but for the latest, which are looked through."""

    def __init__(self) -> None:
        self._sorted = tuple(np.empty(0, kind) for kind in ("u4", "u4", "f8"))
        self._latest = tuple(_Column(kind) for kind in ("u4", "u4", "f8"))

    def add(self, first: int, terms: Sequence[Terms]) -> None:
        """Take in the terms of the rows from `first` on."""
        counts = [len(each.indices) for each in terms]
        rows = np.repeat(np.arange(first, first + len(terms), dtype="u4"), counts)
        indices = np.fromiter(chain.from_iterable(each.indices for each in terms), "u4", len(rows))
        weights = np.fromiter(chain.from_iterable(each.weights for each in terms), "f8", len(rows))
        for column, values in zip(self._latest, (indices, rows, weights), strict=True):
            column.extend(values)
        if len(self._latest[0].values) > max(_MOST_UNSORTED, len(self._sorted[0]) // 8):
            self._sort()

    def scores(self, terms: Terms, mask: Mask, corpus: Mask) -> NDArray[np.float64]:
        """How much each row shares: its weights by the query's, each term by how rare it is in the corpus (IDF)."""
        scores = np.zeros(len(mask))
        size = np.count_nonzero(corpus) if terms.indices else 0
        for index, weight in zip(terms.indices, terms.weights, strict=True):
            rows, weights = self._having(index)
            having = np.count_nonzero(corpus[rows])
            scores[rows] += weight * math.log(1 + (size - having + 0.5) / (having + 0.5)) * weights
        scores[~mask] = 0
        return scores

    def _having(self, index: int) -> tuple[NDArray[np.uint32], NDArray[np.float64]]:
        keys, rows, weights = self._sorted
        key = np.uint32(index)
        start, end = np.searchsorted(keys, key, "left"), np.searchsorted(keys, key, "right")
        latest = self._latest[0].values == key
        return (
            np.concatenate([rows[start:end], self._latest[1].values[latest]]),
            np.concatenate([weights[start:end], self._latest[2].values[latest]]),
        )

    def _sort(self) -> None:
        everything = [np.concatenate([a, b.values]) for a, b in zip(self._sorted, self._latest, strict=True)]
        order = np.argsort(everything[0], kind="stable")
        self._sorted = tuple(each[order] for each in everything)
        self._latest = tuple(_Column(kind) for kind in ("u4", "u4", "f8"))
