"""What carries events to the agents."""

from collections.abc import Sequence
from typing import Protocol

from functions.events.envelope import Envelope
from functions.ports.state import Timer


class Bus(Protocol):
    """The bus as one function sees it. Each event arrives at least once, in no order."""

    def publish(self, envelopes: Sequence[Envelope]) -> None:
        """Send events to whoever consumes them; when it returns, the bus has all of them.

        Raises:
            TroupeError: Some were not taken; to send all of them again is safe.
        """
        ...

    def publish_later(self, timer: Timer) -> None:
        """Send an event once it is due; nothing takes it back."""
        ...
