"""The `VectorStore` port on Qdrant Edge: Qdrant's engine inside this process, one folder a collection.

Edge is safe to use from several threads, and locks its folder, so that a second process is refused instead of
damaging it. Its own errors are all plain `Exception`. It is imported when a collection is opened.

What is deleted stays in its files: in the log, in the payloads, in the map of ids. So whatever has to be gone for good
is left out of a copy of the whole shard, which then takes the shard's place (`erase`).
"""

import logging
import threading
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

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
)
from functions.adapters.vectors.edge_folders import (
    DENSE,
    TERMS,
    Marker,
    copied,
    is_of_edge,
    layout_in,
    load,
    look_for_room,
    make,
    open_shard,
    remove,
    remove_other_shards,
    replace_marker,
    rewrite,
)
from functions.adapters.vectors.edge_index import begin, end, is_wanted, stop
from functions.adapters.vectors.edge_log import Log
from functions.errors import TroupeError
from functions.ports.vector_stores import (
    EVERYTHING,
    SCROLL_POINTS,
    Condition,
    Equals,
    Fields,
    Filter,
    Hit,
    Layout,
    NoSuchCollectionError,
    OneOf,
    Point,
    Query,
    RefusedError,
    Terms,
    Vector,
    VectorStoreError,
)

if TYPE_CHECKING:
    import subprocess

    import numpy as np
    import qdrant_edge
    from numpy.typing import NDArray

# Of a search by the index: how many points it keeps in sight, and of how many times as many as it is asked for it looks
# at the whole vectors. See docs/vector-sizes.md.
_WIDTH: Final = 128
_OVERSAMPLING: Final = 2.0
FLUSH_S: Final = 2.0  # how long something may be on disk in a log alone

log = logging.getLogger("troupe.collections")


@dataclass(frozen=True)
class _Building:
    """An index that is being built.

    Attributes:
        of: What the collection was when it was copied.
        copy: Names the copy.
        since: What was written since then.
    """

    of: Marker
    copy: Marker
    builder: "subprocess.Popen[str]"
    since: "list[qdrant_edge.UpdateOperation]" = field(default_factory=list)


@dataclass
class _Opened:
    """A collection that is in use.

    Attributes:
        log: Of its shard.
        dropped: Tells whoever finds its shard closed why.
        unflushed: Whether something was written that is on disk in the log alone.
        indexing: Held while an index is built.
        building: That index.
    """

    folder: Path
    layout: Layout
    marker: Marker
    shard: "qdrant_edge.EdgeShard"
    log: Log
    writing: threading.Lock = field(default_factory=threading.Lock)
    dropped: bool = False
    unflushed: bool = False
    indexing: threading.Lock = field(default_factory=threading.Lock)
    building: _Building | None = None


