"""A collection of several versions: all are written, one is searched, and both may change at any moment."""

import threading
from collections.abc import Callable

import msgspec
import pytest
from collection_fakes import FRUIT, Shelf, passage

from functions.collections.collection import writing
from functions.ports.vector_stores import Layout, NoSuchCollectionError, UnavailableError

ALL = {each.id: each.text for each in FRUIT}


def test_what_is_written_is_in_every_version_and_the_current_one_is_searched(shelf: Shelf) -> None:
    collection = shelf.open()
    collection.upsert(FRUIT, tenant="t")
    shelf.add_version()
    collection.upsert([passage("new")], tenant="t")
    assert (sorted(shelf.held(1)), sorted(shelf.held(2))) == (["apples", "bananas", "new", "plums"], ["new"])
    assert collection.count(tenant="t") == 4
    shelf.switch(2)
    assert [each.id for each in collection.search("about", limit=5, tenant="t")] == ["new"]
    collection.delete(["new"], tenant="t")
    assert (sorted(shelf.held(1)), shelf.held(2)) == (sorted(ALL), {})


def test_removing_describing_erasing_and_expiring_reach_every_version(shelf: Shelf) -> None:
    collection = shelf.open()
    shelf.add_version()
    collection.upsert(FRUIT, tenant="t", ttl_s=60)
    collection.erase(["plums"], tenant="t")
    described = msgspec.structs.replace(FRUIT[0].work, title="On fruit")
    collection.describe([msgspec.structs.replace(FRUIT[0], work=described)], tenant="t")
    assert sorted(shelf.held(1)) == sorted(shelf.held(2)) == ["apples", "bananas"]
    shelf.switch(2)
    assert collection.read(["apples"], tenant="t")[0].work == described
    shelf.clock.pass_s(60)
    assert collection.expire() == 4
    assert (shelf.held(1), shelf.held(2)) == ({}, {})


