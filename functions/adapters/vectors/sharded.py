"""The `VectorStore` port over several stores, one a shard: what one node cannot hold or answer in time.

A point lives on one shard, chosen by its id (see `placement`). Every shard is asked at once and the answers are merged
exactly: what a single store with all points would find by their vectors is found. How rare a word is, each shard
says of its own points: which points share words with a query is exact, and so is their order within a shard; the
weights of two shards differ as two samples of one collection do. A shard that fails fails the call and is named: an
answer is never silently one of a part.

Shards are waited for as long as they take: how long that may be is their own limit, and differs by call. A write that
was given up here could still land there, over a newer one.

While the shards change (see `rebalancing`), a shard can hold points that do not live there; they are left out.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Final, TypeVar

import msgspec

from functions.adapters.vectors.checking import (
    check_fields,
    check_ids,
    check_name,
    check_open,
    check_points,
    check_queries,
)
from functions.adapters.vectors.placement import Placement, PlacementError, Placing
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
    VectorStoreError,
    pages,
)

Result = TypeVar("Result")
Item = TypeVar("Item")

#: Of each shard: so many calls to it run at once.
THREADS: Final = 8
_ROUNDS: Final = 100  # of following one point that others write all the time


class ShardedStore:
    """One collection over many stores.

    What it does to a point while that is being copied to another shard is done to the copy too before it returns.

    Args:
        shards: Every store that is or will be used, by the name that placements call it.
        placing: How the points are spread now, read once a call.
        threads: For each shard.
    """

    def __init__(
        self,
        shards: Mapping[str, VectorStore],
        placing: Callable[[], Placing],
        *,
        threads: int = THREADS,
    ) -> None:
        self.shards = dict(shards)
        self.placing = placing
        self._threads = {name: ThreadPoolExecutor(threads, f"shard-{name}") for name in shards}
        self._is_open = True
        self._check_known(placing())

    @property
    def searches_words(self) -> bool:
        """Whether all shards do: where some do not, none is asked for words."""
        return all(shard.searches_words for shard in self.shards.values())

    def create(self, layout: Layout) -> None:
        """See `VectorStore.create`; a call that failed on some shards is completed by the next."""
        self._each(self._written(self._now()), lambda shard: shard.create(layout))

    def drop(self, name: str) -> None:
        """See `VectorStore.drop`."""
        check_open(is_open=self._is_open)
        check_name(name)
        self._each(self.shards, lambda shard: shard.drop(name))

    def layouts(self) -> Sequence[Layout]:
        """See `VectorStore.layouts`: those that any shard has."""
        found = self._each(self._now().home.weights, lambda shard: shard.layouts())
        by_name = {layout.name: layout for layouts in found.values() for layout in layouts}
        return [by_name[name] for name in sorted(by_name)]

    def upsert(self, layout: Layout, points: Sequence[Point]) -> None:
        """See `VectorStore.upsert`.

        Raises:
            UnavailableError: A shard did not answer; those of the others are stored, storing all again is safe.
        """
        placing = self._now()
        newest = {point.id: point for point in check_points(layout, points)}
        parts = _by_home(placing.home, newest)
        try:
            outcomes = self._outcomes(parts, lambda shard, ids: shard.upsert(layout, [newest[each] for each in ids]))
            _raise_of_parts(outcomes, parts)
        finally:
            self.follow(layout, newest, placing)

    def search(self, layout: Layout, queries: Sequence[Query]) -> Sequence[Sequence[Hit]]:
        """See `VectorStore.search`."""
        placing = self._now()
        asked = check_queries(layout, queries)
        if not self.searches_words:
            asked = [msgspec.structs.replace(each, terms=None) for each in asked]
        search = _search_of_all if not placing.strays else _search_of_residents
        names = {name: name for name in placing.home.weights}
        found = self._answers(names, lambda shard, name: search(shard, layout, asked, _lives_on(placing.home, name)))
        return [_merged(query, [hits[at] for hits in found.values()]) for at, query in enumerate(asked)]

    def read(self, layout: Layout, ids: Iterable[str], *, vectors: bool = False) -> Sequence[Point]:
        """See `VectorStore.read`."""
        asked = check_ids(ids)
        found = self._read(self._now().home, layout, asked, vectors=vectors)
        return [found[each] for each in asked if each in found]

    def set_fields(self, layout: Layout, fields: Mapping[str, Fields]) -> None:
        """See `VectorStore.set_fields`."""
        placing = self._now()
        check_fields(fields, layout)
        parts = _by_home(placing.home, fields)
        try:
            self._answers(parts, lambda shard, ids: shard.set_fields(layout, {each: fields[each] for each in ids}))
        finally:
            self.follow(layout, fields, placing)

    def delete(self, layout: Layout, ids: Iterable[str]) -> None:
        """See `VectorStore.delete`."""
        placing = self._now()
        asked = check_ids(ids)
        try:
            self._answers(_by_home(placing.home, asked), lambda shard, part: shard.delete(layout, part))
        finally:
            self.follow(layout, asked, placing)

    def delete_where(self, layout: Layout, where: Filter) -> None:
        """See `VectorStore.delete_where`."""
        placing = self._now()
        if placing.following is None:
            self._each(placing.home.weights, lambda shard: shard.delete_where(layout, where))
            return
        for page in self._pages(layout, where):
            self.delete(layout, [point.id for point in page])

    def erase(self, layout: Layout, ids: Iterable[str]) -> None:
        """See `VectorStore.erase`, on every shard: what lives on one now may have lived on any.

        While a point is being copied, its copy is gone from the files once the change of shards is through.
        """
        placing = self._now()
        asked = check_ids(ids)
        try:
            self._each(self._written(placing), lambda shard: shard.erase(layout, asked))
        finally:
            self.follow(layout, asked, placing)

    def count(self, layout: Layout, where: Filter = EVERYTHING) -> int:
        """See `VectorStore.count`; while shards hold strays, as many pages are read as there are."""
        placing = self._now()
        if placing.strays:
            return sum(len(page) for page in self._pages(layout, where))
        return sum(self._each(placing.home.weights, lambda shard: shard.count(layout, where)).values())

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
        home = self._now().home

        def first(shard: VectorStore, name: str) -> Sequence[Point]:
            return _first_residents(shard, layout, where, after, limit, vectors, _lives_on(home, name))

        found = self._answers({name: name for name in home.weights}, first)
        return sorted(itertools.chain(*found.values()), key=lambda point: point.id)[:limit]

    def optimize(self, layout: Layout) -> None:
        """See `VectorStore.optimize`: one shard after another, so that the others answer."""
        for name in self._now().home.weights:
            self.shards[name].optimize(layout)

    def close(self) -> None:
        """See `VectorStore.close`; the shards are closed too."""
        self._is_open = False
        for threads in self._threads.values():
            threads.shutdown()
        for shard in self.shards.values():
            shard.close()

    def follow(self, layout: Layout, ids: Iterable[str], placing: Placing) -> int:
        """Make what `following` has of these ids what `home` has, and return how many of them have to move.

        It reads, copies, and reads again until nothing has changed meanwhile. So, whoever copies last has seen that its
        copy is right, whatever others do at the same time, and no lock is needed between processes.

        Where a shard fails, the points of the others are followed all the same.

        Raises:
            UnavailableError: Others write the same points all the time.
        """
        following = placing.following
        if following is None:
            return 0
        ways: dict[tuple[str, str], list[str]] = {}
        for each in _moving(placing, ids):
            ways.setdefault((placing.home.home(each), following.home(each)), []).append(each)
        failed: list[VectorStoreError] = []
        for part in ways.values():
            try:
                self._follow(layout, part, placing.home, following)
            except VectorStoreError as error:
                failed.append(error)
        if failed:
            raise next((each for each in failed if isinstance(each, UnavailableError)), failed[0])
        return sum(len(part) for part in ways.values())

    def _follow(self, layout: Layout, moving: Sequence[str], home: Placement, following: Placement) -> None:
        wanted = self._read(home, layout, moving, vectors=True)
        left = moving
        for _ in range(_ROUNDS):
            self._copy(following, layout, left, wanted)
            now = self._read(home, layout, left, vectors=True)
            left = [each for each in left if not _same(wanted.get(each), now.get(each))]
            if not left:
                return
            wanted = now
        raise UnavailableError(
            f"{len(left)} points of {layout.name} were written by others {_ROUNDS} times while they were copied to "
            "their next shard: try again"
        )

    def _copy(self, to: Placement, layout: Layout, ids: Sequence[str], wanted: Mapping[str, Point]) -> None:
        there = [each for each in ids if each in wanted]
        gone = [each for each in ids if each not in wanted]
        if there:
            parts = _by_home(to, there)
            self._answers(parts, lambda shard, part: shard.upsert(layout, [wanted[each] for each in part]))
        if gone:
            self._answers(_by_home(to, gone), lambda shard, part: shard.delete(layout, part))

    def _read(self, home: Placement, layout: Layout, ids: Sequence[str], *, vectors: bool) -> dict[str, Point]:
        parts = _by_home(home, ids)
        found = self._answers(parts, lambda shard, part: shard.read(layout, part, vectors=vectors))
        return {point.id: point for points in found.values() for point in points}

    def _pages(self, layout: Layout, where: Filter) -> Iterator[Sequence[Point]]:
        return pages(lambda after: self.scroll(layout, where, after=after))

    def _now(self) -> Placing:
        check_open(is_open=self._is_open)
        placing = self.placing()
        self._check_known(placing)
        return placing

    def _check_known(self, placing: Placing) -> None:
        unknown = sorted(self._written(placing).keys() - self.shards.keys())
        if unknown:
            raise PlacementError(
                f"points are spread over shards that are not known here: {', '.join(unknown)}; known are "
                f"{', '.join(sorted(self.shards))}: start this process with all of them"
            )

    def _written(self, placing: Placing) -> Mapping[str, float]:
        return {**(placing.following.weights if placing.following else {}), **placing.home.weights}

    def _each(self, names: Iterable[str], ask: Callable[[VectorStore], Result]) -> dict[str, Result]:
        return self._answers({name: name for name in names}, lambda shard, _: ask(shard))

    def _answers(self, parts: Mapping[str, Item], ask: Callable[[VectorStore, Item], Result]) -> dict[str, Result]:
        """What each shard answers to its part; one that fails fails all."""
        outcomes = self._outcomes(parts, ask)
        failed = {name: each for name, each in outcomes.items() if isinstance(each, VectorStoreError)}
        if failed:
            raise _worst(failed)
        return {name: each for name, each in outcomes.items() if not isinstance(each, VectorStoreError)}

    def _outcomes(
        self, parts: Mapping[str, Item], ask: Callable[[VectorStore, Item], Result]
    ) -> dict[str, Result | VectorStoreError]:
        """What each shard answers to its part, or how it failed; all have answered."""

        def asked(name: str, part: Item) -> Result | VectorStoreError:
            try:
                return ask(self.shards[name], part)
            except VectorStoreError as error:
                return error
            except Exception as error:
                error.add_note(f"in the shard {name}")
                raise

        running = {name: self._threads[name].submit(asked, name, part) for name, part in sorted(parts.items())}
        wait(running.values())
        return {name: each.result() for name, each in running.items()}


def _by_home(home: Placement, ids: Iterable[str]) -> dict[str, list[str]]:
    """The ids by their shard; of none, a shard with none, which tells whether it has the collection."""
    parts: dict[str, list[str]] = {}
    for each in ids:
        parts.setdefault(home.home(each), []).append(each)
    return parts or {min(home.weights): []}


def _moving(placing: Placing, ids: Iterable[str]) -> list[str]:
    following = placing.following
    return [each for each in ids if following is not None and following.home(each) != placing.home.home(each)]


def _lives_on(home: Placement, name: str) -> Callable[[str], bool]:
    return lambda id_: home.home(id_) == name


def _same(one: Point | None, other: Point | None) -> bool:
    if one is None or other is None:
        return one is other
    import numpy as np  # noqa: PLC0415 - as in functions.ports.encoders

    return (
        np.array_equal(np.asarray(one.vector), np.asarray(other.vector))
        and one.terms == other.terms
        and one.fields == other.fields
    )


def _merged(query: Query, found: Iterable[Iterable[Hit]]) -> list[Hit]:
    """What one store with all points would answer: the nearest, and those that share most words."""
    hits = sorted(itertools.chain(*found), key=lambda hit: (-hit.score, hit.id))
    sharing = sorted((hit for hit in hits if query.terms and hit.words > 0), key=lambda hit: (-hit.words, hit.id))
    chosen = {hit.id for hit in (*hits[: query.limit], *sharing[: query.limit])}
    return [hit for hit in hits if hit.id in chosen]


def _search_of_all(
    shard: VectorStore, layout: Layout, queries: Sequence[Query], _: Callable[[str], bool]
) -> Sequence[Sequence[Hit]]:
    return shard.search(layout, queries)


def _search_of_residents(
    shard: VectorStore, layout: Layout, queries: Sequence[Query], resident: Callable[[str], bool]
) -> Sequence[Sequence[Hit]]:
    """The hits that live there; where strays took the place of some, more are asked for, until none did."""
    return [_residents(shard, layout, query, resident) for query in queries]


def _residents(shard: VectorStore, layout: Layout, query: Query, resident: Callable[[str], bool]) -> Sequence[Hit]:
    limit = query.limit
    while True:
        hits = shard.search(layout, [msgspec.structs.replace(query, limit=limit)])[0]
        kept = [hit for hit in hits if resident(hit.id)]
        strays = len(hits) - len(kept)
        if limit - strays >= query.limit or len(hits) < limit:
            return kept
        limit = max(2 * limit, query.limit + strays)


def _first_residents(  # noqa: PLR0913, PLR0917 - a scroll's own
    shard: VectorStore,
    layout: Layout,
    where: Filter,
    after: str,
    limit: int,
    vectors: bool,  # noqa: FBT001 - the same
    resident: Callable[[str], bool],
) -> Sequence[Point]:
    kept: list[Point] = []
    for page in pages(lambda last: shard.scroll(layout, where, after=last, limit=limit, vectors=vectors), after):
        kept += [point for point in page if resident(point.id)]
        if len(kept) >= limit or len(page) < limit:
            break
    return kept[:limit]


def _raise_of_parts(outcomes: Mapping[str, VectorStoreError | None], parts: Mapping[str, Sequence[str]]) -> None:
    """Raise what became of a batch: what was refused by some shards, while others took theirs, is refused in part."""
    failed = {name: outcome for name, outcome in outcomes.items() if outcome is not None}
    if not failed:
        return
    refusals = all(isinstance(each, RefusedError | PointsError) for each in failed.values())
    some_stored = len(failed) < len(parts) or any(isinstance(each, PartlyRefusedError) for each in failed.values())
    if not (refusals and some_stored):
        raise _worst(failed)
    refused = [id_ for name, each in failed.items() for id_ in _refused(each, parts[name])]
    raise PartlyRefusedError(_told(failed), refused) from next(iter(failed.values()))


def _refused(error: VectorStoreError, part: Sequence[str]) -> Sequence[str]:
    return error.ids if isinstance(error, PartlyRefusedError) else part


def _worst(failed: Mapping[str, VectorStoreError]) -> VectorStoreError:
    """One error for all: where some shard may come back, that it is away; else what the first one says."""
    first = next((each for each in failed.values() if isinstance(each, UnavailableError)), None)
    worst = first or next(iter(failed.values()))
    if isinstance(worst, PartlyRefusedError):
        raised: VectorStoreError = PartlyRefusedError(_told(failed), worst.ids)
    else:
        raised = type(worst)(_told(failed))
    raised.__cause__ = worst
    return raised


def _told(failed: Mapping[str, VectorStoreError]) -> str:
    return "; ".join(f"the shard {name}: {error}" for name, error in failed.items())
