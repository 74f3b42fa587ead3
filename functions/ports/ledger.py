"""What was read into a collection: the memory that lets a second start read nothing twice."""

from collections.abc import Iterable, Sequence
from typing import Protocol

import msgspec


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one source.

    Attributes:
        source: The document's name within its corpus.
        fingerprint: Of the document as it was read; empty while its passages are being written, when any of
            `ids` may be in the collection or not.
        ids: The passages that it has in the collection.
        problem: Why it could not be read; then it has no passages.
    """

    source: str
    fingerprint: str
    ids: tuple[str, ...] = ()
    problem: str = ""


class Ledger(Protocol):
    """The entries of one corpus, in one collection, for one tenant: an adapter is made for the three."""

    def entries(self) -> Sequence[Entry]:
        """Every entry."""
        ...

    def find(self, source: str) -> Entry | None:
        """The entry of a source; None where there is none. Those of others cost nothing."""
        ...

    def put(self, entries: Sequence[Entry]) -> None:
        """Store entries by source, durably. The same source again replaces its entry.

        Each is stored whole or not at all; cut off by a crash, some may be stored and others not.
        """
        ...

    def remove(self, sources: Iterable[str]) -> None:
        """Forget sources, durably; one that is not there is no error."""
        ...
