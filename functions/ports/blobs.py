"""Where data goes that is too large to travel or to keep in a record."""

from typing import Protocol


class Blobs(Protocol):
    """Bytes by key. Keys are digests, so the same key always holds the same bytes."""

    def put(self, key: str, data: bytes) -> None:
        """Store the bytes, whole or not at all; the same key again is no error."""
        ...

    def get(self, key: str) -> bytes:
        """The bytes of a key.

        Raises:
            KeyError: There are none.
        """
        ...