@pytest.mark.parametrize("how", ["upsert", "describe", "delete", "erase", "expire"])
def test_every_write_goes_to_the_lowest_number_first(shelf: Shelf, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """A filling copies from the lower to the higher, and looks at the lower again after it wrote."""
    collection = shelf.open()
    shelf.add_version()
    shelf.add_version()
    entry = shelf.catalog.kept["documents"]
    shelf.catalog.write(msgspec.structs.replace(entry, current=2, versions=entry.versions[::-1]))
    collection.upsert(FRUIT, tenant="t", ttl_s=60)
    written: list[str] = []
    for name in ("upsert", "set_fields", "delete", "delete_where", "erase"):
        write = getattr(shelf.store, name)

        def recorded(layout: Layout, what: object, *, write: Callable[..., None] = write) -> None:
            written.append(layout.name)
            write(layout, what)

        monkeypatch.setattr(shelf.store, name, recorded)
    if how == "expire":
        shelf.clock.pass_s(60)
        collection.expire()
    else:
        given = FRUIT if how in {"upsert", "describe"} else [each.id for each in FRUIT]
        getattr(collection, how)(given, tenant="t")
    assert list(dict.fromkeys(written)) == [
        "documents_v1_bag-of-words-1",
        "documents_v2_other-1",
        "documents_v3_other-1",
    ]


def test_each_version_has_the_vectors_of_its_own_encoder(shelf: Shelf) -> None:
    collection = shelf.open()
    version = shelf.add_version("other/1")
    collection.upsert(FRUIT, tenant="t")
    dimensions = {
        layout.encoder: {len(point.vector) for point in shelf.store.scroll(layout, vectors=True)}
        for layout in shelf.store.layouts()
    }
    assert dimensions == {"Bag of words/1": {256}, "other/1": {64}}
    assert {point.fields["encoder"] for point in shelf.store.scroll(version.layout)} == {"other/1"}


def test_a_version_that_is_listed_while_a_write_is_under_way_gets_it_too(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection = shelf.open()
    store = shelf.store.upsert

    def begin_another(layout: object, points: object) -> None:
        store(layout, points)  # type: ignore[arg-type]
        if len(shelf.catalog.kept["documents"].versions) == 1:
            shelf.add_version()

    monkeypatch.setattr(shelf.store, "upsert", begin_another)
    collection.upsert(FRUIT, tenant="t")
    assert shelf.held(1) == shelf.held(2) == ALL


def test_a_version_that_is_dropped_while_a_write_is_under_way_is_left_out(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection = shelf.open()
    shelf.add_version()
    shelf.switch(2)
    store, dropped = shelf.store.upsert, []

    def drop_the_first(layout: object, points: object) -> None:
        if not dropped:
            dropped.append(shelf.drop(1))
        store(layout, points)  # type: ignore[arg-type]

    monkeypatch.setattr(shelf.store, "upsert", drop_the_first)
    collection.upsert(FRUIT, tenant="t")
    assert shelf.held(2) == ALL


def test_a_search_that_meets_a_dropped_version_asks_the_one_that_is_current_now(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection = shelf.open()
    shelf.add_version()
    collection.upsert(FRUIT, tenant="t")
    search, done = shelf.store.search, []

    def change_before(layout: object, queries: object) -> object:
        if not done:
            done.append(shelf.switch(2))
            shelf.drop(1)
        return search(layout, queries)  # type: ignore[arg-type]

    monkeypatch.setattr(shelf.store, "search", change_before)
    assert [each.id for each in collection.search("yellow and long", limit=1, tenant="t")] == ["bananas"]


def test_ids_are_read_on_over_a_switch(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    collection = shelf.open()
    shelf.add_version()
    collection.upsert([passage(str(number)) for number in range(5)], tenant="t")
    scroll = shelf.store.scroll
    monkeypatch.setattr(shelf.store, "scroll", lambda *asked, **how: scroll(*asked, **how | {"limit": 2}))
    ids = collection.ids(tenant="t")
    first = next(ids)
    shelf.switch(2)
    shelf.drop(1)
    assert sorted([first, *ids]) == ["0", "1", "2", "3", "4"]


def test_a_version_that_is_listed_and_not_there_is_an_error(shelf: Shelf) -> None:
    collection = shelf.open()
    version = shelf.add_version(phase="whole")
    shelf.store.drop(version.layout.name)
    with pytest.raises(NoSuchCollectionError, match=r"documents_v2_other-1.*`troupe collections drop documents 2`"):
        collection.upsert(FRUIT, tenant="t")
    shelf.switch(2)
    with pytest.raises(NoSuchCollectionError, match="documents_v2_other-1"):
        collection.search("text", limit=1, tenant="t")
    shelf.switch(7)
    with pytest.raises(NoSuchCollectionError, match="stands for version 7, which the catalog does not list"):
        collection.search("text", limit=1, tenant="t")


def test_a_write_that_fails_in_one_version_can_be_done_again(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    collection = shelf.open()
    version = shelf.add_version()
    store = shelf.store.upsert

    def refuse(layout: object, points: object) -> None:
        if layout == version.layout:
            raise UnavailableError("it is away")
        store(layout, points)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(shelf.store, "upsert", refuse)
        with pytest.raises(UnavailableError):
            collection.upsert(FRUIT, tenant="t")
    collection.upsert(FRUIT, tenant="t")
    assert shelf.held(1) == shelf.held(2) == ALL


def test_writes_of_two_objects_of_one_collection_do_not_meet(shelf: Shelf) -> None:
    first, second = shelf.open(), shelf.open()
    shelf.add_version()
    assert writing(shelf.store, "documents") is writing(shelf.store, "documents")
    assert writing(shelf.store, "documents") is not writing(shelf.store, "memories")

    def write(number: int) -> None:
        for round_ in range(10):
            (first, second)[number % 2].upsert([passage("same", f"by {number} in {round_}")], tenant="t")

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert shelf.held(1) == shelf.held(2)


def test_searches_go_on_while_the_name_is_switched_to_and_fro(shelf: Shelf) -> None:
    collection = shelf.open()
    shelf.add_version()
    collection.upsert(FRUIT, tenant="t")
    stop, wrong = threading.Event(), []

    def search() -> None:
        while not stop.is_set():
            try:
                if collection.search("yellow and long", limit=1, tenant="t")[0].id != "bananas":
                    wrong.append("another answer")
            except Exception as error:  # noqa: BLE001 - whatever it is, the test has to show it
                wrong.append(error)

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    for round_ in range(50):
        shelf.switch(1 + round_ % 2)
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
