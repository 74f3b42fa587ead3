"""Whatever is done to a store, in whatever order: it answers like the one that keeps everything in memory."""

import itertools
from typing import Any

import msgspec
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stored import LAYOUT, id_of

from functions.ports.vector_stores import (
    Equals,
    Fields,
    Filter,
    Hit,
    OneOf,
    Point,
    Query,
    Range,
    VectorStore,
)
from tests.memory_store import MemoryStore

_NUMBERS = itertools.count()
_IDS = st.integers(0, 12).map(id_of)
_SOURCES = st.sampled_from(["a", "b", "c d", "Ü"])
_FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "source": _SOURCES | st.lists(_SOURCES, max_size=3),
        "expires_at": st.integers(-3, 3) | st.sampled_from([0.5, 1e6]),
        "title": st.text(st.characters(codec="utf-8"), max_size=20) | st.booleans(),
    },
)
# Directions that are far apart, so that what should be equal is and what should not be is not.
_VECTORS = st.sampled_from([v for v in itertools.product((-1.0, 0.0, 1.0), repeat=4) if any(v)]).map(
    lambda values: np.array(values, np.float32)
)
_BOUNDS = st.none() | st.integers(-3, 3)
_CONDITIONS = (
    st.builds(Equals, st.just("source"), _SOURCES)
    | st.builds(Equals, st.just("expires_at"), st.integers(-3, 3))
    | st.builds(OneOf, st.just("source"), st.lists(_SOURCES, max_size=2).map(tuple))
    | st.builds(Range, st.just("expires_at"), above=_BOUNDS, at_most=_BOUNDS)
    | st.builds(Range, st.just("expires_at"), at_least=_BOUNDS, below=_BOUNDS)
)
_SOME = st.lists(_CONDITIONS, max_size=2).map(tuple)
_FILTERS = st.builds(Filter, must=_SOME, must_not=_SOME)
_POINTS = st.builds(Point, id=_IDS, vector=_VECTORS, fields=_FIELDS)
_QUERIES = st.builds(Query, vector=_VECTORS, where=_FILTERS, limit=st.integers(1, 20))
_STEPS = st.one_of(
    st.tuples(st.just("upsert"), st.lists(_POINTS, max_size=8)),
    st.tuples(st.just("search"), st.lists(_QUERIES, max_size=3)),
    st.tuples(st.just("read"), st.lists(_IDS, max_size=5)),
    st.tuples(st.just("set_fields"), st.dictionaries(_IDS, _FIELDS, max_size=4)),
    st.tuples(st.just("delete"), st.lists(_IDS, max_size=4)),
    st.tuples(st.just("delete_where"), _FILTERS),
    st.tuples(st.just("erase"), st.lists(_IDS, max_size=2)),
    st.tuples(st.just("count"), _FILTERS),
    st.tuples(st.just("scroll"), _FILTERS),
)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    steps=st.lists(_STEPS, min_size=4, max_size=20),
    first=st.lists(_POINTS, min_size=6, max_size=12),
    distance=st.sampled_from(["cosine", "dot"]),
)
def test_the_same_calls_have_the_same_answers(
    store: VectorStore, steps: list[tuple[str, Any]], first: list[Point], distance: str
) -> None:
    layout = msgspec.structs.replace(LAYOUT, name=f"random_v{next(_NUMBERS)}", distance=distance)
    expected = MemoryStore()
    for each in (store, expected):
        each.create(layout)
        each.upsert(layout, first)
    for call, argument in [*steps, ("scroll", Filter())]:
        answers = [getattr(each, call)(layout, argument) for each in (store, expected)]
        if call == "search":
            _assert_same_hits(argument, *answers)
        else:
            assert answers[0] == answers[1], (call, argument)
    store.drop(layout.name)


def _assert_same_hits(queries: list[Query], ours: list[list[Hit]], theirs: list[list[Hit]]) -> None:
    assert len(ours) == len(theirs) == len(queries)
    for mine, other in zip(ours, theirs, strict=True):
        assert _scores(mine) == _scores(other)
        # Of those that are as near as the last one, which were left out is the store's to choose.
        last = _scores(other)[-1:]
        assert _nearer(mine, last) == _nearer(other, last)


def _scores(hits: list[Hit]) -> list[float]:
    return [round(hit.score, 3) + 0.0 for hit in hits]


def _nearer(hits: list[Hit], last: list[float]) -> list[tuple[float, str, Fields]]:
    known = [(round(hit.score, 3) + 0.0, hit.id, hit.fields) for hit in hits]
    return sorted((each for each in known if each[0] not in last), key=lambda each: each[:2])
