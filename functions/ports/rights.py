"""What a person may ask about their conversation: that it is shown, handed over, and erased."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, Protocol

import msgspec

Row = Mapping[str, Any]


class Holdings(msgspec.Struct, frozen=True, kw_only=True):
    """How much is held about a conversation.

    Attributes:
        items: How many by place, e.g. `messages`; places with nothing are left out.
    """

    conversation: str
    items: Mapping[str, int]


class Export(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is held about a conversation, as it was at one moment.

    Attributes:
        format: Of this document; another number is another shape.
        exported: When.
        places: What is held, by place: an item each, its fields as they are stored. Times are seconds since 1970, or
            ISO 8601 where they are stored so; an event is the JSON that it is, and bytes that are no JSON stand in
            Base64 under `base64`.
        blobs: The data that was too large to stand in an event, by the event's `dataref`.
    """

    format: Literal["troupe-conversation-1"] = "troupe-conversation-1"
    tenant: str
    conversation: str
    exported: datetime
    places: Mapping[str, Sequence[Row]]
    blobs: Mapping[str, Any]


class Rights(Protocol):
    """What is held about the conversations of a tenant: for whoever speaks for that tenant, never for an agent."""

    def conversations(self, *, tenant: str) -> Sequence[Holdings]:
        """Every conversation about which anything is held, by name."""
        ...

    def holdings(self, conversation: str, *, tenant: str) -> Holdings | None:
        """How much is held about a conversation; None where nothing is."""
        ...

    def export(self, conversation: str, *, tenant: str) -> Export | None:
        """Everything that is held about a conversation; None where nothing is."""
        ...

    def erase(self, conversation: str, *, tenant: str) -> Holdings | None:
        """Erase a conversation, durably; what that was, or None where nothing is held.

        From then on none of it is shown or worked on, and what still works on it leaves nothing behind. Collections,
        blobs and the files of the store follow within seconds. A repeat before that gives no items.
        """
        ...
