"""Small writes gathered in front of a store in memory."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from functions.adapters.vectors.consolidating import ConsolidatingStore
from tests.memory_store import MemoryStore


@contextmanager
def opened(_folder: Path) -> Iterator[ConsolidatingStore]:
    with closing(ConsolidatingStore(MemoryStore())) as store:
        yield store
