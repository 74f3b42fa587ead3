"""What the tests of vector stores put in, and how they ask for it."""

import uuid
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from functions.ports.vector_stores import EVERYTHING, Filter, Hit, Layout, Point, Query, Terms, Value, VectorStore

LAYOUT = Layout(
    name="documents_v1_small.1", encoder="small.1", dimension=4, fields={"source": "keyword", "expires_at": "number"}
)


def id_of(number: int) -> str:
    return str(uuid.UUID(int=number))


def ids_of(*numbers: int) -> list[str]:
    return [id_of(number) for number in numbers]


def vector(*values: float) -> NDArray[np.float32]:
    return np.array(values, np.float32)


def point(number: int, *values: float, terms: dict[int, float] | None = None, **fields: Value) -> Point:
    words = Terms(tuple(terms or {}), tuple((terms or {}).values()))
    return Point(id=id_of(number), vector=vector(*(values or (1, 0, 0, 0))), terms=words, fields=fields)


def query(*values: float, terms: dict[int, float] | None = None, where: Filter = EVERYTHING, limit: int = 10) -> Query:
    words = None if terms is None else Terms(tuple(terms), tuple(terms.values()))
    return Query(vector=vector(*(values or (1, 0.1, 0, 0))), terms=words, where=where, limit=limit)


def hits(store: VectorStore, asked: Query, layout: Layout = LAYOUT) -> Sequence[Hit]:
    (found,) = store.search(layout, [asked])
    return found


def found(store: VectorStore, asked: Query, layout: Layout = LAYOUT) -> list[str]:
    return [hit.id for hit in hits(store, asked, layout)]


def scrolled(store: VectorStore, layout: Layout = LAYOUT, where: Filter = EVERYTHING) -> list[str]:
    return [each.id for each in store.scroll(layout, where)]


def pages(store: VectorStore, limit: int) -> Iterator[list[str]]:
    """Page after page, as long as the next one begins after the last."""
    after = ""
    while page := [each.id for each in store.scroll(LAYOUT, after=after, limit=limit)]:
        assert page[0] > after, "a page does not begin after the one before it"
        yield page
        after = page[-1]


THREE = [
    point(1, 1, 0, 0, 0, source="a", expires_at=1.0),
    point(2, 0.8, 0.6, 0, 0, source="b", expires_at=2.0),
    point(3, 0, 1, 0, 0, source=["a", "c"], expires_at=3.0),
]
