"""Milvus's protocol, over milvus-lite."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from functions.adapters.vectors.milvus import MilvusStore


@contextmanager
def opened(folder: Path) -> Iterator[MilvusStore]:
    pytest.importorskip("pymilvus", reason="the client of Milvus is in the group `stores`")
    pytest.importorskip("milvus_lite", reason="milvus-lite is in the group `stores`")
    with closing(MilvusStore(str(folder / "milvus.db"))) as store:
        yield store


reopened = opened
