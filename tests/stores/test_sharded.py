"""Shards: which point lives where, what happens when one fails, and how their number changes while they are in use."""

import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import pytest

from functions.adapters.vectors.placement import (
    Checkpoint,
    FilePlacings,
    Placement,
    PlacementError,
    Placing,
    Placings,
    evenly,
    shards_for,
)
from functions.adapters.vectors.rebalancing import rebalance
from functions.adapters.vectors.sharded import ShardedStore
from functions.ports.vector_stores import (
    Equals,
    Filter,
    Hit,
    Layout,
    NoSuchCollectionError,
    PartlyRefusedError,
    Point,
    PointsError,
    Query,
    Terms,
    UnavailableError,
    VectorStore,
)
from tests.memory_store import MemoryStore

LAYOUT = Layout(name="documents_v1_small.1", encoder="small.1", dimension=8, fields={"source": "keyword"})
OLD, NEW = evenly(["a", "b", "c"]), evenly(["a", "b", "c", "d"])
RED = Filter(must=(Equals("source", "red"),))


def id_of(number: int) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, str(number)))


def points(count: int, *, seed: int = 1) -> list[Point]:
    rng = np.random.default_rng(seed)
    return [
        Point(
            id=id_of(number),
            vector=rng.standard_normal(8).astype(np.float32),
            terms=Terms((number % 7, 7 + number % 3), (1.0, 0.5)),
            fields={"source": "red" if number % 3 else "blue"},
        )
        for number in range(count)
    ]


class Kept:
    """Placings in memory, and what a test does at each of their changes."""

    def __init__(self, home: Placement) -> None:
        self.placing = Placing(home=home)
        self.progress: Checkpoint | None = None
        self.stages = [self.placing]
        self.before_keeping: Callable[[], None] = lambda: None
        self.before_switching: Callable[[], None] = lambda: None

    def read(self) -> Placing:
        return self.placing

    def write(self, placing: Placing) -> None:
        if self.placing.following is not None and placing.following is None:
            self.before_switching()
        self.placing = placing
        self.stages.append(placing)

    def checkpoint(self) -> Checkpoint | None:
        return self.progress

    def keep(self, checkpoint: Checkpoint | None) -> None:
        self.before_keeping()
        self.progress = checkpoint


class Shard(MemoryStore):
    """One that a test can stop, and that tells it what happens."""

    def __init__(self) -> None:
        super().__init__()
        self.before_search: Callable[[], None] = lambda: None
        self.before_upsert: Callable[[], None] = lambda: None
        self.upserted: list[str] = []

    def search(self, layout: Layout, queries: Sequence[Query]) -> Sequence[Sequence[Hit]]:
        self.before_search()
        return super().search(layout, queries)

    def upsert(self, layout: Layout, points: Sequence[Point]) -> None:
        self.before_upsert()
        super().upsert(layout, points)
        self.upserted += [point.id for point in points]


@pytest.fixture
def shards() -> dict[str, Shard]:
    return {name: Shard() for name in "abcd"}


@pytest.fixture
def placings() -> Kept:
    return Kept(OLD)


@pytest.fixture
def store(shards: dict[str, Shard], placings: Kept) -> Iterator[ShardedStore]:
    opened = ShardedStore(shards, placings.read)
    opened.create(LAYOUT)
    yield opened
    opened.close()


def single(*stored: Point) -> MemoryStore:
    store = MemoryStore()
    store.create(LAYOUT)
    store.upsert(LAYOUT, stored)
    return store


def no_wait() -> None:
    """No other process, and no call under way in this one."""


def nearest(store: VectorStore, *, limit: int = 10, where: Filter = RED, seed: int = 9) -> list[tuple[str, float]]:
    vector = np.random.default_rng(seed).standard_normal(8).astype(np.float32)
    (hits,) = store.search(LAYOUT, [Query(vector=vector, limit=limit, where=where)])
    return [(hit.id, round(hit.score, 5)) for hit in hits]


def contents(store: VectorStore) -> Mapping[str, tuple[object, ...]]:
    found = store.scroll(LAYOUT, limit=100_000, vectors=True)
    return {point.id: (tuple(np.asarray(point.vector).tolist()), point.terms, point.fields) for point in found}


