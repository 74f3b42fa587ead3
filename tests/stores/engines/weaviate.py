"""The adapter of Weaviate over a server that speaks its protocol."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import weaviate_server

from functions.adapters.models.settings import Secret
from functions.adapters.vectors.weaviate import WeaviateSettings, WeaviateStore


@contextmanager
def opened(_folder: Path) -> Iterator[WeaviateStore]:
    with weaviate_server.running() as weaviate:
        key = Secret("WEAVIATE_API_KEY", {"WEAVIATE_API_KEY": weaviate_server.KEY})
        with closing(WeaviateStore(WeaviateSettings(key=key, url=weaviate.service.url))) as store:
            yield store
