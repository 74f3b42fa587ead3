"""The adapter of Pinecone over a server that speaks its protocol, where no write is found by the next query."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pinecone_server

from functions.adapters.models.settings import Secret
from functions.adapters.vectors.pinecone import PineconeSettings, PineconeStore


@contextmanager
def opened(_folder: Path) -> Iterator[PineconeStore]:
    with pinecone_server.running() as pinecone:
        key = Secret("PINECONE_API_KEY", {"PINECONE_API_KEY": pinecone_server.KEY})
        settings = PineconeSettings(key=key, url=pinecone.service.url)
        with closing(PineconeStore(settings, pause=lambda _: None)) as store:
            yield store
