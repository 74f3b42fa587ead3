"""What is special about Qdrant Edge: its folders, its locks, its panics; what all stores do is in tests/stores."""

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
import qdrant_edge
from edge_points import LAYOUT, folder, id_of, point

from functions.adapters.vectors import edge_folders
from functions.adapters.vectors.qdrant_edge import EdgeStore
from functions.ports.vector_stores import (
    Layout,
    LayoutError,
    NoSuchCollectionError,
    Query,
    RefusedError,
    UnavailableError,
    VectorStoreError,
)

Open = Callable[[], EdgeStore]
NEAR = Query(vector=np.array([1, 0, 0, 0], np.float32), limit=3)


def test_what_was_upserted_survives_a_kill(tmp_path: Path, open_store: Open) -> None:
    code = (
        "import os, sys; from pathlib import Path; sys.path.insert(0, sys.argv[2]);"
        "from edge_points import LAYOUT, point;"
        "from functions.adapters.vectors.qdrant_edge import EdgeStore;"
        "s = EdgeStore(Path(sys.argv[1])); s.create(LAYOUT);"
        "s.upsert(LAYOUT, [point(n) for n in range(100)]);"
        "os.kill(os.getpid(), 9)"
    )
    here = str(Path(__file__).parent)
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path), here], check=False)  # noqa: S603 - our own code
    assert killed.returncode == -9
    assert open_store().count(LAYOUT) == 100


def test_a_collection_that_is_open_elsewhere_is_refused(edge: EdgeStore, open_store: Open) -> None:
    other = open_store()
    with pytest.raises(UnavailableError, match="in use by another process"):
        other.count(LAYOUT)
    with pytest.raises(UnavailableError, match="in use by another process"):
        other.drop(LAYOUT.name)
    edge.upsert(LAYOUT, [point(1)])
    edge.close()
    assert other.count(LAYOUT) == 1


def change_marker(parent: Path, **changes: object) -> None:
    marker = folder(parent) / "collection.json"
    marker.write_text(json.dumps(json.loads(marker.read_text()) | changes))


def test_a_folder_made_by_another_encoder_is_refused(edge: EdgeStore, open_store: Open, tmp_path: Path) -> None:
    edge.close()
    change_marker(tmp_path, encoder="another encoder")
    with pytest.raises(LayoutError, match=r"encoder small\.1 was expected, and it has another encoder"):
        open_store().count(LAYOUT)


def test_a_folder_of_a_newer_format_is_refused(edge: EdgeStore, open_store: Open, tmp_path: Path) -> None:
    edge.close()
    change_marker(tmp_path, format=99)
    with pytest.raises(LayoutError, match="format 99, this Troupe knows up to 2: use a newer Troupe"):
        open_store().count(LAYOUT)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": "one"}'])
def test_a_damaged_marker_is_refused(edge: EdgeStore, open_store: Open, tmp_path: Path, content: str) -> None:
    edge.close()
    (folder(tmp_path) / "collection.json").write_text(content)
    with pytest.raises(RefusedError, match="not a whole collection"):
        open_store().count(LAYOUT)
    with pytest.raises(RefusedError, match="not a whole collection"):
        open_store().create(LAYOUT)


def test_a_folder_without_its_shard_is_refused_and_left_as_it_is(
    edge: EdgeStore, open_store: Open, tmp_path: Path
) -> None:
    edge.close()
    (folder(tmp_path) / "shard").rename(folder(tmp_path) / "elsewhere")
    with pytest.raises(RefusedError, match=r"cannot be opened .*: move it away"):
        open_store().count(LAYOUT)
    assert sorted(entry.name for entry in folder(tmp_path).iterdir()) == ["collection.json", "elsewhere"]


def test_a_file_cut_short_at_which_the_engine_panics_is_refused(
    edge: EdgeStore, open_store: Open, tmp_path: Path
) -> None:
    edge.upsert(LAYOUT, [point(1)])
    edge.close()
    for status in tmp_path.rglob("status.dat"):
        status.write_bytes(b"")
    with pytest.raises(RefusedError, match=r"cannot be opened .*: move it away"):
        open_store().count(LAYOUT)
    open_store().drop(LAYOUT.name)
    assert not folder(tmp_path).exists()


def test_a_full_disk_is_an_error_before_the_engine_dies_of_it(
    edge: EdgeStore, open_store: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = shutil.disk_usage("/")._replace(free=1024**2)
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "disk_usage", lambda _: full)
        with pytest.raises(RefusedError, match="has 1 MB left, and 64 MB are wanted"):
            edge.upsert(LAYOUT, [point(1)])
        with pytest.raises(RefusedError, match="has 1 MB left"):
            edge.create(msgspec.structs.replace(LAYOUT, name="another"))
        edge.close()
        (folder(tmp_path) / "shard").rename(folder(tmp_path) / "elsewhere")
        with pytest.raises(RefusedError, match="has 1 MB left"):
            open_store().count(LAYOUT)
    (folder(tmp_path) / "elsewhere").rename(folder(tmp_path) / "shard")
    again = open_store()
    again.upsert(LAYOUT, [point(1)])
    assert again.count(LAYOUT) == 1


