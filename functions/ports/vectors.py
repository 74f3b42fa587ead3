"""Collections of passages, asked and filled by text: the collection encodes, never its caller."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from functions.events.common import Passage
from functions.ports.capability import capability


@capability(of="collection")
class Search(Protocol):
    """Ask a collection, within the tenant of the delivery."""

    def find(self, text: str, *, limit: int = 5) -> Sequence[Passage]:
        """The passages nearest to `text`, best first, each with its score from 0 to 1."""
        ...


@capability(of="collection")
class Lookup(Protocol):
    """Read what a collection holds under known ids, within the tenant of the delivery."""

    def read(self, ids: Iterable[str]) -> Sequence[Passage]:
        """The stored passages of these ids, those that exist, in the order asked."""
        ...


@capability(of="collection")
class Upsert(Protocol):
    """Write a collection, within the tenant of the delivery."""

    def upsert(self, passages: Sequence[Passage]) -> None:
        """Store passages by id; the next search finds them. The same id again replaces it."""
        ...


class Collection(Protocol):
    """What a vector store offers to whoever fills it: every tenant's points, by tenant."""

    @property
    def physical_name(self) -> str:
        """Names this collection, its version and its encoder: what is known of one is not true of another."""
        ...

    def search(self, text: str, *, limit: int, tenant: str) -> Sequence[Passage]:
        """The passages of one tenant nearest to `text`, best first."""
        ...

    def read(self, ids: Iterable[str], *, tenant: str) -> Sequence[Passage]:
        """The stored passages of these ids, those that exist, in the order asked."""
        ...

    def upsert(self, passages: Sequence[Passage], *, tenant: str) -> None:
        """Encode and store passages by id, durably; the next search finds them."""
        ...

    def describe(self, passages: Sequence[Passage], *, tenant: str) -> None:
        """Store the `work` of passages that are there already, durably; nothing is encoded, and none is added."""
        ...

    def delete(self, ids: Iterable[str], *, tenant: str) -> None:
        """Remove passages by id; an id that is not there is no error."""
        ...

    def erase(self, ids: Iterable[str], *, tenant: str) -> None:
        """Remove passages by id, from every file; also what is left there of those that were removed before."""
        ...

    def count(self, *, tenant: str) -> int:
        """How many passages the tenant has."""
        ...

    def ids(self, *, tenant: str) -> Iterator[str]:
        """The ids of all passages of the tenant, in no particular order."""
        ...

    def close(self) -> None:
        """Release the files; what was stored is on disk."""
        ...
