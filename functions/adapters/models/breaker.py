"""Leaves an endpoint alone that does not answer: a hung one would cost every request the time of all its calls.

After a few calls in a row that found nobody, calls fail at once for a while; then one is let through, and what
becomes of it decides about the others. All of it is of one process, and forgotten with it.
"""

import threading
import time
from collections.abc import Callable

import msgspec

from functions.adapters.models.bound import Call, Chat
from functions.adapters.models.prices import Price
from functions.ports.models import ModelError

LOST_CALLS = 3  # in a row, before the endpoint is left alone
ALONE_S = 30.0
_NOBODY_THERE = frozenset({"timeout", "unreachable"})
PATIENT_S = 10.0  # a call that had less time says nothing about an endpoint that let it run out


class Breaker:
    """A `Chat` that asks another one, unless that has not answered of late; safe to use from any thread."""

    def __init__(self, chat: Chat, *, elapsed: Callable[[], float] = time.monotonic) -> None:
        self._chat = chat
        self._elapsed = elapsed
        self._deciding = threading.Lock()
        self._lost = 0
        self._alone_until = 0.0

    @property
    def model(self) -> str:
        """See `Chat.model`."""
        return self._chat.model

    @property
    def price(self) -> Price:
        """See `Chat.price`."""
        return self._chat.price

    def complete(self, call: Call) -> str:
        """See `Chat.complete`."""
        self._pass()
        written = 0

        def book(read: int, more: int) -> None:
            nonlocal written
            written += more
            call.book(read, more)

        try:
            said = self._chat.complete(msgspec.structs.replace(call, book=book))
        except ModelError as error:
            if written or error.reason not in _NOBODY_THERE:
                self._answered()
            elif error.reason == "unreachable" or call.left_s >= PATIENT_S:
                self._not_answered()
            raise
        self._answered()
        return said

    def _pass(self) -> None:
        with self._deciding:
            now = self._elapsed()
            if self._lost >= LOST_CALLS and now < self._alone_until:
                raise ModelError(
                    f"{self.model} was not asked: it did not answer {self._lost} times in a row", reason="unreachable"
                )
            self._alone_until = now + ALONE_S  # for those that come while this one is let through

    def _answered(self) -> None:
        with self._deciding:
            self._lost = 0

    def _not_answered(self) -> None:
        with self._deciding:
            self._lost += 1
            self._alone_until = self._elapsed() + ALONE_S
