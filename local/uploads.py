"""The `Ingest` capability on one machine."""

import threading
from collections.abc import Sequence

from functions.adapters.local.ledger import LocalLedger
from functions.adapters.local.store import Store
from functions.documents.reader_process import ReaderProcess
from functions.documents.uploads import ingest
from functions.events.ingest import DocumentOutcome, SentDocument
from functions.ports.vectors import Collection

MAX_SECONDS = 10.0  # one document may take to parse: it has no more than a request's body


def upload_ledger(store: Store, collection: Collection, tenant: str) -> LocalLedger:
    """What a tenant sent into a collection."""
    return LocalLedger(store, f"{collection.physical_name}#{tenant}#uploads")


class Uploads:
    """What reads the documents that users send: one at a time, in a process of its own. Close it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._parser = ReaderProcess(max_seconds=MAX_SECONDS)
        self._reading = threading.Lock()

    def ingest(self, documents: Sequence[SentDocument], collection: Collection, tenant: str) -> list[DocumentOutcome]:
        """Bring documents of a tenant into a collection."""
        ledger = upload_ledger(self._store, collection, tenant)
        with self._reading:
            return list(ingest(documents, collection, ledger, self._parser, tenant=tenant))

    def close(self) -> None:
        """Stop the process that parses."""
        self._parser.close()


class TenantIngest:
    """The `Ingest` capability of one collection and one tenant."""

    def __init__(self, uploads: Uploads, collection: Collection, tenant: str) -> None:
        self._uploads = uploads
        self._collection = collection
        self._tenant = tenant

    def ingest(self, documents: Sequence[SentDocument]) -> Sequence[DocumentOutcome]:
        """See `Ingest.ingest`."""
        return self._uploads.ingest(documents, self._collection, self._tenant)
