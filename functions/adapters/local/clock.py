"""The time of one process: it grows evenly, whatever is done to the clock of the machine meanwhile."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta


def _elapsed() -> float:
    """Seconds since some moment; where the system counts them, those in which the machine slept too."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


class SteadyClock:
    """The time in UTC: that of the machine's clock when this was made, and what has passed since.

    A clock that is set back or forward while a process runs changes nothing in it; the next start looks again.
    """

    def __init__(
        self,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
        elapsed: Callable[[], float] = _elapsed,
    ) -> None:
        self._elapsed = elapsed
        self._began = elapsed()
        self._start = wall()

    def __call__(self) -> datetime:
        """Now."""
        return self._start + timedelta(seconds=self._elapsed() - self._began)
