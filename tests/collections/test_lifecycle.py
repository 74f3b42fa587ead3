"""What may be done to a collection as a whole, what is refused, and what the refusal says to do."""

from datetime import UTC, datetime

import pytest
from memory_catalog import MemoryCatalog
from small_encoder import SmallEncoder

from functions.collections.entries import UnknownCollectionError, UnknownVersionError, changed, with_version
from functions.collections.lifecycle import (
    LifecycleError,
    begin,
    create,
    remove_dropped,
    rollback,
    status,
    switch,
    take_out,
)
from functions.collections.opening import made
from functions.ports.catalog import Carrier, Entry, Progress
from functions.ports.vector_stores import LayoutError
from tests.memory_store import MemoryStore

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OLD, NEW, OTHER = SmallEncoder(), SmallEncoder("small.2"), SmallEncoder("small.3")


@pytest.fixture
def catalog() -> MemoryCatalog:
    catalog = MemoryCatalog()
    made(create(catalog, "documents", OLD, ttl_s=None, now=NOW), catalog=catalog, store=MemoryStore())
    return catalog


def fill(catalog: MemoryCatalog, number: int) -> None:
    def whole(entry: Entry) -> Entry:
        version = entry.version(number)
        assert version is not None
        return with_version(entry, type(version)(number=number, layout=version.layout, phase="whole", created=NOW))

    changed(catalog, "documents", whole)


def migrated(catalog: MemoryCatalog, encoder: SmallEncoder = NEW) -> int:
    number = begin(catalog, "documents", encoder, rate=None, now=NOW)
    fill(catalog, number)
    return number


def current(catalog: MemoryCatalog) -> int:
    entry = catalog.read("documents")
    assert entry is not None
    return entry.current


def test_a_new_version_is_listed_as_filling_and_the_name_stays_where_it_is(catalog: MemoryCatalog) -> None:
    assert begin(catalog, "documents", NEW, rate=5.0, now=NOW) == 2
    entry = catalog.read("documents")
    assert entry is not None
    assert [(each.number, each.phase, each.layout.encoder) for each in entry.versions] == [
        (1, "whole", "small.1"),
        (2, "filling", "small.2"),
    ]
    assert entry.current == 1
    progress = catalog.progress("documents", 2)
    assert progress is not None
    assert progress.rate == 5.0


def test_a_second_migrate_goes_on_with_the_same_version(catalog: MemoryCatalog) -> None:
    assert [begin(catalog, "documents", NEW, rate=None, now=NOW) for _ in range(2)] == [2, 2]


def test_a_second_migrate_at_the_same_moment_goes_on_with_the_same_version(catalog: MemoryCatalog) -> None:
    write, others, numbers = catalog.write, iter(range(1)), list[int]()

    def overtaken(entry: Entry) -> Entry:
        if next(others, None) is not None:
            numbers.append(begin(catalog, "documents", NEW, rate=None, now=NOW))
        return write(entry)

    catalog.write = overtaken  # type: ignore[method-assign]
    assert begin(catalog, "documents", NEW, rate=None, now=NOW) == numbers[0]
    entry = catalog.read("documents")
    assert entry is not None
    assert len(entry.versions) == 2


def test_while_a_version_is_filled_one_of_another_encoder_is_refused(catalog: MemoryCatalog) -> None:
    begin(catalog, "documents", NEW, rate=None, now=NOW)
    with pytest.raises(LifecycleError, match=r"version 2 .* is being filled, .* drop documents 2"):
        begin(catalog, "documents", OTHER, rate=None, now=NOW)


def test_an_encoder_that_a_version_has_is_refused_with_the_way_to_it(catalog: MemoryCatalog) -> None:
    with pytest.raises(LifecycleError, match="switch documents 1"):
        begin(catalog, "documents", OLD, rate=None, now=NOW)


def test_no_version_is_begun_that_somebody_at_work_could_not_write(catalog: MemoryCatalog) -> None:
    catalog.living = [Carrier(name="process 7", encoders=frozenset({"small.1"}))]
    with pytest.raises(LifecycleError, match=r"process 7 does not carry small\.2"):
        begin(catalog, "documents", NEW, rate=None, now=NOW)
    assert status(catalog, "documents", None).versions[-1].number == 1


def test_a_dimension_or_an_encoder_never_changes_in_place(catalog: MemoryCatalog) -> None:
    with pytest.raises(LifecycleError, match=r"encoder small\.1 with 256 dimensions.*migrate documents"):
        create(catalog, "documents", NEW, ttl_s=None, now=NOW)


def test_a_name_that_no_store_takes_is_refused(catalog: MemoryCatalog) -> None:
    with pytest.raises(LayoutError, match="no collection's name"):
        create(catalog, "My documents", OLD, ttl_s=None, now=NOW)


def test_a_switch_moves_the_name_and_a_rollback_brings_it_back(catalog: MemoryCatalog) -> None:
    migrated(catalog)
    assert switch(catalog, "documents").current == 2
    assert switch(catalog, "documents", 2).current == 2
    assert rollback(catalog, "documents").current == 1
    with pytest.raises(LifecycleError, match="nothing to go back to"):
        rollback(catalog, "documents")
    assert switch(catalog, "documents").current == 2


def test_a_switch_waits_until_the_version_is_whole_and_says_how_far_it_is(catalog: MemoryCatalog) -> None:
    begin(catalog, "documents", NEW, rate=None, now=NOW)
    catalog.put_progress(
        Progress(collection="documents", number=2, done=3, total=10, started=NOW, at=NOW, problem="no disk")
    )
    with pytest.raises(LifecycleError, match=r"not whole yet \(3 of 10 points are copied, and stands still: no disk\)"):
        switch(catalog, "documents")
    assert current(catalog) == 1


