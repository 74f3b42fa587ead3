"""What every vector store refuses, with the same errors, and what it makes of what it takes.

Said before anything is sent or stored. A text is stored and asked for as UTF-8 carries it: a lone surrogate becomes
`?`, in points and in filters alike. What is wrong with several points of a call is told of them all.
"""

import math
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from functions.events.utf8 import storable
from functions.ports.vector_stores import (
    Condition,
    Equals,
    FieldError,
    Fields,
    Filter,
    Layout,
    LayoutError,
    NoSuchCollectionError,
    OneOf,
    Point,
    PointsError,
    Query,
    Terms,
    Value,
    Vector,
    VectorStoreError,
)

if TYPE_CHECKING:
    import numpy as np

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,199}")
_FIELD = re.compile(r"[a-z0-9_]{1,63}")
_MOST_DIMENSIONS = 65_536
_LARGEST_INTEGER = 2**53  # every one up to here is a number in every store
_WORDS = 2**32
_SHORTEST, _LONGEST = 1e-15, 1e15  # of vectors: their squares still are numbers of 32 bits
_TOLD = 5  # problems of a batch that are told one by one


def check_layout(layout: Layout) -> None:
    """Refuse a layout that some store could not keep.

    Raises:
        LayoutError: Its name, its dimension or its fields.
    """
    wrong = _name_problems(layout.name)
    if not 0 < layout.dimension <= _MOST_DIMENSIONS:
        wrong.append(f"the dimension {layout.dimension}: expected 1 to {_MOST_DIMENSIONS}")
    wrong += [
        f"the field {each!r}: expected 1 to 63 of a-z, 0-9 and '_'" for each in layout.fields if not _is_field(each)
    ]
    if wrong:
        raise LayoutError(f"no such collection can be made: {'; '.join(wrong)}")


def check_name(name: str) -> None:
    """Refuse to drop what no collection can be called: a store may make a path of it.

    Raises:
        LayoutError: The name.
    """
    if wrong := _name_problems(name):
        raise LayoutError(f"nothing was dropped: {wrong[0]}")


def check_same(layout: Layout, found: Layout) -> None:
    """Refuse to use a collection as what it is not.

    Raises:
        LayoutError: It was made for another encoder, dimension or distance.
    """
    differences = [
        f"{what} {ours} was expected, and it has {theirs}"
        for what, ours, theirs in (
            ("encoder", layout.encoder, found.encoder),
            ("dimension", layout.dimension, found.dimension),
            ("distance", layout.distance, found.distance),
        )
        if ours != theirs
    ]
    if differences:
        raise LayoutError(
            f"the collection {layout.name} was made otherwise: {'; '.join(differences)}: a collection never changes, "
            "make another version of it"
        )


def check_points(layout: Layout, points: Sequence[Point]) -> list[Point]:
    """The points as they are stored: each id once, of several the last.

    Raises:
        PointsError: What is wrong with them, up to 5 told one by one.
    """
    _refuse([problem for point in points for problem in _problems(layout, point)], "nothing was stored")
    newest = {point.id: point for point in points}
    return [msgspec.structs.replace(point, fields=storable_fields(point.fields)) for point in newest.values()]


def check_queries(layout: Layout, queries: Sequence[Query]) -> list[Query]:
    """The queries as they are asked.

    Raises:
        PointsError: A vector, terms, or a limit below 1.
        FieldError: A filter.
    """
    problems = []
    asked = []
    for number, query in enumerate(queries):
        found = [*_vector_problems(layout, query.vector), *_terms_problems(query.terms or Terms())]
        if query.limit < 1:
            found.append(f"the limit {query.limit}: expected 1 or more")
        problems += [f"query {number}: {each}" for each in found]
        where, rarity = check_filter(layout, query.where), check_filter(layout, query.rarity)
        asked.append(msgspec.structs.replace(query, where=where, rarity=rarity))
    _refuse(problems, "nothing was searched")
    return asked


def check_filter(layout: Layout, where: Filter) -> Filter:
    """The filter as it is asked.

    Raises:
        FieldError: All fields that are not declared, and those of another kind.
    """
    wrong = [problem for each in (*where.must, *where.must_not) for problem in _condition_problems(layout, each)]
    if wrong:
        known = ", ".join(f"{name} ({kind})" for name, kind in sorted(layout.fields.items())) or "none"
        raise FieldError(f"a filter cannot be used: {'; '.join(wrong)}; the fields of {layout.name} are {known}")
    return Filter(
        must=tuple(_storable_condition(each) for each in where.must),
        must_not=tuple(_storable_condition(each) for each in where.must_not),
    )


