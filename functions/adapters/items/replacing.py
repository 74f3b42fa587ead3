"""Writes an item whatever is there: for one that has a single writer, or whose last writer is right."""

from datetime import datetime

from functions.ports.items import Items, Place


def replace(items: Items, place: Place, value: bytes, *, expires_at: datetime | None = None) -> None:
    """Put an item in the place of the one that is there, if one is."""
    while True:
        (found,) = items.get([place])
        if items.put(place, value, revision=found.revision if found else 0, expires_at=expires_at):
            return
