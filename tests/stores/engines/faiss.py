"""Faiss, in this process."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from functions.adapters.vectors.faiss import FaissStore


@contextmanager
def opened(folder: Path) -> Iterator[FaissStore]:
    pytest.importorskip("faiss", reason="faiss-cpu is in the group `stores`")
    with closing(FaissStore(folder / "faiss")) as store:
        yield store


reopened = opened
