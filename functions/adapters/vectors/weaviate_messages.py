"""What is said to Weaviate and by it: classes, filters and queries, and the parts of its answers that are used."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import msgspec

from functions.adapters.rest import FailedReplyError, Reply
from functions.events.decoding import decoder
from functions.ports.vector_stores import (
    Condition,
    Equals,
    Fields,
    Filter,
    Layout,
    OneOf,
    Query,
    Range,
    Value,
    Vector,
)

_READABLE, _DIGEST = 40, 20
STORED, CHANGED, _INDEXED = "stored", "changed", "is_"


def class_name(collection: str) -> str:
    """What the class of a collection is called: a beginning that can be read, and a digest of the whole."""
    digest = hashlib.sha256(collection.encode()).hexdigest()[:_DIGEST]
    return f"C_{re.sub('[^a-z0-9]', '_', collection[:_READABLE])}_{digest}"


def class_of(layout: Layout) -> dict[str, Any]:
    """The class of a collection, as Weaviate's schema takes it; its description is the layout."""
    texts = [
        {"name": each, "dataType": ["text"], "indexFilterable": False, "indexSearchable": False}
        for each in (STORED, CHANGED)
    ]
    indexed = [
        {"name": _INDEXED + each, "indexFilterable": True, **_TYPES[kind]}
        for each, kind in sorted(layout.fields.items())
    ]
    return {
        "class": class_name(layout.name),
        "description": msgspec.json.encode(layout, order="sorted").decode(),
        "vectorizer": "none",
        "vectorIndexType": "hnsw",
        "vectorIndexConfig": {"distance": layout.distance},
        "invertedIndexConfig": {"indexNullState": True},
        "properties": [*texts, *indexed],
    }


_TYPES: dict[str, dict[str, Any]] = {
    "keyword": {"dataType": ["text[]"], "tokenization": "field", "indexSearchable": False},
    "number": {"dataType": ["number"], "indexRangeFilters": True},
}


def properties_of(layout: Layout, fields: Fields) -> dict[str, Any]:
    """What is indexed of the fields of a point."""
    return {_INDEXED + name: _indexed(value) for name, value in fields.items() if name in layout.fields}


def _indexed(value: Value) -> float | list[str]:
    if isinstance(value, int | float):
        return float(value)
    return [_digest(each) for each in ([value] if isinstance(value, str) else value)]


def _digest(keyword: str) -> str:
    return hashlib.sha256(keyword.encode()).hexdigest()


