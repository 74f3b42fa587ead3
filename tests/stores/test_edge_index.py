"""Edge's search index: built beside who searches and writes, and what they did meanwhile is there afterwards."""

import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray

from functions.adapters.vectors import qdrant_edge
from functions.adapters.vectors.edge_index import begin
from functions.adapters.vectors.qdrant_edge import EdgeStore
from functions.ports.vector_stores import Equals, Filter, Layout, Point, Query, RefusedError

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


def point(number: int, source: str = "a") -> Point:
    return Point(id=id_of(number), vector=VECTORS[number], fields={"source": source})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EdgeStore]:
    with closing(EdgeStore(tmp_path)) as opened:
        opened.create(LAYOUT)
        opened.upsert(LAYOUT, [point(number) for number in range(COUNT)])
        yield opened


def meanwhile(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Do this once, after the copy was made and before the index of it is built."""
    acts = iter([act])

    def acting(shard: Path) -> "subprocess.Popen[str]":
        builder = begin(shard)
        thread = threading.Thread(target=next(acts, lambda: None))
        thread.start()
        real = builder.communicate

        def communicate() -> tuple[str, str]:
            thread.join(60)
            assert not thread.is_alive()
            return real()

        monkeypatch.setattr(builder, "communicate", communicate)
        return builder

    monkeypatch.setattr(qdrant_edge, "begin", acting)


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
    assert store._opened[LAYOUT.name].shard.info().indexed_vectors_count == COUNT
    assert sum(len(some & true) for some, true in zip(found, exact, strict=True)) / 500 > 0.95


def test_what_is_erased_while_the_index_is_built_stays_erased(
    store: EdgeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meanwhile(monkeypatch, lambda: store.erase(LAYOUT, [id_of(3)]))
    store.optimize(LAYOUT)
    assert store.read(LAYOUT, [id_of(3)]) == []
    assert store.count(LAYOUT) == COUNT - 1
    assert store._opened[LAYOUT.name].shard.info().indexed_vectors_count == COUNT - 1
    assert shards(tmp_path) == 1


def test_a_collection_dropped_while_its_index_is_built_is_gone(
    store: EdgeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meanwhile(monkeypatch, lambda: store.drop(LAYOUT.name))
    store.optimize(LAYOUT)
    assert store.layouts() == []
    assert shards(tmp_path) == 0


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
