"""The `Ingest` capability over items: documents of one name take turns, and what a crash leaves is mended."""

from collections.abc import Callable, Sequence
from datetime import timedelta

import msgspec
import pytest
from harness import START, Clock
from memory_items import MemoryItems
from stacks import ItemStack

from functions.adapters.items import keys
from functions.adapters.items.ledger import ItemLedger
from functions.adapters.items.uploads import OVER_S, BeingReadError, ItemIngest, Reading, uploads
from functions.adapters.vectors.bound import OutOfTimeError
from functions.events.ingest import DocumentOutcome, SentDocument
from functions.ports.items import Place
from functions.ports.ledger import Entry, Ledger
from functions.runtime.delivery import Binding
from functions.runtime.workflow import Budget

NOTE = SentDocument(name="note", text="a")
OTHER = SentDocument(name="other", text="b")
PARTITION = uploads("documents", "documents-1", "t")


class Brought:
    """Stands for reading a document: what it was given, and what happens meanwhile."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.meanwhile: Callable[[], object] = lambda: None

    def __call__(self, sent: SentDocument, ledger: Ledger) -> DocumentOutcome:
        self.meanwhile()
        self.names.append(sent.name)
        ledger.put([Entry(source=sent.name, fingerprint=sent.text)])
        return DocumentOutcome(name=sent.name)


class GivenUpError(Exception):
    """The process dies here."""


class DyingItems(MemoryItems):
    """As one whose process dies sees them: nothing is cleaned up."""

    def delete(self, places: Sequence[Place]) -> None:
        del places


def give_up() -> None:
    raise GivenUpError


@pytest.fixture
def brought() -> Brought:
    return Brought()


def ingest(cloud: ItemStack, brought: Brought, *documents: SentDocument, key: str = "k1") -> list[DocumentOutcome]:
    """One attempt of a delivery that has 30 seconds."""
    binding = Binding(
        tenant="t",
        conversation="c1",
        request="r1",
        key=key,
        origin=key,
        agent="ingester",
        attempt=1,
        until=cloud.clock() + timedelta(seconds=30),
        budget=Budget(),
    )
    return list(ItemIngest(cloud.items, PARTITION, brought, binding=binding, now=cloud.clock).ingest(documents))


def test_documents_are_brought_one_after_the_other_and_kept_for_their_tenant(
    cloud: ItemStack, brought: Brought
) -> None:
    assert ingest(cloud, brought, NOTE, OTHER) == [DocumentOutcome(name="note"), DocumentOutcome(name="other")]
    assert {entry.source for entry in ItemLedger(cloud.items, PARTITION).entries()} == {"note", "other"}
    assert ItemLedger(cloud.items, uploads("documents", "documents-1", "u")).entries() == []


def test_two_deliveries_never_read_a_document_of_one_name_at_a_time(cloud: ItemStack, brought: Brought) -> None:
    another = Brought()

    def meanwhile() -> None:
        with pytest.raises(BeingReadError, match="note is being read"):
            ingest(cloud, another, NOTE, key="k2")
        assert ingest(cloud, another, OTHER, key="k2"), "another name is no matter"

    brought.meanwhile = meanwhile
    ingest(cloud, brought, NOTE)
    assert another.names == ["other"]
    assert ingest(cloud, another, NOTE, key="k2")


def test_two_that_begin_at_the_same_moment_are_not_both_let_in(brought: Brought) -> None:
    """Both found nobody; the second is at its write when the first has written."""

    def first_meanwhile(step: str) -> None:
        if step == "before put reading" and not meanwhile:
            meanwhile.append(step)
            reading = Reading("another", START + timedelta(seconds=90))
            cloud.items.put(place, msgspec.json.encode(reading), revision=0)

    meanwhile: list[str] = []
    place = keys.reading(PARTITION, "note")
    cloud = ItemStack(MemoryItems(first_meanwhile), Clock())
    refused(cloud, brought)
    assert brought.names == []


def refused(cloud: ItemStack, brought: Brought) -> None:
    with pytest.raises(BeingReadError):
        ingest(cloud, brought, NOTE, key="k3")


def test_a_document_whose_reader_died_is_read_once_its_attempt_is_surely_over(
    cloud: ItemStack, brought: Brought
) -> None:
    brought.meanwhile = give_up
    items = DyingItems()
    with pytest.raises(GivenUpError):
        ingest(ItemStack(items, cloud.clock), brought, NOTE)
    brought.meanwhile, cloud.items = lambda: None, items
    cloud.clock.advance(30 + OVER_S - 1)
    refused(cloud, brought)
    cloud.clock.advance(1)
    assert ingest(cloud, brought, NOTE)


def test_an_attempt_without_time_left_reads_nothing_more(cloud: ItemStack, brought: Brought) -> None:
    brought.meanwhile = lambda: cloud.clock.advance(30)
    with pytest.raises(OutOfTimeError):
        ingest(cloud, brought, NOTE, OTHER)
    assert brought.names == ["note"]
    assert cloud.clock() > START