def test_a_shard_that_is_added_takes_its_share_and_nothing_else_moves() -> None:
    homes = [(OLD.home(id_of(each)), NEW.home(id_of(each))) for each in range(4_000)]
    moved = [new for old, new in homes if old != new]
    assert set(moved) == {"d"}
    assert 0.22 < len(moved) / len(homes) < 0.28


def test_a_shard_has_as_many_points_as_its_weight_says() -> None:
    heavy = Placement({"a": 1.0, "b": 3.0})
    assert 0.72 < sum(heavy.home(id_of(each)) == "b" for each in range(4_000)) / 4_000 < 0.78


def test_a_home_is_the_same_in_every_process_and_version() -> None:
    assert [NEW.home(id_of(each)) for each in range(8)] == list("bddacdba")


def test_a_collection_above_the_limit_wants_another_shard() -> None:
    assert [shards_for(count, limit=10) for count in (0, 10, 11, 100)] == [1, 1, 2, 10]


@pytest.mark.parametrize("weights", [{}, {"a": 0.0}, {"a": float("nan")}])
def test_points_are_not_spread_over_nothing(weights: dict[str, float]) -> None:
    with pytest.raises(PlacementError, match="cannot be spread"):
        Placement(weights)


def test_shards_find_what_one_store_finds(store: ShardedStore) -> None:
    stored = points(300)
    twins = [Point(id=id_of(1000 + each), vector=stored[0].vector, fields={"source": "red"}) for each in range(20)]
    store.upsert(LAYOUT, [*stored, *twins])
    for limit in (1, 15, 500):
        for where in (RED, Filter()):
            query = Query(vector=stored[0].vector, limit=limit, where=where)
            found, expected = (each.search(LAYOUT, [query])[0] for each in (store, single(*stored, *twins)))
            assert [hit.id for hit in found] == [hit.id for hit in expected]
    assert store.count(LAYOUT, RED) == single(*stored, *twins).count(LAYOUT, RED)


def test_shards_find_the_points_that_share_words(store: ShardedStore) -> None:
    stored = points(60)
    rare = Point(id=id_of(999), vector=-np.ones(8, np.float32), terms=Terms((77,), (1.0,)), fields={"source": "red"})
    store.upsert(LAYOUT, [*stored, rare])
    query = Query(vector=np.ones(8, np.float32), terms=Terms((77,), (1.0,)), limit=3)
    hits = store.search(LAYOUT, [query])[0]
    assert [hit.id for hit in hits if hit.words > 0] == [rare.id]
    assert len(hits) == 4


def test_pages_over_shards_give_every_point_once_in_the_order_of_ids(store: ShardedStore) -> None:
    store.upsert(LAYOUT, points(100))
    seen, after = [], ""
    while page := store.scroll(LAYOUT, after=after, limit=7):
        seen += [point.id for point in page]
        after = seen[-1]
    assert seen == sorted(id_of(each) for each in range(100))


def test_a_slow_shard_is_waited_for_so_that_nothing_lands_after_what_is_newer(
    store: ShardedStore, shards: dict[str, Shard]
) -> None:
    released = threading.Event()
    older = points(30)
    newer = [Point(id=each.id, vector=each.vector, fields={"source": "newer"}) for each in older]
    shards["b"].before_upsert = lambda: released.wait(60) and None
    writing = threading.Thread(target=store.upsert, args=(LAYOUT, older))
    writing.start()
    while len(shards["a"].upserted) + len(shards["c"].upserted) < 30 - sum(OLD.home(each.id) == "b" for each in older):
        time.sleep(0.001)
    assert writing.is_alive()
    released.set()
    writing.join(60)
    store.upsert(LAYOUT, newer)
    assert {point.fields["source"] for point in store.scroll(LAYOUT)} == {"newer"}


def test_a_shard_without_the_collection_is_named(store: ShardedStore, shards: dict[str, Shard]) -> None:
    shards["c"].drop(LAYOUT.name)
    with pytest.raises(NoSuchCollectionError, match="the shard c: there is no collection"):
        nearest(store)
    store.create(LAYOUT)
    assert nearest(store) == []


