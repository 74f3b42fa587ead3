"""Weaviate over its REST API, and GraphQL over that for searches.

What shaped this file. A name in GraphQL is letters, digits and `_`, so the class of a collection has a name of its own,
with a digest of the collection's. `id` is no name for a property, a property that nobody declared gets whatever type its
first value looks like, and keywords are trimmed: so all fields of a point are one text of JSON that is not indexed, and
beside it each declared keyword is indexed by its digest, each number as it is. That also leaves nothing in the text of
a query but names, numbers and digests, whatever somebody searches for. Setting some fields merges a second text over
the first, so that it never brings back what an upsert has replaced meanwhile.
"""

import hashlib
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from functions.adapters.models.settings import Secret
from functions.adapters.vectors.checking import (
    check_fields,
    check_filter,
    check_ids,
    check_layout,
    check_open,
    check_page,
    check_points,
    check_queries,
    check_same,
)
from functions.adapters.vectors.rest import Patience, Reply, Rest, StatusError
from functions.events.decoding import decoder
from functions.ports.vector_stores import (
    EVERYTHING,
    SCROLL_POINTS,
    Condition,
    Equals,
    Fields,
    Filter,
    Hit,
    Layout,
    LayoutError,
    NoSuchCollectionError,
    OneOf,
    PartlyRefusedError,
    Point,
    Query,
    Range,
    RefusedError,
    Value,
    Vector,
)

MOST_OBJECTS = 200  # of a batch
MOST_IDS = 500  # of a filter
MOST_READ = 1_000  # of a page; a server gives 10,000 at most
MOST_QUERIES = 10  # of a request
ALL = "consistency_level=ALL"  # a write is on every replica, so that whichever is searched has it
_READABLE, _DIGEST = 40, 20
_STORED, _CHANGED, _INDEXED = "stored", "changed", "is_"
_NOT_FOUND, _UNPROCESSABLE = 404, 422
_SHOWN = "stored changed _additional {{ {} }}"
_NO_ID = "0"  # before every id


class WeaviateSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Which server.

    Attributes:
        url: Of the server, without a path.
        key: Where the API key is; a server that takes everybody needs none.
        patience: With each request.
    """

    url: str
    key: Secret | None = None
    patience: Patience = Patience()


def class_name(collection: str) -> str:
    """What the class of a collection is called: a beginning that can be read, and a digest of the whole."""
    digest = hashlib.sha256(collection.encode()).hexdigest()[:_DIGEST]
    return f"C_{re.sub('[^a-z0-9]', '_', collection[:_READABLE])}_{digest}"


def class_of(layout: Layout) -> dict[str, Any]:
    """The class of a collection, as Weaviate's schema takes it; its description is the layout."""
    texts = [
        {"name": each, "dataType": ["text"], "indexFilterable": False, "indexSearchable": False}
        for each in (_STORED, _CHANGED)
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


def _passes_nothing(where: Filter) -> bool:
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


class _Problem(msgspec.Struct, frozen=True):
    message: str = ""


class _Problems(msgspec.Struct, frozen=True):
    error: list[_Problem] = []


class _Said(msgspec.Struct, frozen=True):
    """What every answer may be instead: an error, whatever its status says."""

    error: list[_Problem] = []
    errors: list[_Problem] = []


class _Class(_Said, frozen=True, rename={"name": "class"}):
    name: str = ""
    description: str = ""


class _Schema(_Said, frozen=True):
    classes: list[_Class] | None = None


class _Outcome(msgspec.Struct, frozen=True):
    status: str = "SUCCESS"
    errors: _Problems | None = None


class _Stored(msgspec.Struct, frozen=True):
    id: str
    result: _Outcome = _Outcome()


class _Batch(_Said, frozen=True):
    """What a batch is answered: a list, or an error."""

    objects: list[_Stored] = []


class _Deleted(msgspec.Struct, frozen=True):
    matches: int = 0
    successful: int = 0
    failed: int = 0
    objects: list[_Stored] | None = None


class _Deletion(_Said, frozen=True):
    results: _Deleted | None = None


class _Additional(msgspec.Struct, frozen=True):
    id: str
    distance: float | None = None
    vector: list[float] | None = None


class _Object(msgspec.Struct, frozen=True):
    """An object in an answer of GraphQL."""

    additional: _Additional = msgspec.field(name="_additional")
    stored: str | None = None
    changed: str | None = None

    def fields(self) -> dict[str, Value]:
        return {**_decoded(self.stored), **_decoded(self.changed)}


def _decoded(text: str | None) -> dict[str, Value]:
    return {**decoder(dict[str, str | bool | int | float | list[str]]).decode(text)} if text else {}


class _Meta(msgspec.Struct, frozen=True):
    count: int = 0


class _Aggregated(msgspec.Struct, frozen=True):
    meta: _Meta


class _Data(msgspec.Struct, frozen=True, rename="pascal"):
    get: dict[str, list[_Object] | None] | None = None
    aggregate: dict[str, list[_Aggregated] | None] | None = None


class _Answered(_Said, frozen=True):
    data: _Data | None = None


S = TypeVar("S", bound=_Said)


def _read(reply: Reply, kind: type[S]) -> S:
    if kind is _Batch and reply.body.lstrip()[:1] == b"[":
        return kind(objects=decoder(list[_Stored]).decode(reply.body))  # type: ignore[call-arg]  # of _Batch
    told = decoder(kind).decode(reply.body or b"{}")
    if problems := [*told.error, *told.errors]:
        said = "; ".join(each.message for each in problems)
        raise RefusedError(f"Weaviate answered {reply.status} with an error: {said:.300}")
    return told


def _layout(described: _Class) -> Layout | None:
    """What a class was made for; None where it is not a collection's."""
    try:
        found = decoder(Layout).decode(described.description)
    except msgspec.MsgspecError:
        return None
    return found if class_name(found.name) == described.name else None


def _missing(collection: str) -> NoSuchCollectionError:
    return NoSuchCollectionError(f"there is no collection {collection}: create it first")


def _numbers(vector: Vector | None) -> list[float]:
    import numpy as np  # noqa: PLC0415 - as in functions.ports.encoders

    return np.asarray(vector, np.float32).tolist()  # type: ignore[no-any-return]  # of floats


def _object(layout: Layout, point: Point) -> dict[str, Any]:
    stored = msgspec.json.encode(point.fields).decode()
    return {
        "class": class_name(layout.name),
        "id": point.id,
        "vector": _numbers(point.vector),
        "properties": {_STORED: stored, **properties_of(layout, point.fields)},
    }


def _point(found: _Object, *, vectors: bool) -> Point:
    import numpy as np  # noqa: PLC0415 - as in functions.ports.encoders

    vector = np.array(found.additional.vector, np.float32) if vectors else None
    return Point(id=found.additional.id, vector=vector, fields=found.fields())


def _hits(layout: Layout, found: Sequence[_Object]) -> list[Hit]:
    """By their scores: the cosine is 1 less the distance, the dot product the distance the other way round."""
    nearness = 1.0 if layout.distance == "cosine" else 0.0
    hits = [
        Hit(id=each.additional.id, score=nearness - (each.additional.distance or 0.0), fields=each.fields())
        for each in found
    ]
    return sorted(hits, key=lambda hit: (-hit.score, hit.id))


def _why(outcome: _Outcome | None) -> str:
    """Why an object was not stored; empty where it was."""
    if outcome is None:
        return "nothing was said of it"
    problems = outcome.errors.error if outcome.errors else []
    if problems or outcome.status == "FAILED":
        return "; ".join(each.message for each in problems) or "without a reason"
    return ""


def _shown(*, vectors: bool) -> str:
    return _SHOWN.format("id vector" if vectors else "id")


def _with_ids(ids: Sequence[str]) -> Clause:
    return Clause("ContainsAny", path=["id"], value_text_array=list(ids))


def _after(id_: str) -> Clause:
    return Clause("GreaterThan", path=["id"], value_text=id_)


def _nearest(query: Query) -> str:
    vector = msgspec.json.encode(_numbers(query.vector)).decode()
    return _arguments(nearVector=f"{{vector: {vector}}}", where=clause_of(query.where), limit=query.limit)


def _page(where: Clause | None, after: str, limit: int) -> str:
    """A page in the order of ids. The cursor of the product takes no filter: with one, the ids are filtered too."""
    if where is None:
        return _arguments(after=_text(after), limit=limit)
    later = _all([where, _after(after)]) if after else where
    return _arguments(where=later, sort='[{path: ["_id"], order: asc}]', limit=limit)


def _arguments(**given: Clause | str | int | None) -> str:
    """Arguments of GraphQL; none at all where none is given."""
    parts = [
        f"{name}: {value.graphql() if isinstance(value, Clause) else value}"
        for name, value in given.items()
        if value is not None
    ]
    return f"({', '.join(parts)})" if parts else ""


class WeaviateStore:
    """A class for each physical collection."""

    searches_words = False  # its own BM25 makes its own words of a text, and knows no rarity within a tenant

    def __init__(self, settings: WeaviateSettings, *, pause: Callable[[float], None] = time.sleep) -> None:
        self._rest = Rest(settings.url, product="Weaviate", key=settings.key, patience=settings.patience, sleep=pause)
        self._layouts: dict[str, Layout] = {}
        self._setting = threading.Lock()
        self._is_open = True

    def create(self, layout: Layout) -> None:
        """See `VectorStore.create`."""
        self._check_open()
        check_layout(layout)
        if self._described(layout.name) is None:
            try:
                self._told("POST", "/v1/schema", _Class, class_of(layout))
            except StatusError as error:
                if error.status != _UNPROCESSABLE or self._described(layout.name) is None:
                    raise  # or else somebody was faster
        self._check(layout)

    def drop(self, name: str) -> None:
        """See `VectorStore.drop`."""
        self._check_open()
        if self._described(name) is not None:
            self._told("DELETE", f"/v1/schema/{class_name(name)}", _Said)
        self._layouts.pop(name, None)

    def layouts(self) -> Sequence[Layout]:
        """See `VectorStore.layouts`."""
        self._check_open()
        told = self._told("GET", "/v1/schema", _Schema)
        found = [_layout(each) for each in told.classes or []]
        return sorted((each for each in found if each is not None), key=lambda layout: layout.name)

    def upsert(self, layout: Layout, points: Sequence[Point]) -> None:
        """See `VectorStore.upsert`."""
        self._check(layout)
        kept = check_points(layout, points)
        refused: dict[str, str] = {}
        for start in range(0, len(kept), MOST_OBJECTS):
            batch = [_object(layout, each) for each in kept[start : start + MOST_OBJECTS]]
            refused |= self._stored(layout, batch)
        if refused:
            id_, why = next(iter(refused.items()))
            message = f"{len(refused)} of {len(kept)} points were not stored, the first of them {id_}: {why:.300}"
            raise PartlyRefusedError(message, list(refused)) if len(refused) < len(kept) else RefusedError(message)

    def search(self, layout: Layout, queries: Sequence[Query]) -> Sequence[Sequence[Hit]]:
        """See `VectorStore.search`: ten queries travel together."""
        self._known(layout)
        asked = check_queries(layout, queries)
        found: list[list[Hit]] = [[] for _ in asked]
        asking = [number for number, query in enumerate(asked) if not _passes_nothing(query.where)]
        for start in range(0, len(asking), MOST_QUERIES):
            numbers = asking[start : start + MOST_QUERIES]
            gets = {f"q{number}": _nearest(asked[number]) for number in numbers}
            answered = self._got(layout, gets, _SHOWN.format("id distance"))
            for number in numbers:
                found[number] = _hits(layout, answered[f"q{number}"])
        return found

    def read(self, layout: Layout, ids: Iterable[str], *, vectors: bool = False) -> Sequence[Point]:
        """See `VectorStore.read`."""
        self._known(layout)
        asked = check_ids(ids)
        found = {each.additional.id: each for each in self._objects(layout, asked, _shown(vectors=vectors))}
        return [_point(found[each], vectors=vectors) for each in asked if each in found]

    def set_fields(self, layout: Layout, fields: Mapping[str, Fields]) -> None:
        """See `VectorStore.set_fields`: what was set before is read for all of them, and a request is made for each.

        Of two processes that set fields of one point at the same time, one may undo what the other has set.
        """
        self._check(layout)
        given = {id_: each for id_, each in check_fields(fields, layout).items() if each}
        with self._setting:
            for each in self._objects(layout, list(given), _SHOWN.format("id")):
                self._set(layout, each, given[each.additional.id])

    def delete(self, layout: Layout, ids: Iterable[str]) -> None:
        """See `VectorStore.delete`."""
        self._known(layout)
        asked = check_ids(ids)
        for start in range(0, len(asked), MOST_IDS):
            self._deleted(layout, _with_ids(asked[start : start + MOST_IDS]))

    def delete_where(self, layout: Layout, where: Filter) -> None:
        """See `VectorStore.delete_where`."""
        self._known(layout)
        asked = check_filter(layout, where)
        if not _passes_nothing(asked):
            self._deleted(layout, clause_of(asked) or _after(_NO_ID))

    def erase(self, layout: Layout, ids: Iterable[str]) -> None:
        """See `VectorStore.erase`: the bytes go when the server next compacts its files, and from its backups never."""
        self.delete(layout, ids)

    def count(self, layout: Layout, where: Filter = EVERYTHING) -> int:
        """See `VectorStore.count`."""
        self._known(layout)
        asked = check_filter(layout, where)
        if _passes_nothing(asked):
            return 0
        only = _arguments(where=clause_of(asked))
        data = self._queried(layout, f"{{ Aggregate {{ {class_name(layout.name)}{only} {{ meta {{ count }} }} }} }}")
        found = (data.aggregate or {}).get(class_name(layout.name)) or []
        return sum(each.meta.count for each in found)

    def scroll(
        self,
        layout: Layout,
        where: Filter = EVERYTHING,
        *,
        after: str = "",
        limit: int = SCROLL_POINTS,
        vectors: bool = False,
    ) -> Sequence[Point]:
        """See `VectorStore.scroll`."""
        self._known(layout)
        asked = check_filter(layout, where)
        check_page(after, limit)
        page: list[Point] = []
        while len(page) < limit and not _passes_nothing(asked):
            most = min(limit - len(page), MOST_READ)
            get = _page(clause_of(asked), page[-1].id if page else after, most)
            found = self._got(layout, {"page": get}, _shown(vectors=vectors))["page"]
            page += [_point(each, vectors=vectors) for each in found]
            if len(found) < most:
                break
        return page

    def optimize(self, layout: Layout) -> None:
        """See `VectorStore.optimize`: Weaviate does that by itself."""
        self._known(layout)

    def close(self) -> None:
        """See `VectorStore.close`."""
        self._is_open = False
        self._rest.close()

    def _check_open(self) -> None:
        check_open(is_open=self._is_open)

    def _described(self, collection: str) -> Layout | None:
        try:
            told = self._told("GET", f"/v1/schema/{class_name(collection)}", _Class)
        except StatusError as error:
            if error.status == _NOT_FOUND:
                return None
            raise
        found = _layout(told)
        if found is None:
            raise LayoutError(
                f"the class {class_name(collection)} is there and was not made for the collection {collection}: "
                "rename one of them"
            )
        return found

    def _check(self, layout: Layout) -> None:
        """Ask whether the collection is there: a write without it might make a class, of types that it guesses."""
        self._check_open()
        found = self._described(layout.name)
        if found is None:
            self._layouts.pop(layout.name, None)
            raise _missing(layout.name)
        self._layouts[layout.name] = found
        check_same(layout, found)

    def _known(self, layout: Layout) -> None:
        """The same, asked once: what a collection was made for never changes, and an error asks again."""
        self._check_open()
        if layout.name in self._layouts:
            check_same(layout, self._layouts[layout.name])
        else:
            self._check(layout)

    def _told(self, method: str, path: str, kind: type[S], body: object = None) -> S:
        return self._rest.asked(method, path, body, read=lambda reply: _read(reply, kind))

    def _asked(self, layout: Layout, method: str, path: str, kind: type[S], body: object) -> S:
        """The same of a collection: an error may be that it is gone."""
        try:
            return self._told(method, path, kind, body)
        except RefusedError:
            self._check(layout)
            raise

    def _queried(self, layout: Layout, query: str) -> _Data:
        return self._asked(layout, "POST", "/v1/graphql", _Answered, {"query": query}).data or _Data()

    def _got(self, layout: Layout, gets: Mapping[str, str], shown: str) -> dict[str, list[_Object]]:
        """What is found for each of these arguments, by their names."""
        name = class_name(layout.name)
        parts = " ".join(f"{alias}: {name}{arguments} {{ {shown} }}" for alias, arguments in gets.items())
        found = self._queried(layout, f"{{ Get {{ {parts} }} }}").get or {}
        if missing := gets.keys() - found.keys():
            raise RefusedError(f"Weaviate answered a query without {', '.join(sorted(missing))}")
        return {alias: found[alias] or [] for alias in gets}

    def _objects(self, layout: Layout, ids: Sequence[str], shown: str) -> Iterator[_Object]:
        for start in range(0, len(ids), MOST_IDS):
            some = ids[start : start + MOST_IDS]
            yield from self._got(layout, {"found": _arguments(where=_with_ids(some), limit=len(some))}, shown)["found"]

    def _stored(self, layout: Layout, objects: Sequence[Mapping[str, Any]]) -> dict[str, str]:
        """What was refused of a batch, and why."""
        told = self._asked(layout, "POST", f"/v1/batch/objects?{ALL}", _Batch, {"objects": objects}).objects
        outcomes = {each.id: each.result for each in told}
        asked = [str(each["id"]) for each in objects]
        return {id_: _why(outcomes.get(id_)) for id_ in asked if _why(outcomes.get(id_))}

    def _set(self, layout: Layout, found: _Object, given: Fields) -> None:
        name, id_ = class_name(layout.name), found.additional.id
        changed = msgspec.json.encode(_decoded(found.changed) | dict(given)).decode()
        body = {"class": name, "id": id_, "properties": {_CHANGED: changed, **properties_of(layout, given)}}
        try:
            self._asked(layout, "PATCH", f"/v1/objects/{name}/{id_}?{ALL}", _Said, body)
        except StatusError as error:
            if error.status != _NOT_FOUND:  # it was deleted meanwhile
                raise

    def _deleted(self, layout: Layout, where: Clause) -> None:
        """Delete what passes: as often as there is more than a server deletes at once."""
        body = {"match": {"class": class_name(layout.name), "where": where}, "output": "minimal", "dryRun": False}
        while True:
            told = self._asked(layout, "DELETE", f"/v1/batch/objects?{ALL}", _Deletion, body).results
            if told is None:
                raise RefusedError("Weaviate answered a deletion without saying what was deleted")
            if told.failed:
                ids = [each.id for each in told.objects or []]
                raise PartlyRefusedError(f"{told.failed} of {told.matches} points were not deleted: try again", ids)
            if told.matches <= told.successful:
                return
            if not told.successful:
                raise RefusedError(f"Weaviate deleted none of {told.matches} points")
