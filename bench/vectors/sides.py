"""The stores that bench/vectors compares, each as its own documentation says to use it; a row is a point's number."""

import threading
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import data
import numpy as np
from numpy.typing import NDArray

from functions.adapters.vectors.qdrant_edge import EdgeStore
from functions.ports.vector_stores import (
    NEVER,
    Condition,
    Equals,
    Filter,
    Hit,
    Layout,
    OneOf,
    Point,
    Query,
    Range,
    Terms,
    VectorStore,
)

DIMENSION = 384
LIMIT = 10
CANDIDATES = 100  # of which a collection makes its own order
NOW = 1_800_000_000.0
FIELDS = {"tenant": "keyword", "source": "keyword", "expires_at": "number"}
LAYOUT = Layout(name="bench_v1", encoder="bench", dimension=DIMENSION, fields=FIELDS)
TEXT = "What a passage says, in as many characters as one of the library has at the median: it is only carried along."


class Question(NamedTuple):
    """A text that is asked: its vector and its words."""

    vector: NDArray[np.float32]
    terms: Terms


#: From a question, and the one source that is looked in or None, to the numbers of the points found, the nearest first.
Search = Callable[[Question, str | None], Sequence[int]]


class Side(Protocol):
    """One store with one collection."""

    def add(self, first: int, vectors: NDArray[np.float32]) -> None:
        """Store points from number `first` on; when it returns, as the product says that they are stored."""
        ...

    def build(self) -> None:
        """Make what the product searches large collections by, if it does not by itself."""
        ...

    def search(self, question: Question, source: str | None) -> Sequence[int]:
        """The numbers of the ten nearest points; of one source, and not expired, where it is named."""
        ...

    def close(self) -> None:
        """Release files."""
        ...


class Ours:
    """The `VectorStore` port on Qdrant Edge."""

    def __init__(self, folder: Path, words: data.Words) -> None:
        self.store: VectorStore = EdgeStore(folder)
        self.store.create(LAYOUT)
        self._words = words

    def add(self, first: int, vectors: NDArray[np.float32]) -> None:
        """See `Side.add`."""
        self.store.upsert(LAYOUT, [point(first + at, each, self._words) for at, each in enumerate(vectors)])

    def build(self) -> None:
        """See `Side.build`."""
        self.store.optimize(LAYOUT)

    def search(self, question: Question, source: str | None) -> Sequence[int]:
        """See `Side.search`: as the other sides are asked."""
        only = Filter() if source is None else Filter(must=(Equals("source", source), Range("expires_at", above=NOW)))
        return self._found(Query(vector=question.vector, where=only, limit=LIMIT))[:LIMIT]

    def ask(self, question: Question, source: str | None) -> Sequence[int]:
        """The ten nearest of what a collection compares, asked for as it does.

        That is for one tenant's 100 nearest and the 100 that share most words, which are as rare as they are with this
        tenant; and without regard to what is expired, unless something of that is found.
        """
        tenant = Equals("tenant", data.TENANT)
        narrowed: tuple[Condition, ...] = () if source is None else (OneOf("source", (source,)),)
        query = Query(
            vector=question.vector,
            terms=question.terms,
            where=Filter(must=(tenant, *narrowed)),
            limit=CANDIDATES,
            rarity=Filter(must=(tenant,)),
        )
        return self._found(query)[:LIMIT]

    def close(self) -> None:
        """See `Side.close`."""
        self.store.close()

    def _found(self, query: Query) -> Sequence[int]:
        (hits,) = self.store.search(LAYOUT, [query])
        return [_row(hit) for hit in hits]


class FaissFlat:
    """Faiss, exact: a product of matrices. It keeps nothing by itself, so what it writes is one file at the end.

    It is not made to be searched while points are added, so that they take turns.
    """

    def __init__(self, folder: Path) -> None:
        import faiss  # noqa: PLC0415 - a side loads its own library alone

        self._faiss, self._file = faiss, folder / "index"
        self._index = self._made()
        self._count = 0
        self._turns = threading.Lock()

    def add(self, first: int, vectors: NDArray[np.float32]) -> None:
        """See `Side.add`; rows are counted from 0, without gaps."""
        if first != self._count:
            raise ValueError(f"row {first} after {self._count}")
        with self._turns:
            self._index.add(np.ascontiguousarray(vectors))
            self._count += len(vectors)

    def build(self) -> None:
        """See `Side.build`."""
        self._faiss.write_index(self._index, str(self._file))

    def search(self, question: Question, source: str | None) -> Sequence[int]:
        """See `Side.search`: rows of a source are a bitmap, as Faiss knows no fields."""
        with self._turns:
            params = None if source is None else self._params(self._of(source))
            _, rows = self._index.search(question.vector[None], LIMIT, params=params)
        return [int(row) for row in rows[0] if row >= 0]

    def close(self) -> None:
        """See `Side.close`."""

    def _made(self) -> Any:  # noqa: ANN401 - faiss ships no types
        return self._faiss.IndexFlatIP(DIMENSION)

    def _of(self, source: str) -> Any:  # noqa: ANN401 - the same
        rows = np.arange(self._count) % data.SOURCES == int(source[1:])
        return self._faiss.IDSelectorBitmap(np.packbits(rows, bitorder="little"))

    def _params(self, selector: Any) -> Any:  # noqa: ANN401 - the same
        return self._faiss.SearchParameters(sel=selector)


