"""Small upserts that come together are stored together, and each caller gets what is its own."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from collection_fakes import Shelf
from memory_collection import MemoryCollection
from memory_store import MemoryStore

from functions.collections import gathering
from functions.collections.gathering import GatheringCollection
from functions.events.common import Passage
from functions.ports.encoders import EncoderUnavailableError
from functions.ports.vector_stores import Layout, Point, PointsError, UnavailableError, VectorStoreError

PATIENCE_S = 60.0


class Slow(MemoryCollection):
    """A collection whose writes go on when the test lets them."""

    def __init__(self) -> None:
        super().__init__()
        self.begun: list[list[str]] = []
        self.lives: list[tuple[str, float | None]] = []
        self.batches: list[list[str]] = []
        self.gate = threading.Event()
        self.refuse: Callable[[Sequence[str]], None] = lambda _: None
        self.is_closed = False

    def upsert(self, passages: Sequence[Passage], *, tenant: str, ttl_s: float | None = None) -> None:
        ids = [each.id for each in passages]
        self.begun.append(ids)
        self.lives.append((tenant, ttl_s))
        assert self.gate.wait(PATIENCE_S)
        self.refuse(ids)
        super().upsert(passages, tenant=tenant)
        self.batches.append(ids)

    def close(self) -> None:
        self.is_closed = True


class Calls:
    """Callers in threads of their own, and how each ended."""

    def __init__(self, collection: GatheringCollection) -> None:
        self._collection = collection
        self._threads: list[threading.Thread] = []
        self.ends: dict[str, BaseException | None] = {}

    def upsert(self, *passages: Passage, tenant: str = "t", ttl_s: float | None = None) -> None:
        self._threads.append(threading.Thread(target=self._run, args=(passages, tenant, ttl_s)))
        self._threads[-1].start()

    def join(self) -> None:
        for each in self._threads:
            each.join(PATIENCE_S)
            assert not each.is_alive()

    def _run(self, passages: Sequence[Passage], tenant: str, ttl_s: float | None) -> None:
        name = " ".join(each.id for each in passages)
        try:
            self._collection.upsert(passages, tenant=tenant, ttl_s=ttl_s)
            self.ends[name] = None
        except (VectorStoreError, EncoderUnavailableError, KeyboardInterrupt) as error:
            self.ends[name] = error


def passage(id_: str, text: str = "") -> Passage:
    return Passage(id=id_, name=id_, source="s", text=text or f"about {id_}")


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def waiting(collection: GatheringCollection) -> int:
    with collection._changed:
        return sum(len(line.waiting) for line in collection._lines.values())


@pytest.fixture
def slow() -> Slow:
    return Slow()


@pytest.fixture
def collection(slow: Slow) -> GatheringCollection:
    return GatheringCollection(slow, delay_s=PATIENCE_S, batch_passages=10)


@contextmanager
def gathered(collection: GatheringCollection, slow: Slow, *calls: Sequence[Passage]) -> Iterator[Calls]:
    """One call is being stored, and the others wait behind it, in this order."""
    callers = Calls(collection)
    callers.upsert(passage("first"))
    until(lambda: slow.begun == [["first"]])
    for at, each in enumerate(calls):
        callers.upsert(*each)
        until(lambda at=at: waiting(collection) == at + 1)  # type: ignore[misc]
    try:
        yield callers
    finally:
        slow.gate.set()
        callers.join()


def test_a_lone_upsert_is_stored_at_once(collection: GatheringCollection, slow: Slow) -> None:
    slow.gate.set()
    collection.upsert([passage("a")], tenant="t")
    collection.upsert([passage("b")], tenant="t")
    assert slow.batches == [["a"], ["b"]]
    assert collection._lines == {}


def test_what_comes_while_another_is_stored_is_one_batch(collection: GatheringCollection, slow: Slow) -> None:
    with gathered(collection, slow, [passage("a")], [passage("b"), passage("c")], [passage("d")]) as calls:
        assert slow.begun == [["first"]]
    assert slow.batches == [["first"], ["a", "b", "c", "d"]]
    assert calls.ends == {"first": None, "a": None, "b c": None, "d": None}


def test_of_two_upserts_of_one_id_in_a_batch_the_later_stays(collection: GatheringCollection, slow: Slow) -> None:
    with gathered(collection, slow, [passage("a", "older")], [passage("a", "newer")]):
        pass
    assert [each.text for each in collection.read(["a"], tenant="t")] == ["newer"]


def test_a_batch_is_no_larger_than_it_may_be(collection: GatheringCollection, slow: Slow) -> None:
    nine = [passage(f"n{each}") for each in range(9)]
    with gathered(collection, slow, [passage("a")], nine, [passage("b")]):
        pass
    assert slow.batches == [["first"], ["a", *(each.id for each in nine)], ["b"]]


def test_a_large_call_goes_past_those_that_wait(collection: GatheringCollection, slow: Slow) -> None:
    large = [passage(f"n{each}") for each in range(11)]
    with gathered(collection, slow, [passage("a")]) as calls:
        calls.upsert(*large)
        until(lambda: len(slow.begun) == 2)
        assert slow.begun[1] == [each.id for each in large]


def test_nobody_waits_longer_than_the_delay_for_another(slow: Slow) -> None:
    collection = GatheringCollection(slow, delay_s=0.0)
    calls = Calls(collection)
    for at, name in enumerate(["a", "b"]):
        calls.upsert(passage(name))
        until(lambda at=at: len(slow.begun) == at + 1)  # type: ignore[misc]
    assert slow.batches == []
    slow.gate.set()
    calls.join()
    assert calls.ends == {"a": None, "b": None}


def test_passages_of_two_tenants_and_of_two_lives_are_never_in_one_batch(
    collection: GatheringCollection, slow: Slow
) -> None:
    with gathered(collection, slow, [passage("a")]) as calls:
        calls.upsert(passage("b"), tenant="other")
        until(lambda: ["b"] in slow.begun)
        calls.upsert(passage("c"), ttl_s=60)
        until(lambda: ["c"] in slow.begun)
    assert sorted(map(tuple, slow.batches)) == [("a",), ("b",), ("c",), ("first",)]
    assert sorted(slow.lives, key=str) == [("other", None), ("t", 60), ("t", None), ("t", None)]


def test_what_is_refused_is_told_to_whom_it_is_about_alone(collection: GatheringCollection, slow: Slow) -> None:
    def refuse(ids: Sequence[str]) -> None:
        if "b" in ids:
            raise PointsError("b has no vector")

    slow.refuse = refuse
    with gathered(collection, slow, [passage("a")], [passage("b")], [passage("c")]) as calls:
        pass
    assert {name: str(error) for name, error in calls.ends.items() if error} == {"b": "b has no vector"}
    assert slow.batches == [["first"], ["a"], ["c"]]


@pytest.mark.parametrize("kind", [UnavailableError, EncoderUnavailableError])
def test_what_is_away_is_asked_once_and_told_to_everybody_who_waited(
    collection: GatheringCollection, slow: Slow, kind: type[Exception]
) -> None:
    def refuse(_: Sequence[str]) -> None:
        raise kind("gone")

    slow.refuse = refuse
    with gathered(collection, slow, [passage("a")], [passage("b")]) as calls:
        pass
    assert {name: (type(error), str(error)) for name, error in calls.ends.items()} == dict.fromkeys(
        ["first", "a", "b"], (kind, "gone")
    )
    assert slow.begun == [["first"], ["a", "b"]]
    slow.refuse = lambda _: None
    collection.upsert([passage("a")], tenant="t")
    assert collection.count(tenant="t") == 1


def test_a_writer_that_is_interrupted_leaves_nobody_waiting(collection: GatheringCollection, slow: Slow) -> None:
    def interrupt(ids: Sequence[str]) -> None:
        if "a" in ids:
            raise KeyboardInterrupt

    slow.refuse = interrupt
    with gathered(collection, slow, [passage("a")], [passage("b")]) as calls:
        pass
    assert isinstance(calls.ends["a"], KeyboardInterrupt)
    assert isinstance(calls.ends["b"], UnavailableError)
    collection.upsert([passage("b")], tenant="t")
    assert collection.count(tenant="t") == 2


def test_one_who_waits_and_is_interrupted_is_passed_over(
    collection: GatheringCollection, slow: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    with gathered(collection, slow) as calls:
        with monkeypatch.context() as patched:
            patched.setattr(gathering, "_is_next", interrupted)
            with pytest.raises(KeyboardInterrupt):
                collection.upsert([passage("a")], tenant="t")
        calls.upsert(passage("b"))
        until(lambda: waiting(collection) == 1)
    assert slow.batches == [["first"], ["b"]]
    assert calls.ends == {"first": None, "b": None}


def interrupted(*_: object) -> bool:
    raise KeyboardInterrupt


def test_closing_stores_what_waits(collection: GatheringCollection, slow: Slow) -> None:
    with gathered(collection, slow, [passage("a")]) as calls:
        closing = threading.Thread(target=collection.close)
        closing.start()
        until(lambda: collection._is_closed)
        with pytest.raises(VectorStoreError, match="closed"):
            collection.upsert([passage("b")], tenant="t")
        assert not slow.is_closed
    closing.join(PATIENCE_S)
    assert calls.ends == {"first": None, "a": None}
    assert (slow.batches, slow.is_closed) == ([["first"], ["a"]], True)


class Counting(MemoryStore):
    """Tells how many points each of its batches has; the first one waits."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []
        self.gate = threading.Event()

    def upsert(self, layout: Layout, points: Sequence[Point]) -> None:
        self.sizes.append(len(points))
        assert self.gate.wait(PATIENCE_S)
        super().upsert(layout, points)


def test_small_upserts_reach_the_store_of_a_collection_as_one_batch(tmp_path: Path) -> None:
    store = Counting()
    collection = GatheringCollection(Shelf(store, tmp_path).open(), delay_s=PATIENCE_S)
    calls = Calls(collection)
    calls.upsert(passage("p0"))
    until(lambda: store.sizes == [1])
    for each in range(1, 16):
        calls.upsert(passage(f"p{each}"))
    until(lambda: waiting(collection) == 15)
    store.gate.set()
    calls.join()
    assert store.sizes == [1, 15]
    assert set(calls.ends.values()) == {None}
    assert collection.search("about p7", limit=1, tenant="t")[0].id == "p7"
