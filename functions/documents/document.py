"""What can be brought into a collection: something with a name, a fingerprint and passages."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from functions.errors import TroupeError
from functions.events.common import Passage


class Unreadable(TroupeError):  # noqa: N818 - reads as what it says of a document
    """What a document holds cannot be read; the message is the reason, as a clause after its name."""


class Document(Protocol):
    """One thing to read: a file of a folder, a module of the library."""

    @property
    def source(self) -> str:
        """Its name within the corpus, unique there and the same on every start."""
        ...

    @property
    def fingerprint(self) -> str:
        """Equal fingerprints, equal passages. Never empty; found without reading the document."""
        ...

    @property
    def size(self) -> int:
        """The work of reading it, in any unit that the whole corpus shares: asked only before `read`."""
        ...

    def read(self) -> Sequence[Passage]:
        """Its passages, in reading order.

        Raises:
            Unreadable: Reading it again would fail again.
            OSError: It could not be opened this time.
        """
        ...


@dataclass(frozen=True)
class Refused:
    """A document that is known to be unreadable before it is opened, e.g. for its size."""

    source: str
    reason: str
    size: int = 0

    @property
    def fingerprint(self) -> str:
        """The reason: another reason is another state."""
        return f"refused: {self.reason}"

    def read(self) -> Sequence[Passage]:
        """Raises Unreadable, always."""
        raise Unreadable(self.reason)
