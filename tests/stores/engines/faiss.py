"""Faiss, in this process."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from functions.adapters.vectors.faiss import FaissStore


@contextmanager
def opened(folder: Path) -> Iterator[FaissStore]:
    with closing(FaissStore(folder / "faiss")) as store:
        yield store
