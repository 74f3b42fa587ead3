"""Brings a collection in line with the documents of a corpus, and can be stopped anywhere.

A document's ledger entry is written twice: before its passages, naming every id that they may have, and after
them, with its fingerprint; one that is removed loses its fingerprint before its passages go. What a crash leaves
behind is therefore always known by name, and the next run completes or removes it; what was already encoded is not
encoded again.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from functions.documents.document import Document, Unreadable
from functions.events.common import Passage
from functions.ports.ledger import Entry, Ledger
from functions.ports.vectors import Collection

#: Passages that are encoded and stored in one call: about a second's work.
UPSERT_PASSAGES = 64
#: Passages after which the ledger is brought up to date, and with it documents are finished.
BATCH_PASSAGES = 256
#: Seconds of reading after which the same is done, however few the passages: some files take a minute each.
BATCH_SECONDS = 5.0
#: Ids that are asked or deleted in one call.
_ID_SLICE = 1_000

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Skipped:
    """A document that could not be read, and why, as a clause after its name."""

    source: str
    reason: str


@dataclass
class Report:
    """What one run did.

    Attributes:
        added: Sources that were not in the collection and now are.
        changed: Sources whose passages were brought up to date.
        removed: Sources that are no longer in the corpus, nor in the collection.
        skipped: Sources that could not be read; they have no passages in the collection.
        unchanged: How many sources were as they had been read before.
        written: How many passages were encoded and stored.
        deleted: How many passages were removed.
    """

    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    unchanged: int = 0
    written: int = 0
    deleted: int = 0

    @property
    def has_news(self) -> bool:
        """Whether there is anything to tell: something was read or removed, or could not be read."""
        return bool(self.added or self.changed or self.removed or self.skipped)


@dataclass(frozen=True)
class _Change:
    """A document as it was read now, between its ledger entries before and after."""

    size: int
    before: Entry
    after: Entry
    passages: Sequence[Passage] = ()

    @property
    def during(self) -> Entry:
        """Names every passage that the document may have while the collection is written."""
        ids = tuple(dict.fromkeys((*self.before.ids, *self.after.ids)))
        return Entry(source=self.after.source, fingerprint="", ids=ids)


def sync(  # noqa: PLR0913 - a corpus, where it goes, and what of that is not its own
    documents: Iterable[Document],
    collection: Collection,
    ledger: Ledger,
    *,
    tenant: str,
    progress: Progress = lambda _done, _total: None,
    beside: Sequence[Ledger] = (),
) -> Report:
    """Make the collection hold the passages of these documents, and of no others that the ledger knows.

    `beside` names what others brought into the same collection for the same tenant: that stays.

    A document whose fingerprint the ledger has is not read. Of one that is read, only passages that are new
    are encoded. One that cannot be read is skipped and has no passages afterwards. `progress` is called with
    the size done and the size of all that is to be read, from (0, total) to (total, total), never backwards;
    where nothing is to be read it is not called.

    Stopped at any point, the next run goes on from there. One run at a time may work on a collection.
    """
    return _Run(collection, ledger, tenant, progress, beside).sync(list(documents))


def add(document: Document, collection: Collection, ledger: Ledger, *, tenant: str) -> tuple[Report, Entry]:
    """Bring one document into the collection, in the place of what was read of it before; the others stay.

    What was done, and what the ledger says of the document now.
    """
    return _Run(collection, ledger, tenant, lambda _done, _total: None, ()).add(document)


class _Run:
    def __init__(
        self, collection: Collection, ledger: Ledger, tenant: str, progress: Progress, beside: Sequence[Ledger]
    ) -> None:
        self._collection = collection
        self._ledger = ledger
        self._tenant = tenant
        self._progress = progress
        self._beside = [entry for other in beside for entry in other.entries()]
        self._report = Report()

    def sync(self, documents: Sequence[Document]) -> Report:
        known = self._known()
        sources = {document.source for document in documents}
        self._remove([known[source] for source in sorted(known.keys() - sources)])
        stale = [document for document in documents if not self._is_current(document, known)]
        total = sum(document.size for document in stale)
        done = 0
        self._tell(done, total)
        for changes in _batches(stale, known):
            size = sum(change.size for change in changes)
            for share in self._write(changes):
                self._tell(done + int(size * share), total)
            done += size
        self._remove_unknown()
        return self._report

    def add(self, document: Document) -> tuple[Report, Entry]:
        before = self._ledger.find(document.source)
        known = {document.source: self._checked(before)} if before else {}
        if self._is_current(document, known):
            return self._report, known[document.source]
        change = _read(document, known.get(document.source))
        for _ in self._write([change]):
            pass
        return self._report, change.after

    def _known(self) -> dict[str, Entry]:
        """The ledger by source; an entry whose passages the collection has lost counts as half written."""
        entries = self._ledger.entries()
        if self._surplus(entries) < 0:
            entries = [self._checked(entry) for entry in entries]
        return {entry.source: entry for entry in entries}

    def _surplus(self, entries: Iterable[Entry]) -> int:
        """How many more passages the collection has than these entries that were read to their end, and the others."""
        whole = sum(len(entry.ids) for entry in (*entries, *self._beside) if entry.fingerprint)
        return self._collection.count(tenant=self._tenant) - whole

    def _remove_unknown(self) -> None:
        """Remove what no entry names: the ledger was lost or is an older copy, and nobody else would."""
        entries = self._ledger.entries()
        if self._surplus(entries) <= 0:
            return
        known = {each for entry in (*entries, *self._beside) for each in entry.ids}
        unknown = [each for each in self._collection.ids(tenant=self._tenant) if each not in known]
        if unknown:
            self._collection.delete(unknown, tenant=self._tenant)
            self._report.deleted += len(unknown)

    def _checked(self, entry: Entry) -> Entry:
        if len(self._present(entry.ids)) == len(entry.ids):
            return entry
        return Entry(source=entry.source, fingerprint="", ids=entry.ids)

    def _remove(self, entries: Sequence[Entry]) -> None:
        if not entries:
            return
        # First, so that a crash while they are deleted leaves no entry that looks whole and is not.
        self._ledger.put([Entry(source=entry.source, fingerprint="", ids=entry.ids) for entry in entries])
        self._delete([passage for entry in entries for passage in entry.ids])
        self._ledger.remove([entry.source for entry in entries])
        self._report.removed.extend(entry.source for entry in entries)

    def _is_current(self, document: Document, known: dict[str, Entry]) -> bool:
        entry = known.get(document.source)
        if entry is None or entry.fingerprint != document.fingerprint:
            return False
        self._record(_Change(0, entry, entry))
        return True

    def _write(self, changes: Sequence[_Change]) -> Iterator[float]:
        """Bring one batch into the collection; yields the share of it that is done, up to 1."""
        self._ledger.put([change.during for change in changes])
        missing = self._missing(changes)
        self._describe(changes, missing)
        for start in range(0, len(missing), UPSERT_PASSAGES):
            self._collection.upsert(missing[start : start + UPSERT_PASSAGES], tenant=self._tenant)
            self._report.written += len(missing[start : start + UPSERT_PASSAGES])
            yield min(start + UPSERT_PASSAGES, len(missing)) / (len(missing) + 1)
        self._delete([old for change in changes for old in set(change.before.ids) - set(change.after.ids)])
        self._ledger.put([change.after for change in changes])
        for change in changes:
            self._record(change)
        yield 1.0

    def _missing(self, changes: Sequence[_Change]) -> list[Passage]:
        """The passages that the collection does not have. An id stands for its text: who has it, has both."""
        present: set[str] = set()
        for change in changes:
            present |= set(change.before.ids) if change.before.fingerprint else self._present(change.during.ids)
        return [passage for change in changes for passage in change.passages if passage.id not in present]

    def _describe(self, changes: Sequence[_Change], missing: Iterable[Passage]) -> None:
        """An id stands for the text, not for what is known of its work: that may be new for a passage that is there."""
        encoded = {passage.id for passage in missing}
        there = [passage for change in changes for passage in change.passages if passage.id not in encoded]
        if there:
            self._collection.describe(there, tenant=self._tenant)

    def _present(self, ids: Sequence[str]) -> set[str]:
        found: set[str] = set()
        for start in range(0, len(ids), _ID_SLICE):
            passages = self._collection.read(ids[start : start + _ID_SLICE], tenant=self._tenant)
            found.update(passage.id for passage in passages)
        return found

    def _delete(self, ids: Sequence[str]) -> None:
        for start in range(0, len(ids), _ID_SLICE):
            self._collection.delete(ids[start : start + _ID_SLICE], tenant=self._tenant)
        self._report.deleted += len(ids)

    def _record(self, change: _Change) -> None:
        source = change.after.source
        if change.after.problem:
            self._report.skipped.append(Skipped(source, change.after.problem))
        elif change.before.fingerprint and set(change.before.ids) == set(change.after.ids):
            self._report.unchanged += 1
        elif change.before.ids:
            self._report.changed.append(source)
        else:
            self._report.added.append(source)

    def _tell(self, done: int, total: int) -> None:
        if total:
            self._progress(done, total)


def _batches(documents: Iterable[Document], known: dict[str, Entry]) -> Iterator[list[_Change]]:
    """Documents, read, in groups of at least BATCH_PASSAGES or BATCH_SECONDS but for the last."""
    batch: list[_Change] = []
    passages, begun = 0, time.monotonic()
    for document in documents:
        change = _read(document, known.get(document.source))
        batch.append(change)
        passages += len(change.passages)
        if passages >= BATCH_PASSAGES or time.monotonic() - begun >= BATCH_SECONDS:
            yield batch
            batch, passages, begun = [], 0, time.monotonic()
    if batch:
        yield batch


def _read(document: Document, before: Entry | None) -> _Change:
    """The change that a document is; what could not be opened this time is tried again by the next run."""
    source, size = document.source, document.size
    before = before or Entry(source=source, fingerprint="")
    try:
        passages = document.read()
    except Unreadable as error:
        return _Change(size, before, Entry(source=source, fingerprint=document.fingerprint, problem=str(error)))
    except OSError as error:
        problem = f"cannot be opened ({(error.strerror or str(error)).lower()})"
        return _Change(size, before, Entry(source=source, fingerprint="", problem=problem))
    ids = tuple(passage.id for passage in passages)
    return _Change(size, before, Entry(source=source, fingerprint=document.fingerprint, ids=ids), passages)
