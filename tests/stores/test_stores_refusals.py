"""What every vector store refuses, all of it named, with nothing stored or changed."""

import msgspec
import numpy as np
import pytest
from stored import LAYOUT, THREE, hits, id_of, point, query, scrolled, vector

from functions.ports.vector_stores import Point, PointsError, Query, Terms, VectorStore

GOOD = point(4, 1, 0, 0, 0)
WRONG = {
    "zero": (point(5, 0, 0, 0, 0), "its vector is zero"),
    "NaN": (point(5, float("nan"), 0, 0, 0), "NaN or infinity"),
    "infinity": (point(5, float("inf"), 0, 0, 0), "NaN or infinity"),
    "short": (point(5, 1, 0, 0), r"shape \(3,\), expected \(4,\)"),
    "long": (point(5, 1, 0, 0, 0, 0), r"shape \(5,\)"),
    "nested": (Point(id=id_of(5), vector=np.ones((1, 4), np.float32)), r"shape \(1, 4\)"),
    "none": (Point(id=id_of(5)), "no vector"),
    "too short to be measured": (point(5, 1e-20, 0, 0, 0), "long: expected 1e-15 to 1e"),
    "too long to be measured": (point(5, 1e18, 0, 0, 0), "long: expected 1e-15 to 1e"),
    "id no UUID": (Point(id="5", vector=vector(1, 0, 0, 0)), "the id '5': expected a UUID"),
    "id in capitals": (Point(id="ABCDEF00-0000-0000-0000-000000000000", vector=vector(1, 0, 0, 0)), "expected a UUID"),
    "id without dashes": (Point(id="0" * 32, vector=vector(1, 0, 0, 0)), "expected a UUID"),
    "keyword a number": (point(5, source=1), "'source' is 1: expected a string or a list"),
    "keyword a boolean": (point(5, source=True), "'source' is True"),
    "list of numbers": (point(5, source=["a", 1]), "'source' is"),
    "number a string": (point(5, expires_at="1"), "'expires_at' is '1': expected a finite number"),
    "number a boolean": (point(5, expires_at=True), "'expires_at' is True"),
    "number NaN": (point(5, expires_at=float("nan")), "'expires_at' is nan"),
    "number infinite": (point(5, expires_at=float("inf")), "'expires_at' is inf"),
    "number too large": (point(5, expires_at=10**400), r"'expires_at' is 1000.*within 2\*\*53"),
    "any None": (point(5, title=None), "'title' is None: expected a string, a boolean"),
    "any NaN": (point(5, title=float("nan")), "'title' is nan"),
    "any too large": (point(5, title=2**53 + 1), r"'title' is 9007199254740993: .*within 2\*\*53"),
    "any a map": (point(5, title={"a": 1}), "'title' is {'a': 1}"),
    "field name": (
        Point(id=id_of(5), vector=vector(1, 0, 0, 0), fields={"a.b": "x", "": "y"}),
        r"'a\.b'.*the field ''",
    ),
    "field name too long": (point(5, **{"f" * 64: "x"}), "expected 1 to 63"),
    "terms uneven": (msgspec.structs.replace(GOOD, terms=Terms((1, 2), (1.0,))), "2 terms have 1 weights"),
    "terms twice": (msgspec.structs.replace(GOOD, terms=Terms((1, 1), (1.0, 1.0))), "a term is there twice"),
    "terms out of range": (msgspec.structs.replace(GOOD, terms=Terms((2**32,), (1.0,))), "number is not one of 0"),
    "terms without weight": (msgspec.structs.replace(GOOD, terms=Terms((1,), (0.0,))), "weight is not above 0"),
}


def test_of_a_batch_with_a_wrong_point_nothing_is_stored(filled: VectorStore) -> None:
    for wrong, said in WRONG.values():
        with pytest.raises(PointsError, match=f"nothing was stored.*{said}"):
            filled.upsert(LAYOUT, [GOOD, wrong, point(1, 0, 0, 0, 1)])
    assert [each.fields for each in filled.scroll(LAYOUT)] == [each.fields for each in THREE]


