"""The port of a vector store: physical collections of points, whatever product holds them.

Only `functions.collections` calls it: agents ask a collection by text. Every store gives the same answers to the same
calls and raises the same errors; tests/stores proves it for each. Safe to use from several threads.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

import msgspec

from functions.errors import TroupeError

if TYPE_CHECKING:  # as in functions.ports.encoders
    import numpy as np
    from numpy.typing import NDArray

    Vector = NDArray[np.float32]
else:
    Vector = Any

Value = str | int | float | bool | Sequence[str]
Fields = Mapping[str, Value]
Kind = Literal["keyword", "number"]  # a keyword field holds a string or a list of strings
Distance = Literal["cosine", "dot"]

NEVER = 253_402_300_799.0  # the last second of the year 9999: `expires_at` of what stays
SCROLL_POINTS = 1_000


class VectorStoreError(TroupeError):
    """A vector store could not do what it was asked."""


class NoSuchCollectionError(VectorStoreError, LookupError):
    """There is no physical collection of this name."""


class LayoutError(VectorStoreError):
    """A physical collection is there and was made otherwise: another encoder, dimension or distance."""


class PointsError(VectorStoreError, ValueError):
    """Points or queries that no store takes, all of them named: NaN, zero or short vectors, ids, kinds of values."""


class FieldError(VectorStoreError, ValueError):
    """A filter asks for a field that the layout does not declare, or as another kind."""


class UnavailableError(VectorStoreError):
    """A store did not answer, or is busy, and trying again in time did not help: nothing is known of the outcome."""


class RefusedError(VectorStoreError):
    """A store understood and refused: its key, its limits, its disk."""


class PartlyRefusedError(RefusedError):
    """A store took some points of a batch and refused others; storing the batch again is safe.

    Attributes:
        ids: Of the points that it refused.
    """

    def __init__(self, message: str, ids: Sequence[str]) -> None:
        super().__init__(message)
        self.ids = tuple(ids)


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """What a physical collection is made for; it never changes.

    Attributes:
        name: The physical name, which carries version and encoder: 1 to 200 of a-z, 0-9, `.`, `-` and `_`, a letter or
            digit first. A store that takes fewer characters makes its own name of it, one to one.
        encoder: The version of the encoder that makes its vectors.
        dimension: Their length.
        distance: Greater is nearer with both; unit vectors make them the same.
        fields: Which fields can be filtered by, and their kind.
    """

    name: str
    encoder: str
    dimension: int
    distance: Distance = "cosine"
    fields: Mapping[str, Kind] = {}


class Terms(msgspec.Struct, frozen=True):
    """A sparse vector: the words of a text.

    Attributes:
        indices: Each word's number, 0 to 2**32 - 1, each once.
        weights: Of each, above 0.
    """

    indices: tuple[int, ...] = ()
    weights: tuple[float, ...] = ()


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """What is stored.

    Attributes:
        id: A UUID in its usual form, lower case.
        vector: Of the layout's dimension, finite, not zero, 1e-15 to 1e15 long; None where it was not asked for. Stores
            that keep vectors for the cosine may give it back at unit length.
        terms: The words, for stores that search them, which give them back with the vector.
        fields: What it says: strings, finite numbers, booleans, lists of strings; of integers those within 2**53. A
            name is 1 to 63 of a-z, 0-9 and `_`. A lone surrogate, which UTF-8 cannot carry, is stored as `?`.
    """

    id: str
    vector: Vector | None = None
    terms: Terms = Terms()
    fields: Fields = {}


class Equals(msgspec.Struct, frozen=True):
    """The field is this value; of a list of strings, one of them is."""

    field: str
    value: str | float


class OneOf(msgspec.Struct, frozen=True):
    """The field is one of these values; of a list of strings, one of them is. No values match nothing."""

    field: str
    values: tuple[str, ...]


class Range(msgspec.Struct, frozen=True):
    """The number is within these bounds, where they are given; a point without the field is not."""

    field: str
    above: float | None = None
    at_least: float | None = None
    below: float | None = None
    at_most: float | None = None


Condition = Equals | OneOf | Range


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """All of `must` and none of `must_not`; empty, it passes every point."""

    must: tuple[Condition, ...] = ()
    must_not: tuple[Condition, ...] = ()


EVERYTHING = Filter()


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """One question to a collection.

    Attributes:
        vector: What to be near to.
        terms: The words to share, where words count.
        where: What may be found at all.
        limit: How many; with `terms`, the nearest `limit` and the `limit` that share most words, together.
        rarity: Among whose points a word is rare or common: those that this passes, e.g. one tenant's.
    """

    vector: Vector
    terms: Terms | None = None
    where: Filter = EVERYTHING
    limit: int = 10
    rarity: Filter = EVERYTHING


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """A point that was found.

    Attributes:
        id: Of the point.
        score: Of the vectors, by the layout's distance: the cosine is -1 to 1.
        words: Of the words that it shares with the query, each weighed by its rarity; 0 without any, and always 0
            from a store that searches no words.
        fields: All that it says.
    """

    id: str
    score: float
    words: float = 0.0
    fields: Fields = {}


class VectorStore(Protocol):
    """Physical collections in one product.

    Every call may raise `UnavailableError` and `RefusedError`; every call with a layout raises `NoSuchCollectionError`
    where it is not there, and `LayoutError` where it was made otherwise. After `close`, every call raises
    `VectorStoreError`.
    """

    @property
    def searches_words(self) -> bool:
        """Whether `Query.terms` is looked for; where not, it is ignored."""
        ...

    def create(self, layout: Layout) -> None:
        """Make a collection that can be used at once; one that is there with the same layout stays as it is.

        Raises:
            LayoutError: One of this name is there and was made otherwise.
        """
        ...

    def drop(self, name: str) -> None:
        """Remove a collection and everything in it; one that is not there is no error.

        Raises:
            LayoutError: No collection can have this name.
        """
        ...

    def layouts(self) -> Sequence[Layout]:
        """The collections that are there, by name."""
        ...

    def upsert(self, layout: Layout, points: Sequence[Point]) -> None:
        """Store points durably, each in the place of the one with its id; the next search finds them.

        Of several points with one id in a call the last counts. Vector and fields are replaced as a whole.

        Raises:
            PointsError: Some cannot be stored; nothing was.
            PartlyRefusedError: The store refused some.
        """
        ...

    def search(self, layout: Layout, queries: Sequence[Query]) -> Sequence[Sequence[Hit]]:
        """What each query finds, greatest score first; equal scores in the order of their ids.

        Raises:
            PointsError: A vector cannot be searched.
            FieldError: A filter asks for what the layout does not declare.
        """
        ...

    def read(self, layout: Layout, ids: Iterable[str], *, vectors: bool = False) -> Sequence[Point]:
        """The points of these ids, those that exist, in the order asked, each once; with their vectors if asked."""
        ...

    def set_fields(self, layout: Layout, fields: Mapping[str, Fields]) -> None:
        """Set some fields of points, by id; others stay, vectors stay, and no point is added."""
        ...

    def delete(self, layout: Layout, ids: Iterable[str]) -> None:
        """Remove points; one that is not there is no error."""
        ...

    def delete_where(self, layout: Layout, where: Filter) -> None:
        """Remove the points that a filter passes.

        Raises:
            FieldError: As with `search`.
        """
        ...

    def erase(self, layout: Layout, ids: Iterable[str]) -> None:
        """Remove points, and every byte of what was ever removed or replaced, as far as the product can."""
        ...

    def count(self, layout: Layout, where: Filter = EVERYTHING) -> int:
        """How many points a filter passes, exactly."""
        ...

    def scroll(
        self,
        layout: Layout,
        where: Filter = EVERYTHING,
        *,
        after: str = "",
        limit: int = SCROLL_POINTS,
        vectors: bool = False,
    ) -> Sequence[Point]:
        """The first `limit` points that a filter passes and whose id is greater than `after`, in the order of ids.

        `after` is an id, of a point that is there or not, or empty.

        Every point that is there from the first page to the last is given once.
        """
        ...

    def optimize(self, layout: Layout) -> None:
        """Build or tidy the search index, where the product does not by itself; may take minutes.

        Others search and write meanwhile, and a `close` does not wait for it. Whoever keeps a store asks for it every
        minute: where little was stored since the last time, it does little or nothing.
        """
        ...

    def close(self) -> None:
        """Release files and connections; what was stored is durable. Closing again does nothing."""
        ...


def pages(scroll: Callable[[str], Sequence[Point]], after: str = "") -> Iterator[Sequence[Point]]:
    """Every page that `scroll` gives of what comes after an id, the first one's `after`, until there is none."""
    while page := scroll(after):
        yield page
        after = page[-1].id
