"""Edge's search index: built beside who searches and writes, and what they did meanwhile is there afterwards."""

import errno
import itertools
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from functions.adapters.vectors import edge_folders, qdrant_edge
from functions.adapters.vectors.edge_folders import Marker
from functions.adapters.vectors.edge_index import SMALLEST_BYTES, begin, end
from functions.adapters.vectors.qdrant_edge import EdgeStore
from functions.ports.vector_stores import (
    Equals,
    Filter,
    Layout,
    Point,
    Query,
    RefusedError,
    Terms,
    VectorStoreError,
)

if TYPE_CHECKING:
    import subprocess

LAYOUT = Layout(name="documents_v1_wide", encoder="wide.1", dimension=2048, fields={"source": "keyword"})
COUNT = 1_500  # so few are worth an index since they are wide


def vectors() -> NDArray[np.float32]:
    rng = np.random.default_rng(4)
    centres = rng.standard_normal((20, LAYOUT.dimension))
    made = centres[np.arange(COUNT + 1) % 20] + 0.5 * rng.standard_normal((COUNT + 1, LAYOUT.dimension))
    return made.astype(np.float32)


VECTORS = vectors()


def id_of(number: int) -> str:
    return str(uuid.UUID(int=number))


def point(number: int, source: str = "a", word: int = 1) -> Point:
    """With words, as every passage has."""
    return Point(
        id=id_of(number), vector=VECTORS[number], terms=Terms((word, 2), (1.0, 0.5)), fields={"source": source}
    )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EdgeStore]:
    with closing(EdgeStore(tmp_path)) as opened:
        opened.create(LAYOUT)
        opened.upsert(LAYOUT, [point(number) for number in range(COUNT)])
        yield opened


