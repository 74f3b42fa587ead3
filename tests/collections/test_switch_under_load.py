"""Threads that search all the time while the name moves: none fails, and none meets both versions."""

import threading
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from carried_encoders import Carrying
from memory_catalog import MemoryCatalog
from small_encoder import SmallEncoder

from functions.adapters.local.blobs import LocalBlobs
from functions.collections.collection import VersionedCollection
from functions.collections.entries import entry_of
from functions.collections.lifecycle import begin, create, remove_dropped, rollback, switch, take_out
from functions.collections.migration import fill
from functions.collections.opening import made
from functions.collections.pinned import PinnedCatalog
from functions.collections.recoding import recode
from functions.events.common import Passage
from functions.ports.vector_stores import Hit, Layout, Query
from tests.memory_store import MemoryStore

SEARCHES = 150  # of each thread
THREADS = 4
PASSAGES = [
    Passage(id=str(each), name="", source="a.md", text=f"the office {each} opens at {each}") for each in range(9)
]
QUESTIONS = [f"when opens the office {each}" for each in range(5)]
OLD, NEW = SmallEncoder(), SmallEncoder("small.2")


class Checked(MemoryStore):
    """Counts the queries whose vector is not of the encoder of the collection that they go to."""

    def __init__(self) -> None:
        super().__init__()
        self.mixed = 0

    def search(self, layout: Layout, queries: Sequence[Query]) -> Sequence[Sequence[Hit]]:
        encoder = {each.version: each for each in (OLD, NEW)}[layout.encoder]
        own = encoder.encode(QUESTIONS)
        self.mixed += sum(not np.isclose(own, query.vector).all(axis=1).any() for query in queries)
        return super().search(layout, queries)


class Parts:
    def __init__(self, folder: Path) -> None:
        self.catalog, self.store = MemoryCatalog(), Checked()
        self.encoders, self.blobs = Carrying(OLD, NEW), LocalBlobs(folder)
        entry = create(self.catalog, "documents", OLD, ttl_s=None, now=self.now())
        made(entry, catalog=self.catalog, store=self.store)

    @staticmethod
    def now() -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC)

    def collection(self, number: int | None = None) -> VersionedCollection:
        catalog = self.catalog if number is None else PinnedCatalog(self.catalog, "documents", number)
        return VersionedCollection(
            "documents", catalog=catalog, store=self.store, encoders=self.encoders, blobs=self.blobs, now=self.now
        )

    def migrated(self) -> int:
        number = begin(self.catalog, "documents", NEW, rate=None, now=self.now())
        ended = fill(
            "documents",
            number,
            catalog=self.catalog,
            store=self.store,
            recode=lambda layout, points: recode(layout, points, encoders=self.encoders, blobs=self.blobs),
            now=self.now,
            wait=lambda _: False,
        )
        assert ended == "whole"
        return number


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    made = Parts(tmp_path)
    made.collection().upsert(PASSAGES, tenant="t")
    return made


def answers(collection: VersionedCollection) -> dict[str, tuple[tuple[str, float], ...]]:
    found = collection.search_each(QUESTIONS, limit=5, tenant="t")
    return {text: tuple((each.id, each.score) for each in some) for text, some in zip(QUESTIONS, found, strict=True)}


def test_no_search_fails_and_none_is_mixed_while_the_name_moves_back_and_forth(parts: Parts) -> None:
    parts.migrated()
    old, new = answers(parts.collection(1)), answers(parts.collection(2))
    assert all(old[text] != new[text] for text in QUESTIONS)
    collection, counts, stopping = parts.collection(), Counter[str](), threading.Event()

    def move() -> None:
        while not stopping.is_set():
            switch(parts.catalog, "documents")
            rollback(parts.catalog, "documents")

    def search() -> None:
        for number in range(SEARCHES):
            text = QUESTIONS[number % len(QUESTIONS)]
            found = tuple((each.id, each.score) for each in collection.search(text, limit=5, tenant="t"))
            counts[{old[text]: "old", new[text]: "new"}.get(found, "mixed")] += 1

    mover = threading.Thread(target=move)
    searchers = [threading.Thread(target=search) for _ in range(THREADS)]
    mover.start()
    for each in searchers:
        each.start()
    for each in searchers:
        each.join()
    stopping.set()
    mover.join()
    assert counts["mixed"] == 0
    assert counts["old"] + counts["new"] == SEARCHES * THREADS  # a search that failed is in neither
    assert counts["old"]
    assert counts["new"]
    assert parts.store.mixed == 0


