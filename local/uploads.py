"""The `Ingest` capability on one machine."""

import threading
from collections.abc import Sequence

from functions.adapters.local.ledger import LocalLedger
from functions.adapters.local.store import Store
from functions.adapters.vectors.bound import OutOfTimeError, Time
from functions.documents.reader_process import ReaderProcess
from functions.documents.uploads import ingest
from functions.events.ingest import DocumentOutcome, SentDocument
from functions.ports.vectors import Collection

MAX_SECONDS = 10.0  # one document may take to parse: it has no more than a request's body


def upload_ledger(store: Store, collection: Collection, tenant: str) -> LocalLedger:
    """What a tenant sent into a collection."""
    return LocalLedger(store, f"{collection.key}#{tenant}#uploads")


class Uploads:
    """What reads the documents that users send: one at a time, in a process of its own. Close it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._parser = ReaderProcess(max_seconds=MAX_SECONDS)
        self._reading = threading.Lock()

    def ingest(
        self, documents: Sequence[SentDocument], collection: Collection, tenant: str, time: Time
    ) -> list[DocumentOutcome]:
        """Bring documents of a tenant into a collection.

        Raises:
            OutOfTimeError: Others took all the time.
        """
        ledger = upload_ledger(self._store, collection, tenant)
        if not self._reading.acquire(timeout=time.left_s()):
            raise OutOfTimeError("others had their documents read until the attempt's time was over")
        try:
            return list(ingest(documents, collection, ledger, self._parser, tenant=tenant))
        finally:
            self._reading.release()

    def close(self) -> None:
        """Stop the process that parses."""
        self._parser.close()


class TenantIngest:
    """The `Ingest` capability of one collection and one tenant."""

    def __init__(self, uploads: Uploads, collection: Collection, tenant: str, time: Time) -> None:
        self._uploads = uploads
        self._collection = collection
        self._tenant = tenant
        self._time = time

    def ingest(self, documents: Sequence[SentDocument]) -> Sequence[DocumentOutcome]:
        """See `Ingest.ingest`."""
        return self._uploads.ingest(documents, self._collection, self._tenant, self._time)
