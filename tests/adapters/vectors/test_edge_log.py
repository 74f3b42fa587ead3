"""What an upsert has stored is on disk in the log of its shard, whatever becomes of the other files."""

import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from functions.adapters.vectors import edge_folders, edge_log, qdrant_edge
from functions.adapters.vectors.qdrant_edge import EdgeStore
from functions.ports.vector_stores import Layout, Point, Query, RefusedError, Terms

ROOT = Path(__file__).parents[3]
LAYOUT = Layout(name="documents_v1_small", encoder="small", dimension=8, fields={"source": "keyword"})

STORES = """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_edge_log import LAYOUT, point
from functions.adapters.vectors.qdrant_edge import EdgeStore
store = EdgeStore(Path(sys.argv[1]))
store.create(LAYOUT)
for number in range(30):
    store.upsert(LAYOUT, [point(number)])
    print(number, flush=True)
os._exit(9)
"""


def point(number: int) -> Point:
    vector = np.random.default_rng(number).standard_normal(8).astype(np.float32)
    return Point(id=id_of(number), vector=vector, terms=Terms((1, 2), (1.0, 2.0)), fields={"source": "a"})


def id_of(number: int) -> str:
    return str(uuid.UUID(int=number))


def name_of(file: int) -> str:
    return Path(f"/proc/self/fd/{file}").readlink().name


def shard_of(folder: Path) -> Path:
    collection = folder / LAYOUT.name
    return collection / edge_folders.read_marker(collection).shard


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EdgeStore]:
    monkeypatch.setattr(qdrant_edge, "FLUSH_S", 3_600.0)
    with closing(EdgeStore(tmp_path / "here")) as opened:
        opened.create(LAYOUT)
        opened.upsert(LAYOUT, [point(number) for number in range(20)])
        yield opened


def test_where_all_files_but_the_log_are_as_they_were_before_the_log_brings_back_the_rest(
    store: EdgeStore, tmp_path: Path
) -> None:
    store._opened[LAYOUT.name].shard.flush()
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    store.upsert(LAYOUT, [point(number) for number in range(20, 50)])
    store.delete(LAYOUT, [id_of(3)])
    store.set_fields(LAYOUT, {id_of(4): {"source": "b"}})
    shutil.rmtree(shard_of(tmp_path / "there") / "wal")
    shutil.copytree(shard_of(tmp_path / "here") / "wal", shard_of(tmp_path / "there") / "wal")
    with closing(EdgeStore(tmp_path / "there")) as again:
        assert again.count(LAYOUT) == 49
        assert again.read(LAYOUT, [id_of(3)]) == []
        assert [each.fields["source"] for each in again.read(LAYOUT, [id_of(4)])] == ["b"]
        (hits,) = again.search(LAYOUT, [Query(vector=point(49).vector, limit=1)])
        assert hits[0].id == id_of(49)


def test_the_log_is_synced_before_an_upsert_returns(store: EdgeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = list[str]()

    def sync(file: int) -> None:
        synced.append(name_of(file))
        os.fsync(file)

    if not Path("/proc/self/fd").exists():
        pytest.skip("this system does not say which file is synced")
    monkeypatch.setattr(edge_log, "_sync", sync)
    store.upsert(LAYOUT, [point(1)])
    assert {name.partition("-")[0] for name in synced} == {"open"}


def test_a_log_that_cannot_be_synced_is_refused_and_the_same_again_is_safe(
    store: EdgeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(edge_log, "_sync", fail)
        with pytest.raises(RefusedError, match=r"may not be on disk \(No space left on device\)"):
            store.upsert(LAYOUT, [point(30)])
    store.upsert(LAYOUT, [point(30)])
    assert store.count(LAYOUT) == 21


def test_a_file_that_the_engine_closed_is_synced_once_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, synced = tmp_path / "wal", list[str]()
    folder.mkdir()
    (folder / "open-1").write_bytes(b"1")
    log = edge_log.Log(tmp_path)
    monkeypatch.setattr(edge_log, "_sync", lambda file: synced.append(name_of(file)))
    if not Path("/proc/self/fd").exists():
        pytest.skip("this system does not say which file is synced")
    log.sync()
    (folder / "open-1").rename(folder / "closed-1")
    (folder / "open-2").write_bytes(b"2")
    log.sync()
    log.sync()
    assert sorted(synced) == ["closed-1", "open-1", "open-2", "open-2"]


def test_a_process_that_dies_without_closing_loses_nothing_that_it_stored(tmp_path: Path) -> None:
    ran = subprocess.run(  # noqa: S603 - the program is above
        [sys.executable, "-c", STORES, str(tmp_path), str(Path(__file__).parent)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert (ran.returncode, ran.stdout.split()) == (9, [str(number) for number in range(30)]), ran.stderr
    with closing(EdgeStore(tmp_path)) as again:
        assert {each.id for each in again.read(LAYOUT, map(id_of, range(30)))} == set(map(id_of, range(30)))


def test_what_is_in_the_log_alone_is_flushed_after_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qdrant_edge, "FLUSH_S", 0.01)
    with closing(EdgeStore(tmp_path)) as store:
        store.create(LAYOUT)
        store.upsert(LAYOUT, [point(1)])
        opened = store._opened[LAYOUT.name]
        flushing = store._flushing
        while opened.unflushed:
            assert flushing.is_alive()
            flushing.join(0.01)
    assert not flushing.is_alive()