def test_without_words_the_engine_weighs_none(edge: EdgeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    edge.upsert(LAYOUT, [point(1)])
    asked: list[int] = []
    real = qdrant_edge.QueryBatchRequest

    def counting(requests: list[qdrant_edge.QueryRequest]) -> qdrant_edge.QueryBatchRequest:
        asked.append(len(requests))
        return real(requests)

    monkeypatch.setattr(qdrant_edge, "QueryBatchRequest", counting)
    assert [[hit.id for hit in hits] for hits in edge.search(LAYOUT, [NEAR, NEAR])] == [[id_of(1)], [id_of(1)]]
    assert asked == [2]


def test_a_place_where_no_folder_can_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RefusedError, match=r"no collection can be made in .* mend that"):
        EdgeStore(tmp_path / "file").create(LAYOUT)


def test_what_a_crash_left_beside_a_collection_is_removed(tmp_path: Path, open_store: Open) -> None:
    draft = tmp_path / f".{LAYOUT.name}.draft-abc"
    (draft / "shard").mkdir(parents=True)
    (draft / "shard" / "half").write_bytes(b"half")
    store = open_store()
    assert store.layouts() == []
    store.create(LAYOUT)
    assert not draft.exists()


def test_a_drop_that_was_cut_short_leaves_nothing_that_is_found(
    edge: EdgeStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    edge.upsert(LAYOUT, [point(1)])
    with monkeypatch.context() as patched:
        patched.setattr(edge_folders.shutil, "rmtree", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            edge.drop(LAYOUT.name)
    assert edge.layouts() == []
    with pytest.raises(NoSuchCollectionError):
        edge.count(LAYOUT)
    edge.drop(LAYOUT.name)
    assert list(tmp_path.iterdir()) == []


def test_who_has_a_collection_that_is_dropped_is_told(edge: EdgeStore) -> None:
    wrong: list[BaseException] = []
    told = threading.Event()
    edge.upsert(LAYOUT, [point(n) for n in range(50)])

    def search() -> None:
        while not told.is_set():
            try:
                edge.search(LAYOUT, [NEAR])
            except NoSuchCollectionError:
                told.set()
            except Exception as error:  # noqa: BLE001 - whatever it is, the test has to show it
                wrong.append(error)
                told.set()

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    edge.drop(LAYOUT.name)
    for thread in threads:
        thread.join()
    assert wrong == []


def test_another_layout_with_other_fields_is_another_collections_matter(edge: EdgeStore) -> None:
    other = Layout(name="memories_v2_b", encoder="b", dimension=4, distance="dot", fields={"team": "keyword"})
    edge.create(other)
    assert edge.layouts() == [LAYOUT, other]


def test_optimizing_changes_no_answer(edge: EdgeStore) -> None:
    edge.upsert(LAYOUT, [point(n) for n in range(200)])
    before = edge.search(LAYOUT, [NEAR])
    edge.optimize(LAYOUT)
    assert edge.search(LAYOUT, [NEAR]) == before


def test_a_closed_store_fails_with_an_error_of_its_own(edge: EdgeStore) -> None:
    opened = edge._of(LAYOUT)
    edge.upsert(LAYOUT, [point(1)])
    opened.shard.close()
    with pytest.raises(VectorStoreError, match="failed, or was closed"):
        edge.count(LAYOUT)


# --- threads


def test_threads_search_while_another_stores(edge: EdgeStore) -> None:
    edge.upsert(LAYOUT, [point(0)])
    stored = threading.Event()
    wrong: list[object] = []

    def search() -> None:
        while not stored.is_set():
            try:
                if edge.search(LAYOUT, [NEAR])[0][0].id != id_of(0):
                    wrong.append("another answer")
            except Exception as error:  # noqa: BLE001 - whatever it is, the test has to show it
                wrong.append(error)

    threads = [threading.Thread(target=search) for _ in range(4)]
    for thread in threads:
        thread.start()
    for n in range(1, 21):
        edge.upsert(LAYOUT, [point(n)])
    stored.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert edge.count(LAYOUT) == 21


def test_threads_that_open_and_store_at_once_lose_nothing(edge: EdgeStore, open_store: Open) -> None:
    edge.close()
    store = open_store()

    def write(worker: int) -> None:
        for n in range(10):
            store.upsert(LAYOUT, [point(worker * 100 + n)])

    threads = [threading.Thread(target=write, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.count(LAYOUT) == 40


def test_importing_the_adapter_does_not_import_the_engine() -> None:
    code = (
        "import sys, functions.adapters.vectors.qdrant_edge as adapter;"
        "assert not {'qdrant_edge', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603 - our own code