def test_what_one_shard_refuses_is_told_and_the_others_keep_theirs(
    store: ShardedStore, shards: dict[str, Shard]
) -> None:
    stored = points(30)
    at_b = {point.id for point in stored if OLD.home(point.id) == "b"}

    def refuse() -> None:
        raise PartlyRefusedError("too large", [min(at_b)])

    shards["b"].before_upsert = refuse
    with pytest.raises(PartlyRefusedError, match="the shard b: too large") as refused:
        store.upsert(LAYOUT, stored)
    assert refused.value.ids == (min(at_b),)
    assert {point.id for point in store.scroll(LAYOUT)} == {point.id for point in stored} - at_b


def test_a_shard_that_is_away_makes_the_upsert_one_to_try_again(store: ShardedStore, shards: dict[str, Shard]) -> None:
    def refuse() -> None:
        raise PartlyRefusedError("too large", [])

    def away() -> None:
        raise UnavailableError("gone")

    shards["a"].before_upsert, shards["b"].before_upsert = refuse, away
    with pytest.raises(UnavailableError, match="the shard a: too large; the shard b: gone"):
        store.upsert(LAYOUT, points(30))


def test_a_batch_with_one_wrong_point_is_stored_on_no_shard(store: ShardedStore) -> None:
    wrong = Point(id=id_of(99), vector=np.zeros(8, np.float32))
    with pytest.raises(PointsError, match="zero"):
        store.upsert(LAYOUT, [*points(30), wrong])
    assert store.count(LAYOUT) == 0


def test_a_process_that_does_not_know_a_shard_says_so(shards: dict[str, Shard]) -> None:
    del shards["d"]
    with pytest.raises(PlacementError, match=r"not known here: d; known are a, b, c"):
        ShardedStore(shards, lambda: Placing(home=NEW))


@pytest.mark.parametrize(
    "target", [NEW, evenly(["a", "b"]), evenly(["b", "d"]), Placement({"a": 1.0, "b": 4.0, "c": 1.0})]
)
def test_a_change_moves_only_what_has_another_home(
    store: ShardedStore, shards: dict[str, Shard], placings: Kept, target: Placement
) -> None:
    stored = points(1_200)
    store.upsert(LAYOUT, stored)
    before = contents(store)
    for shard in shards.values():
        shard.upserted.clear()
    must_move = {point.id for point in stored if OLD.home(point.id) != target.home(point.id)}
    assert rebalance(store, placings, target, drain=no_wait) == len(must_move)
    assert {each for shard in shards.values() for each in shard.upserted} == must_move
    assert contents(store) == before
    assert placings.placing == Placing(home=target)
    for name in target.weights:
        lives = {point.id for point in stored if target.home(point.id) == name}
        assert {point.id for point in shards[name].scroll(LAYOUT, limit=9_999)} == lives
    assert all(not shards[name].layouts() for name in shards.keys() - target.weights.keys())


def test_a_change_that_is_killed_at_every_step_goes_on_where_it_was(store: ShardedStore, placings: Kept) -> None:
    stored = points(2_000)
    store.upsert(LAYOUT, stored)
    before, found = contents(store), nearest(store)
    steps = iter(range(1_000))

    def die() -> None:
        if next(steps) % 3 == 2:
            raise KeyboardInterrupt

    placings.before_keeping = die
    deaths = 0
    while True:
        try:
            moved = rebalance(store, placings, NEW, drain=no_wait)
            break
        except KeyboardInterrupt:
            deaths += 1
            assert (contents(store), nearest(store), store.count(LAYOUT)) == (before, found, 2_000)
    assert deaths >= 5
    assert moved == sum(OLD.home(point.id) != NEW.home(point.id) for point in stored)
    assert contents(store) == before