def check_ids(ids: Iterable[str]) -> list[str]:
    """The ids, each once, in order.

    Raises:
        PointsError: Some are no UUIDs.
    """
    asked = list(dict.fromkeys(ids))
    _refuse([f"the id {each!r}: expected a UUID" for each in asked if not _is_id(each)], "nothing was done")
    return asked


def check_fields(fields: Mapping[str, Fields], layout: Layout) -> dict[str, Fields]:
    """The fields as they are set, by id.

    Raises:
        PointsError: What is wrong with them.
    """
    wrong = [f"the id {each!r}: expected a UUID" for each in fields if not _is_id(each)]
    wrong += [f"point {id_}: {each}" for id_, given in fields.items() for each in _field_problems(layout, given)]
    _refuse(wrong, "nothing was set")
    return {id_: storable_fields(given) for id_, given in fields.items()}


def check_page(after: str, limit: int) -> None:
    """Refuse a page that is none.

    Raises:
        PointsError: It begins after what is no id, or is for less than one point.
    """
    wrong = [] if not after or _is_id(after) else [f"a page after {after!r}: expected the id of a point, or nothing"]
    if limit < 1:
        wrong.append(f"a page of {limit} points: expected 1 or more")
    _refuse(wrong, "nothing was read")


def check_open(*, is_open: bool) -> None:
    """Refuse to use a store that was closed.

    Raises:
        VectorStoreError: It was.
    """
    if not is_open:
        raise VectorStoreError("the vector store is closed: open another one")


def no_such_collection(name: str) -> NoSuchCollectionError:
    """The error for a collection that is not there."""
    return NoSuchCollectionError(f"there is no collection {name}: create it first")


def passes(where: Filter, fields: Fields) -> bool:
    """Whether a filter passes a point that says this."""
    return all(_holds(each, fields) for each in where.must) and not any(_holds(each, fields) for each in where.must_not)


def _holds(condition: Condition, fields: Fields) -> bool:
    value = fields.get(condition.field)
    if value is None:
        return False
    if isinstance(condition, Equals):
        return condition.value in _values(value)
    if isinstance(condition, OneOf):
        return any(each in condition.values for each in _values(value))
    if isinstance(value, str) or not isinstance(value, int | float):
        return False
    return (
        (condition.above is None or value > condition.above)
        and (condition.at_least is None or value >= condition.at_least)
        and (condition.below is None or value < condition.below)
        and (condition.at_most is None or value <= condition.at_most)
    )


def _values(value: Value) -> Sequence[object]:
    return [value] if isinstance(value, str | int | float) else value


def storable_fields(fields: Fields) -> dict[str, Value]:
    """The fields with all texts as they are stored, sequences as lists."""
    return {name: _storable_value(value) for name, value in fields.items()}


def _storable_value(value: Value) -> Value:
    if isinstance(value, str):
        return storable(value)
    return value if isinstance(value, int | float) else [storable(each) for each in value]


def _storable_condition(condition: Condition) -> Condition:
    if isinstance(condition, Equals) and isinstance(condition.value, str):
        return Equals(condition.field, storable(condition.value))
    if isinstance(condition, OneOf):
        return OneOf(condition.field, tuple(storable(each) for each in condition.values))
    return condition


def _name_problems(name: str) -> list[str]:
    if _NAME.fullmatch(name):
        return []
    return [f"the name {name!r}: expected 1 to 200 of a-z, 0-9, '.', '-' and '_', a letter or digit first"]


def _problems(layout: Layout, point: Point) -> Iterator[str]:
    if not _is_id(point.id):
        yield f"the id {point.id!r}: expected a UUID"
    found = [] if point.vector is not None else ["it has no vector"]
    if point.vector is not None:
        found += _vector_problems(layout, point.vector)
    found += _terms_problems(point.terms)
    found += _field_problems(layout, point.fields)
    yield from (f"point {point.id}: {each}" for each in found)


