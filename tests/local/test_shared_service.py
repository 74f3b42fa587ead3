"""Homes that keep their vectors in one service: each has a part of it, and nobody else's."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from memory_store import MemoryStore
from shelves import carried
from small_encoder import SmallEncoder

from functions.adapters.encoders.registry import Carried, CarriedEncoders
from functions.adapters.local.store import Store
from functions.adapters.vectors.settings import VectorSettings, vector_settings
from functions.collections.lifecycle import begin, remove_dropped, take_out
from functions.events.common import Passage
from local import shelf as shelf_module
from local import workspace as workspace_module
from local.points import Points
from local.shelf import Shelf, vectors_of
from local.workspace import workspace

SERVICE = VectorSettings(product="qdrant", url="http://127.0.0.1:6333")
DENTIST = Passage(id="m", name="m", source="m", text="the dentist")
BOTH = CarriedEncoders(
    [
        Carried(name=each[-1], version=each, dimension=256, open=partial(SmallEncoder, each))
        for each in ("small.1", "small.2")
    ]
)


class Service(MemoryStore):
    """Goes on when somebody who used it has closed it."""

    def close(self) -> None: ...


@pytest.fixture(autouse=True)
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    there = Service()
    monkeypatch.setattr(shelf_module, "opened", lambda *_: there)
    monkeypatch.setattr(workspace_module, "registered", lambda *_: carried(SmallEncoder()))
    monkeypatch.setenv("TROUPE_VECTOR_STORE", SERVICE.product)
    monkeypatch.setenv("TROUPE_VECTOR_URL", SERVICE.url)
    return there


def memories(home: Path) -> Sequence[str]:
    with closing(Store(home)) as store, closing(Shelf(store, BOTH, SmallEncoder(), vectors=SERVICE)) as shelf:
        return list(shelf.open("memories").ids(tenant="t"))


def test_two_homes_see_nothing_of_each_other_and_a_sync_of_one_leaves_the_others_documents(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "a.md").write_text("# A\n\nThe office opens at nine.\n")
    with workspace(tmp_path / "one", str(docs)) as one:
        one.read_documents(lambda *_: None)
        one.shelf.open("memories").upsert([DENTIST], tenant="default")
        with workspace(tmp_path / "two", str(docs)) as two:
            assert two.documents.count(tenant="default") == 0
            assert not two.shelf.open("memories").search("the dentist", limit=1, tenant="default")
            two.read_documents(lambda *_: None)
        (docs / "a.md").unlink()
        with workspace(tmp_path / "two", str(docs)) as two:
            two.read_documents(lambda *_: None)
            assert two.documents.count(tenant="default") == 0
        (found,) = one.documents.search("When does the office open?", limit=1, tenant="default")
        assert "opens at nine" in found.text


def test_a_drop_in_one_home_leaves_the_same_version_of_the_other(tmp_path: Path, service: Service) -> None:
    for home in ("one", "two"):
        with closing(Store(tmp_path / home)) as store:
            shelf = Shelf(store, BOTH, SmallEncoder(), vectors=SERVICE)
            collection = shelf.open("memories")
            begin(shelf.catalog, "memories", SmallEncoder("small.2"), rate=None, now=store.clock())
            collection.upsert([DENTIST], tenant="t")
    assert len(service.layouts()) == 4
    with closing(Store(tmp_path / "one")) as store:
        shelf = Shelf(store, BOTH, SmallEncoder(), vectors=SERVICE)
        take_out(shelf.catalog, "memories", 2)
        remove_dropped(shelf.catalog, shelf.vectors, "memories")
        assert [layout.name for layout in shelf.vectors.layouts()] == ["memories_v1_small.1"]
    with closing(Store(tmp_path / "two")) as store:
        of_two = vectors_of(store, SERVICE)
        assert [of_two.count(layout) for layout in of_two.layouts()] == [1, 1]


def test_an_erasure_in_one_home_leaves_what_the_other_has_under_the_same_key(tmp_path: Path) -> None:
    for home in ("one", "two"):
        with closing(Store(tmp_path / home)) as store:
            Shelf(store, BOTH, SmallEncoder(), vectors=SERVICE).open("memories").upsert([DENTIST], tenant="t")
    with closing(Store(tmp_path / "one")) as store:
        Points(store, (), vectors=SERVICE).erase("memories_v1_small.1", ["m"], tenant="t")
    assert memories(tmp_path / "one") == []
    assert memories(tmp_path / "two") == ["m"]


def test_a_home_that_is_restored_elsewhere_has_its_points_again(tmp_path: Path) -> None:
    with closing(Store(tmp_path / "one")) as store:
        Shelf(store, BOTH, SmallEncoder(), vectors=SERVICE).open("memories").upsert([DENTIST], tenant="t")
        (tmp_path / "restored").mkdir()
        with (
            closing(sqlite3.connect(store.path)) as source,
            closing(sqlite3.connect(tmp_path / "restored" / store.path.name)) as target,
        ):
            source.backup(target)
    assert memories(tmp_path / "restored") == ["m"]


def test_a_setting_says_which_part_it_is_and_homes_may_be_given_the_same(tmp_path: Path, service: Service) -> None:
    given = vector_settings(
        {"TROUPE_VECTOR_STORE": "qdrant", "TROUPE_VECTOR_URL": SERVICE.url, "TROUPE_VECTOR_NAMESPACE": "prod-eu"}
    )
    with closing(Store(tmp_path / "one")) as store:
        Shelf(store, BOTH, SmallEncoder(), vectors=given).open("memories").upsert([DENTIST], tenant="t")
    assert [layout.name for layout in service.layouts()] == ["prod-eu.memories_v1_small.1"]
    with closing(Store(tmp_path / "two")) as store:
        shelf = Shelf(store, BOTH, SmallEncoder(), vectors=given)
        assert list(shelf.open("memories").ids(tenant="t")) == ["m"]
