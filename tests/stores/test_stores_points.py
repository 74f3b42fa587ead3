"""What every vector store keeps of points, changes in them, and gives back."""

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from stored import LAYOUT, THREE, found, hits, id_of, ids_of, pages, point, query, scrolled, vector

from functions.ports.vector_stores import EVERYTHING, Equals, Filter, Point, VectorStore

LAST = "ffffffff-ffff-ffff-ffff-ffffffffffff"


def test_what_was_upserted_is_found_at_once_in_the_place_of_what_was_there(filled: VectorStore) -> None:
    filled.upsert(LAYOUT, [point(1, 0, 0, 1, 0, title="new")])
    (hit,) = hits(filled, query(0, 0, 1, 0, limit=1))
    assert (hit.id, hit.fields) == (id_of(1), {"title": "new"})
    assert filled.count(LAYOUT) == 3
    assert filled.count(LAYOUT, Filter(must=(Equals("source", "a"),))) == 1


def test_every_write_is_seen_by_the_next_call(store: VectorStore) -> None:
    store.create(LAYOUT)
    for number in range(1, 21):
        store.upsert(LAYOUT, [point(number, 1, number, 0, 0, source=f"s{number}")])
        only_this = Filter(must=(Equals("source", f"s{number}"),))
        assert found(store, query(1, number, 0, 0, limit=1)) == ids_of(number)
        assert store.count(LAYOUT, only_this) == 1
        assert store.count(LAYOUT) == number


def test_of_several_points_with_one_id_in_a_batch_the_last_counts(filled: VectorStore) -> None:
    filled.upsert(LAYOUT, [point(4, 1, 0, 0, 0, source="first"), point(5), point(4, 0, 0, 0, 1, source="last")])
    assert filled.count(LAYOUT) == 5
    assert [each.fields for each in filled.read(LAYOUT, ids_of(4))] == [{"source": "last"}]
    assert found(filled, query(0, 0, 0, 1, limit=1)) == ids_of(4)


def test_storing_a_batch_again_changes_nothing(filled: VectorStore) -> None:
    before = filled.scroll(LAYOUT)
    filled.upsert(LAYOUT, THREE)
    assert filled.scroll(LAYOUT) == before


def test_points_are_read_in_the_order_asked_each_once(filled: VectorStore) -> None:
    read = filled.read(LAYOUT, iter(ids_of(3, 9, 1, 3, 2, 1)))
    assert [each.id for each in read] == ids_of(3, 1, 2)
    assert [each.fields for each in read] == [THREE[2].fields, THREE[0].fields, THREE[1].fields]
    assert [each.vector for each in read] == [None, None, None]


def test_vectors_are_read_where_they_are_asked_for(filled: VectorStore) -> None:
    for given in (filled.read(LAYOUT, ids_of(1, 2, 3), vectors=True), filled.scroll(LAYOUT, vectors=True)):
        for read, stored in zip(given, THREE, strict=True):
            assert read.vector is not None
            assert read.vector.dtype == np.float32
            assert read.vector == pytest.approx(stored.vector, abs=1e-6)


def test_a_point_read_with_its_vector_can_be_stored_as_it_is(filled: VectorStore) -> None:
    before = filled.scroll(LAYOUT)
    filled.upsert(LAYOUT, filled.scroll(LAYOUT, vectors=True))
    assert filled.scroll(LAYOUT) == before
    assert [hit.score for hit in hits(filled, query(1, 0, 0, 0))] == pytest.approx([1.0, 0.8, 0.0], abs=1e-5)


def test_setting_fields_leaves_other_fields_and_the_vector(filled: VectorStore) -> None:
    filled.set_fields(LAYOUT, {id_of(1): {"source": ["x", "y"], "title": "one"}, id_of(3): {"expires_at": 9.0}})
    assert [each.fields for each in filled.scroll(LAYOUT)] == [
        {"source": ["x", "y"], "expires_at": 1.0, "title": "one"},
        {"source": "b", "expires_at": 2.0},
        {"source": ["a", "c"], "expires_at": 9.0},
    ]
    assert [hit.score for hit in hits(filled, query(1, 0, 0, 0))] == pytest.approx([1.0, 0.8, 0.0], abs=1e-5)
    assert found(filled, query(where=Filter(must=(Equals("source", "y"),)))) == ids_of(1)
    assert found(filled, query(where=Filter(must=(Equals("expires_at", 3.0),)))) == []


