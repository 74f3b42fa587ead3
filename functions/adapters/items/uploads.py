"""The `Ingest` capability over items: two deliveries that bring a document of one name take turns.

Who reads a document says so in an item beside its entry, until the time at which its attempt is surely over. Others
give up meanwhile, and are tried again.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta

import msgspec

from functions.adapters.items import keys
from functions.adapters.items.ledger import ItemLedger
from functions.adapters.items.writing import encoded
from functions.adapters.vectors.bound import Time
from functions.errors import TroupeError
from functions.events.decoding import decoder
from functions.events.ingest import DocumentOutcome, SentDocument
from functions.ports.items import Items
from functions.ports.ledger import Ledger
from functions.runtime.delivery import Binding

Bring = Callable[[SentDocument, Ledger], DocumentOutcome]
OVER_S = 60.0  # after the end of an attempt, its function is gone and so are its calls


class BeingReadError(TroupeError):
    """Another delivery reads this document right now: it is tried again."""


class Reading(msgspec.Struct, frozen=True):
    """Who reads a document: an attempt of a delivery; nobody else does until then."""

    attempt: str
    until: datetime


class ItemIngest:
    """The `Ingest` capability of one collection, bound to one delivery.

    Args:
        items: Of the stack.
        partition: Of what a tenant sent into the collection (`uploads`).
        bring: Brings a document into the collection, in the place of what the ledger has under its name
            (`functions.documents.uploads.ingest`).
        binding: Whose documents these are.
        now: The time, in UTC.
    """

    def __init__(
        self, items: Items, partition: str, bring: Bring, *, binding: Binding, now: Callable[[], datetime]
    ) -> None:
        self._items = items
        self._partition = partition
        self._bring = bring
        self._binding = binding
        self._now = now
        self._time = Time(binding.until, now)

    def ingest(self, documents: Sequence[SentDocument]) -> Sequence[DocumentOutcome]:
        """See `Ingest.ingest`.

        Raises:
            BeingReadError: Another delivery reads one of them.
            OutOfTimeError: Those before took all the time; the next attempt finds them read.
        """
        return [self._ingest(sent) for sent in documents]

    def _ingest(self, sent: SentDocument) -> DocumentOutcome:
        self._time.left_s()
        with self._alone(sent.name):
            return self._bring(sent, ItemLedger(self._items, self._partition))

    @contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        place = keys.reading(self._partition, name)
        mine = Reading(f"{self._binding.key} {self._binding.attempt}", self._binding.until + timedelta(seconds=OVER_S))
        (found,) = self._items.get([place])
        if found is not None and decoder(Reading).decode(found.value).until > self._now():
            raise _being_read(name)
        revision = found.revision if found else 0
        if not self._items.put(place, encoded(mine), revision=revision, expires_at=mine.until):
            raise _being_read(name)
        try:
            yield
        finally:
            self._items.delete([place])


def uploads(resource: str, collection: str, tenant: str) -> str:
    """The partition of what a tenant sent into a collection.

    Args:
        resource: What workflows call the collection: a role may touch what begins with that.
        collection: Its key.
        tenant: Whose documents.
    """
    return keys.documents(resource, collection, tenant, "uploads")


def _being_read(name: str) -> BeingReadError:
    return BeingReadError(f"{name} is being read by another delivery: this one is tried again")