class EdgeStore:
    """Collections in a folder, each opened when it is first used. Safe to use from several threads.

    What was written is on disk when the call returns, in the log of its shard, and seen by the next search.

    Args:
        parent: The folder of all collections; made when the first one is.
    """

    searches_words = True

    def __init__(self, parent: Path) -> None:
        self._parent = parent
        self._opened: dict[str, _Opened] = {}
        self._opening = threading.RLock()
        self._is_open = True
        self._closing = threading.Event()
        self._flushing = threading.Thread(target=self._flush_each, name="flushing", daemon=True)

    def create(self, layout: Layout) -> None:
        """See `VectorStore.create`; one that is there is opened."""
        check_layout(layout)
        with self._opening:
            check_open(is_open=self._is_open)
            make(self._parent / layout.name, layout)
            self._of(layout)

    def drop(self, name: str) -> None:
        """See `VectorStore.drop`; where another process has it open, nothing is done."""
        check_name(name)
        with self._opening:
            check_open(is_open=self._is_open)
            opened = self._opened.pop(name, None)
            if opened is not None:
                with opened.writing:
                    opened.dropped = True
                    _stop(opened)
                    opened.shard.close()
            remove(self._parent / name)

    def layouts(self) -> Sequence[Layout]:
        """See `VectorStore.layouts`."""
        check_open(is_open=self._is_open)
        folders = sorted(self._parent.glob("[!.]*")) if self._parent.is_dir() else []
        return [layout for layout in map(layout_in, folders) if layout is not None]

    def upsert(self, layout: Layout, points: Sequence[Point]) -> None:
        """See `VectorStore.upsert`."""
        import qdrant_edge as edge  # noqa: PLC0415 - slow, and not for all

        opened = self._of(layout)
        stored = [_stored(layout, point) for point in check_points(layout, points)]
        if stored:
            _write(opened, [edge.UpdateOperation.upsert_points(stored)])

    def search(self, layout: Layout, queries: Sequence[Query]) -> Sequence[Sequence[Hit]]:
        """See `VectorStore.search`."""
        opened = self._of(layout)
        asked = [_unit_query(layout, query) for query in check_queries(layout, queries)]
        with _reporting(opened):
            return _found(opened.shard, asked)

    def read(self, layout: Layout, ids: Iterable[str], *, vectors: bool = False) -> Sequence[Point]:
        """See `VectorStore.read`."""
        opened = self._of(layout)
        asked: list[qdrant_edge.PointId] = [uuid.UUID(each) for each in check_ids(ids)]
        with _reporting(opened):
            records = opened.shard.retrieve(asked, with_payload=True, with_vector=vectors)
        found = {record.id: record for record in records}
        return [_point(found[each]) for each in asked if each in found]

    def set_fields(self, layout: Layout, fields: Mapping[str, Fields]) -> None:
        """See `VectorStore.set_fields`."""
        import qdrant_edge as edge  # noqa: PLC0415 - slow, and not for all

        opened = self._of(layout)
        given = check_fields(fields, layout)
        alike: dict[str, list[qdrant_edge.PointId]] = {}  # one step of the log for all that are told the same
        for point in self.read(layout, given):
            alike.setdefault(repr(given[point.id]), []).append(uuid.UUID(point.id))
        if alike:
            steps = ((points, given[str(points[0])]) for points in alike.values())
            _write(opened, [edge.UpdateOperation.set_payload(points, dict(said)) for points, said in steps])

    def delete(self, layout: Layout, ids: Iterable[str]) -> None:
        """See `VectorStore.delete`."""
        import qdrant_edge as edge  # noqa: PLC0415 - slow, and not for all

        opened = self._of(layout)
        asked: list[qdrant_edge.PointId] = [uuid.UUID(each) for each in check_ids(ids)]
        if asked:
            _write(opened, [edge.UpdateOperation.delete_points(asked)])

    def delete_where(self, layout: Layout, where: Filter) -> None:
        """See `VectorStore.delete_where`."""
        import qdrant_edge as edge  # noqa: PLC0415 - slow, and not for all

        opened = self._of(layout)
        asked = _filter(check_filter(layout, where))
        _write(opened, [edge.UpdateOperation.delete_points_by_filter(asked)])

    def erase(self, layout: Layout, ids: Iterable[str]) -> None:
        """See `VectorStore.erase`.

        A copy of the rest takes their place, under a millisecond a point; who writes waits, who reads does not.
        A search index is not copied: `optimize` builds it again.
        """
        opened = self._of(layout)
        erased = frozenset(uuid.UUID(each) for each in check_ids(ids))
        with opened.writing, _reporting(opened):
            self._check_open()
            if opened.dropped:
                raise _gone(opened)
            _stop(opened)  # what is built holds what is erased
            opened.marker, opened.shard = rewrite(opened.folder, opened.marker, opened.shard, erased, self._check_open)
            opened.log = Log(opened.folder / opened.marker.shard)
            remove_other_shards(opened.folder, opened.marker)  # whoever still reads the old one has it open

    def count(self, layout: Layout, where: Filter = EVERYTHING) -> int:
        """See `VectorStore.count`."""
        import qdrant_edge as edge  # noqa: PLC0415 - slow, and not for all

        opened = self._of(layout)
        asked = _filter(check_filter(layout, where))
        with _reporting(opened):
            return opened.shard.count(edge.CountRequest(exact=True, filter=asked))

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
        import qdrant_edge as edge  # noqa: PLC0415 - slow, and not for all

        opened = self._of(layout)
        check_page(after, limit)
        page = edge.ScrollRequest(
            offset=uuid.UUID(after) if after else None,
            limit=limit + bool(after),  # it begins with the one that it is after
            filter=_filter(check_filter(layout, where)),
            with_payload=True,
            with_vector=vectors,
        )
        with _reporting(opened):
            records, _ = opened.shard.scroll(page)
        return [_point(record) for record in records if str(record.id) > after][:limit]

    def optimize(self, layout: Layout) -> None:
        """See `VectorStore.optimize`: minutes for a million points, in a process of its own.

        It is built on a copy, to which is done what was written meanwhile before it takes the place of what is used
        now. Who writes waits for the copying, and at the end; who reads waits for nothing. An erasure meanwhile makes
        the copy worthless: then it is built again. Nothing is done where few points were stored since the last time.

        Raises:
            RefusedError: The disk has no room for it, or it could not be built; the collection is as it was.
        """
        opened = self._of(layout)
        with opened.indexing:
            while self._wants_index(opened) and not self._index(opened):
                pass

    def _wants_index(self, opened: _Opened) -> bool:
        with opened.writing, _reporting(opened):
            check_open(is_open=self._is_open)
            return not opened.dropped and is_wanted(opened.shard, opened.marker)

    def _index(self, opened: _Opened) -> bool:
        """Whether an index was built, and the collection did not become another one meanwhile."""
        try:
            building = self._begun(opened)
            return building is not None and self._ended(opened, building)
        finally:
            with opened.writing:
                opened.building = None
                if self._is_there(opened):  # else what is there now may be somebody else's
                    remove_other_shards(opened.folder, opened.marker)  # whoever still reads the old one has it open

    def _begun(self, opened: _Opened) -> _Building | None:
        """Begin to build an index over what the collection holds now; None where it is gone or closed."""
        with opened.writing, _reporting(opened):
            if not self._is_there(opened):
                return None
            _flush(opened)
            try:
                copy = copied(opened.folder, opened.marker, self._check_open)
                builder = begin(opened.folder / copy.shard)
            except OSError as error:
                raise RefusedError(
                    f"{opened.folder} cannot be copied for its search index ({error.strerror or error}): the "
                    "collection is as it was; where the disk is full, free some"
                ) from error
            opened.building = _Building(opened.marker, copy, builder)
            return opened.building

    def _ended(self, opened: _Opened, building: _Building) -> bool:
        """Whether an index was built, of a collection that is still what it was."""
        try:
            end(building.builder)
            built = open_shard(opened.folder, building.copy)
        except RefusedError:
            with opened.writing:
                if self._is_there(opened) and opened.marker == building.of:
                    raise
                return False
        with opened.writing, _reporting(opened):
            if not self._is_there(opened) or opened.marker != building.of:
                built.close()
                return False
            opened.marker, opened.shard = _with_what_was_written(opened.folder, building, built), built
            opened.log = Log(opened.folder / opened.marker.shard)
            return True

    def close(self) -> None:
        """See `VectorStore.close`: who erases or builds an index is cut off, which leaves the collection as it was."""
        with self._opening:
            self._is_open = False
            self._closing.set()
            for opened in self._opened.values():
                with opened.writing:
                    _stop(opened)
                    with suppress(VectorStoreError):  # on a full disk: then the log says it at the next opening
                        _flush(opened)
                    opened.shard.close()
            self._opened.clear()
        if self._flushing.is_alive():
            self._flushing.join()

    def _is_there(self, opened: _Opened) -> bool:
        """Whether a collection is still in use here; then it stays so for whoever holds its `writing`."""
        return self._is_open and not opened.dropped

    def _check_open(self) -> None:
        check_open(is_open=self._is_open)

    def _of(self, layout: Layout) -> _Opened:
        check_open(is_open=self._is_open)
        opened = self._opened.get(layout.name) or self._open(layout)
        check_same(layout, opened.layout)
        return opened

    def _open(self, layout: Layout) -> _Opened:
        folder = self._parent / layout.name
        with self._opening:
            if layout.name not in self._opened:
                found = layout_in(folder)
                if found is None:
                    raise no_such_collection(layout.name)
                check_same(layout, found)  # before anything of it is changed
                marker, shard = load(folder)
                self._opened[layout.name] = _Opened(folder, found, marker, shard, Log(folder / marker.shard))
                if not self._flushing.is_alive():
                    self._flushing.start()
            return self._opened[layout.name]

    def _flush_each(self) -> None:
        """So that a log stays short, and an opening after a crash quick."""
        while not self._closing.wait(FLUSH_S):
            for opened in list(self._opened.values()):
                try:
                    with opened.writing:
                        if self._is_there(opened):
                            _flush(opened)
                except VectorStoreError:
                    log.exception("%s is not flushed, which is tried again", opened.folder)


