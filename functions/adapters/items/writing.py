"""How items are written: in which form, for how long, and whatever is there where the last writer is right."""

from datetime import datetime, timedelta
from typing import Final

import msgspec

from functions.ports.conversations import TTL_DAYS
from functions.ports.items import Items, Place

STAYS: Final = timedelta(days=TTL_DAYS)
_ENCODER = msgspec.json.Encoder()


def encoded(value: msgspec.Struct) -> bytes:
    """As items hold it."""
    return _ENCODER.encode(value)


def replace(items: Items, place: Place, value: bytes, *, expires_at: datetime | None = None) -> None:
    """Put an item in the place of the one that is there, if one is."""
    while True:
        (found,) = items.get([place])
        if items.put(place, value, revision=found.revision if found else 0, expires_at=expires_at):
            return