def test_a_change_can_be_given_up_until_the_new_homes_hold(store: ShardedStore, placings: Kept) -> None:
    store.upsert(LAYOUT, points(1_200))
    before = contents(store)
    steps = iter(range(1_000))

    def die() -> None:
        if next(steps) == 3:
            raise KeyboardInterrupt

    placings.before_keeping = die
    with pytest.raises(KeyboardInterrupt):
        rebalance(store, placings, NEW, drain=no_wait)
    with pytest.raises(PlacementError, match="under way"):
        rebalance(store, placings, evenly(["a"]), drain=no_wait)
    assert rebalance(store, placings, OLD, drain=no_wait) == 0
    assert (contents(store), placings.placing, placings.progress) == (before, Placing(home=OLD), None)


def moving_point() -> Point:
    return next(point for point in points(100) if NEW.home(point.id) == "d")


@pytest.mark.parametrize("write", ["replace", "delete", "set_fields"])
def test_what_is_written_while_a_point_is_copied_is_what_stays(
    store: ShardedStore, shards: dict[str, Shard], placings: Kept, write: str
) -> None:
    moving = moving_point()
    newer = Point(id=moving.id, vector=-np.asarray(moving.vector), fields={"source": "newer"})
    store.upsert(LAYOUT, [moving])

    def meanwhile() -> None:
        shards["d"].before_upsert = lambda: None  # once: between reading the old copy and writing it to the new home
        if write == "replace":
            store.upsert(LAYOUT, [newer])
        elif write == "delete":
            store.delete(LAYOUT, [moving.id])
        else:
            store.set_fields(LAYOUT, {moving.id: {"source": "newer"}})

    shards["d"].before_upsert = meanwhile
    rebalance(store, placings, NEW, drain=no_wait)
    left = [point.fields["source"] for point in store.read(LAYOUT, [moving.id])]
    assert left == ([] if write == "delete" else ["newer"])


Change = Callable[[ShardedStore, Sequence[str]], None]
CHANGES: Mapping[str, Change] = {
    "upsert": lambda store, ids: store.upsert(
        LAYOUT, [Point(id=each, vector=np.ones(8, np.float32), fields={"source": "newer"}) for each in ids]
    ),
    "set_fields": lambda store, ids: store.set_fields(LAYOUT, {each: {"source": "newer"} for each in ids}),
    "delete": lambda store, ids: store.delete(LAYOUT, ids),
    "delete_where": lambda store, _: store.delete_where(LAYOUT, RED),
    "erase": lambda store, ids: store.erase(LAYOUT, ids),
}


@pytest.mark.parametrize("call", CHANGES)
@pytest.mark.parametrize("away", [tuple(CHANGES), ("read", *CHANGES)], ids=["refuses writes", "gone"])
def test_what_one_shard_fails_is_followed_on_the_others(  # noqa: PLR0913, PLR0917 - fixtures, and two sets of cases
    store: ShardedStore,
    shards: dict[str, Shard],
    placings: Kept,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    away: Sequence[str],
) -> None:
    """Else what is deleted at home would be back after the change, and what is replaced would be as it was."""
    reds = [point for point in points(400) if point.fields["source"] == "red" and NEW.home(point.id) == "d"]
    done, failed = (next(point.id for point in reds if OLD.home(point.id) == name) for name in "cb")
    store.upsert(LAYOUT, [point for point in reds if point.id in {done, failed}])

    def gone(*_: object, **__: object) -> None:
        raise UnavailableError("gone")

    def when_all_is_copied() -> None:
        with monkeypatch.context() as patched:
            for each in away:
                patched.setattr(shards["b"], each, gone)
            with pytest.raises(UnavailableError, match="the shard b: gone"):
                CHANGES[call](store, [failed, done])

    placings.before_switching = when_all_is_copied
    rebalance(store, placings, NEW, drain=no_wait)
    left = [point.fields["source"] for point in store.read(LAYOUT, [done])]
    assert left == (["newer"] if call in {"upsert", "set_fields"} else [])


def test_what_was_deleted_between_two_runs_of_a_change_stays_deleted(
    store: ShardedStore, shards: dict[str, Shard], placings: Kept
) -> None:
    moving = moving_point()
    store.upsert(LAYOUT, [moving])
    shards["d"].create(LAYOUT)
    shards["d"].upsert(LAYOUT, [moving])  # copied by a run that was cut off
    store.delete(LAYOUT, [moving.id])  # by a call that began before that run
    rebalance(store, placings, NEW, drain=no_wait)
    assert store.read(LAYOUT, [moving.id]) == []