def test_setting_fields_adds_no_point(filled: VectorStore) -> None:
    filled.set_fields(LAYOUT, {id_of(8): {"source": "x"}, id_of(2): {"source": "x"}, id_of(9): {"title": "y"}})
    assert filled.count(LAYOUT) == 3
    assert scrolled(filled, where=Filter(must=(Equals("source", "x"),))) == ids_of(2)
    filled.set_fields(LAYOUT, {id_of(1): {}})
    assert filled.read(LAYOUT, ids_of(1))[0].fields == THREE[0].fields


def test_fields_of_hundreds_of_points_are_set_at_once(store: VectorStore) -> None:
    store.create(LAYOUT)
    store.upsert(LAYOUT, [point(n, source="old") for n in range(1, 401)])
    store.set_fields(LAYOUT, {id_of(n): {"source": f"s{n}"} for n in range(1, 301)})
    expected = [f"s{n}" if n <= 300 else "old" for n in range(1, 401)]
    assert [each.fields["source"] for each in store.scroll(LAYOUT)] == expected


def test_what_was_deleted_is_gone_and_deleting_again_is_no_error(filled: VectorStore) -> None:
    filled.delete(LAYOUT, iter(ids_of(1, 9, 1)))
    filled.delete(LAYOUT, ids_of(1))
    assert [each.id for each in filled.read(LAYOUT, ids_of(3, 1, 2))] == ids_of(3, 2)
    assert found(filled, query(1, 0, 0, 0)) == ids_of(2, 3)
    filled.delete_where(LAYOUT, EVERYTHING)
    assert filled.count(LAYOUT) == 0
    filled.upsert(LAYOUT, [point(1)])
    assert scrolled(filled) == ids_of(1)


def test_nothing_to_do_changes_nothing(filled: VectorStore) -> None:
    filled.upsert(LAYOUT, [])
    filled.set_fields(LAYOUT, {})
    filled.delete(LAYOUT, [])
    filled.erase(LAYOUT, [])
    assert filled.read(LAYOUT, []) == []
    assert scrolled(filled) == ids_of(1, 2, 3)


def test_a_thousand_points_are_stored_counted_read_and_deleted_at_once(store: VectorStore) -> None:
    store.create(LAYOUT)
    many = [point(n, 1, n, 0, 0, source=f"s{n % 10}", expires_at=float(n)) for n in range(1, 1_001)]
    store.upsert(LAYOUT, many)
    tenth = Filter(must=(Equals("source", "s3"),))
    assert store.count(LAYOUT) == 1_000
    assert store.count(LAYOUT, tenth) == 100
    assert [each.fields for each in store.read(LAYOUT, [each.id for each in many])] == [each.fields for each in many]
    assert len(hits(store, query(1, 1, 0, 0, limit=200, where=tenth))) == 100
    store.delete_where(LAYOUT, tenth)
    store.delete(LAYOUT, [each.id for each in many[:500]])
    assert store.count(LAYOUT) == 450


def test_a_long_text_is_given_back_whole(store: VectorStore) -> None:
    text = "Grüße 👋 \x00\n\"'\\" + "word " * 5_000
    store.create(LAYOUT)
    store.upsert(LAYOUT, [point(1, text=text, labels=["é" * 500, ""])])
    assert store.read(LAYOUT, ids_of(1))[0].fields == {"text": text, "labels": ["é" * 500, ""]}


def test_numbers_are_given_back_as_they_were(store: VectorStore) -> None:
    store.create(LAYOUT)
    fields = {"a": 2**53, "b": -(2**53), "c": 0.1, "d": 1e-300, "e": 1.5e300, "f": 0, "g": 1_790_000_000.123456}
    store.upsert(LAYOUT, [point(1, **fields)])
    assert store.read(LAYOUT, ids_of(1))[0].fields == fields