class Clause(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A filter of Weaviate, which says the same in JSON and in GraphQL: a comparison, or several."""

    operator: str
    path: list[str] | None = None
    value_text: str | None = None
    value_text_array: list[str] | None = None
    value_number: float | None = None
    value_boolean: bool | None = None
    operands: "list[Clause] | None" = None

    def graphql(self) -> str:
        """As an argument of GraphQL. Texts are digests and ids, which need no escaping."""
        parts = [f"operator: {self.operator}"]
        if self.path is not None:
            parts.append(f"path: {_texts(self.path)}")
        if self.value_text is not None:
            parts.append(f"valueText: {_text(self.value_text)}")
        if self.value_text_array is not None:
            parts.append(f"valueText: {_texts(self.value_text_array)}")
        if self.value_number is not None:
            parts.append(f"valueNumber: {self.value_number!r}")
        if self.value_boolean is not None:
            parts.append(f"valueBoolean: {'true' if self.value_boolean else 'false'}")
        if self.operands is not None:
            parts.append(f"operands: [{', '.join(each.graphql() for each in self.operands)}]")
        return f"{{{', '.join(parts)}}}"


_PLAIN = re.compile(r"[A-Za-z0-9_-]*")


def _text(text: str) -> str:
    if not _PLAIN.fullmatch(text):
        raise ValueError("only names, ids and digests go into the text of a query")
    return f'"{text}"'


def _texts(texts: Iterable[str]) -> str:
    return f"[{', '.join(map(_text, texts))}]"


def clause_of(where: Filter) -> Clause | None:
    """A filter that may pass something, as Weaviate takes it; None where it passes everything."""
    return _all([*(_clause(each) for each in where.must), *filter(None, map(_negated, where.must_not))])


def passes_nothing(where: Filter) -> bool:
    """Whether a filter asks for one of no values."""
    return any(isinstance(each, OneOf) and not each.values for each in where.must)


def _all(clauses: Sequence[Clause]) -> Clause | None:
    if len(clauses) > 1:
        return Clause("And", operands=list(clauses))
    return clauses[0] if clauses else None


def _clause(condition: Condition) -> Clause:
    path = [_INDEXED + condition.field]
    if isinstance(condition, OneOf):
        return Clause("ContainsAny", path=path, value_text_array=[_digest(each) for each in condition.values])
    if isinstance(condition, Equals):
        return _equals("Equal", path, condition.value)
    bounds = _bounds(path, condition, ("GreaterThan", "GreaterThanEqual", "LessThan", "LessThanEqual"))
    return _all(bounds) or Clause("IsNull", path=path, value_boolean=False)


def _negated(condition: Condition) -> Clause | None:
    """What has no such field passes too: `NotEqual` takes away what is equal, and nothing else."""
    path = [_INDEXED + condition.field]
    if isinstance(condition, OneOf):
        return _all([_equals("NotEqual", path, each) for each in condition.values])
    if isinstance(condition, Equals):
        return _equals("NotEqual", path, condition.value)
    outside = _bounds(path, condition, ("LessThanEqual", "LessThan", "GreaterThanEqual", "GreaterThan"))
    absent = Clause("IsNull", path=path, value_boolean=True)
    return Clause("Or", operands=[*outside, absent]) if outside else absent


def _equals(operator: str, path: list[str], value: str | float) -> Clause:
    if isinstance(value, str):
        return Clause(operator, path=path, value_text=_digest(value))
    return Clause(operator, path=path, value_number=float(value))


def _bounds(path: list[str], condition: Range, operators: Sequence[str]) -> list[Clause]:
    """A comparison for each bound that is given; the operators are for above, at least, below and at most."""
    bounds = (condition.above, condition.at_least, condition.below, condition.at_most)
    return [
        Clause(operator, path=path, value_number=float(bound))
        for operator, bound in zip(operators, bounds, strict=True)
        if bound is not None
    ]


class Problem(msgspec.Struct, frozen=True):
    """What is wrong."""

    message: str = ""


class Problems(msgspec.Struct, frozen=True):
    """All that is wrong with one object."""

    error: list[Problem] = []


class Said(msgspec.Struct, frozen=True):
    """What every answer may be instead: an error, whatever its status says."""

    error: list[Problem] = []
    errors: list[Problem] = []


class Class(Said, frozen=True, rename={"name": "class"}):
    """A class; what it is for is its description."""

    name: str = ""
    description: str = ""


class Schema(Said, frozen=True):
    """All classes of a server."""

    classes: list[Class] | None = None


class Outcome(msgspec.Struct, frozen=True):
    """What became of an object of a batch."""

    status: str = "SUCCESS"
    errors: Problems | None = None


class Stored(msgspec.Struct, frozen=True):
    """An object of a batch."""

    id: str
    result: Outcome = Outcome()


class Batch(Said, frozen=True):
    """What a batch is answered: a list, or an error."""

    objects: list[Stored] = []


class Deleted(msgspec.Struct, frozen=True):
    """What became of a deletion: a server deletes so many at once, and says how many there were."""

    matches: int = 0
    successful: int = 0
    failed: int = 0
    objects: list[Stored] | None = None


class Deletion(Said, frozen=True):
    """What a deletion is answered."""

    results: Deleted | None = None


class Additional(msgspec.Struct, frozen=True):
    """What an object has beside its properties."""

    id: str
    distance: float | None = None
    vector: list[float] | None = None


class Object(msgspec.Struct, frozen=True):
    """An object in an answer of GraphQL."""

    additional: Additional = msgspec.field(name="_additional")
    stored: str | None = None
    changed: str | None = None

    def fields(self) -> dict[str, Value]:
        """What the point says: what was stored, and over it what was set since."""
        return {**decoded(self.stored), **decoded(self.changed)}


def decoded(text: str | None) -> dict[str, Value]:
    """Fields in a text of JSON; none in none."""
    return {**decoder(dict[str, str | bool | int | float | list[str]]).decode(text)} if text else {}


class Meta(msgspec.Struct, frozen=True):
    """A count."""

    count: int = 0


class Aggregated(msgspec.Struct, frozen=True):
    """What was counted."""

    meta: Meta


class Data(msgspec.Struct, frozen=True, rename="pascal"):
    """What was asked for, by the names it was asked under."""

    get: dict[str, list[Object] | None] | None = None
    aggregate: dict[str, list[Aggregated] | None] | None = None


class Answered(Said, frozen=True):
    """What GraphQL is answered."""

    data: Data | None = None


S = TypeVar("S", bound=Said)


def read(reply: Reply, kind: type[S]) -> S:
    """An answer as what it should be, or as the error that it is in spite of its status."""
    if kind is Batch and reply.body.lstrip()[:1] == b"[":
        return kind(objects=decoder(list[Stored]).decode(reply.body))  # type: ignore[call-arg]  # of Batch
    told = decoder(kind).decode(reply.body or b"{}")
    if problems := [*told.error, *told.errors]:
        raise FailedReplyError("; ".join(each.message for each in problems))
    return told


def layout_of(described: Class) -> Layout | None:
    """What a class was made for; None where it is not a collection's."""
    try:
        found = decoder(Layout).decode(described.description)
    except msgspec.MsgspecError:
        return None
    return found if class_name(found.name) == described.name else None


def numbers(vector: Vector | None) -> list[float]:
    """A vector in JSON."""
    import numpy as np  # noqa: PLC0415 - as in functions.ports.encoders

    return np.asarray(vector, np.float32).tolist()  # type: ignore[no-any-return]  # of floats


def shown(*additional: str) -> str:
    """What of an object is asked for: what the point says, and this beside its properties."""
    return f"{STORED} {CHANGED} _additional {{ {' '.join(additional)} }}"


def with_ids(ids: Sequence[str]) -> Clause:
    """The objects of these ids."""
    return Clause("ContainsAny", path=["id"], value_text_array=list(ids))


def later_than(id_: str) -> Clause:
    """The objects with greater ids."""
    return Clause("GreaterThan", path=["id"], value_text=id_)


def nearest(query: Query) -> str:
    """The arguments of a search."""
    vector = msgspec.json.encode(numbers(query.vector)).decode()
    return arguments(nearVector=f"{{vector: {vector}}}", where=clause_of(query.where), limit=query.limit)


def page_of(where: Clause | None, after: str, limit: int) -> str:
    """A page in the order of ids. The cursor of the product takes no filter: with one, the ids are filtered too."""
    if where is None:
        return arguments(after=_text(after), limit=limit)
    later = _all([where, later_than(after)]) if after else where
    return arguments(where=later, sort='[{path: ["_id"], order: asc}]', limit=limit)


def arguments(**given: Clause | str | int | None) -> str:
    """Arguments of GraphQL; none at all where none is given."""
    parts = [
        f"{name}: {value.graphql() if isinstance(value, Clause) else value}"
        for name, value in given.items()
        if value is not None
    ]
    return f"({', '.join(parts)})" if parts else ""