def test_a_switch_and_a_rollback_name_everybody_who_lacks_one_of_both_encoders(catalog: MemoryCatalog) -> None:
    migrated(catalog)
    catalog.living = [
        Carrier(name="process 7", encoders=frozenset({"small.1"})),
        Carrier(name="process 8", encoders=frozenset({"small.1", "small.2"})),
        Carrier(name="process 9", encoders=frozenset({"small.2"})),
    ]
    expected = r"process 7 does not carry small\.2; process 9 does not carry small\.1\. Start them again"
    with pytest.raises(LifecycleError, match=expected):
        switch(catalog, "documents")
    catalog.living = catalog.living[1:2]
    switch(catalog, "documents")
    catalog.living = [Carrier(name="process 9", encoders=frozenset({"small.2"}))]
    with pytest.raises(LifecycleError, match=r"process 9 does not carry small\.1"):
        rollback(catalog, "documents")


def test_a_switch_that_somebody_overtakes_is_decided_again_by_what_is_there_now(catalog: MemoryCatalog) -> None:
    migrated(catalog)
    write, others = catalog.write, iter(range(1))

    def overtaken(entry: Entry) -> Entry:
        if next(others, None) is not None:
            take_out(catalog, "documents", 2)
        return write(entry)

    catalog.write = overtaken  # type: ignore[method-assign]
    with pytest.raises(UnknownVersionError, match="no version 2: it has 1"):
        switch(catalog, "documents", 2)
    assert current(catalog) == 1


def test_without_a_newer_version_there_is_nothing_to_switch_to(catalog: MemoryCatalog) -> None:
    with pytest.raises(LifecycleError, match="stands for its newest version, 1"):
        switch(catalog, "documents")


def test_what_the_name_stands_for_is_not_dropped(catalog: MemoryCatalog) -> None:
    migrated(catalog)
    with pytest.raises(LifecycleError, match=r"stands for version 1, which is not dropped: .*switch documents"):
        take_out(catalog, "documents", 1)


def test_a_rollback_works_until_what_it_goes_back_to_is_dropped(catalog: MemoryCatalog) -> None:
    migrated(catalog)
    switch(catalog, "documents")
    take_out(catalog, "documents", 1)
    with pytest.raises(LifecycleError, match="nothing to go back to"):
        rollback(catalog, "documents")


def test_a_drop_that_is_killed_between_catalog_and_store_goes_on_when_it_is_run_again(catalog: MemoryCatalog) -> None:
    store = MemoryStore()
    migrated(catalog)
    for version in status(catalog, "documents", None).versions:
        store.create(version.layout)
    take_out(catalog, "documents", 2)
    assert [each.phase for each in status(catalog, "documents", store).versions] == ["whole", "dropping"]
    take_out(catalog, "documents", 2)
    assert remove_dropped(catalog, store, "documents") == 1
    assert remove_dropped(catalog, store, "documents") == 0
    assert [each.name for each in store.layouts()] == ["documents_v1_small.1"]
    with pytest.raises(UnknownVersionError, match="no version 2: it has 1"):
        take_out(catalog, "documents", 2)


def test_a_number_is_never_used_again(catalog: MemoryCatalog) -> None:
    store = MemoryStore()
    for expected in (2, 3, 4):
        assert migrated(catalog) == expected
        take_out(catalog, "documents", expected)
        remove_dropped(catalog, store, "documents")


def test_what_is_not_there_is_refused_with_what_is(catalog: MemoryCatalog) -> None:
    with pytest.raises(UnknownCollectionError, match="no collection 'papers': there are documents"):
        status(catalog, "papers", None)
    with pytest.raises(UnknownVersionError, match="no version 9: it has 1"):
        switch(catalog, "documents", 9)
    with pytest.raises(UnknownCollectionError, match="there are none yet"):
        switch(MemoryCatalog(), "papers")


def test_a_status_says_what_each_version_holds_and_who_could_not_use_it(catalog: MemoryCatalog) -> None:
    store = MemoryStore()
    begin(catalog, "documents", NEW, rate=None, now=NOW)
    catalog.living = [Carrier(name="process 7", encoders=frozenset({"small.1"}))]
    store.create(status(catalog, "documents", None).versions[0].layout)
    told = status(catalog, "documents", store)
    assert [(each.points, each.is_current) for each in told.versions] == [(0, True), (None, False)]
    assert told.versions[1].missing == ("process 7 does not carry small.2",)


def test_the_name_moves_to_no_version_that_is_gone_from_the_store(catalog: MemoryCatalog) -> None:
    store, number = MemoryStore(), migrated(catalog)
    first, second = (version.layout for version in catalog.kept["documents"].versions)
    store.create(first)
    with pytest.raises(LifecycleError, match=r"version 2 of documents is gone .*`troupe collections drop documents 2`"):
        switch(catalog, "documents", store=store)
    assert [each.is_gone for each in status(catalog, "documents", store).versions] == [False, True]
    assert [each.is_gone for each in status(catalog, "documents", None).versions] == [False, False]
    store.create(second)
    assert switch(catalog, "documents", store=store).current == number
    store.drop(first.name)
    with pytest.raises(LifecycleError, match="version 1 of documents is gone"):
        rollback(catalog, "documents", store=store)
    assert current(catalog) == number