class FaissHnsw(FaissFlat):
    """Faiss with a graph: 16 links, as Qdrant; the width of a search as ours."""

    def _made(self) -> Any:  # noqa: ANN401 - faiss ships no types
        index = self._faiss.IndexHNSWFlat(DIMENSION, 16, self._faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = 100
        index.hnsw.efSearch = 128
        return index

    def _params(self, selector: Any) -> Any:  # noqa: ANN401 - the same
        return self._faiss.SearchParametersHNSW(sel=selector, efSearch=128)


class QdrantLocal:
    """qdrant-client without a server: exact, and in Python. A search that meets a write fails, so they take turns."""

    def __init__(self, folder: Path) -> None:
        from qdrant_client import QdrantClient, models  # noqa: PLC0415 - a side loads its own library alone

        self._models, self._client = models, QdrantClient(path=str(folder))
        params = models.VectorParams(size=DIMENSION, distance=models.Distance.COSINE)
        self._client.create_collection("bench", vectors_config=params)
        self._turns = threading.Lock()

    def add(self, first: int, vectors: NDArray[np.float32]) -> None:
        """See `Side.add`."""
        points = [
            self._models.PointStruct(id=first + at, vector=each.tolist(), payload=payload(first + at))
            for at, each in enumerate(vectors)
        ]
        with self._turns:
            self._client.upsert("bench", points)

    def build(self) -> None:
        """See `Side.build`: there is no index."""

    def search(self, question: Question, source: str | None) -> Sequence[int]:
        """See `Side.search`."""
        only = None if source is None else self._only(source)
        with self._turns:
            found = self._client.query_points("bench", question.vector.tolist(), query_filter=only, limit=LIMIT)
        return [int(each.id) for each in found.points]

    def close(self) -> None:
        """See `Side.close`."""
        self._client.close()

    def _only(self, source: str) -> Any:  # noqa: ANN401 - the client is imported once it is used
        models = self._models
        same = models.FieldCondition(key="source", match=models.MatchValue(value=source))
        fresh = models.FieldCondition(key="expires_at", range=models.Range(gt=NOW))
        return models.Filter(must=[same, fresh])


class MilvusLite:
    """Milvus's protocol over a folder."""

    def __init__(self, folder: Path) -> None:
        from pymilvus import DataType, MilvusClient  # noqa: PLC0415 - a side loads its own library alone

        self._client = MilvusClient(uri=str(folder / "bench.db"))
        schema = self._client.create_schema(auto_id=False)
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=DIMENSION)
        schema.add_field("tenant", DataType.VARCHAR, max_length=64)
        schema.add_field("source", DataType.VARCHAR, max_length=64)
        schema.add_field("text", DataType.VARCHAR, max_length=1_000)
        schema.add_field("expires_at", DataType.DOUBLE)
        index = self._client.prepare_index_params()
        index.add_index("vector", index_type="AUTOINDEX", metric_type="COSINE")
        self._client.create_collection("bench", schema=schema, index_params=index, consistency_level="Strong")

    def add(self, first: int, vectors: NDArray[np.float32]) -> None:
        """See `Side.add`."""
        rows = [{"id": first + at, "vector": each, **payload(first + at)} for at, each in enumerate(vectors)]
        self._client.upsert("bench", rows)

    def build(self) -> None:
        """See `Side.build`."""
        self._client.flush("bench")
        self._client.load_collection("bench")

    def search(self, question: Question, source: str | None) -> Sequence[int]:
        """See `Side.search`."""
        only = "" if source is None else f'source == "{source}" and expires_at > {NOW}'
        (hits,) = self._client.search("bench", [question.vector], filter=only, limit=LIMIT, output_fields=["text"])
        return [int(each["id"]) for each in hits]

    def close(self) -> None:
        """See `Side.close`."""
        self._client.close()


#: By the name that `--sides` takes.
SIDES: dict[str, Callable[[Path, data.Words], Side]] = {
    "ours": Ours,
    "faiss-flat": lambda folder, _: FaissFlat(folder),
    "faiss-hnsw": lambda folder, _: FaissHnsw(folder),
    "milvus-lite": lambda folder, _: MilvusLite(folder),
    "qdrant-local": lambda folder, _: QdrantLocal(folder),
}


def payload(row: int) -> dict[str, str | float]:
    """What a point says: the fields that a search is narrowed by, and a text."""
    return {"tenant": data.TENANT, "source": data.source_of(row), "text": TEXT, "expires_at": NEVER}


def point(row: int, vector: NDArray[np.float32], words: data.Words) -> Point:
    """The same as a point of the port."""
    return Point(id=str(uuid.UUID(int=row)), vector=vector, terms=words.of(row), fields=payload(row))


def ways(side: Side) -> dict[str, Search]:
    """How a side can be searched, by what it is called in the tables: most of them in one way."""
    if isinstance(side, Ours):
        return {", as a collection asks": side.ask, ", vectors alone": side.search}
    return {"": side.search}


def _row(hit: Hit) -> int:
    return uuid.UUID(hit.id).int
