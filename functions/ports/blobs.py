"""Where data goes that is too large to travel or to keep in a record."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from functions.events.envelope import digest

PREFIX_CHARACTERS = 16


class Blobs(Protocol):
    """Bytes by key. Keys are digests, so the same key always holds the same bytes.

    What belongs to a conversation has a key that begins with `prefix_of` it: so it is found without an index.
    """

    def put(self, key: str, data: bytes) -> None:
        """Store the bytes, whole or not at all; the same key again is no error."""
        ...

    def get(self, key: str) -> bytes:
        """The bytes of a key.

        Raises:
            KeyError: There are none.
        """
        ...


class KeptBlobs(Blobs, Protocol):
    """Blobs that stay until they are removed, by whoever put them."""

    def keys(self, *prefixes: str) -> Sequence[str]:
        """What `remove` removes of the blobs whose keys begin in one of these ways."""
        ...

    def remove(self, names: Iterable[str]) -> None:
        """Remove the blobs of these keys, for good; one that is not there is no error."""
        ...


def prefix_of(tenant: str, conversation: str) -> str:
    """How the keys of everything begin that belongs to a conversation."""
    return f"{digest(tenant, conversation)[:PREFIX_CHARACTERS]}-"
