"""Documents that users send, read into a collection."""

from collections.abc import Sequence
from typing import Protocol

from functions.events.ingest import DocumentOutcome, SentDocument
from functions.ports.capability import capability


@capability(of="collection")
class Ingest(Protocol):
    """Read documents into a collection, within the tenant of the delivery."""

    def ingest(self, documents: Sequence[SentDocument]) -> Sequence[DocumentOutcome]:
        """Bring each into the collection, in the place of what was read under its name before.

        The next search finds what was written. A repeat changes nothing, and goes on where an earlier one stopped.
        """
        ...
