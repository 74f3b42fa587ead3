"""What a request has spent on models: its budget ledger."""

from typing import Protocol

from functions.ports.state import Standing


class Spending(Protocol):
    """The ledger of one request: an adapter is made for it."""

    def standing(self) -> Standing:
        """How the request stands, with what it spent so far."""
        ...

    def spend(self, *, tokens: int, micros: int) -> None:
        """Book a call, durably: tokens read and written together, money in millionths of a US dollar."""
        ...


class Growing(Protocol):
    """Where a text is seen while it is written: an adapter is made for one attempt of one delivery."""

    def grow(self, text: str) -> None:
        """Add a piece to what was written so far."""
        ...
