"""Small upserts that come together are stored together, and each caller gets what is its own."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pytest
from stored import LAYOUT, id_of

from functions.adapters.vectors.consolidating import ConsolidatingStore
from functions.ports.vector_stores import (
    Layout,
    PartlyRefusedError,
    Point,
    PointsError,
    RefusedError,
    UnavailableError,
    VectorStoreError,
)
from tests.memory_store import MemoryStore

PATIENCE_S = 60.0


class Slow(MemoryStore):
    """A store whose writes go on when the test lets them."""

    def __init__(self) -> None:
        super().__init__()
        self.create(LAYOUT)
        self.batches: list[list[int]] = []
        self.begun: list[list[int]] = []
        self.gate = threading.Event()
        self.refuse: Callable[[Sequence[int]], None] = lambda _: None

    def upsert(self, layout: Layout, points: Sequence[Point]) -> None:
        numbers = sorted(number_of(point) for point in points)
        self.begun.append(numbers)
        assert self.gate.wait(PATIENCE_S)
        self.refuse(numbers)
        super().upsert(layout, points)
        self.batches.append(numbers)


class Calls:
    """Callers in threads of their own, and how each ended."""

    def __init__(self, store: ConsolidatingStore) -> None:
        self._store = store
        self._threads: list[threading.Thread] = []
        self.ends: dict[str, Exception | None] = {}

    def upsert(self, name: str, *points: Point) -> None:
        self._threads.append(threading.Thread(target=self._run, args=(name, points)))
        self._threads[-1].start()

    def join(self) -> None:
        for each in self._threads:
            each.join(PATIENCE_S)
            assert not each.is_alive()

    def _run(self, name: str, points: Sequence[Point]) -> None:
        try:
            self._store.upsert(LAYOUT, points)
            self.ends[name] = None
        except VectorStoreError as error:
            self.ends[name] = error


class Hands:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def number_of(point: Point) -> int:
    return int(point.id.replace("-", ""), 16)


def point(number: int, source: str = "a") -> Point:
    return Point(id=id_of(number), vector=np.ones(4, np.float32), fields={"source": source})


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.fixture
def slow() -> Slow:
    return Slow()


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def changed() -> threading.Condition:
    return threading.Condition()


@pytest.fixture
def store(slow: Slow, hands: Hands, changed: threading.Condition) -> ConsolidatingStore:
    return ConsolidatingStore(slow, delay_s=1.0, batch_points=10, clock=hands, changed=changed)


@contextmanager
def gathered(store: ConsolidatingStore, slow: Slow, *points: Sequence[Point]) -> Iterator[Calls]:
    """One call is being written, and the others wait behind it, in this order."""
    calls = Calls(store)
    calls.upsert("first", point(900))
    until(lambda: slow.begun == [[900]])
    for at, each in enumerate(points):
        calls.upsert(str(at), *each)
        until(lambda at=at: sum(len(line.waiting) for line in store._lines.values()) == at + 1)  # type: ignore[misc]
    try:
        yield calls
    finally:
        slow.gate.set()
        calls.join()


def test_a_lone_upsert_is_stored_at_once(store: ConsolidatingStore, slow: Slow, hands: Hands) -> None:
    slow.gate.set()
    store.upsert(LAYOUT, [point(1)])
    assert (slow.batches, hands.now) == ([[1]], 0.0)
    assert store.count(LAYOUT) == 1


def test_what_comes_while_another_is_stored_is_one_batch(store: ConsolidatingStore, slow: Slow) -> None:
    with gathered(store, slow, [point(1)], [point(2), point(3)], [point(4)]) as calls:
        assert slow.begun == [[900]]
    assert slow.batches == [[900], [1, 2, 3, 4]]
    assert calls.ends == {"first": None, "0": None, "1": None, "2": None}


def test_a_batch_is_no_larger_than_it_may_be(store: ConsolidatingStore, slow: Slow) -> None:
    large = [point(number) for number in range(20, 32)]
    with gathered(store, slow, [point(1)], [point(each) for each in range(2, 11)], [point(11)], large):
        pass
    assert slow.batches == [[900], list(range(1, 11)), [11], list(range(20, 32))]


def test_nobody_waits_longer_than_the_delay_for_another(
    store: ConsolidatingStore, slow: Slow, hands: Hands, changed: threading.Condition
) -> None:
    with gathered(store, slow, [point(1)], [point(2)]):
        with changed:
            hands.now = 1.0
            changed.notify_all()
        until(lambda: slow.begun == [[900], [1, 2]])
        assert slow.batches == []


def test_of_two_upserts_of_one_id_the_later_stays(
    store: ConsolidatingStore, slow: Slow, hands: Hands, changed: threading.Condition
) -> None:
    with gathered(store, slow, [point(1, "older")], [point(1, "newer")], [point(900, "newer")]):
        with changed:
            hands.now = 1.0
            changed.notify_all()
        until(lambda: slow.begun == [[900], [1]])  # the third waits for the first, however long it takes
    assert [each.fields["source"] for each in store.read(LAYOUT, [id_of(1), id_of(900)])] == ["newer", "newer"]


def test_wrong_points_fail_their_own_call_alone(store: ConsolidatingStore, slow: Slow) -> None:
    wrong = Point(id=id_of(2), vector=np.zeros(4, np.float32))
    with gathered(store, slow, [point(1)]) as calls, pytest.raises(PointsError, match="zero"):
        store.upsert(LAYOUT, [wrong])
    assert calls.ends == {"first": None, "0": None}
    assert slow.batches == [[900], [1]]


def test_what_is_refused_in_part_is_told_to_those_whose_it_is(store: ConsolidatingStore, slow: Slow) -> None:
    def refuse(numbers: Sequence[int]) -> None:
        if 2 in numbers:
            raise PartlyRefusedError("too large", [id_of(2)])

    slow.refuse = refuse
    with gathered(store, slow, [point(1)], [point(2), point(3)]) as calls:
        pass
    assert calls.ends["0"] is None
    refused = calls.ends["1"]
    assert isinstance(refused, PartlyRefusedError)
    assert refused.ids == (id_of(2),)


def test_a_batch_that_is_refused_is_stored_call_by_call(store: ConsolidatingStore, slow: Slow) -> None:
    def refuse(numbers: Sequence[int]) -> None:
        if 2 in numbers:
            raise RefusedError("too large")

    slow.refuse = refuse
    with gathered(store, slow, [point(1)], [point(2)], [point(3)]) as calls:
        pass
    assert {name: str(error) for name, error in calls.ends.items() if error} == {"1": "too large"}
    assert slow.batches == [[900], [1], [3]]


def test_a_store_that_is_away_is_told_to_everybody_who_waited(store: ConsolidatingStore, slow: Slow) -> None:
    def refuse(_: Sequence[int]) -> None:
        raise UnavailableError("gone")

    slow.refuse = refuse
    with gathered(store, slow, [point(1)], [point(2)]) as calls:
        pass
    assert {str(error) for error in calls.ends.values()} == {"gone"}
    slow.refuse = lambda _: None
    store.upsert(LAYOUT, [point(1)])
    assert store.count(LAYOUT) == 1


def test_closing_stores_what_waits(store: ConsolidatingStore, slow: Slow) -> None:
    with gathered(store, slow, [point(1)]) as calls:
        closing = threading.Thread(target=store.close)
        closing.start()
        until(lambda: not store._is_open)
        with pytest.raises(VectorStoreError, match="closed"):
            store.upsert(LAYOUT, [point(2)])
    closing.join(PATIENCE_S)
    assert calls.ends == {"first": None, "0": None}
    assert slow.batches == [[900], [1]]
