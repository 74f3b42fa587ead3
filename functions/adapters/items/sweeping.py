"""What a sweep does: each thing on its own, and what fails goes behind all that waits with it."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TypeVar

from functions.adapters.items.writing import STAYS
from functions.ports.items import Due, Item, Items, Place

Thing = TypeVar("Thing")


def each_alone(things: Iterable[Thing], do: Callable[[Thing], object], put_off: Callable[[Thing], object]) -> None:
    """Do something for each; one that fails is put off, and its error raised once all were tried.

    Raises:
        Exception: The first, with a note that tells of the others.
    """
    failed: list[Exception] = []
    for thing in things:
        try:
            do(thing)
        except Exception as error:  # noqa: BLE001 - whatever one of them raises, the next one is tried
            failed.append(error)
            try:
                put_off(thing)
            except Exception as later:  # noqa: BLE001 - as above
                failed.append(later)
    if failed:
        failed[0].add_note(f"{len(failed)} errors in all: {'; '.join(map(repr, failed[1:4]))}")
        raise failed[0]


def put_off(
    items: Items, place: Place, group: str, now: datetime, waits: Callable[[Item], bool] = lambda _: True
) -> None:
    """List what failed as due now: the next round takes whatever was due before it first.

    Else it kept its place among the first of its group for ever. A change that somebody made meanwhile says itself
    when it is due, and what does not wait any more, though it failed, is not listed again.
    """
    (item,) = items.get([place])
    if item is not None and waits(item):
        items.put(place, item.value, revision=item.revision, expires_at=now + STAYS, due=Due(group, now))
