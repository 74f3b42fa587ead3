"""Points of a workspace are erased by the key of their collection, whether that is open or not."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from shelves import shelf_of
from small_encoder import SmallEncoder

from functions.adapters.local.catalog import LocalCatalog
from functions.adapters.local.store import Store
from functions.adapters.vectors.qdrant_edge import EdgeStore
from functions.adapters.vectors.settings import VectorSettings, VectorSettingsError
from functions.collections.points import layout_of
from functions.events.common import Passage
from functions.ports.catalog import Version
from local.points import Points

MARK = "qzxmark"
SECRET = Passage(id="secret", name="n", source="s", text=f"the {MARK} " * 2_000)
KEPT = Passage(id="kept", name="n", source="s", text="something else")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store(tmp_path)) as opened:
        yield opened


def fill(store: Store) -> str:
    """A collection of two versions, closed again; its key."""
    with closing(shelf_of(store, SmallEncoder())) as shelf:
        collection = shelf.open("memories")
        layout = layout_of("memories", 2, SmallEncoder())
        shelf.vectors.create(layout)
        entry = shelf.catalog.entries()[0]
        second = Version(number=2, layout=layout, phase="filling", created=store.clock())
        shelf.catalog.write(msgspec.structs.replace(entry, versions=(*entry.versions, second)))
        collection.upsert([SECRET, KEPT], tenant="t")
        return collection.key


def holding(store: Store) -> list[Path]:
    """The files of collections and long texts with the secret."""
    folders = [store.folder / "collections", store.folder / "texts"]
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return [path for path in files if MARK.encode() in path.read_bytes()]


def test_a_collection_that_nobody_has_open_is_erased_in_every_version_without_its_encoder(store: Store) -> None:
    key = fill(store)
    assert holding(store)
    Points(store, ()).erase(key, ["secret"], tenant="t")
    assert holding(store) == []
    with closing(shelf_of(store, SmallEncoder())) as shelf:
        assert list(shelf.open("memories").ids(tenant="t")) == ["kept"]


def test_one_that_is_on_the_shelf_of_this_process_is_erased_there(store: Store) -> None:
    key = fill(store)
    with closing(shelf_of(store, SmallEncoder())) as shelf:
        collection = shelf.open("memories")
        Points(store, (), shelf).erase(key, ["secret"], tenant="t")
        assert list(collection.ids(tenant="t")) == ["kept"]
    assert holding(store) == []


def test_one_that_was_never_in_the_catalog_is_erased_by_its_folder(store: Store) -> None:
    key = fill(store)
    store.write(lambda connection: connection.execute("DELETE FROM collection").rowcount)
    with closing(EdgeStore(store.folder / "collections")) as vectors:
        vectors.drop("memories_v2_small.1")
    Points(store, ()).erase(key, ["secret"], tenant="t")
    assert not [path for path in holding(store) if path.is_relative_to(store.folder / "collections")]


def test_one_that_is_not_there_holds_nothing(store: Store) -> None:
    Points(store, ()).erase("none_v1_small.1", ["secret"], tenant="t")
    assert LocalCatalog(store, "qdrant_edge").entries() == []
    assert not (store.folder / "collections").exists()


def test_what_another_store_of_this_process_holds_is_erased_too(store: Store) -> None:
    pytest.importorskip("faiss", reason="it is in the group `stores`")
    key = fill(store)
    assert holding(store)
    in_faiss = VectorSettings(product="faiss")
    Points(store, (), vectors=in_faiss).erase(key, ["secret"], tenant="t")
    assert holding(store) == []
    with closing(shelf_of(store, SmallEncoder(), in_faiss)) as shelf:
        collection = shelf.open("memories")
        assert collection.key == key, "two stores may call it the same"
        collection.upsert([SECRET], tenant="t")
        fill(store)
        Points(store, [collection], shelf).erase(key, ["secret"], tenant="t")
        assert list(collection.ids(tenant="t")) == []
    assert holding(store) == []


def test_what_a_service_holds_that_is_not_set_is_said(store: Store) -> None:
    key = fill(store)
    entry = LocalCatalog(store, "qdrant_edge").entries()[0]
    LocalCatalog(store, "qdrant:").write(msgspec.structs.replace(entry, revision=0))
    with pytest.raises(VectorSettingsError, match="some of it is in qdrant, which is not set: set TROUPE_VECTOR_STORE"):
        Points(store, ()).erase(key, ["secret"], tenant="t")