def _write(opened: _Opened, operations: "Sequence[qdrant_edge.UpdateOperation]") -> None:
    look_for_room(opened.folder)
    with opened.writing, _reporting(opened):
        for operation in operations:
            opened.shard.update(operation)
            opened.unflushed = True
            if opened.building is not None:
                opened.building.since.append(operation)
        opened.log.sync()


def _flush(opened: _Opened) -> None:
    """Bring to disk what is in the log alone; on a full disk, not now: the engine maps its files, and would crash."""
    if opened.unflushed:
        look_for_room(opened.folder)
        with _reporting(opened):
            opened.shard.flush()
        opened.unflushed = False


def _stop(opened: _Opened) -> None:
    """End whoever builds an index, so that no file of the copy is touched any more."""
    if opened.building is not None:
        stop(opened.building.builder)


def _with_what_was_written(folder: Path, building: _Building, built: "qdrant_edge.EdgeShard") -> Marker:
    """Do to the indexed copy what was done since, and let the collection be that."""
    found = built.info()
    for operation in building.since:
        built.update(operation)
    built.flush()
    marker = msgspec.structs.replace(building.copy, indexed=found.points_count, counted=found.indexed_vectors_count)
    replace_marker(folder, marker)
    return marker


def _gone(opened: _Opened) -> NoSuchCollectionError:
    return NoSuchCollectionError(f"the collection {opened.layout.name} was dropped meanwhile")


