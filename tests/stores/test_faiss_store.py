"""What only the Faiss store promises: its files outlive kills, full disks and damage, and forget what was erased."""

import resource
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("faiss", reason="faiss-cpu is in the group `stores`")

from functions.adapters.local.blobs import LocalBlobs
from functions.adapters.vectors import faiss_rows
from functions.adapters.vectors.faiss import FaissStore, Snapshots
from functions.adapters.vectors.faiss_file import DamagedError
from functions.ports.vector_stores import (
    Equals,
    Filter,
    Hit,
    Layout,
    Point,
    Query,
    Range,
    RefusedError,
    Terms,
    UnavailableError,
    VectorStore,
)
from tests.memory_store import MemoryStore

DIMENSION = 32
LAYOUT = Layout(
    name="documents_v1_small",
    encoder="small",
    dimension=DIMENSION,
    fields={"tenant": "keyword", "labels": "keyword", "written": "number"},
)
WRITER = """
import sys, uuid
from pathlib import Path
import numpy as np
from functions.adapters.vectors.faiss import FaissStore
from functions.ports.vector_stores import Layout, Point

store = FaissStore(Path(sys.argv[1]))
layout = Layout(name="written", encoder="small", dimension=4)
store.create(layout)
for number in range(1, 100_000):
    ids = [str(uuid.UUID(int=number * 10 + each)) for each in range(10)]
    vector = np.array([1, number, 0, 0], np.float32)
    store.upsert(layout, [Point(id=each, vector=vector, fields={"number": number}) for each in ids])
    print(number, flush=True)
"""


def id_of(number: int) -> str:
    return str(uuid.UUID(int=number))


def clustered(count: int, seed: int = 1) -> NDArray[np.float32]:
    """Vectors as encoders make them: many about the same few things."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(40, DIMENSION))
    return (centres[random.integers(0, 40, count)] + random.normal(scale=0.4, size=(count, DIMENSION))).astype("f4")


def point(number: int, vector: NDArray[np.float32], **fields: str | float) -> Point:
    random = np.random.default_rng(number)
    terms = np.unique(random.zipf(1.5, 8) % 50).tolist()
    said = {"tenant": f"t{number % 3}", "labels": ["even"] if number % 2 == 0 else [], "written": float(number)}
    return Point(
        id=id_of(number), vector=vector, terms=Terms(tuple(terms), (1.5,) * len(terms)), fields={**said, **fields}
    )


def points(count: int) -> list[Point]:
    return [point(number, vector) for number, vector in enumerate(clustered(count), 1)]


@contextmanager
def store_in(folder: Path) -> Iterator[FaissStore]:
    with closing(FaissStore(folder)) as store:
        yield store


@pytest.fixture
def small_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A graph already pays for few vectors."""
    monkeypatch.setattr(faiss_rows, "COMPARED", 100)
    monkeypatch.setattr("functions.adapters.vectors.faiss.COMPARED", 100)


def contents(store: VectorStore) -> dict[str, object]:
    return {each.id: each.fields for each in store.scroll(LAYOUT, limit=100_000)}


def recall(store: VectorStore, exact: VectorStore, where: Filter) -> float:
    queries = [Query(vector=vector, where=where) for vector in clustered(50, seed=2)]
    pairs = zip(store.search(LAYOUT, queries), exact.search(LAYOUT, queries), strict=True)
    shared = [len({hit.id for hit in ours} & {hit.id for hit in theirs}) / len(theirs) for ours, theirs in pairs]
    return float(np.mean(shared))


@pytest.mark.parametrize(
    "where", [Filter(), Filter(must=(Equals("tenant", "t1"),)), Filter(must_not=(Equals("labels", "even"),))]
)
@pytest.mark.usefixtures("small_graphs")
def test_the_graph_finds_nearly_all_of_the_nearest_also_through_a_filter_and_after_changes(
    tmp_path: Path, where: Filter
) -> None:
    stored = points(2_000)
    exact = MemoryStore()
    with store_in(tmp_path) as store:
        for each in (store, exact):
            each.create(LAYOUT)
            each.upsert(LAYOUT, stored)
        store.optimize(LAYOUT)
        for each in (store, exact):
            each.delete(LAYOUT, [id_of(number) for number in range(1, 200)])
            each.upsert(LAYOUT, [point(number, vector) for number, vector in enumerate(clustered(300, seed=3), 150)])
        assert recall(store, exact, where) >= 0.95
    with store_in(tmp_path) as opened:
        assert recall(opened, exact, where) >= 0.95, "read from its file"
        opened.optimize(LAYOUT)
        assert recall(opened, exact, where) >= 0.95, "with the graph built anew"
        assert contents(opened) == contents(exact)


