"""Dead letters for whoever looks after them: found, shown, redriven, dropped. One store of them on every target."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from functions.ports.state import DeadLetter


class LetterFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which letters: those that every given field names.

    Attributes:
        tenant: Whose; None for every tenant's and for those of bytes that belong to nobody, which is for whoever runs
            the machine.
        keys: These alone, where there are any.
        agent: Who gave up; empty for whoever did.
        reason: Empty for any.
        conversation: Empty for any.
        request: Empty for any.
        before: Given up before this.
        after: Given up after this.
        redriven: Those that were redriven already, beside those that were not.
    """

    tenant: str | None = None
    keys: tuple[str, ...] = ()
    agent: str = ""
    reason: str = ""
    conversation: str = ""
    request: str = ""
    before: datetime | None = None
    after: datetime | None = None
    redriven: bool = False


class LetterView(msgspec.Struct, frozen=True, kw_only=True):
    """A letter without its event and trace, and what became of it; see `DeadLetter`.

    Attributes:
        origin: The request that its request was redriven from, or its request: what is redriven together.
        redriven: When it was; None before.
        redriven_as: The request that carries on.
    """

    key: str
    agent: str
    reason: str
    error: str
    attempt: int
    age_s: float
    at: datetime
    tenant: str
    conversation: str
    request: str
    origin: str
    redriven: datetime | None
    redriven_as: str


class Redrive(msgspec.Struct, frozen=True, kw_only=True):
    """What came of redriving a letter.

    Attributes:
        request: The one that carries on; empty where it was refused.
        published: Its event is on its way, or will be once its request has its turn. Where it is not, another letter
            of the same request stands at an earlier point, and its redrive does this work again.
        refused: Why it was not redriven, and what to do; empty where it was.
    """

    key: str
    request: str = ""
    published: bool = False
    refused: str = ""


class DeadLetters(Protocol):
    """The dead letters of a stack."""

    def find(self, wanted: LetterFilter) -> Sequence[LetterView]:
        """The letters that are meant, the oldest first."""
        ...

    def letter(self, key: str, *, tenant: str | None) -> DeadLetter | None:
        """A letter with everything; None where there is none, or it is another tenant's."""
        ...

    def redrive(self, letters: Sequence[LetterView]) -> Sequence[Redrive]:
        """Publish the events of these letters again, in a new generation with fresh attempts.

        Letters of one origin go together, whole or not at all: they share a generation and the request that carries
        on, which is the one of theirs that is not settled, or a new one that names its origin and waits for its turn
        in its conversation. A letter that changed since it was looked at, e.g. since somebody else redrove it, is
        refused; so a letter that was redriven is redriven again only by whoever has seen that it was.
        """
        ...

    def drop(self, letters: Sequence[LetterView]) -> Sequence[LetterView]:
        """Remove these letters for good; those that were. Not those that changed since, or whose redrive waits."""
        ...