@contextmanager
def _reporting(opened: _Opened) -> Iterator[None]:
    """Edge's errors, as the port's own."""
    try:
        yield
    except TroupeError:
        raise
    except BaseException as error:
        if not is_of_edge(error):
            raise
        if opened.dropped:
            raise _gone(opened) from error
        raise VectorStoreError(f"the collection in {opened.folder} failed, or was closed: {error}") from error


def _stored(layout: Layout, point: Point) -> "qdrant_edge.Point":
    import qdrant_edge as edge  # noqa: PLC0415 - slow, and not for all

    terms = edge.SparseVector(list(point.terms.indices), list(point.terms.weights))
    vectors = {DENSE: _unit(layout, point.vector).tolist(), TERMS: terms}
    return edge.Point(uuid.UUID(point.id), vectors, dict(point.fields))


def _unit_query(layout: Layout, query: Query) -> Query:
    return msgspec.structs.replace(query, vector=_unit(layout, query.vector))


def _unit(layout: Layout, vector: Vector | None) -> "NDArray[np.float32]":
    """At unit length for the cosine: Edge takes a very short vector as it is."""
    import numpy as np  # noqa: PLC0415 - as in functions.ports.encoders

    given = np.asarray(vector, np.float64)
    return (given / np.linalg.norm(given) if layout.distance == "cosine" else given).astype(np.float32)


def _point(record: "qdrant_edge.Record") -> Point:
    if record.vector is None:
        return Point(id=str(record.id), fields=record.payload or {})
    import numpy as np  # noqa: PLC0415 - as in functions.ports.encoders

    vectors: Mapping[str, Any] = dict(record.vector)  # type: ignore[arg-type]  # all of them are named
    terms = vectors.get(TERMS)
    return Point(
        id=str(record.id),
        vector=np.array(vectors[DENSE], np.float32),
        terms=Terms(tuple(terms.indices), tuple(terms.values)) if terms is not None else Terms(),
        fields=record.payload or {},
    )


def _found(shard: "qdrant_edge.EdgeShard", queries: Sequence[Query]) -> list[list[Hit]]:
    """What is nearest and what shares most words, each with both of its scores: two batches, however many queries."""
    found = _asked(shard, [each for query in queries for each in (_nearest(query), _sharing(query))])
    near, sharing = found[::2], found[1::2]
    missing = [
        each
        for query, these, those in zip(queries, near, sharing, strict=True)
        for each in (
            _nearest(query, among=those.keys() - these.keys()),
            _sharing(query, among=these.keys() - those.keys()),
        )
    ]
    scored = _asked(shard, missing)
    return [
        _hits(_scores(these) | _scores(more), _scores(those) | _scores(fewer), {**these, **those})
        for these, those, more, fewer in zip(near, sharing, scored[::2], scored[1::2], strict=True)
    ]


