"""Reads documents that a user sent into the collection."""

from typing import Annotated

from functions.events.ingest import DocumentsIngested, DocumentsReceived
from functions.ports.documents import Ingest
from functions.runtime.agent import Delivery, agent


@agent(memory_mb=2048, timeout_s=300, delivery=Delivery(attempts=3))
def ingester(received: DocumentsReceived, *, documents: Annotated[Ingest, "documents"]) -> DocumentsIngested:
    """Read each document, and say what became of it."""
    return DocumentsIngested(documents=tuple(documents.ingest(received.documents)))