def test_all_that_is_wrong_with_a_batch_is_told_at_once(filled: VectorStore) -> None:
    wrong = [GOOD, point(5, 0, 0, 0, 0), point(6, 1, 0, 0), point(7, float("nan"), 0, 0, 0, source=1)]
    with pytest.raises(PointsError, match=rf"{id_of(5)}: .*zero.*{id_of(6)}: .*shape.*{id_of(7)}: .*NaN.*'source'"):
        filled.upsert(LAYOUT, wrong)
    with pytest.raises(PointsError, match=r"; and 15 more$"):
        filled.upsert(LAYOUT, [point(n, 0, 0, 0, 0) for n in range(20)])
    assert filled.count(LAYOUT) == 3


def test_what_cannot_be_searched_is_refused(filled: VectorStore) -> None:
    for wrong, said in (
        (query(0, 0, 0, 0), "its vector is zero"),
        (query(1, 0, 0), r"shape \(3,\)"),
        (query(float("nan"), 0, 0, 0), "NaN"),
        (query(limit=0), "the limit 0"),
        (query(limit=-1), "the limit -1"),
        (Query(vector=vector(1, 0, 0, 0), terms=Terms((1,), (-1.0,))), "weight is not above 0"),
    ):
        with pytest.raises(PointsError, match=f"nothing was searched: query 1: .*{said}"):
            filled.search(LAYOUT, [query(), wrong])


def test_ids_that_are_none_are_refused_with_all_of_them(filled: VectorStore) -> None:
    asked = [id_of(1), "two", "", "3"]
    for ask in (filled.read, filled.delete, filled.erase):
        with pytest.raises(PointsError, match=r"'two'.*''.*'3'"):
            ask(LAYOUT, asked)
    assert filled.count(LAYOUT) == 3


def test_fields_that_cannot_be_set_are_refused_and_none_is_set(filled: VectorStore) -> None:
    wrong = {id_of(1): {"source": "new"}, id_of(2): {"source": 1, "a.b": "x"}, "three": {"expires_at": "x"}}
    with pytest.raises(
        PointsError, match=r"nothing was set: the id 'three'.*'a\.b'.*'source' is 1.*'expires_at' is 'x'"
    ):
        filled.set_fields(LAYOUT, wrong)
    assert [each.fields for each in filled.scroll(LAYOUT)] == [each.fields for each in THREE]


def test_a_page_that_is_none_is_refused(filled: VectorStore) -> None:
    with pytest.raises(PointsError, match=r"a page after 'x'.*a page of 0 points"):
        filled.scroll(LAYOUT, after="x", limit=0)
    assert len(scrolled(filled)) == 3


def test_what_a_caller_changes_afterwards_changes_nothing_stored(store: VectorStore) -> None:
    store.create(LAYOUT)
    given, fields = vector(1, 0, 0, 0), {"source": "a"}
    store.upsert(LAYOUT, [Point(id=id_of(1), vector=given, fields=fields)])
    given[:], fields["source"] = 9, "changed"
    (hit,) = hits(store, query(1, 0, 0, 0))
    assert hit.score == pytest.approx(1, abs=1e-5)
    assert hit.fields == {"source": "a"}


def test_what_a_caller_changes_in_an_answer_changes_nothing_stored(filled: VectorStore) -> None:
    for answer in (filled.read(LAYOUT, [id_of(1)], vectors=True), filled.scroll(LAYOUT, limit=1, vectors=True)):
        assert answer[0].vector is not None
        answer[0].vector[:] = 0
        dict.update(answer[0].fields, source="changed")
    dict.update(hits(filled, query(1, 0, 0, 0))[0].fields, source="changed")
    (hit,) = hits(filled, query(1, 0, 0, 0, limit=1))
    assert (hit.score, hit.fields) == (pytest.approx(1, abs=1e-5), THREE[0].fields)
