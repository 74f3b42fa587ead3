"""Qdrant's own client and the store here, on one server: what one writes the other reads, and both read the same."""

import re
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import numpy as np
import pytest
from qdrant_server import qdrant_server
from rest_server import Asked, Server
from stored import LAYOUT, ids_of, point, query, vector

from functions.adapters.vectors.qdrant import QdrantStore
from functions.ports.vector_stores import Equals, Filter, Hit, Layout, OneOf, Point, Query, Range, Terms

QdrantClient = pytest.importorskip("qdrant_client", reason="Qdrant's own client is in the group `stores`").QdrantClient
models = pytest.importorskip("qdrant_client.models", reason="Qdrant's own client is in the group `stores`")

WORDED = msgspec.structs.replace(LAYOUT, dimension=16, fields={"tenant": "keyword", "written": "number"})
#: Each filter as the port has it, and as Qdrant's client does.
FILTERS = [
    (Filter(), None),
    (
        Filter(must=(Equals("tenant", "t1"),)),
        models.Filter(must=[models.FieldCondition(key="tenant", match=models.MatchValue(value="t1"))]),
    ),
    (
        Filter(must=(OneOf("tenant", ("t1", "t2")),), must_not=(Range("written", above=50, at_most=80),)),
        models.Filter(
            must=[models.FieldCondition(key="tenant", match=models.MatchAny(any=["t1", "t2"]))],
            must_not=[models.FieldCondition(key="written", range=models.Range(gt=50, lte=80))],
        ),
    ),
    (
        Filter(must=(Range("written", at_least=10.5, below=20),)),
        models.Filter(must=[models.FieldCondition(key="written", range=models.Range(gte=10.5, lt=20))]),
    ),
]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with qdrant_server(tmp_path / "qdrant") as opened:
        yield opened


@pytest.fixture
def store(server: Server) -> Iterator[QdrantStore]:
    opened = QdrantStore(server.url)
    yield opened
    opened.close()


@pytest.fixture
def client(server: Server) -> Iterator[QdrantClient]:
    opened = QdrantClient(url=server.url)
    yield opened
    opened.close()


@pytest.fixture
def points() -> list[Point]:
    chance = np.random.default_rng(11)
    return [
        Point(
            id=str(uuid.UUID(int=int(chance.integers(2**62)))),
            vector=chance.normal(size=16).astype(np.float32),
            terms=_terms(chance.integers(0, 30, 5).tolist()),
            fields={"tenant": f"t{n % 4}", "written": float(n), "title": f"Titel № {n}"},
        )
        for n in range(120)
    ]


def _terms(indices: list[int]) -> Terms:
    unique = tuple(sorted(set(indices)))
    return Terms(unique, tuple(0.5 + index / 30 for index in unique))


def made_by_the_client(client: QdrantClient, layout: Layout) -> None:
    client.create_collection(
        layout.name,
        vectors_config={"dense": models.VectorParams(size=layout.dimension, distance=models.Distance.COSINE)},
        sparse_vectors_config={"terms": models.SparseVectorParams(modifier=models.Modifier.IDF)},
        metadata={"troupe": msgspec.to_builtins(layout)},
    )


def written_by_the_client(client: QdrantClient, name: str, points: list[Point]) -> None:
    client.upsert(
        name,
        [
            models.PointStruct(
                id=each.id,
                vector={
                    "dense": np.asarray(each.vector).tolist(),
                    "terms": models.SparseVector(indices=list(each.terms.indices), values=list(each.terms.weights)),
                },
                payload=dict(each.fields),
            )
            for each in points
        ],
        wait=True,
    )


def _seen(hits: Iterable[Any]) -> list[tuple[str, Any]]:
    """Ids with their fields, best first; ties in the order of ids."""
    pairs = [
        (each.id, each.fields, each.score) if isinstance(each, Hit) else (each.id, each.payload, each.score)
        for each in hits
    ]
    return [(id_, fields) for id_, fields, _ in sorted(pairs, key=lambda pair: (-round(pair[2], 5), pair[0]))]


def test_what_the_client_administers_is_what_the_store_sees(client: QdrantClient, store: QdrantStore) -> None:
    made_by_the_client(client, LAYOUT)
    assert store.layouts() == [LAYOUT]
    store.create(LAYOUT)
    store.upsert(LAYOUT, [point(1)])
    assert client.count(LAYOUT.name).count == 1
    client.delete_collection(LAYOUT.name)
    assert store.layouts() == []


def test_what_the_store_makes_is_what_the_client_sees(client: QdrantClient, store: QdrantStore) -> None:
    store.create(WORDED)
    assert [each.name for each in client.get_collections().collections] == [WORDED.name]
    assert client.collection_exists(WORDED.name)
    info = client.get_collection(WORDED.name)
    assert info.config.params.vectors["dense"] == models.VectorParams(size=16, distance=models.Distance.COSINE)
    assert info.config.params.sparse_vectors["terms"].modifier == models.Modifier.IDF
    assert info.config.metadata == {"troupe": msgspec.to_builtins(WORDED)}
    assert {field: str(given.data_type.value) for field, given in info.payload_schema.items()} == {
        "tenant": "keyword",
        "written": "float",
    }
    store.drop(WORDED.name)
    assert not client.collection_exists(WORDED.name)