def test_what_is_written_while_both_are_listed_is_found_after_the_switch_and_after_the_rollback(parts: Parts) -> None:
    parts.migrated()
    collection = parts.collection()
    collection.upsert([Passage(id="x", name="", source="b.md", text="the canteen closes at four")], tenant="t")
    collection.delete(["3"], tenant="t")
    for move in (switch, rollback):
        assert collection.search("when closes the canteen", limit=1, tenant="t")[0].id == "x"
        assert sorted(collection.ids(tenant="t")) == [*"0124567", "8", "x"]
        move(parts.catalog, "documents")


def test_a_text_that_lives_in_a_blob_is_encoded_whole_for_the_new_version(parts: Parts) -> None:
    text = "word " * 4_000 + "needle"
    parts.collection().upsert([Passage(id="long", name="", source="long.md", text=text)], tenant="t")
    parts.migrated()
    switch(parts.catalog, "documents")
    (found,) = parts.collection().read(["long"], tenant="t")
    assert found.text == text
    first, second = (
        next(each.terms for each in parts.store.scroll(version.layout) if each.fields["id"] == "long")
        for version in entry_of(parts.catalog, "documents").versions
    )
    assert first == second


def test_a_search_that_is_overtaken_by_a_switch_and_a_drop_answers_from_the_new_version(parts: Parts) -> None:
    parts.migrated()
    expected = answers(parts.collection(2))
    search = parts.store.search

    def overtaken(layout: Layout, queries: Sequence[Query]) -> Sequence[Sequence[Hit]]:
        parts.store.search = search  # type: ignore[method-assign]
        switch(parts.catalog, "documents")
        take_out(parts.catalog, "documents", 1)
        remove_dropped(parts.catalog, parts.store, "documents")
        return search(layout, queries)

    parts.store.search = overtaken  # type: ignore[method-assign]
    assert answers(parts.collection()) == expected


def test_a_write_that_read_the_catalog_before_a_version_was_listed_goes_there_too(parts: Parts) -> None:
    upsert = parts.store.upsert

    def overtaken(layout: Layout, points: Sequence[object]) -> None:
        parts.store.upsert = upsert  # type: ignore[method-assign]
        parts.migrated()  # without the point that is just being written
        upsert(layout, points)  # type: ignore[arg-type]

    parts.store.upsert = overtaken  # type: ignore[method-assign, assignment]
    parts.collection().upsert([Passage(id="late", name="", source="c.md", text="late news")], tenant="t")
    assert parts.collection(2).read(["late"], tenant="t")


def test_a_version_that_is_listed_and_not_made_yet_takes_writes(parts: Parts) -> None:
    number = begin(parts.catalog, "documents", NEW, rate=None, now=parts.now())
    parts.collection().upsert([Passage(id="early", name="", source="d.md", text="early news")], tenant="t")
    assert parts.collection(number).read(["early"], tenant="t")
    parts.collection().delete(["early"], tenant="t")
    assert not parts.collection(number).read(["early"], tenant="t")


def test_a_write_to_a_version_that_is_dropped_meanwhile_does_not_make_it_again(parts: Parts) -> None:
    number = begin(parts.catalog, "documents", NEW, rate=None, now=parts.now())
    create_again = parts.store.create

    def overtaken(layout: Layout) -> None:
        take_out(parts.catalog, "documents", number)
        remove_dropped(parts.catalog, parts.store, "documents")
        create_again(layout)

    parts.store.create = overtaken  # type: ignore[method-assign]
    parts.collection().upsert([Passage(id="late", name="", source="d.md", text="late news")], tenant="t")
    assert [layout.name for layout in parts.store.layouts()] == ["documents_v1_small.1"]
