"""The `Catalog` port over items: an entry is one, and is written only over the revision that was read.

Nothing on a cloud can tell which functions are alive. So each that uses collections says what it carries before it
reads an entry, and again every five minutes of use; what it said is listed for longer than that and its longest
delivery together. A function that is gone is waited for that long.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import msgspec

from functions.adapters.items import keys
from functions.adapters.items.writing import encoded, replace
from functions.events.decoding import decoder
from functions.ports.catalog import Carrier, ChangedMeanwhileError, Entry, Progress
from functions.ports.items import Items

SAID_EVERY = timedelta(minutes=5)
LISTED = timedelta(minutes=30)  # more than that and the 15 minutes that a function of any cloud here may run


class Said(msgspec.Struct, frozen=True):
    """What somebody carries, for as long as that counts."""

    carrier: Carrier
    until: datetime


class ItemCatalog:
    """The collections of a stack in one vector store: those in another one are known, and not touched.

    Args:
        items: Of the stack.
        place: Which vector store (`VectorSettings.place`).
        now: The time, in UTC.
        carrier: Who uses collections through this catalog, by a name of its own; None for one who only looks.
    """

    def __init__(self, items: Items, place: str, now: Callable[[], datetime], carrier: Carrier | None = None) -> None:
        self._items = items
        self._place = place
        self._now = now
        self._carrier = carrier
        self._said: datetime | None = None

    def read(self, name: str) -> Entry | None:
        """See `Catalog.read`: it comes before every use, so that who changes an entry knows who follows it."""
        self._say()
        (item,) = self._items.get([keys.entry(self._place, name)])
        return decoder(Entry).decode(item.value) if item else None

    def entries(self) -> Sequence[Entry]:
        """See `Catalog.entries`."""
        names = [item.key for item in self._items.query(keys.names(self._place))]
        found = self._items.get([keys.entry(self._place, name) for name in names])
        return sorted((decoder(Entry).decode(item.value) for item in found if item), key=lambda entry: entry.name)

    def write(self, entry: Entry) -> Entry:
        """See `Catalog.write`; its name is listed first, and shown once the entry is there."""
        if not entry.revision:
            self._items.put((keys.names(self._place), entry.name), b"", revision=0)
        written = msgspec.structs.replace(entry, revision=entry.revision + 1)
        place = keys.entry(self._place, entry.name)
        if not self._items.put(place, encoded(written), revision=entry.revision):
            raise ChangedMeanwhileError(
                f"the collection {entry.name} was changed by somebody else meanwhile: look at it, and try again"
            )
        return written

    def progress(self, name: str, number: int) -> Progress | None:
        """See `Catalog.progress`."""
        (item,) = self._items.get([keys.filling(self._place, name, number)])
        return decoder(Progress).decode(item.value) if item else None

    def put_progress(self, progress: Progress) -> None:
        """See `Catalog.put_progress`."""
        place = keys.filling(self._place, progress.collection, progress.number)
        replace(self._items, place, encoded(progress))

    def carriers(self) -> Sequence[Carrier]:
        """See `Catalog.carriers`."""
        said = [decoder(Said).decode(item.value) for item in self._items.query(keys.carriers())]
        return [each.carrier for each in said if each.until > self._now()]

    def _say(self) -> None:
        """Let the others know what is carried here, unless that was said a moment ago."""
        now = self._now()
        if self._carrier is None or (self._said is not None and now < self._said + SAID_EVERY):
            return
        said, place = Said(self._carrier, now + LISTED), (keys.carriers(), self._carrier.name)
        (found,) = self._items.get([place])
        revision = found.revision if found else 0
        self._items.put(place, encoded(said), revision=revision, expires_at=said.until)  # else another just said it
        self._said = now
