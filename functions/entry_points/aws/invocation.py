"""What Lambda tells of an invocation."""

import time
from collections.abc import Callable
from typing import Final, Protocol

TELL_S: Final = 0.2  # of the time of an invocation, so that the error of a call can still be told


class LambdaContext(Protocol):
    """As far as it is used."""

    def get_remaining_time_in_millis(self) -> int:
        """How long it may still take."""
        ...


class InvocationTime:
    """The time of the invocation that this process is at: Lambda has it handle one at a time.

    Args:
        elapsed: Seconds that only go forward.
    """

    def __init__(self, elapsed: Callable[[], float] = time.monotonic) -> None:
        self._elapsed = elapsed
        self._ends = float("inf")

    def begin(self, left_s: float) -> None:
        """An invocation begins that may take so long."""
        self._ends = self._elapsed() + left_s

    def left_s(self) -> float:
        """Seconds until it ends."""
        return self._ends - self._elapsed()

    def call_s(self) -> float:
        """Seconds that a call may take, so that an error of it can still be told."""
        return self.left_s() - TELL_S
