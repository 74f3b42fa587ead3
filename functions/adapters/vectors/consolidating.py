"""The `VectorStore` port in front of another one: small upserts that come at the same time are stored together.

Nobody waits while nobody else writes: the first one is stored at once, by whoever called. What comes while that is
stored gathers, and is one batch as soon as it ends, or after `delay_s` if it does not. A batch never begins beside one
with the same ids, so that of two upserts of one id the later stays. A call returns when its points are stored.
"""

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from functions.adapters.vectors.checking import check_open, check_points
from functions.ports.vector_stores import (
    EVERYTHING,
    SCROLL_POINTS,
    Fields,
    Filter,
    Hit,
    Layout,
    PartlyRefusedError,
    Point,
    PointsError,
    Query,
    RefusedError,
    UnavailableError,
    VectorStore,
)

DELAY_S: Final = 0.02
BATCH_POINTS: Final = 1_000


@dataclass(eq=False)
class _Request:
    """One call: its points, since when it waits, and how it ended."""

    points: Mapping[str, Point]
    since: float
    ended: bool = False
    error: Exception | None = None


@dataclass
class _Line:
    """Who waits to write a collection, in the order of arrival, and the ids of the batches that are being written."""

    waiting: list[_Request] = field(default_factory=list)
    writing: list[frozenset[str]] = field(default_factory=list)


class ConsolidatingStore:
    """One store, with few large writes instead of many small ones.

    Args:
        store: Where everything is.
        delay_s: How long an upsert waits at most for another one to end, unless that has the same ids.
        batch_points: A batch has no more, unless one call alone has.
        clock: Seconds that only go forward.
        changed: What callers wait on.
    """

    def __init__(
        self,
        store: VectorStore,
        *,
        delay_s: float = DELAY_S,
        batch_points: int = BATCH_POINTS,
        clock: Callable[[], float] = time.monotonic,
        changed: threading.Condition | None = None,
    ) -> None:
        self._store = store
        self._delay_s = delay_s
        self._batch_points = batch_points
        self._clock = clock
        self._changed = changed or threading.Condition()
        self._lines: dict[tuple[object, ...], _Line] = {}
        self._is_open = True

    @property
    def searches_words(self) -> bool:
        """See `VectorStore.searches_words`."""
        return self._store.searches_words

    def upsert(self, layout: Layout, points: Sequence[Point]) -> None:
        """See `VectorStore.upsert`; what is wrong with the points of one call is that call's alone."""
        stored = {point.id: point for point in check_points(layout, points)}
        with self._changed:
            check_open(is_open=self._is_open)
            line = self._lines.setdefault((layout.name, layout.encoder, layout.dimension, layout.distance), _Line())
            mine = _Request(stored, self._clock())
            line.waiting.append(mine)
            batch = self._taken(line, mine)
        if batch:
            self._write(layout, line, batch)
        if mine.error is not None:
            raise mine.error

    def create(self, layout: Layout) -> None:
        """See `VectorStore.create`."""
        self._store.create(layout)

    def drop(self, name: str) -> None:
        """See `VectorStore.drop`."""
        self._store.drop(name)

    def layouts(self) -> Sequence[Layout]:
        """See `VectorStore.layouts`."""
        return self._store.layouts()

    def search(self, layout: Layout, queries: Sequence[Query]) -> Sequence[Sequence[Hit]]:
        """See `VectorStore.search`."""
        return self._store.search(layout, queries)

    def read(self, layout: Layout, ids: Iterable[str], *, vectors: bool = False) -> Sequence[Point]:
        """See `VectorStore.read`."""
        return self._store.read(layout, ids, vectors=vectors)

    def set_fields(self, layout: Layout, fields: Mapping[str, Fields]) -> None:
        """See `VectorStore.set_fields`."""
        self._store.set_fields(layout, fields)

    def delete(self, layout: Layout, ids: Iterable[str]) -> None:
        """See `VectorStore.delete`."""
        self._store.delete(layout, ids)

    def delete_where(self, layout: Layout, where: Filter) -> None:
        """See `VectorStore.delete_where`."""
        self._store.delete_where(layout, where)

    def erase(self, layout: Layout, ids: Iterable[str]) -> None:
        """See `VectorStore.erase`."""
        self._store.erase(layout, ids)

    def count(self, layout: Layout, where: Filter = EVERYTHING) -> int:
        """See `VectorStore.count`."""
        return self._store.count(layout, where)

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
        return self._store.scroll(layout, where, after=after, limit=limit, vectors=vectors)

    def optimize(self, layout: Layout) -> None:
        """See `VectorStore.optimize`."""
        self._store.optimize(layout)

    def close(self) -> None:
        """See `VectorStore.close`; what waits is stored before."""
        with self._changed:
            self._is_open = False
            while any(line.waiting or line.writing for line in self._lines.values()):
                self._changed.wait()
        self._store.close()

    def _taken(self, line: _Line, mine: _Request) -> list[_Request]:
        """The batch that this caller writes; none where another one has written what is its."""
        while not mine.ended and not (mine in line.waiting and self._may_begin(line, mine)):
            self._changed.wait(self._patience(line, mine))
        if mine.ended:
            return []
        batch = [line.waiting.pop(0)]
        while line.waiting and sum(len(each.points) for each in (*batch, line.waiting[0])) <= self._batch_points:
            if not self._is_apart(line, line.waiting[0]):
                break
            batch.append(line.waiting.pop(0))
        line.writing.append(_ids(batch))
        self._changed.notify_all()
        return batch

    def _may_begin(self, line: _Line, mine: _Request) -> bool:
        if line.waiting[0] is not mine:
            return False
        waited = self._clock() - mine.since
        return not line.writing or (waited >= self._delay_s and self._is_apart(line, mine))

    def _is_apart(self, line: _Line, request: _Request) -> bool:
        return all(ids.isdisjoint(request.points) for ids in line.writing)

    def _patience(self, line: _Line, mine: _Request) -> float | None:
        """How long to wait before looking again; until something changes where time changes nothing."""
        if mine not in line.waiting or line.waiting[0] is not mine or not self._is_apart(line, mine):
            return None
        return max(0.0, mine.since + self._delay_s - self._clock())

    def _write(self, layout: Layout, line: _Line, batch: Sequence[_Request]) -> None:
        try:
            self._store_all(layout, batch)
        except BaseException as error:
            for each in batch:
                each.error = error if isinstance(error, Exception) else UnavailableError("the write was cut off")
            if not isinstance(error, Exception):
                raise
        finally:
            with self._changed:
                line.writing.remove(_ids(batch))
                for each in batch:
                    each.ended = True
                self._changed.notify_all()

    def _store_all(self, layout: Layout, batch: Sequence[_Request]) -> None:
        """Store a batch; what the store refuses of it is the error of those whose points they are."""
        points = {id_: point for each in batch for id_, point in each.points.items()}
        try:
            self._store.upsert(layout, list(points.values()))
        except PartlyRefusedError as error:
            for each in batch:
                refused = [id_ for id_ in error.ids if id_ in each.points]
                each.error = PartlyRefusedError(str(error), refused) if refused else None
        except (PointsError, RefusedError):
            if len(batch) == 1:
                raise
            for each in batch:
                self._store_one(layout, each)

    def _store_one(self, layout: Layout, request: _Request) -> None:
        try:
            self._store.upsert(layout, list(request.points.values()))
        except Exception as error:  # noqa: BLE001 - raised to the one whose points they are
            request.error = error


def _ids(batch: Sequence[_Request]) -> frozenset[str]:
    return frozenset(id_ for each in batch for id_ in each.points)
