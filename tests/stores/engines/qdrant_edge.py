"""Qdrant's engine in this process."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from functions.adapters.vectors.qdrant_edge import EdgeStore


@contextmanager
def opened(folder: Path) -> Iterator[EdgeStore]:
    with closing(EdgeStore(folder)) as store:
        yield store


reopened = opened