def summary(hits: list[list[Hit]]) -> list[list[tuple[object, ...]]]:
    return [[(hit.id, round(hit.score, 4), round(hit.words, 4), dict(hit.fields)) for hit in each] for each in hits]


@pytest.mark.parametrize("seed", range(4))
def test_it_answers_as_the_exact_store_does_whatever_was_done_before(tmp_path: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    exact = MemoryStore()
    exact.create(LAYOUT)
    with store_in(tmp_path) as store:
        store.create(LAYOUT)
    for _round in range(4):
        numbers = [int(each) for each in random.integers(1, 60, 30)]
        fresh = [point(each, vector) for each, vector in zip(numbers, clustered(30, int(numbers[0])), strict=True)]
        said = {id_of(each): {"tenant": "t9"} if each % 2 else {"work": "told", "count": each} for each in numbers[:9]}
        bounds = Range("written", above=float(numbers[0]), at_most=numbers[0] + 6.0)
        with store_in(tmp_path) as store:
            for each in (store, exact):
                each.upsert(LAYOUT, fresh)
                each.set_fields(LAYOUT, said)
                each.delete(LAYOUT, [id_of(numbers[1]), id_of(999)])
                each.delete_where(LAYOUT, Filter(must=(bounds,)))
            queries = [
                Query(
                    vector=vector,
                    terms=Terms((1, 2, 5), (1.0, 2.0, 0.5)),
                    where=Filter(must_not=(Equals("tenant", "t2"),)),
                    limit=4,
                    rarity=Filter(must=(Equals("tenant", "t1"),)),
                )
                for vector in clustered(5, seed=8)
            ]
            assert summary(store.search(LAYOUT, queries)) == summary(exact.search(LAYOUT, queries))
            assert contents(store) == contents(exact)
            ids = [id_of(each) for each in range(60)]
            assert [each.terms for each in store.read(LAYOUT, ids, vectors=True)] == [
                each.terms for each in exact.read(LAYOUT, ids, vectors=True)
            ]


def test_a_kill_loses_nothing_that_was_stored(tmp_path: Path) -> None:
    layout = Layout(name="written", encoder="small", dimension=4)
    confirmed = 0
    for kill_after in (3, 17, 6):
        folder = str(tmp_path / "store")
        writer = subprocess.Popen([sys.executable, "-c", WRITER, folder], stdout=subprocess.PIPE, text=True)  # noqa: S603
        assert writer.stdout is not None
        for _ in range(kill_after):
            confirmed_now = int(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        confirmed = max(confirmed, confirmed_now)
        with store_in(tmp_path / "store") as store:
            there = store.scroll(layout, limit=1_000_000)
            numbers = [each.fields["number"] for each in there]
            assert set(numbers) >= set(range(1, confirmed + 1)), "what was confirmed is there"
            assert all(numbers.count(each) == 10 for each in set(numbers)), "a batch is there whole or not at all"
            assert len(store.search(layout, [Query(vector=np.ones(4, np.float32))])[0]) == 10


def test_what_a_killed_create_left_is_tidied_up(tmp_path: Path) -> None:
    (tmp_path / ".documents_v1_small.faiss").write_bytes(b"half")
    with store_in(tmp_path) as store:
        assert store.layouts() == []
        store.create(LAYOUT)
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix == ".faiss") == ["documents_v1_small.faiss"]


def test_a_folder_that_is_open_is_not_opened_again(tmp_path: Path) -> None:
    with store_in(tmp_path), pytest.raises(UnavailableError, match="another store has"):
        FaissStore(tmp_path)
    FaissStore(tmp_path).close()


def problem(folder: Path, expected: dict[str, object]) -> str | None:
    """What the store says of a damaged file; None where what was damaged is not in use."""
    try:
        with store_in(folder) as store:
            assert contents(store) == expected
    except DamagedError as error:
        return str(error)
    return None


@pytest.mark.usefixtures("small_graphs")
def test_damage_is_found_and_named_when_the_collection_is_opened(tmp_path: Path) -> None:
    with store_in(tmp_path) as store:
        store.create(LAYOUT)
        store.upsert(LAYOUT, points(300))
        store.optimize(LAYOUT)
        whole = contents(store)
    path = tmp_path / "documents_v1_small.faiss"
    sound = path.read_bytes()
    random = np.random.default_rng(5)
    found = 0
    for place in random.integers(0, len(sound), 150).tolist():
        path.write_bytes(sound[:place] + bytes([sound[place] ^ 0x55]) + sound[place + 1 :])
        error = problem(tmp_path, whole)
        assert error is None or ("documents_v1_small" in error and "bring it back from a copy" in error)
        found += error is not None
    assert found > 100
    for cut in (0, 10, len(sound) // 2, len(sound) - 5_000):
        path.write_bytes(sound[:cut])
        with pytest.raises(DamagedError, match="documents_v1_small"), store_in(tmp_path) as store:
            store.count(LAYOUT)


def test_on_a_full_disk_a_batch_is_refused_whole_and_everything_else_goes_on(tmp_path: Path) -> None:
    with store_in(tmp_path) as store:
        store.create(LAYOUT)
        store.upsert(LAYOUT, points(20))
        before = contents(store)
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
        try:
            with pytest.raises(RefusedError, match="nothing of the call was kept"):
                store.upsert(LAYOUT, points(2_000))
            assert contents(store) == before
            store.delete(LAYOUT, [id_of(1)])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert store.count(LAYOUT) == 19
        store.upsert(LAYOUT, points(2_000))
    with store_in(tmp_path) as opened:
        assert opened.count(LAYOUT) == 2_000


@pytest.mark.usefixtures("small_graphs")
def test_no_byte_is_left_of_what_was_replaced_or_erased(tmp_path: Path) -> None:
    first, second = clustered(2, seed=7)
    with store_in(tmp_path) as store:
        store.create(LAYOUT)
        store.upsert(LAYOUT, [*points(300), point(400, first, text="secret-one" * 2_000)])
        store.optimize(LAYOUT)
        unit = store.read(LAYOUT, [id_of(400)], vectors=True)[0].vector
        assert unit is not None
        held = b"".join(path.read_bytes() for path in tmp_path.iterdir())
        assert b"secret-one" in held
        assert unit.tobytes()[:64] in held
        store.upsert(LAYOUT, [point(400, second, text="secret-two")])
        store.set_fields(LAYOUT, {id_of(400): {"text": "secret-three"}})
        store.erase(LAYOUT, [id_of(400)])
        held = b"".join(path.read_bytes() for path in tmp_path.iterdir())
        assert b"secret" not in held
        assert unit.tobytes()[:64] not in held
        assert store.count(LAYOUT) == 300


@pytest.mark.usefixtures("small_graphs")
def test_a_snapshot_is_searched_like_what_it_was_made_of_and_never_written(tmp_path: Path) -> None:
    blobs = LocalBlobs(tmp_path / "blobs")
    with store_in(tmp_path / "store") as store:
        store.create(LAYOUT)
        store.upsert(LAYOUT, points(300))
        store.optimize(LAYOUT)
        key = store.snapshot(LAYOUT.name, blobs)
        queries = [Query(vector=vector, terms=Terms((1,), (1.0,))) for vector in clustered(5, seed=2)]
        expected = summary(store.search(LAYOUT, queries))
    with closing(FaissStore(Snapshots(blobs, [key]))) as opened:
        assert summary(opened.search(LAYOUT, queries)) == expected
        assert opened.layouts() == [LAYOUT]
        for write in (
            lambda: opened.upsert(LAYOUT, points(1)),
            lambda: opened.delete(LAYOUT, [id_of(1)]),
            lambda: opened.drop(LAYOUT.name),
            lambda: opened.create(Layout(name="other", encoder="small", dimension=2)),
        ):
            with pytest.raises(RefusedError, match="opened from snapshots, to be read"):
                write()
    (tmp_path / "blobs" / key).write_bytes(b"something else")
    with pytest.raises(DamagedError, match="make another one"):
        FaissStore(Snapshots(blobs, [key]))


def test_a_point_that_is_stored_again_and_again_is_found_by_every_search(tmp_path: Path) -> None:
    vectors = clustered(200)
    done = threading.Event()
    with store_in(tmp_path) as store:
        store.create(LAYOUT)
        store.upsert(LAYOUT, points(200))

        def write() -> None:
            for number in range(1, 41):
                store.upsert(LAYOUT, [point(each, vectors[each - 1], round=float(number)) for each in range(1, 6)])
            done.set()

        writer = threading.Thread(target=write)
        writer.start()
        searches = 0
        while not done.is_set() or not searches:
            (hits,) = store.search(LAYOUT, [Query(vector=vectors[2], limit=200)])
            assert len({hit.id for hit in hits}) == 200
            assert hits[0].id == id_of(3)
            searches += 1
        writer.join()
