"""What every vector store answers, whatever product it is."""

import uuid

import numpy as np
import pytest
from numpy.typing import NDArray

from functions.ports.vector_stores import (
    Equals,
    FieldError,
    Filter,
    Layout,
    LayoutError,
    NoSuchCollectionError,
    OneOf,
    Point,
    PointsError,
    Query,
    Range,
    VectorStore,
)

LAYOUT = Layout(
    name="documents_v1_small.1", encoder="small.1", dimension=4, fields={"source": "keyword", "expires_at": "number"}
)


def id_of(number: int) -> str:
    return str(uuid.UUID(int=number))


def vector(*values: float) -> NDArray[np.float32]:
    return np.array(values, np.float32)


def point(number: int, *values: float, source: str | list[str] = "a", expires_at: float = 1.0) -> Point:
    return Point(id=id_of(number), vector=vector(*values), fields={"source": source, "expires_at": expires_at})


@pytest.fixture
def filled(store: VectorStore) -> VectorStore:
    store.create(LAYOUT)
    store.upsert(
        LAYOUT,
        [
            point(1, 1, 0, 0, 0, source="a", expires_at=1.0),
            point(2, 0.8, 0.6, 0, 0, source="b", expires_at=2.0),
            point(3, 0, 1, 0, 0, source=["a", "c"], expires_at=3.0),
        ],
    )
    return store


def found(store: VectorStore, query: Query) -> list[str]:
    return [hit.id for hit in store.search(LAYOUT, [query])[0]]


def test_the_nearest_come_first_with_their_cosine(filled: VectorStore) -> None:
    (hits,) = filled.search(LAYOUT, [Query(vector=vector(2, 0, 0, 0), limit=2)])
    assert [hit.id for hit in hits] == [id_of(1), id_of(2)]
    assert [hit.score for hit in hits] == pytest.approx([1.0, 0.8], abs=1e-5)
    assert hits[1].fields["source"] == "b"


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (Filter(must=(Equals("source", "a"),)), [1, 3]),
        (Filter(must=(OneOf("source", ("b", "c")),)), [2, 3]),
        (Filter(must=(OneOf("source", ()),)), []),
        (Filter(must_not=(Equals("source", "a"),)), [2]),
        (Filter(must=(Range("expires_at", above=1.0, at_most=3.0),)), [2, 3]),
        (Filter(must=(Range("expires_at", at_least=1.0, below=3.0), Equals("source", "a"))), [1]),
    ],
)
def test_a_filter_passes_what_it_says(filled: VectorStore, where: Filter, expected: list[int]) -> None:
    ids = [id_of(number) for number in expected]
    assert found(filled, Query(vector=vector(1, 0.1, 0, 0), where=where)) == ids
    assert filled.count(LAYOUT, where) == len(expected)
    assert [each.id for each in filled.scroll(LAYOUT, where)] == ids


def test_what_was_upserted_is_found_at_once_in_the_place_of_what_was_there(filled: VectorStore) -> None:
    filled.upsert(LAYOUT, [point(1, 0, 0, 1, 0, source="new")])
    (hit,) = filled.search(LAYOUT, [Query(vector=vector(0, 0, 1, 0), limit=1)])[0]
    assert (hit.id, hit.fields["source"]) == (id_of(1), "new")
    assert filled.count(LAYOUT) == 3


def test_a_collection_is_not_made_in_the_place_of_another_one(filled: VectorStore) -> None:
    filled.create(LAYOUT)
    other = Layout(name=LAYOUT.name, encoder="other", dimension=5, fields=LAYOUT.fields)
    with pytest.raises(LayoutError, match=r"encoder other was expected.*dimension 5"):
        filled.create(other)
    with pytest.raises(LayoutError, match="made otherwise"):
        filled.search(other, [Query(vector=vector(1, 0, 0, 0, 0))])
    assert filled.count(LAYOUT) == 3


def test_what_is_not_there_cannot_be_asked(store: VectorStore) -> None:
    with pytest.raises(NoSuchCollectionError, match="documents_v1"):
        store.search(LAYOUT, [Query(vector=vector(1, 0, 0, 0))])


def test_of_a_batch_with_a_wrong_point_nothing_is_stored(filled: VectorStore) -> None:
    wrong = [point(4, 1, 0, 0, 0), point(5, 0, 0, 0, 0), point(6, 1, 0, 0), point(7, float("nan"), 0, 0, 0)]
    with pytest.raises(PointsError, match=r"zero.*shape.*NaN"):
        filled.upsert(LAYOUT, wrong)
    assert filled.count(LAYOUT) == 3


def test_a_filter_by_an_unknown_field_is_refused(filled: VectorStore) -> None:
    with pytest.raises(FieldError, match=r"'colour' is not declared.*source \(keyword\)"):
        filled.search(LAYOUT, [Query(vector=vector(1, 0, 0, 0), where=Filter(must=(Equals("colour", "red"),)))])


def test_pages_give_every_point_once_in_the_order_of_ids(filled: VectorStore) -> None:
    pages, after = [], ""
    while page := filled.scroll(LAYOUT, after=after, limit=2, vectors=True):
        pages.append([each.id for each in page])
        after = page[-1].id
    assert pages == [[id_of(1), id_of(2)], [id_of(3)]]


def test_what_was_deleted_is_gone_and_deleting_again_is_no_error(filled: VectorStore) -> None:
    filled.delete(LAYOUT, [id_of(1), id_of(9)])
    filled.delete(LAYOUT, [id_of(1)])
    filled.delete_where(LAYOUT, Filter(must=(Equals("source", "b"),)))
    assert [each.id for each in filled.read(LAYOUT, [id_of(3), id_of(1), id_of(2)])] == [id_of(3)]
