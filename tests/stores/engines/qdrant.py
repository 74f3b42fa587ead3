"""A Qdrant server over REST: the adapter and the protocol, over Qdrant's own engine."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from qdrant_server import qdrant_server

from functions.adapters.models.settings import Secret
from functions.adapters.vectors.qdrant import QdrantStore

KEY = "key-of-the-test"


@contextmanager
def opened(folder: Path) -> Iterator[QdrantStore]:
    with (
        qdrant_server(folder / "qdrant", key=KEY) as server,
        closing(QdrantStore(server.url, key=Secret("QDRANT_KEY", {"QDRANT_KEY": KEY}))) as store,
    ):
        yield store


reopened = opened
