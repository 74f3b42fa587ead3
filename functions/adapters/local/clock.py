"""The time of the processes on a store: it grows evenly, whatever is done to the clock of the machine meanwhile."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path


def machine_clock() -> datetime:
    """The time that the machine shows, in UTC."""
    return datetime.now(UTC)


def _elapsed() -> float:
    """Seconds since some moment; where the system counts them, those in which the machine slept too."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


class SteadyClock:
    """The time in UTC: that of the machine's clock when it was read first, and what has passed since.

    Args:
        began: When that moment was from which `elapsed` counts, in seconds since 1970; by default as `wall` says now.
    """

    def __init__(
        self,
        began: float | None = None,
        *,
        wall: Callable[[], datetime] = machine_clock,
        elapsed: Callable[[], float] = _elapsed,
    ) -> None:
        self._elapsed = elapsed
        self.began = wall().timestamp() - elapsed() if began is None else began

    def __call__(self) -> datetime:
        """Now."""
        return datetime.fromtimestamp(self.began + self._elapsed(), UTC)


def first_clock(file: Path, wall: Callable[[], datetime]) -> SteadyClock:
    """The clock of a process that is alone, and of those that come while it is there."""
    clock = SteadyClock(wall=wall)
    file.write_text(repr(clock.began))
    return clock


def joined_clock(file: Path, wall: Callable[[], datetime]) -> SteadyClock:
    """The clock of those that are there: it may have been set since they came, and all must agree on what is over."""
    try:
        return SteadyClock(float(file.read_text()))
    except (OSError, ValueError):  # nobody left it there
        return first_clock(file, wall)