@pytest.mark.parametrize("writer", ["store", "client"])
def test_both_find_count_read_and_page_the_same(
    client: QdrantClient, store: QdrantStore, points: list[Point], writer: str
) -> None:
    store.create(WORDED)
    if writer == "store":
        store.upsert(WORDED, points)
    else:
        written_by_the_client(client, WORDED.name, points)
    asked = np.asarray(points[7].vector) + 0.3
    for ours, theirs in FILTERS:
        assert store.count(WORDED, ours) == client.count(WORDED.name, count_filter=theirs, exact=True).count
        (hits,) = store.search(WORDED, [Query(vector=asked, where=ours, limit=15)])
        answer = client.query_points(
            WORDED.name, query=asked.tolist(), using="dense", query_filter=theirs, limit=15, with_payload=True
        ).points
        assert _seen(hits) == _seen(answer)
        assert [hit.score for hit in hits] == pytest.approx([each.score for each in answer], abs=1e-5)
        page, _ = client.scroll(WORDED.name, scroll_filter=theirs, limit=1_000, with_vectors=True)
        ours_paged = store.scroll(WORDED, ours, vectors=True)
        assert [(each.id, each.fields) for each in ours_paged] == [(each.id, each.payload) for each in page]
        for mine, other in zip(ours_paged, page, strict=True):
            assert mine.vector == pytest.approx(other.vector["dense"], abs=1e-6)
            assert list(mine.terms.indices) == other.vector["terms"].indices
    wanted = [points[3].id, points[1].id]
    assert {each.id: each.payload for each in client.retrieve(WORDED.name, wanted)} == {
        each.id: each.fields for each in store.read(WORDED, wanted)
    }


def test_words_weigh_what_the_client_finds_them_to_weigh(
    client: QdrantClient, store: QdrantStore, points: list[Point]
) -> None:
    store.create(WORDED)
    store.upsert(WORDED, points)
    only_ours, only_theirs = FILTERS[1]
    terms = Terms((3, 11, 29), (1.0, 0.5, 2.0))
    wanted = Query(vector=np.ones(16, np.float32), terms=terms, where=only_ours, rarity=only_ours, limit=50)
    (hits,) = store.search(WORDED, [wanted])
    answer = client.query_points(
        WORDED.name,
        query=models.SparseVector(indices=list(terms.indices), values=list(terms.weights)),
        using="terms",
        query_filter=only_theirs,
        search_params=models.SearchParams(idf=models.IdfCorpusParams(corpus=only_theirs)),
        limit=50,
    ).points
    assert {hit.id: hit.words for hit in hits if hit.words} == pytest.approx(
        {each.id: each.score for each in answer}, rel=1e-5
    )
    assert len(answer) > 5


#: What the API says it takes, by the call, as the client has it from the API's description.
BODIES: dict[tuple[str, str], Any] = {
    ("PUT", ""): models.CreateCollection,
    ("PUT", "/index"): models.CreateFieldIndex,
    ("PUT", "/points"): models.PointsList,
    ("POST", "/points"): models.PointRequest,
    ("POST", "/points/batch"): models.UpdateOperations,
    ("POST", "/points/count"): models.CountRequest,
    ("POST", "/points/delete"): (models.PointIdsList, models.FilterSelector),
    ("POST", "/points/query/batch"): models.QueryRequestBatch,
    ("POST", "/points/scroll"): models.ScrollRequest,
}


def test_every_request_is_what_the_api_says_it_takes(store: QdrantStore, server: Server) -> None:
    everything = Filter(
        must=(Equals("source", "a"), OneOf("source", ("a", "b")), Range("expires_at", at_least=1, above=0)),
        must_not=(Equals("expires_at", 9), Range("expires_at", below=0, at_most=0)),
    )
    store.create(LAYOUT)
    store.upsert(LAYOUT, [point(1, terms={1: 1.0}, source=["a"], expires_at=1.0), point(2, title="ü", shown=True)])
    words = Query(vector=vector(1, 0, 0, 0), terms=Terms((1,), (1.0,)), where=everything, rarity=everything)
    store.search(LAYOUT, [query(where=everything), words])
    store.read(LAYOUT, ids_of(1), vectors=True)
    store.set_fields(LAYOUT, {ids_of(1)[0]: {"source": "b"}})
    store.scroll(LAYOUT, everything, after=ids_of(1)[0])
    store.count(LAYOUT, everything)
    store.delete(LAYOUT, ids_of(1))
    store.delete_where(LAYOUT, everything)
    store.layouts()
    store.drop(LAYOUT.name)
    asked = {_call(each): each for each in server.asked if each.body}
    assert asked.keys() == BODIES.keys()
    for each in server.asked:
        if each.body:
            _fits(each)


def _call(asked: Asked) -> tuple[str, str]:
    return asked.method, re.sub(r"^/collections/[^/]+", "", urlsplit(asked.path).path)


def _fits(asked: Asked) -> None:
    """Its models refuse what they do not know."""
    body, kinds = msgspec.json.decode(asked.body), BODIES[_call(asked)]
    for kind in kinds if isinstance(kinds, tuple) else (kinds,):
        assert kind.model_config["extra"] == "forbid"
    if not isinstance(kinds, tuple):
        kinds.model_validate(body)
        return
    kinds["points" not in body].model_validate(body)
