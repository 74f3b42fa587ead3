"""The keeper makes what is declared and missing, changes nothing that is there, and removes what expired."""

from dataclasses import replace

import pytest
from harness import Clock
from memory_catalog import MemoryCatalog
from memory_store import MemoryStore

from functions.entry_points.aws.environment import Declared
from functions.entry_points.aws.keeper import Shelf, kept
from functions.errors import TroupeError

DOCUMENTS = Declared(version=1, encoder="minilm-1", dimension=384)


class Opened:
    """A collection, as far as it expires."""

    def __init__(self, gone: int | TroupeError) -> None:
        self.gone = gone

    def expire(self) -> int:
        if isinstance(self.gone, TroupeError):
            raise self.gone
        return self.gone


@pytest.fixture
def shelf() -> Shelf:
    return Shelf(
        declared={"documents": DOCUMENTS},
        catalog=MemoryCatalog(),
        store=MemoryStore(),
        opened=lambda _name: Opened(3),
        erase=lambda: 2,
        now=Clock(),
    )


def ensure(shelf: Shelf, **declared: Declared) -> dict[str, dict[str, str]]:
    """What a deploy is told."""
    found: dict[str, dict[str, str]] = kept({"do": "ensure"}, replace(shelf, declared=declared))["collections"]
    return found


def test_what_is_missing_is_made_once(shelf: Shelf) -> None:
    assert ensure(shelf, documents=DOCUMENTS) == {"documents": {"state": "made"}}
    assert ensure(shelf, documents=DOCUMENTS) == {"documents": {"state": "there"}}
    assert [layout.name for layout in shelf.store.layouts()] == ["documents_v1_minilm-1"]


def test_the_declared_version_is_part_of_the_physical_name(shelf: Shelf) -> None:
    ensure(shelf, documents=Declared(version=3, encoder="minilm-1", dimension=384))
    assert [layout.name for layout in shelf.store.layouts()] == ["documents_v3_minilm-1"]
    entry = shelf.catalog.read("documents")
    assert entry is not None
    assert (entry.current, [each.number for each in entry.versions]) == (3, [3])


@pytest.mark.parametrize(
    ("declared", "says"),
    [
        (Declared(version=1, encoder="minilm-2", dimension=384), "nothing gives a collection of a stack another"),
        (Declared(version=1, encoder="minilm-1", dimension=768), "nothing gives a collection of a stack another"),
        (Declared(version=2, encoder="minilm-1", dimension=384), "nothing was changed: declare 1"),
        (Declared(version=1, encoder="minilm-1", dimension=384, ttl_s=60.0), "60 s"),
    ],
)
def test_what_is_declared_otherwise_is_reported_and_nothing_changed(
    shelf: Shelf, declared: Declared, says: str
) -> None:
    ensure(shelf, documents=DOCUMENTS)
    before = shelf.catalog.entries(), shelf.store.layouts()
    found = ensure(shelf, documents=declared)["documents"]
    assert found["state"] == "differs"
    assert says in found["says"]
    assert (shelf.catalog.entries(), shelf.store.layouts()) == before


def test_a_collection_that_is_no_longer_declared_stays(shelf: Shelf) -> None:
    ensure(shelf, documents=DOCUMENTS)
    assert ensure(shelf) == {}
    assert len(shelf.store.layouts()) == 1


def test_one_that_cannot_be_made_is_told_and_the_others_are_made(shelf: Shelf) -> None:
    found = ensure(shelf, **{"No name": DOCUMENTS, "documents": DOCUMENTS})
    assert (found["No name"]["state"], found["documents"]["state"]) == ("failed", "made")
    assert "no collection's name" in found["No name"]["says"]


def test_what_expired_is_removed_from_every_collection(shelf: Shelf) -> None:
    ensure(shelf, documents=DOCUMENTS, memories=DOCUMENTS)
    assert kept({"do": "expire"}, shelf) == {"expired": {"documents": 3, "memories": 3}}


def test_one_that_cannot_be_expired_does_not_keep_the_others(shelf: Shelf) -> None:
    ensure(shelf, documents=DOCUMENTS, memories=DOCUMENTS)
    asked = list[str]()

    def opened(name: str) -> Opened:
        asked.append(name)
        return Opened(TroupeError("the store is away") if name == "documents" else 1)

    with pytest.raises(TroupeError, match="documents: the store is away"):
        kept({"do": "expire"}, replace(shelf, opened=opened))
    assert asked == ["documents", "memories"]


def test_erasures_that_were_cut_off_are_gone_on_with_when_it_is_asked_to(shelf: Shelf) -> None:
    assert kept({"do": "erase"}, shelf) == {"erased": 2}


@pytest.mark.parametrize("event", [{}, {"do": "drop"}])
def test_anything_else_is_refused(shelf: Shelf, event: dict[str, str]) -> None:
    with pytest.raises(TroupeError, match="expected"):
        kept(event, shelf)
