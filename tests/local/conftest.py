"""A process over collections in memory, in this test's folder."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from memory_collection import DOCUMENTS, MemoryCollection

from functions.adapters.local.store import Store


@pytest.fixture
def documents() -> MemoryCollection:
    """The collection of documents, filled for the default tenant."""
    collection = MemoryCollection()
    collection.upsert(DOCUMENTS, tenant="default")
    return collection


@pytest.fixture
def memories() -> MemoryCollection:
    """The collection of memories, empty."""
    return MemoryCollection()


@pytest.fixture
def open_store(tmp_path: Path) -> Iterator[Callable[[], Store]]:
    """Opens the store of this test, and closes the one opened before."""
    opened: list[Store] = []

    def reopen() -> Store:
        while opened:
            opened.pop().close()
        opened.append(Store(tmp_path / "store"))
        return opened[-1]

    yield reopen
    for each in opened:
        each.close()
