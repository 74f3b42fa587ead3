"""What was read into a collection, over items: one a document."""

from collections.abc import Iterable, Sequence

from functions.adapters.items import keys
from functions.adapters.items.writing import packed, replace, unpacked
from functions.errors import PermanentError
from functions.ports.items import MOST_BYTES, Item, Items
from functions.ports.ledger import Entry


class ItemLedger:
    """The `Ledger` port for one corpus in one collection of one tenant.

    Args:
        items: Of the stack.
        partition: Of the three (`keys.documents`).
    """

    def __init__(self, items: Items, partition: str) -> None:
        self._items = items
        self._partition = partition

    def entries(self) -> Sequence[Entry]:
        """See `Ledger.entries`."""
        return [_entry(item) for item in self._items.query(self._partition, keys.joined(keys.SOURCE, ""))]

    def find(self, source: str) -> Entry | None:
        """See `Ledger.find`."""
        (item,) = self._items.get([keys.document(self._partition, source)])
        return _entry(item) if item else None

    def put(self, entries: Sequence[Entry]) -> None:
        """See `Ledger.put`.

        Raises:
            PermanentError: One has so many passages that their ids do not fit into an item.
        """
        written = [(entry.source, _packed(entry)) for entry in entries]
        for source, value in written:
            replace(self._items, keys.document(self._partition, source), value)

    def remove(self, sources: Iterable[str]) -> None:
        """See `Ledger.remove`."""
        self._items.delete([keys.document(self._partition, source) for source in sources])


def _packed(entry: Entry) -> bytes:
    value = packed(entry)
    if len(value) > MOST_BYTES:
        raise PermanentError(
            f"{entry.source} has too many passages ({len(entry.ids)}, with those of before) to be kept track of: "
            "split it into several documents",
            reason="document too large",
        )
    return value


def _entry(item: Item) -> Entry:
    return unpacked(Entry, item)