def _vector_problems(layout: Layout, vector: Vector) -> list[str]:
    import numpy as np  # noqa: PLC0415 - as in functions.ports.encoders

    shape: tuple[int, ...] = np.shape(vector)
    if shape != (layout.dimension,):
        return [f"its vector has the shape {shape}, expected ({layout.dimension},)"]
    return _number_problems(np.asarray(vector))


def _number_problems(vector: "np.ndarray[tuple[int, ...], np.dtype[np.float32]]") -> list[str]:
    length = math.sqrt(float((vector.astype("float64") ** 2).sum()))
    if not math.isfinite(length):
        return ["its vector holds NaN or infinity"]
    if length == 0:
        return ["its vector is zero"]
    if not _SHORTEST <= length <= _LONGEST:
        return [f"its vector is {length:.0e} long: expected {_SHORTEST:.0e} to {_LONGEST:.0e}"]
    return []


def _terms_problems(terms: Terms) -> list[str]:
    if len(terms.indices) != len(terms.weights):
        return [f"{len(terms.indices)} terms have {len(terms.weights)} weights"]
    wrong = []
    if len(set(terms.indices)) < len(terms.indices):
        wrong.append("a term is there twice")
    if not all(0 <= index < _WORDS for index in terms.indices):
        wrong.append("a term's number is not one of 0 to 2**32 - 1")
    if not all(0 < weight < math.inf for weight in terms.weights):
        wrong.append("a term's weight is not above 0, or infinite")
    return wrong


def _field_problems(layout: Layout, fields: Fields) -> list[str]:
    wrong = [f"the field {name!r}: expected 1 to 63 of a-z, 0-9 and '_'" for name in fields if not _is_field(name)]
    expected = {name: layout.fields.get(name, "any") for name in fields}
    return wrong + [
        f"the field {name!r} is {value!r:.40}: expected {_EXPECTED[expected[name]]}"
        for name, value in fields.items()
        if not _FITS[expected[name]](value)
    ]


def _condition_problems(layout: Layout, condition: Condition) -> list[str]:
    kind = layout.fields.get(condition.field)
    if kind is None:
        return [f"{condition.field!r} is not declared"]
    wanted = "keyword" if isinstance(condition, OneOf) or isinstance(_bounds(condition)[0], str) else "number"
    if wanted != kind:
        return [f"{condition.field!r} is a {kind}, asked for as a {wanted}"]
    wrong = [each for each in _bounds(condition) if each is not None and not _FITS[kind](each)]
    return [f"{condition.field!r} is asked for as {each!r:.40}: expected {_EXPECTED[kind]}" for each in wrong]


def _bounds(condition: Condition) -> tuple[object, ...]:
    if isinstance(condition, Equals):
        return (condition.value,)
    if isinstance(condition, OneOf):
        return condition.values or (None,)
    return (condition.above, condition.at_least, condition.below, condition.at_most)


def _is_keyword(value: object) -> bool:
    return isinstance(value, str) or (isinstance(value, list | tuple) and all(isinstance(each, str) for each in value))


def _is_number(value: object) -> bool:
    if isinstance(value, bool):
        return False
    return abs(value) <= _LARGEST_INTEGER if isinstance(value, int) else _is_finite(value)


def _is_finite(value: object) -> bool:
    return isinstance(value, float) and math.isfinite(value)


def _is_value(value: object) -> bool:
    return isinstance(value, bool) or _is_keyword(value) or _is_number(value)


_FITS = {"keyword": _is_keyword, "number": _is_number, "any": _is_value}
_NUMBER = "a finite number, and of integers one within 2**53"
_EXPECTED = {
    "keyword": "a string or a list of strings",
    "number": _NUMBER,
    "any": f"a string, a boolean, a list of strings or {_NUMBER}",
}


def _is_id(given: object) -> bool:
    try:
        return isinstance(given, str) and str(uuid.UUID(given)) == given
    except ValueError:
        return False


def _is_field(name: object) -> bool:
    return isinstance(name, str) and _FIELD.fullmatch(name) is not None


def _refuse(problems: Sequence[str], outcome: str) -> None:
    if problems:
        more = f"; and {len(problems) - _TOLD} more" if len(problems) > _TOLD else ""
        raise PointsError(f"{outcome}: {'; '.join(problems[:_TOLD])}{more}")
