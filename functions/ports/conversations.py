"""What was said in a conversation."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, Protocol

import msgspec

from functions.ports.capability import capability

TTL_DAYS = 30


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One thing said, by the user or by the assistant.

    Attributes:
        request: Which one it was said in; empty where that is not known.
    """

    role: Literal["user", "assistant"]
    text: str
    at: datetime
    request: str = ""


@capability(of="conversations")
class Append(Protocol):
    """Write the conversation that the delivery belongs to, and no other."""

    def append(self, role: Literal["user", "assistant"], text: str) -> None:
        """Add what was said; a repeat of the same delivery adds nothing. Gone after 30 days."""
        ...


@capability(of="conversations")
class History(Protocol):
    """Read the conversation that the delivery belongs to, and no other."""

    def history(self, *, limit: int = 20) -> Sequence[Message]:
        """The last messages, oldest first, without those that expired.

        What this delivery itself appended is left out: a retry sees what the first attempt saw.
        """
        ...


class Conversations(Protocol):
    """Read any conversation of a tenant: for whoever speaks for that tenant, never for an agent."""

    def messages(self, conversation: str, *, tenant: str, limit: int) -> Sequence[Message]:
        """The last messages, oldest first, without those that expired; none where there is no such conversation."""
        ...
