"""How items are written: in which form, for how long, and whatever is there where the last writer is right."""

import zlib
from datetime import datetime, timedelta
from typing import Final, TypeVar

import msgspec

from functions.events.decoding import decoder
from functions.ports.conversations import TTL_DAYS
from functions.ports.items import Item, Items, Place

STAYS: Final = timedelta(days=TTL_DAYS)
_ENCODER = msgspec.json.Encoder()
T = TypeVar("T", bound=msgspec.Struct)


def encoded(value: msgspec.Struct) -> bytes:
    """As items hold it."""
    return _ENCODER.encode(value)


def packed(value: msgspec.Struct) -> bytes:
    """As items hold what may be large. Ids are half of their length when they are packed: some 17,500 fit."""
    return zlib.compress(encoded(value))


def unpacked(kind: type[T], item: Item) -> T:
    """What was packed into an item."""
    return decoder(kind).decode(zlib.decompress(item.value))


def replace(items: Items, place: Place, value: bytes, *, expires_at: datetime | None = None) -> None:
    """Put an item in the place of the one that is there, if one is."""
    while True:
        (found,) = items.get([place])
        if items.put(place, value, revision=found.revision if found else 0, expires_at=expires_at):
            return
