"""The `Items` port in memory; `step` is called before and after every write, and may raise there.

What DynamoDB refuses is an error here, too: keys that are empty or too long, and items that are too large.
"""

import bisect
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import msgspec

from functions.ports.items import Due, Item, Place

Step = Callable[[str], None]
MOST_OF_KEYS = (2048, 1024)  # bytes of a partition's name, and of a key in it
MOST_OF_ITEM = 400 * 1024  # bytes, names and keys included


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """An item, or a counter, with what it is found by."""

    item: Item | None = None
    counts: Mapping[str, int] = {}
    expires_at: datetime | None = None
    at: datetime | None = None
    due: Due | None = None


class MemoryItems:
    """See `Items`."""

    def __init__(self, step: Step = lambda _: None) -> None:
        self._step = step
        self.partitions: dict[str, dict[str, Kept]] = {}

    def get(self, places: Sequence[Place]) -> Sequence[Item | None]:
        """See `Items.get`."""
        return [self._kept(place).item for place in places]

    def query(self, partition: str, prefix: str = "") -> Sequence[Item]:
        """See `Items.query`."""
        kept = sorted(self.partitions.get(partition, {}).items())
        return [each.item for key, each in kept if key.startswith(prefix) and each.item is not None]

    def latest(self, partition: str, limit: int) -> Sequence[Item]:
        """See `Items.latest`."""
        found = [
            (each.at, key, each.item)
            for key, each in self.partitions.get(partition, {}).items()
            if each.at is not None and each.item is not None
        ]
        return [item for _, _, item in sorted(found, key=lambda each: each[:2])[-limit:]]

    def put(  # noqa: PLR0913 - the port's
        self,
        place: Place,
        value: bytes,
        *,
        revision: int,
        expires_at: datetime | None = None,
        at: datetime | None = None,
        due: Due | None = None,
    ) -> bool:
        """See `Items.put`."""
        self._step(f"before put {_kind(place)}")
        found = self._kept(place).item
        holds = (found.revision if found else 0) == revision
        if holds:
            item = Item(key=place[1], value=value, revision=revision + 1)
            self._write(place, Kept(item=item, expires_at=expires_at, at=at, due=due))
        self._step(f"after put {_kind(place)}")
        return holds

    def count(
        self,
        place: Place,
        counts: Mapping[str, int],
        *,
        within: Mapping[str, int] | None = None,
        expires_at: datetime | None = None,
    ) -> Mapping[str, int] | None:
        """See `Items.count`."""
        self._step(f"before count {_kind(place)}")
        was = self._kept(place).counts
        total = {**was, **{name: was.get(name, 0) + number for name, number in counts.items()}}
        if any(total.get(name, 0) > most for name, most in (within or {}).items()):
            return None
        self._write(place, Kept(counts=total, expires_at=expires_at))
        self._step(f"after count {_kind(place)}")
        return total

    def counted(self, places: Sequence[Place]) -> Sequence[Mapping[str, int]]:
        """See `Items.counted`."""
        return [self._kept(place).counts for place in places]

    def due(self, group: str, before: datetime, limit: int) -> Sequence[Place]:
        """See `Items.due`."""
        found: list[tuple[datetime, Place]] = []
        for partition, items in self.partitions.items():
            for key, each in items.items():
                if each.due and each.due.group == group and each.due.at <= before:
                    bisect.insort(found, (each.due.at, (partition, key)))
        return [place for _, place in found[:limit]]

    def delete(self, places: Sequence[Place]) -> None:
        """See `Items.delete`."""
        for partition, key in places:
            self._step(f"before delete {_kind((partition, key))}")
            self.partitions.get(partition, {}).pop(key, None)
            self._step(f"after delete {_kind((partition, key))}")

    def expire(self, now: datetime) -> None:
        """Remove what is over, as the store itself does some day."""
        for items in self.partitions.values():
            for key in [key for key, each in items.items() if each.expires_at and each.expires_at <= now]:
                del items[key]

    def _kept(self, place: Place) -> Kept:
        sizes = [len(each.encode()) for each in place]
        assert all(0 < size <= most for size, most in zip(sizes, MOST_OF_KEYS, strict=True)), f"keys of {sizes} bytes"
        return self.partitions.get(place[0], {}).get(place[1], Kept())

    def _write(self, place: Place, kept: Kept) -> None:
        size = sum(len(each.encode()) for each in place) + len(kept.item.value if kept.item else b"")
        assert size <= MOST_OF_ITEM, f"an item of {size} bytes"
        self.partitions.setdefault(place[0], {})[place[1]] = kept


def _kind(place: Place) -> str:
    return place[1].partition("#")[0]
