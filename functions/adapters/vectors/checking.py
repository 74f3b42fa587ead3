"""What every vector store refuses, with the same errors: said before anything is sent or stored."""

import math
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from functions.ports.vector_stores import (
    Condition,
    Equals,
    FieldError,
    Fields,
    Filter,
    Layout,
    LayoutError,
    OneOf,
    Point,
    PointsError,
    Query,
    Vector,
)

if TYPE_CHECKING:
    import numpy as np

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,199}")
_FIELD = re.compile(r"[a-z0-9_]{1,63}")
_MOST_DIMENSIONS = 65_536
_TOLD = 5  # problems of a batch that are told one by one


def check_layout(layout: Layout) -> None:
    """Refuse a layout that some store could not keep.

    Raises:
        LayoutError: Its name, its dimension or its fields.
    """
    wrong = []
    if not _NAME.fullmatch(layout.name):
        wrong.append(f"the name {layout.name!r}: expected 1 to 200 of a-z, 0-9, '.', '-' and '_'")
    if not 0 < layout.dimension <= _MOST_DIMENSIONS:
        wrong.append(f"the dimension {layout.dimension}: expected 1 to {_MOST_DIMENSIONS}")
    wrong += [
        f"the field {each!r}: expected 1 to 63 of a-z, 0-9 and '_'" for each in layout.fields if not _is_field(each)
    ]
    if wrong:
        raise LayoutError(f"no such collection can be made: {'; '.join(wrong)}")


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


def check_points(layout: Layout, points: Sequence[Point]) -> None:
    """Refuse points that cannot be stored.

    Raises:
        PointsError: What is wrong with them, up to 5 told one by one.
    """
    _refuse([problem for point in points for problem in _problems(layout, point)], "nothing was stored")


def check_queries(layout: Layout, queries: Sequence[Query]) -> None:
    """Refuse queries that cannot be asked.

    Raises:
        PointsError: A vector, or a limit below 1.
        FieldError: A filter.
    """
    problems = []
    for number, query in enumerate(queries):
        problems += [f"query {number}: {each}" for each in _vector_problems(layout, query.vector)]
        if query.limit < 1:
            problems.append(f"query {number}: the limit {query.limit}: expected 1 or more")
        check_filter(layout, query.where)
        check_filter(layout, query.rarity)
    _refuse(problems, "nothing was searched")


def check_filter(layout: Layout, where: Filter) -> None:
    """Refuse a filter that the layout has no fields for.

    Raises:
        FieldError: All fields that are not declared, and those of another kind.
    """
    wrong = [problem for each in (*where.must, *where.must_not) for problem in _condition_problems(layout, each)]
    if wrong:
        known = ", ".join(f"{name} ({kind})" for name, kind in sorted(layout.fields.items())) or "none"
        raise FieldError(f"a filter cannot be used: {'; '.join(wrong)}; the fields of {layout.name} are {known}")


def check_ids(ids: Iterable[str]) -> list[str]:
    """The ids, each once, in order.

    Raises:
        PointsError: Some are no UUIDs.
    """
    asked = list(dict.fromkeys(ids))
    _refuse([f"the id {each!r}: expected a UUID" for each in asked if not _is_id(each)], "nothing was done")
    return asked


def check_fields(fields: Mapping[str, Fields], layout: Layout) -> None:
    """Refuse fields that cannot be set.

    Raises:
        PointsError: What is wrong with them.
    """
    check_ids(fields)
    _refuse(
        [f"point {id_}: {each}" for id_, given in fields.items() for each in _field_problems(layout, given)],
        "nothing was set",
    )


def _problems(layout: Layout, point: Point) -> Iterator[str]:
    if not _is_id(point.id):
        yield f"the id {point.id!r}: expected a UUID"
    found = [] if point.vector is not None else ["it has no vector"]
    if point.vector is not None:
        found += _vector_problems(layout, point.vector)
    if len(point.terms.indices) != len(point.terms.weights):
        found.append(f"{len(point.terms.indices)} terms have {len(point.terms.weights)} weights")
    found += _field_problems(layout, point.fields)
    yield from (f"point {point.id}: {each}" for each in found)


def _vector_problems(layout: Layout, vector: Vector) -> list[str]:
    import numpy as np  # noqa: PLC0415 - as in functions.ports.encoders

    shape: tuple[int, ...] = np.shape(vector)
    if shape != (layout.dimension,):
        return [f"its vector has the shape {shape}, expected ({layout.dimension},)"]
    return _number_problems(np.asarray(vector))


def _number_problems(vector: "np.ndarray[tuple[int, ...], np.dtype[np.float32]]") -> list[str]:
    length = float((vector.astype("float64") ** 2).sum())
    if not math.isfinite(length):
        return ["its vector holds NaN or infinity"]
    return [] if length > 0 else ["its vector is zero"]


def _field_problems(layout: Layout, fields: Fields) -> list[str]:
    wrong = [f"the field {name!r}: expected 1 to 63 of a-z, 0-9 and '_'" for name in fields if not _is_field(name)]
    wrong += [
        f"the field {name!r} is {value!r:.40}: expected {_EXPECTED[layout.fields[name]]}"
        for name, value in fields.items()
        if name in layout.fields and not _fits(value, layout.fields[name])
    ]
    return wrong


def _condition_problems(layout: Layout, condition: Condition) -> list[str]:
    kind = layout.fields.get(condition.field)
    if kind is None:
        return [f"{condition.field!r} is not declared"]
    if isinstance(condition, Equals):
        wanted = "keyword" if isinstance(condition.value, str) else "number"
    else:
        wanted = "keyword" if isinstance(condition, OneOf) else "number"
    return [] if wanted == kind else [f"{condition.field!r} is a {kind}, asked for as a {wanted}"]


_EXPECTED = {"keyword": "a string or a list of strings", "number": "a finite number"}


def _fits(value: object, kind: str) -> bool:
    if kind == "number":
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return isinstance(value, str) or (isinstance(value, list | tuple) and all(isinstance(each, str) for each in value))


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
