"""Collections of passages, asked and filled by text: the collection encodes, never its caller."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from functions.events.common import Passage
from functions.ports.capability import capability

#: What a search may be narrowed to: a field and its value, or its values, one of which it must be.
Only = Mapping[str, str | Sequence[str]]

ANY: Only = {}


@capability(of="collection")
class Search(Protocol):
    """Ask a collection, within the tenant of the delivery."""

    def find(self, text: str, *, limit: int = 5, only: Only = ANY, minimum: float = 0.0) -> Sequence[Passage]:
        """The passages nearest to `text`, best first, each with its score from 0 to 1.

        Args:
            text: A question, or what the passages are about.
            limit: How many at most.
            only: Narrows it by `source`, `name` or `labels`.
            minimum: Leaves out what scores less.

        Raises:
            FieldError: `only` names another field.
        """
        ...

    def find_each(
        self, texts: Sequence[str], *, limit: int = 5, only: Only = ANY, minimum: float = 0.0
    ) -> Sequence[Sequence[Passage]]:
        """The same for many texts, encoded and asked together."""
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

    def upsert(self, passages: Sequence[Passage], *, ttl_s: float | None = None) -> None:
        """Store passages by id; the next search finds them. The same id again replaces it.

        Args:
            passages: Of any number; of two with one id the last counts.
            ttl_s: After how many seconds they are gone; without it, the collection says.
        """
        ...


@capability(of="collection")
class Remove(Protocol):
    """Take passages out of a collection, within the tenant of the delivery."""

    def delete(self, ids: Iterable[str]) -> None:
        """Remove passages by id; the next search does not find them. An id that is not there is no error."""
        ...


class Collection(Protocol):
    """A collection for whoever fills it: every tenant's passages, by tenant. Safe to use from several threads."""

    @property
    def name(self) -> str:
        """What agents call it: it stands for whichever version is the current one."""
        ...

    @property
    def key(self) -> str:
        """Under which a ledger keeps what it knows of the contents: the same for every version."""
        ...

    def search(
        self, text: str, *, limit: int, tenant: str, only: Only = ANY, minimum: float = 0.0
    ) -> Sequence[Passage]:
        """The passages of one tenant nearest to `text`, best first; expired ones are not there."""
        ...

    def search_each(
        self, texts: Sequence[str], *, limit: int, tenant: str, only: Only = ANY, minimum: float = 0.0
    ) -> Sequence[Sequence[Passage]]:
        """The same for many texts."""
        ...

    def read(self, ids: Iterable[str], *, tenant: str) -> Sequence[Passage]:
        """The stored passages of these ids, those that exist, in the order asked."""
        ...

    def upsert(self, passages: Sequence[Passage], *, tenant: str, ttl_s: float | None = None) -> None:
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

    def expire(self) -> int:
        """Remove what has expired, of every tenant, in every version; how many points that were."""
        ...

    def count(self, *, tenant: str) -> int:
        """How many passages the tenant has."""
        ...

    def ids(self, *, tenant: str) -> Iterator[str]:
        """The ids of all passages of the tenant, in no particular order."""
        ...

    def close(self) -> None:
        """Release what it holds; what was stored is durable."""
        ...
