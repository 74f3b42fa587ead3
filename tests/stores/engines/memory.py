"""The one that the others are compared with."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tests.memory_store import MemoryStore


@contextmanager
def opened(_folder: Path) -> Iterator[MemoryStore]:
    with closing(MemoryStore()) as store:
        yield store
