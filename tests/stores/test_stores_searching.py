"""What every vector store finds by vector."""

import msgspec
import numpy as np
import pytest
from stored import LAYOUT, found, hits, id_of, ids_of, point, query, vector

from functions.ports.vector_stores import EVERYTHING, Equals, Filter, Layout, Point, Query, VectorStore

DOT = Layout(name="products_v1_small.1", encoder="small.1", dimension=4, distance="dot", fields={"source": "keyword"})


def test_the_nearest_come_first_with_their_cosine(filled: VectorStore) -> None:
    nearest = hits(filled, query(2, 0, 0, 0, limit=2))
    assert [hit.id for hit in nearest] == ids_of(1, 2)
    assert [hit.score for hit in nearest] == pytest.approx([1.0, 0.8], abs=1e-5)
    assert nearest[1].fields == {"source": "b", "expires_at": 2.0}


def test_a_cosine_goes_down_to_minus_one(filled: VectorStore) -> None:
    scores = {hit.id: hit.score for hit in hits(filled, query(-1, 0, 0, 0))}
    assert [scores[each] for each in ids_of(1, 2, 3)] == pytest.approx([-1.0, -0.8, 0.0], abs=1e-5)


def test_scores_of_many_dimensions_are_exact_to_five_digits(store: VectorStore) -> None:
    layout = msgspec.structs.replace(LAYOUT, dimension=384)
    chance = np.random.default_rng(7)
    vectors = chance.normal(size=(50, 384)).astype(np.float32)
    asked = chance.normal(size=384).astype(np.float32)
    store.create(layout)
    store.upsert(layout, [Point(id=id_of(n), vector=each) for n, each in enumerate(vectors)])
    expected = (vectors @ asked) / (np.linalg.norm(vectors, axis=1) * np.linalg.norm(asked))
    order = np.argsort(-expected, kind="stable")[:20]
    nearest = hits(store, Query(vector=asked, limit=20), layout)
    assert [hit.id for hit in nearest] == ids_of(*order.tolist())
    assert [hit.score for hit in nearest] == pytest.approx(expected[order].tolist(), abs=1e-5)


def test_with_the_dot_product_longer_vectors_count_for_more(store: VectorStore) -> None:
    store.create(DOT)
    store.upsert(DOT, [point(1, 1, 0, 0, 0), point(2, 3, 4, 0, 0), point(3, -2, 0, 0, 0)])
    nearest = hits(store, query(2, 0, 0, 0), DOT)
    assert [hit.id for hit in nearest] == ids_of(2, 1, 3)
    assert [hit.score for hit in nearest] == pytest.approx([6.0, 2.0, -4.0], abs=1e-5)


def test_equal_scores_come_in_the_order_of_ids(store: VectorStore) -> None:
    store.create(LAYOUT)
    store.upsert(LAYOUT, [point(number, 0, 1, 0, 0) for number in (5, 3, 9, 1)])
    store.upsert(LAYOUT, [point(7, 0, 1, 0, 0), point(2, 1, 0, 0, 0)])
    assert found(store, query(1, 0, 0, 0)) == ids_of(2, 1, 3, 5, 7, 9)


def test_the_cosine_is_the_same_for_short_and_long_vectors(store: VectorStore) -> None:
    store.create(LAYOUT)
    for length in (1e-12, 1e-4, 1e9):
        store.upsert(LAYOUT, [point(1, 3 * length, 4 * length, 0, 0)])
        assert [hit.score for hit in hits(store, query(length, 0, 0, 0))] == pytest.approx([0.6], abs=1e-5), length


def test_a_vector_of_doubles_or_a_list_is_one_of_floats(filled: VectorStore) -> None:
    filled.upsert(LAYOUT, [Point(id=id_of(4), vector=np.array([0, 0, 0, 1.0]))])
    assert found(filled, Query(vector=np.array([0, 0, 0, 1.0]), limit=1)) == ids_of(4)


def test_no_more_are_found_than_asked_for_or_than_there_are(filled: VectorStore) -> None:
    assert len(hits(filled, query(limit=1))) == 1
    assert len(hits(filled, query(limit=1_000))) == 3


def test_an_empty_collection_holds_nothing_to_find(store: VectorStore) -> None:
    store.create(LAYOUT)
    assert store.search(LAYOUT, [query(), query()]) == [[], []]
    assert store.search(LAYOUT, []) == []


def test_queries_together_find_what_each_finds_alone(filled: VectorStore) -> None:
    only_b = Filter(must=(Equals("source", "b"),))
    asked = [query(1, 0, 0, 0), query(0, 1, 0, 0, limit=1), query(where=only_b), query(limit=2)]
    together = filled.search(LAYOUT, asked)
    assert [[hit.id for hit in each] for each in together] == [found(filled, each) for each in asked]
    assert [len(each) for each in together] == [3, 1, 1, 2]


def test_forty_queries_at_once_are_answered_in_their_order(filled: VectorStore) -> None:
    asked = [query(1, 0, 0, 0, limit=1), query(0, 1, 0, 0, limit=1)] * 20
    assert [each[0].id for each in filled.search(LAYOUT, asked)] == ids_of(1, 3) * 20


def test_of_many_only_what_the_filter_passes_is_found_and_all_of_it(store: VectorStore) -> None:
    """A store that filters what it has found already would find less."""
    store.create(LAYOUT)
    store.upsert(LAYOUT, [point(n, 1, 0, 0, n / 1e4, source="near") for n in range(1, 301)])
    store.upsert(LAYOUT, [point(n, 0, 1, 0, n / 1e4, source="far") for n in range(301, 306)])
    only_far = Filter(must=(Equals("source", "far"),))
    assert found(store, query(1, 0, 0, 0, where=only_far, limit=5)) == ids_of(*range(301, 306))


def test_fields_of_hits_are_all_that_a_point_says(store: VectorStore) -> None:
    store.create(LAYOUT)
    fields = {"source": ["a", "b"], "expires_at": 1.5, "title": "Über", "count": 3, "shown": True, "tags": []}
    store.upsert(LAYOUT, [Point(id=id_of(1), vector=vector(1, 0, 0, 0), fields=fields)])
    (hit,) = hits(store, query())
    assert hit.fields == fields
    assert hit.fields["shown"] is True
    assert store.read(LAYOUT, ids_of(1))[0].fields == fields
    assert store.scroll(LAYOUT, EVERYTHING)[0].fields == fields
