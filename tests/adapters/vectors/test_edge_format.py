"""A collection that an earlier Troupe made goes on with what is in it: nothing is encoded again.

`edge_format_1.tar.xz` was made by the last commit that wrote format 1: three passages of the
tenant `t`, one of `other`.
"""

import json
import shutil
import tarfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import qdrant_edge

from functions.adapters.vectors import edge_folders
from functions.adapters.vectors.qdrant_edge import EdgeStore
from functions.collections.points import FILTERED, passage_of, point_id
from functions.collections.words import terms_of_question
from functions.events.common import Passage, Work
from functions.ports.vector_stores import NEVER, Equals, Filter, Layout, Query, Range, RefusedError

LAYOUT = Layout(name="documents_v1_bag-of-words-1", encoder="Bag of words/1", dimension=16, fields=FILTERED)
APPLES = Passage(
    id="apples",
    name="Guide > apples",
    source="guide.md",
    text="red and round",
    work=Work(title="On fruit", authors=("Ada Byron", "Bo Li"), published="2024-05-01"),
)
Open = Callable[[], EdgeStore]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with tarfile.open(Path(__file__).parent / "edge_format_1.tar.xz") as made:
        made.extractall(tmp_path, filter="data")
    return tmp_path / LAYOUT.name


def check(store: EdgeStore, folder: Path) -> None:
    assert store.layouts() == [LAYOUT]
    ours = Filter(must=(Equals("tenant", "t"),), must_not=(Range("expires_at", at_most=NEVER - 1),))
    assert store.count(LAYOUT, ours) == 3
    assert store.count(LAYOUT) == 4
    (apples,) = store.read(LAYOUT, [point_id("t", "apples")], vectors=True)
    assert passage_of(apples.fields) == APPLES
    assert (apples.fields["expires_at"], apples.fields["written"], apples.fields["labels"]) == (NEVER, 0.0, [])
    assert [passage_of(each.fields).work for each in store.read(LAYOUT, [point_id("t", "plums")])] == [Work()]
    query = Query(vector=apples.vector, terms=terms_of_question("yellow and long"), where=ours, rarity=ours, limit=1)
    found = store.search(LAYOUT, [query])[0]
    assert (found[0].fields["id"], round(found[0].score, 3)) == ("apples", 1.0)
    assert max(found, key=lambda hit: hit.words).fields["id"] == "bananas"
    assert store.count(LAYOUT, Filter(must=(Equals("source", "guide.md"),))) == 4
    assert json.loads((folder / "collection.json").read_text())["format"] == 2


def test_a_collection_of_format_1_is_used_as_it_is(folder: Path, open_store: Open) -> None:
    assert open_store().layouts() == [LAYOUT]
    store = open_store()
    store.create(LAYOUT)
    check(store, folder)
    store.close()
    check(open_store(), folder)


@pytest.mark.parametrize("step", ["_index", "replace_marker"])
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_bringing_it_up_can_be_cut_short_anywhere(
    folder: Path, open_store: Open, monkeypatch: pytest.MonkeyPatch, step: str, *, before: bool
) -> None:
    original = getattr(edge_folders, step)

    def crash(*arguments: object) -> None:
        if not before:
            original(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(edge_folders, step, crash)
        with pytest.raises(KeyboardInterrupt):
            open_store().count(LAYOUT)
    check(open_store(), folder)


def test_bringing_it_up_goes_on_over_pages_and_from_the_middle_of_one(
    folder: Path, open_store: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge_folders, "PAGE_POINTS", 1)
    encoded = edge_folders.msgspec.json.encode
    times: list[object] = []

    def crash(work: object) -> bytes:
        times.append(work)
        if len(times) == 2:
            raise KeyboardInterrupt
        return encoded(work)

    with monkeypatch.context() as patched:
        patched.setattr(edge_folders.msgspec.json, "encode", crash)
        with pytest.raises(KeyboardInterrupt):
            open_store().count(LAYOUT)
    check(open_store(), folder)


def test_a_disk_without_room_is_told_of_before(folder: Path, open_store: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    full = shutil.disk_usage("/")._replace(free=1024**2)
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "disk_usage", lambda _: full)
        with pytest.raises(RefusedError, match="has 1 MB left"):
            open_store().count(LAYOUT)
    check(open_store(), folder)


def test_what_the_engine_cannot_make_is_refused_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing:
        @staticmethod
        def create(*_: object) -> None:
            raise Exception("failed to open WAL: File too large")  # noqa: TRY002 - the engine's are plain ones

    monkeypatch.setattr(qdrant_edge, "EdgeShard", Failing)
    with closing(EdgeStore(tmp_path / "collections")) as store:
        with pytest.raises(RefusedError, match=r"no collection can be made in .*File too large.*try again"):
            store.create(LAYOUT)
        monkeypatch.undo()
        assert list((tmp_path / "collections").iterdir()) == []
        store.create(LAYOUT)
        assert store.layouts() == [LAYOUT]
