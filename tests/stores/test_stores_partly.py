"""What a store says of a batch that goes out in several requests, of which a later one is refused."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pinecone_server
import pytest
import rest_server
import weaviate_server
from http_service import Answer
from qdrant_server import qdrant_server
from stored import LAYOUT, id_of, ids_of, point, scrolled

from functions.adapters.models.settings import Secret
from functions.adapters.vectors import qdrant
from functions.adapters.vectors.milvus import MilvusStore
from functions.adapters.vectors.pinecone import PineconeSettings, PineconeStore
from functions.adapters.vectors.pinecone_messages import index_name
from functions.adapters.vectors.qdrant import QdrantStore
from functions.adapters.vectors.weaviate import WeaviateSettings, WeaviateStore
from functions.ports.vector_stores import PartlyRefusedError, RefusedError, VectorStore

AT_ONCE = 2  # points of a request
FULL = {"message": "the storage is full", "error": [{"message": "the storage is full"}]}


class Filling:
    """A store, and what lets its product take so many more requests of points before it is full."""

    def __init__(self, store: VectorStore, full_after: Callable[[int], None]) -> None:
        self.store = store
        self.full_after = full_after


@contextmanager
def on_qdrant(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Filling]:
    monkeypatch.setattr(qdrant, "MAX_REQUEST_BYTES", 200)
    with qdrant_server(folder) as server, closing(QdrantStore(server.url)) as store:
        engine = server.script

        def full_after(requests: int) -> None:
            left = [None] * requests

            def answered(asked: rest_server.Asked) -> rest_server.Answer:
                if asked.method != "PUT" or "/points" not in asked.path:
                    return engine(asked)
                if not left:
                    return rest_server.Answer(413, b"the storage is full")
                left.pop()
                return engine(asked)

            server.script = answered

        yield Filling(store, full_after)


@contextmanager
def on_pinecone(_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Filling]:
    monkeypatch.setattr("functions.adapters.vectors.pinecone.MOST_RECORDS", AT_ONCE)
    with pinecone_server.running() as pinecone:
        settings = PineconeSettings(key=Secret("K", {"K": pinecone_server.KEY}), url=pinecone.service.url)
        with closing(PineconeStore(settings, pause=lambda _: None)) as store:

            def full_after(requests: int) -> None:
                index = pinecone.indexes[index_name(LAYOUT.name)]
                index.service.instead(*[index.handle] * requests, Answer(413, FULL))

            yield Filling(store, full_after)


@contextmanager
def on_weaviate(_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Filling]:
    monkeypatch.setattr("functions.adapters.vectors.weaviate.MOST_OBJECTS", AT_ONCE)
    with weaviate_server.running() as weaviate:
        settings = WeaviateSettings(key=Secret("K", {"K": weaviate_server.KEY}), url=weaviate.service.url)
        with closing(WeaviateStore(settings)) as store:

            def full_after(requests: int) -> None:  # of which the first asks whether the collection is there
                weaviate.service.instead(*[weaviate.handle] * (1 + requests), Answer(413, FULL))

            yield Filling(store, full_after)


@contextmanager
def on_milvus(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Filling]:
    pymilvus: Any = pytest.importorskip("pymilvus", reason="the client of Milvus is in the group `stores`")
    pytest.importorskip("milvus_lite", reason="milvus-lite is in the group `stores`")
    monkeypatch.setattr("functions.adapters.vectors.milvus._BATCH", AT_ONCE)
    with closing(MilvusStore(str(folder / "milvus.db"))) as store:
        upsert = store._client.upsert

        def full_after(requests: int) -> None:
            left = [None] * requests

            def upserted(*given: Any, **named: Any) -> Any:  # noqa: ANN401 - pymilvus's own
                if not left:
                    raise pymilvus.MilvusException(code=1100, message="the storage is full")
                left.pop()
                return upsert(*given, **named)

            monkeypatch.setattr(store._client, "upsert", upserted)

        yield Filling(store, full_after)


@pytest.fixture(params=[on_qdrant, on_pinecone, on_weaviate, on_milvus])
def filling(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Filling]:
    with request.param(tmp_path, monkeypatch) as opened:
        opened.store.create(LAYOUT)
        yield opened


BATCH = [point(number) for number in range(1, 6)]


def test_of_a_batch_that_is_refused_in_the_middle_those_that_are_left_are_named(filling: Filling) -> None:
    filling.full_after(1)
    with pytest.raises(PartlyRefusedError, match=r"of 5 points .*the storage is full") as refused:
        filling.store.upsert(LAYOUT, BATCH)
    stored = scrolled(filling.store)
    assert 0 < len(stored) < 5
    assert sorted([*stored, *refused.value.ids]) == ids_of(1, 2, 3, 4, 5)
    assert id_of(5) in refused.value.ids


def test_a_batch_that_is_refused_at_once_is_refused_as_a_whole(filling: Filling) -> None:
    filling.full_after(0)
    with pytest.raises(RefusedError, match="the storage is full") as refused:
        filling.store.upsert(LAYOUT, BATCH)
    assert not isinstance(refused.value, PartlyRefusedError)
    assert scrolled(filling.store) == []
