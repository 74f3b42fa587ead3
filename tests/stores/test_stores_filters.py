"""What every vector store passes through a filter, in searches, counts and pages alike."""

import pytest
from stored import LAYOUT, found, hits, ids_of, point, query, scrolled

from functions.ports.vector_stores import (
    EVERYTHING,
    Equals,
    FieldError,
    Filter,
    OneOf,
    Range,
    VectorStore,
)


def must(*conditions: Equals | OneOf | Range) -> Filter:
    return Filter(must=conditions)


def must_not(*conditions: Equals | OneOf | Range) -> Filter:
    return Filter(must_not=conditions)


FILTERS = [
    (EVERYTHING, [1, 2, 3, 4, 5]),
    (must(Equals("source", "a")), [1, 3]),
    (must(Equals("source", "c")), [3]),
    (must(Equals("source", "A")), []),
    (must(Equals("source", "")), []),
    (must(Equals("source", "a"), Equals("source", "c")), [3]),
    (must(OneOf("source", ("b", "c"))), [2, 3]),
    (must(OneOf("source", ("a", "a", "nobody's"))), [1, 3]),
    (must(OneOf("source", ())), []),
    (must(Equals("expires_at", 2.0)), [2]),
    (must(Equals("expires_at", 2)), [2]),
    (must(Range("expires_at", above=1.0, at_most=3.0)), [2, 3]),
    (must(Range("expires_at", at_least=1.0, below=3.0)), [1, 2]),
    (must(Range("expires_at", above=2.0)), [3, 4]),
    (must(Range("expires_at", at_most=1.0)), [1]),
    (must(Range("expires_at", above=3.0, below=3.0)), []),
    (must(Range("expires_at", at_least=1.0), Equals("source", "a")), [1, 3]),
    (must_not(Equals("source", "a")), [2, 4, 5]),
    (must_not(OneOf("source", ("a", "b"))), [4, 5]),
    (must_not(OneOf("source", ())), [1, 2, 3, 4, 5]),
    (must_not(Range("expires_at", at_most=2.0)), [3, 4, 5]),
    (must_not(Equals("expires_at", 1.0)), [2, 3, 4, 5]),
    (must_not(Equals("source", "a"), Range("expires_at", above=3.0)), [2, 5]),
    (Filter(must=(Equals("source", "a"),), must_not=(Equals("source", "c"),)), [1]),
    (Filter(must=(Range("expires_at", above=0.0),), must_not=(Range("expires_at", above=2.0),)), [1, 2]),
]


@pytest.fixture
def five(filled: VectorStore) -> VectorStore:
    """A fourth without a source and a fifth without anything."""
    filled.upsert(LAYOUT, [point(4, 0, 0.9, 0.1, 0, expires_at=4.0), point(5, 0, 0.8, 0.2, 0)])
    return filled


def test_a_filter_passes_what_it_says(five: VectorStore) -> None:
    for where, expected in FILTERS:
        ids = ids_of(*expected)
        assert sorted(found(five, query(where=where))) == ids, where
        assert five.count(LAYOUT, where) == len(expected), where
        assert scrolled(five, where=where) == ids, where


def test_what_a_filter_passes_is_deleted_and_nothing_else(five: VectorStore) -> None:
    stored = five.scroll(LAYOUT, vectors=True)
    for where, expected in FILTERS:
        five.delete_where(LAYOUT, where)
        assert scrolled(five) == ids_of(*({1, 2, 3, 4, 5} - set(expected))), where
        five.upsert(LAYOUT, stored)


TEXTS = ["o'clock", '"quoted"', "a\\b", "a b", "Ü \N{GRINNING FACE}", "a,b", "' or ''='", "%", "*", "\n", "\x7f"]


def test_a_keyword_is_compared_as_it_is(store: VectorStore) -> None:
    store.create(LAYOUT)
    for text in TEXTS:
        store.upsert(LAYOUT, [point(1, source=text), point(2, source="a"), point(3, source=[text, "x"])])
        assert scrolled(store, where=must(Equals("source", text))) == ids_of(1, 3), text
        assert scrolled(store, where=must(OneOf("source", (text, "a")))) == ids_of(1, 2, 3), text
        assert scrolled(store, where=must_not(Equals("source", text))) == ids_of(2), text


def test_a_lone_surrogate_is_stored_and_asked_for_as_a_question_mark(store: VectorStore) -> None:
    store.create(LAYOUT)
    store.upsert(LAYOUT, [point(1, source="a\ud800", title="\udfff!"), point(2, source=["a", "\ud800"])])
    assert [dict(each.fields) for each in store.scroll(LAYOUT)] == [
        {"source": "a?", "title": "?!"},
        {"source": ["a", "?"]},
    ]
    assert scrolled(store, where=must(Equals("source", "a\udabc"))) == ids_of(1)
    assert found(store, query(where=must(OneOf("source", ("\ud801",))))) == ids_of(2)
    store.set_fields(LAYOUT, {ids_of(1)[0]: {"title": "\ud800\ud800"}})
    assert store.read(LAYOUT, ids_of(1))[0].fields["title"] == "??"


def test_times_are_told_apart_to_the_millisecond(store: VectorStore) -> None:
    store.create(LAYOUT)
    noon = 1_790_000_000.0
    store.upsert(LAYOUT, [point(n, expires_at=noon + n / 1000) for n in range(1, 4)])
    assert scrolled(store, where=must(Range("expires_at", above=noon + 0.001, below=noon + 0.003))) == ids_of(2)


def test_large_small_and_whole_numbers_are_compared_alike(store: VectorStore) -> None:
    store.create(LAYOUT)
    numbers = [-(2**53), -1.5, -1, 0, 1e-9, 1, 253_402_300_799.0, 2**53, 1e15]
    store.upsert(LAYOUT, [point(n, expires_at=each) for n, each in enumerate(numbers, 1)])
    assert scrolled(store, where=must(Range("expires_at", below=0.0))) == ids_of(1, 2, 3)
    assert scrolled(store, where=must(Range("expires_at", above=0, at_most=1))) == ids_of(5, 6)
    assert scrolled(store, where=must(Range("expires_at", at_least=253_402_300_799))) == ids_of(7, 8, 9)
    assert scrolled(store, where=must(Equals("expires_at", 2**53))) == ids_of(8)


def test_a_filter_by_what_is_not_declared_is_refused_with_all_of_it(filled: VectorStore) -> None:
    where = Filter(must=(Equals("colour", "red"),), must_not=(Range("source", above=1), Equals("expires_at", "x")))
    said = (
        r"'colour' is not declared.*'source' is a keyword, asked for as a number.*'expires_at' is a number.*"
        r"source \(keyword\)"
    )
    for ask in (
        lambda: hits(filled, query(where=where)),
        lambda: filled.count(LAYOUT, where),
        lambda: filled.scroll(LAYOUT, where),
        lambda: filled.delete_where(LAYOUT, where),
    ):
        with pytest.raises(FieldError, match=said):
            ask()
    assert filled.count(LAYOUT) == 3


def test_a_bound_that_is_no_number_is_refused(filled: VectorStore) -> None:
    for bound in (float("nan"), float("inf"), 2**60):
        with pytest.raises(FieldError, match=r"asked for as .*expected a finite number"):
            filled.count(LAYOUT, must(Range("expires_at", below=bound)))