def test_strays_are_neither_found_nor_counted_and_displace_nothing(
    store: ShardedStore, shards: dict[str, Shard], placings: Kept
) -> None:
    stored = points(400)
    expected = single(*stored)
    store.upsert(LAYOUT, stored)
    best = [each for each, _ in nearest(expected, limit=40)]
    foreign = [point for point in stored if point.id in best and OLD.home(point.id) != "a"]
    shards["a"].upsert(LAYOUT, foreign)  # left from an earlier placement, and deleted since at home
    store.delete(LAYOUT, [point.id for point in foreign])
    expected.delete(LAYOUT, [point.id for point in foreign])
    placings.placing = Placing(home=OLD, strays=True)
    assert nearest(store) == nearest(expected)
    assert store.count(LAYOUT, RED) == expected.count(LAYOUT, RED)
    assert contents(store) == contents(expected)


class Users:
    """A thread that searches and three that write, and what they found wrong."""

    def __init__(self, store: ShardedStore, expected: Sequence[str], written: Sequence[Point]) -> None:
        self.wrong: list[str] = []
        self._store, self._expected, self._written = store, expected, written
        self._ended, self._rounds = threading.Event(), [0, 0, 0, 0]
        self._threads = [threading.Thread(target=self._use, args=(number,)) for number in range(4)]

    def __enter__(self) -> Self:
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for each in self._threads:
            each.join()

    def drain(self) -> None:
        """Until everybody has begun and ended a round since."""
        before, deadline = list(self._rounds), time.monotonic() + 60
        while any(now < then + 2 for now, then in zip(self._rounds, before, strict=True)):
            assert time.monotonic() < deadline
            time.sleep(0.001)

    def _use(self, number: int) -> None:
        while not self._ended.is_set():
            if number == 0:
                self._read()
            else:
                self._write(self._written[(self._rounds[number] * 3 + number - 1) % len(self._written)])
            self._rounds[number] += 1
        if number:
            self._store.upsert(LAYOUT, self._written[number - 1 :: 3])

    def _read(self) -> None:
        if [each for each, _ in nearest(self._store)] != self._expected:
            self.wrong.append("a query missed something")

    def _write(self, point: Point) -> None:
        self._store.upsert(LAYOUT, [point])
        if [each.id for each in self._store.read(LAYOUT, [point.id])] != [point.id]:
            self.wrong.append("what was written is not there")
        self._store.delete(LAYOUT, [point.id])
        if self._store.read(LAYOUT, [point.id]):
            self.wrong.append("what was deleted is there")


def test_no_query_and_no_write_is_lost_while_shards_are_added_and_removed(store: ShardedStore, placings: Kept) -> None:
    fixed, others = points(400), [point for point in points(1_400, seed=2)[1_000:] if point.fields["source"] == "blue"]
    written = others[: len(others) // 3 * 3]
    store.upsert(LAYOUT, fixed)
    with Users(store, [each for each, _ in nearest(single(*fixed))], written) as users:
        for target in (NEW, evenly(["b", "d"]), OLD):
            rebalance(store, placings, target, drain=users.drain)
    assert users.wrong == []
    assert contents(store) == contents(single(*fixed, *written))


def test_where_points_are_is_read_from_a_file_that_outlives_the_process(tmp_path: Path) -> None:
    placings: Placings = FilePlacings(tmp_path / "placing.json", OLD)
    placing, progress = Placing(home=OLD, following=NEW, strays=True), Checkpoint(target=NEW, after="x", moved=3)
    placings.write(placing)
    placings.keep(progress)
    again = FilePlacings(tmp_path / "placing.json", evenly(["other"]))
    assert (again.read(), again.checkpoint()) == (placing, progress)
    (tmp_path / "placing.json").write_text("{")
    with pytest.raises(PlacementError, match="backup"):
        again.read()