def _asked(
    shard: "qdrant_edge.EdgeShard", requests: "list[qdrant_edge.QueryRequest]"
) -> "list[dict[qdrant_edge.PointId, qdrant_edge.ScoredPoint]]":
    import qdrant_edge as edge  # noqa: PLC0415 - slow, and not for all

    asked = [request for request in requests if request.limit]  # what asks for nothing is weighed all the same
    if not asked:
        return [{} for _ in requests]
    answers = iter(shard.query_batch(edge.QueryBatchRequest(asked)))
    return [{point.id: point for point in next(answers)} if request.limit else {} for request in requests]


def _nearest(query: Query, among: "Collection[qdrant_edge.PointId] | None" = None) -> "qdrant_edge.QueryRequest":
    """What is near to a query; or, of points that were found, how near they are."""
    import qdrant_edge as edge  # noqa: PLC0415 - slow, and not for all

    rescored = edge.QuantizationSearchParams(rescore=True, oversampling=_OVERSAMPLING)
    params = edge.SearchParams(hnsw_ef=_WIDTH, quantization=rescored)
    return _request(query, edge.Query.Nearest(query.vector.tolist(), using=DENSE), among, params)


def _sharing(query: Query, among: "Collection[qdrant_edge.PointId] | None" = None) -> "qdrant_edge.QueryRequest":
    """What shares words with a query; or, of points that were found, how many."""
    import qdrant_edge as edge  # noqa: PLC0415 - slow, and not for all

    terms = query.terms or Terms()
    asked = edge.Query.Nearest(edge.SparseVector(list(terms.indices), list(terms.weights)), using=TERMS)
    rarity = edge.SearchParams(idf=edge.IdfParams(corpus=_filter(query.rarity)))
    return _request(query, asked, among if terms.indices else (), rarity)


def _request(
    query: Query,
    asked: "qdrant_edge.Query",
    among: "Collection[qdrant_edge.PointId] | None",
    params: "qdrant_edge.SearchParams",
) -> "qdrant_edge.QueryRequest":
    import qdrant_edge as edge  # noqa: PLC0415 - slow, and not for all

    if among is None:
        where, limit = _filter(query.where), query.limit
    else:
        where, limit = edge.Filter(must=[edge.HasIdCondition(set(among))]), len(among)
    return edge.QueryRequest(query=asked, params=params, filter=where, limit=limit, with_payload=among is None)


def _scores(found: "Mapping[qdrant_edge.PointId, qdrant_edge.ScoredPoint]") -> "dict[qdrant_edge.PointId, float]":
    return {id_: point.score for id_, point in found.items()}


def _hits(
    near: "Mapping[qdrant_edge.PointId, float]",
    words: "Mapping[qdrant_edge.PointId, float]",
    points: "Mapping[qdrant_edge.PointId, qdrant_edge.ScoredPoint]",
) -> list[Hit]:
    hits = [
        Hit(id=str(id_), score=near[id_], words=words.get(id_, 0.0), fields=point.payload or {})
        for id_, point in points.items()
        if id_ in near  # else it was removed in between
    ]
    return sorted(hits, key=lambda hit: (-hit.score, hit.id))


def _filter(where: Filter) -> "qdrant_edge.Filter":
    import qdrant_edge as edge  # noqa: PLC0415 - slow, and not for all

    return edge.Filter(
        must=[_condition(each) for each in where.must] or None,
        must_not=[_condition(each) for each in where.must_not] or None,
    )


def _condition(condition: Condition) -> "qdrant_edge.FieldCondition":
    import qdrant_edge as edge  # noqa: PLC0415 - slow, and not for all

    if isinstance(condition, OneOf):
        return edge.FieldCondition(condition.field, match=edge.MatchAny(list(condition.values)))
    if isinstance(condition, Equals) and isinstance(condition.value, str):
        return edge.FieldCondition(condition.field, match=edge.MatchValue(condition.value))
    if isinstance(condition, Equals):
        number = float(condition.value)
        return edge.FieldCondition(condition.field, range=edge.RangeFloat(gte=number, lte=number))
    bounds = edge.RangeFloat(gt=condition.above, gte=condition.at_least, lt=condition.below, lte=condition.at_most)
    return edge.FieldCondition(condition.field, range=bounds)
