"""What a request has spent on models, and where a text is seen while it is written."""

from typing import Protocol

import msgspec


class Spent(msgspec.Struct, frozen=True):
    """Tokens read and written together; money in millionths of a US dollar."""

    tokens: int = 0
    micros: int = 0

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(self.tokens + other.tokens, self.micros + other.micros)

    def __sub__(self, other: "Spent") -> "Spent":
        return Spent(self.tokens - other.tokens, self.micros - other.micros)


class Spending(Protocol):
    """The budget ledger of one request: an adapter is made for it."""

    def spent(self) -> Spent:
        """What the request spent so far, all its agents together, and what is reserved for calls that are at work."""
        ...

    def reserve(self, spent: Spent, *, within: Spent) -> bool:
        """Book a call before it is made, durably, unless more than this is spent with it; whether it was booked."""
        ...

    def spend(self, spent: Spent) -> None:
        """Book a call, durably; less than nothing where it used less than was reserved for it."""
        ...


class Growing(Protocol):
    """Where a text is seen while it is written: an adapter is made for one attempt of one delivery."""

    def grow(self, text: str) -> None:
        """Add a piece to what was written so far; it may be seen a moment later, together with the next ones."""
        ...

    def end(self) -> None:
        """Let everything that was added be seen."""
        ...
