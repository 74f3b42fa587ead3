"""What an agent asks of a collection: within the time of its attempt."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from harness import START, Clock
from memory_collection import DOCUMENTS, MemoryCollection

from functions.adapters.vectors.bound import (
    OutOfTimeError,
    TenantLookup,
    TenantRemove,
    TenantSearch,
    TenantUpsert,
    Time,
)

CALLS: dict[str, Callable[[MemoryCollection, Time], object]] = {
    "search": lambda collection, time: TenantSearch(collection, "default", time).find("sort"),
    "search each": lambda collection, time: TenantSearch(collection, "default", time).find_each(["sort", "heap"]),
    "remove": lambda collection, time: TenantRemove(collection, "default", time).delete([DOCUMENTS[0].id]),
    "lookup": lambda collection, time: TenantLookup(collection, "default", time).read([DOCUMENTS[0].id]),
    "upsert": lambda collection, time: TenantUpsert(collection, "default", time).upsert(DOCUMENTS),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_collection_is_not_asked_once_the_time_of_the_attempt_is_over(call: str) -> None:
    clock, collection = Clock(), MemoryCollection()
    time = Time(START + timedelta(seconds=5), clock)
    CALLS[call](collection, time)
    clock.advance(5)
    with pytest.raises(OutOfTimeError, match="time was over at 09:00:05"):
        CALLS[call](collection, time)
