"""Items in a store that changes one at a time, each under a condition: what the state of a cloud stands on.

Reads see every write before them. Nothing spans two items; whoever needs that writes in an order that a crash between
two writes cannot hurt.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, Protocol

import msgspec

Place = tuple[str, str]  # a partition, and a key in it
MOST_BYTES: Final = 350_000  # of a value: DynamoDB's items end at 400 KB


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """What is stored under a key.

    Attributes:
        key: In its partition.
        value: `MOST_BYTES` at most.
        revision: 1 when it was first written, one more at each change.
    """

    key: str
    value: bytes
    revision: int


class Due(msgspec.Struct, frozen=True):
    """What an item waits for: it is listed in a group until a change leaves this out."""

    group: str
    at: datetime


class Items(Protocol):
    """The items of one stack."""

    def get(self, places: Sequence[Place]) -> Sequence[Item | None]:
        """The items of these places, in their order; None where there is none."""
        ...

    def query(self, partition: str, prefix: str = "") -> Sequence[Item]:
        """The items of a partition whose keys begin so, by key."""
        ...

    def latest(self, partition: str, limit: int) -> Sequence[Item]:
        """The last of those items of a partition that were written with `at`, oldest first."""
        ...

    def put(  # noqa: PLR0913 - what an item is found by, beside what it is
        self,
        place: Place,
        value: bytes,
        *,
        revision: int,
        expires_at: datetime | None = None,
        at: datetime | None = None,
        due: Due | None = None,
    ) -> bool:
        """Write an item in the place of the one of this revision, 0 for none; whether that one was there.

        Args:
            place: Where.
            value: What.
            revision: Of the item that it replaces.
            expires_at: From then on it may be gone; a reader looks at the time itself.
            at: What `latest` sorts by.
            due: What it is listed for.
        """
        ...

    def count(
        self,
        place: Place,
        counts: Mapping[str, int],
        *,
        within: Mapping[str, int] | None = None,
        expires_at: datetime | None = None,
    ) -> Mapping[str, int] | None:
        """Add to the numbers of a counter, which is no other item; all of them then.

        None, and nothing is added, where one of `within` would be exceeded.
        """
        ...

    def counted(self, places: Sequence[Place]) -> Sequence[Mapping[str, int]]:
        """The numbers of counters; none of one that was never counted."""
        ...

    def due(self, group: str, before: datetime, limit: int) -> Sequence[Place]:
        """What a group waits for until then, the earliest first; a moment may pass until a change is seen."""
        ...

    def delete(self, places: Sequence[Place]) -> None:
        """Remove items and counters; one that is not there is no error, nor one that is named twice."""
        ...