def test_pages_give_every_point_once_in_the_order_of_ids(store: VectorStore) -> None:
    ids = [str(uuid.uuid5(uuid.NAMESPACE_OID, str(n))) for n in range(25)] + [LAST, id_of(0)]
    store.create(LAYOUT)
    store.upsert(LAYOUT, [Point(id=each, vector=vector(1, 0, 0, 0), fields={"source": each}) for each in ids])
    given = list(pages(store, limit=10))
    assert [len(page) for page in given] == [10, 10, 7]
    assert [each for page in given for each in page] == sorted(ids)
    assert store.scroll(LAYOUT, after=LAST) == []


def test_a_page_begins_after_an_id_that_is_not_there(filled: VectorStore) -> None:
    filled.delete(LAYOUT, ids_of(2))
    assert [each.id for each in filled.scroll(LAYOUT, after=id_of(2))] == ids_of(3)
    assert [each.id for each in filled.scroll(LAYOUT, after=id_of(0), limit=1)] == ids_of(1)


def test_pages_of_what_a_filter_passes_are_full(store: VectorStore) -> None:
    store.create(LAYOUT)
    store.upsert(LAYOUT, [point(n, source="ab"[n % 2]) for n in range(1, 61)])
    odd = Filter(must=(Equals("source", "b"),))
    first = store.scroll(LAYOUT, odd, limit=20)
    rest = store.scroll(LAYOUT, odd, after=first[-1].id, limit=20)
    assert [each.id for each in (*first, *rest)] == ids_of(*range(1, 61, 2))
    assert len(first) == 20


def test_pages_pass_over_no_point_while_others_are_written(store: VectorStore) -> None:
    """Those that are there from the first page to the last are given once, whatever comes and goes between."""
    store.create(LAYOUT)
    staying = ids_of(*range(10, 60, 2))
    store.upsert(LAYOUT, [point(n, source="old") for n in range(10, 60, 2)])
    given = []
    for step, page in enumerate(pages(store, limit=4), 1):
        given += page
        store.upsert(LAYOUT, [point(step, source="new"), point(10 + 2 * step, 0, 1, 0, 0), point(61 - 2 * step)])
        store.set_fields(LAYOUT, {staying[step]: {"source": "changed"}})
        store.delete(LAYOUT, ids_of(step - 1, 63 - 2 * step))
    assert [each for each in given if each in staying] == staying
    assert len(set(given)) == len(given)


def test_threads_write_and_search_at_once_and_nothing_is_lost(store: VectorStore) -> None:
    store.create(LAYOUT)
    start = threading.Barrier(6)

    def write(writer: int) -> None:
        start.wait()
        for n in range(10):
            number = 1 + writer * 100 + n
            store.upsert(LAYOUT, [point(number, 1, number, 0, 0, source=f"w{writer}")])
            store.set_fields(LAYOUT, {id_of(number): {"title": "set"}})

    def search(reader: int) -> None:
        start.wait()
        for _ in range(10):
            mine = Filter(must=(Equals("source", f"w{reader}"),))
            assert all(hit.fields["source"] == f"w{reader}" for hit in hits(store, query(where=mine)))

    with ThreadPoolExecutor(6) as threads:
        done = [threads.submit(write, n) for n in range(4)] + [threads.submit(search, n) for n in range(2)]
        for each in done:
            each.result()
    assert store.count(LAYOUT) == 40
    assert {each.fields["title"] for each in store.scroll(LAYOUT)} == {"set"}


def test_threads_that_make_the_same_collection_find_one(store: VectorStore) -> None:
    start = threading.Barrier(4)

    def make(number: int) -> None:
        start.wait()
        store.create(LAYOUT)
        store.upsert(LAYOUT, [point(number)])

    with ThreadPoolExecutor(4) as threads:
        for each in [threads.submit(make, n) for n in range(1, 5)]:
            each.result()
    assert scrolled(store) == ids_of(1, 2, 3, 4)