def meanwhile(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Do this once, after the copy was made and before the index of it is used."""
    acts = iter([act])

    def acting(builder: "subprocess.Popen[str]") -> None:
        thread = threading.Thread(target=next(acts, lambda: None))
        thread.start()
        thread.join(60)
        assert not thread.is_alive()
        end(builder)

    monkeypatch.setattr(qdrant_edge, "end", acting)


def built_over(store: EdgeStore) -> int:
    """How many points the index is over."""
    found = next((store._parent / LAYOUT.name).glob("shard*/segments/*/vector_index-dense/hnsw_config.json"), None)
    return 0 if found is None else int(msgspec.json.decode(found.read_bytes())["indexed_vector_count"])


def never(*_: object) -> NoReturn:
    raise AssertionError


def until(holds: Callable[[], bool]) -> None:
    end_at = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end_at
        time.sleep(0.01)


def room_of(folder: Path) -> int:
    return sum(path.stat().st_blocks for path in folder.rglob("*") if path.is_file())


def shards(folder: Path) -> int:
    return len(list((folder / LAYOUT.name).glob("shard*")))


def nearest(store: EdgeStore, number: int) -> list[str]:
    (hits,) = store.search(LAYOUT, [Query(vector=VECTORS[number], limit=10)])
    assert hits[0].score == pytest.approx(1.0, abs=1e-4)
    return [hit.id for hit in hits]


def test_what_was_written_while_the_index_was_built_is_there(
    store: EdgeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write() -> None:
        store.upsert(LAYOUT, [point(COUNT, "new"), point(5, "replaced"), point(6, "gone")])
        store.set_fields(LAYOUT, {id_of(7): {"source": "set"}})
        store.delete(LAYOUT, [id_of(8)])
        store.delete_where(LAYOUT, Filter(must=(Equals("source", "gone"),)))
        assert nearest(store, COUNT)[0] == id_of(COUNT)

    meanwhile(monkeypatch, write)
    store.optimize(LAYOUT)
    store.close()
    with closing(EdgeStore(tmp_path)) as again:
        numbers = [5, 6, 7, 8, COUNT]
        found = {each.id: each.fields["source"] for each in again.read(LAYOUT, map(id_of, numbers))}
        assert found == {id_of(5): "replaced", id_of(7): "set", id_of(COUNT): "new"}
        assert again.count(LAYOUT) == COUNT - 1
        assert [nearest(again, number)[0] for number in (1, COUNT)] == [id_of(1), id_of(COUNT)]
    assert shards(tmp_path) == 1


def test_an_index_finds_nearly_all_that_an_exact_search_finds(store: EdgeStore) -> None:
    exact = [set(nearest(store, number)) for number in range(50)]
    store.optimize(LAYOUT)
    found = [set(nearest(store, number)) for number in range(50)]
    assert built_over(store) == COUNT
    assert sum(len(some & true) for some, true in zip(found, exact, strict=True)) / 500 > 0.95


def test_what_is_erased_while_the_index_is_built_stays_erased(
    store: EdgeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meanwhile(monkeypatch, lambda: store.erase(LAYOUT, [id_of(3)]))
    store.optimize(LAYOUT)
    assert store.read(LAYOUT, [id_of(3)]) == []
    assert store.count(LAYOUT) == built_over(store) == COUNT - 1
    assert shards(tmp_path) == 1


def test_an_erasure_that_has_just_ended_the_builder_is_waited_for(
    store: EdgeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    erasing, ended = threading.Event(), threading.Event()
    real = qdrant_edge.rewrite
    eraser = threading.Thread(target=lambda: store.erase(LAYOUT, [id_of(3)]))

    def rewriting(*given: Any) -> object:
        erasing.set()
        assert ended.wait(60)
        return real(*given)

    def acting(builder: "subprocess.Popen[str]") -> None:
        if not erasing.is_set():
            eraser.start()
            assert erasing.wait(60)
        try:
            end(builder)
        finally:
            ended.set()

    monkeypatch.setattr(qdrant_edge, "rewrite", rewriting)
    monkeypatch.setattr(qdrant_edge, "end", acting)
    store.optimize(LAYOUT)
    eraser.join(60)
    assert store.count(LAYOUT) == built_over(store) == COUNT - 1


def test_an_erasure_after_the_index_was_built_and_before_it_is_used_counts(
    store: EdgeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    acts = iter([lambda: store.erase(LAYOUT, [id_of(3)])])
    real = qdrant_edge.open_shard

    def opening(folder: Path, marker: Marker) -> object:
        built = real(folder, marker)
        next(acts, lambda: None)()
        return built

    monkeypatch.setattr(qdrant_edge, "open_shard", opening)
    store.optimize(LAYOUT)
    assert store.count(LAYOUT) == built_over(store) == COUNT - 1
    assert shards(tmp_path) == 1


def test_a_collection_dropped_while_its_index_is_built_is_gone(
    store: EdgeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meanwhile(monkeypatch, lambda: store.drop(LAYOUT.name))
    store.optimize(LAYOUT)
    assert store.layouts() == []
    assert shards(tmp_path) == 0


def test_a_collection_made_in_the_place_of_one_whose_index_is_built_is_left_alone(
    store: EdgeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def replace() -> None:
        store.drop(LAYOUT.name)
        store.create(LAYOUT)
        store.upsert(LAYOUT, [point(number) for number in range(3)])
        store.erase(LAYOUT, [id_of(0)])

    meanwhile(monkeypatch, replace)
    store.optimize(LAYOUT)
    store.close()
    with closing(EdgeStore(tmp_path)) as again:
        assert [each.id for each in again.scroll(LAYOUT)] == [id_of(1), id_of(2)]


def test_what_another_process_does_after_a_close_stays_done(
    store: EdgeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def move_on() -> None:
        store.close()
        with closing(EdgeStore(tmp_path)) as other:  # as another process would
            other.erase(LAYOUT, [id_of(3)])

    meanwhile(monkeypatch, move_on)
    with pytest.raises(VectorStoreError, match="closed"):
        store.optimize(LAYOUT)
    with closing(EdgeStore(tmp_path)) as again:
        assert again.count(LAYOUT) == COUNT - 1


def test_a_close_cuts_the_copying_off_and_no_builder_is_begun(
    store: EdgeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closer = threading.Thread(target=store.close)
    real = qdrant_edge.copied

    def copying(folder: Path, marker: Marker, check: Callable[[], None]) -> Marker:
        def after_it_began() -> None:
            if not closer.is_alive():
                closer.start()
            until(lambda: not store._is_open)
            assert closer.is_alive()  # it waits for whoever reads the shard
            check()

        return real(folder, marker, after_it_began)

    monkeypatch.setattr(qdrant_edge, "copied", copying)
    monkeypatch.setattr(qdrant_edge, "begin", never)
    with pytest.raises(VectorStoreError, match="closed"):
        store.optimize(LAYOUT)
    closer.join(60)
    with closing(EdgeStore(tmp_path)) as again:
        assert again.count(LAYOUT) == COUNT
    assert shards(tmp_path) == 1


def test_a_collection_that_was_dropped_just_before_is_not_copied(
    store: EdgeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = store._opened[LAYOUT.name]
    store.drop(LAYOUT.name)
    monkeypatch.setattr(qdrant_edge, "copied", never)
    assert not store._index(opened)


def test_what_was_indexed_is_indexed_again_once_enough_was_stored_since(
    store: EdgeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.optimize(LAYOUT)
    enough = SMALLEST_BYTES // (4 * LAYOUT.dimension)
    store.upsert(LAYOUT, [point(number, "replaced", word=3) for number in range(enough - 1)])
    store.close()
    with closing(EdgeStore(tmp_path)) as again:
        with monkeypatch.context() as patched:
            patched.setattr(qdrant_edge, "begin", never)
            again.optimize(LAYOUT)
        again.upsert(LAYOUT, [point(COUNT)])
        again.optimize(LAYOUT)
        assert built_over(again) == COUNT + 1
        assert shards(tmp_path) == 1


def test_an_index_is_for_points_without_words_too(tmp_path: Path) -> None:
    with closing(EdgeStore(tmp_path)) as store:
        store.create(LAYOUT)
        store.upsert(LAYOUT, [Point(id=id_of(number), vector=VECTORS[number]) for number in range(COUNT)])
        store.optimize(LAYOUT)
        assert built_over(store) == COUNT


def test_a_copy_takes_no_more_room_than_what_is_copied(store: EdgeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    real = qdrant_edge.copied

    def copying(folder: Path, marker: Marker, check: Callable[[], None]) -> Marker:
        copy = real(folder, marker, check)
        taken.extend(room_of(folder / each.shard) for each in (marker, copy))
        return copy

    monkeypatch.setattr(qdrant_edge, "copied", copying)
    store.optimize(LAYOUT)
    original, copy = taken
    assert 0 < copy < 1.1 * original  # the files are many times as long as what is in them


@pytest.mark.parametrize(("module", "cut"), [(edge_folders, "_copy_without_holes"), (qdrant_edge, "begin")])
def test_a_disk_that_is_full_leaves_the_collection_as_it_was(
    store: EdgeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: ModuleType, cut: str
) -> None:
    real, calls = getattr(module, cut), itertools.count(1)

    def full(*given: Any) -> None:
        if cut == "begin" or next(calls) > 20:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(*given)

    monkeypatch.setattr(module, cut, full)
    with pytest.raises(RefusedError, match=r"No space left on device.*free some"):
        store.optimize(LAYOUT)
    assert shards(tmp_path) == 1
    store.upsert(LAYOUT, [point(COUNT)])
    assert nearest(store, COUNT)[0] == id_of(COUNT)


def test_a_builder_that_dies_leaves_the_collection_as_it_was(
    store: EdgeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dying(shard: Path) -> "subprocess.Popen[str]":
        builder = begin(shard)
        builder.kill()
        return builder

    monkeypatch.setattr(qdrant_edge, "begin", dying)
    with pytest.raises(RefusedError, match="could not be built"):
        store.optimize(LAYOUT)
    store.upsert(LAYOUT, [point(COUNT)])
    assert nearest(store, COUNT)[0] == id_of(COUNT)
    assert shards(tmp_path) == 1
