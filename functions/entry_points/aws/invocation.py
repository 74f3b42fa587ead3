"""What Lambda tells of an invocation."""

from typing import Protocol


class LambdaContext(Protocol):
    """As far as it is used."""

    def get_remaining_time_in_millis(self) -> int:
        """How long it may still take."""
        ...
