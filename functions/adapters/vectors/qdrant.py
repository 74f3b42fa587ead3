"""The `VectorStore` port on a Qdrant server, or Qdrant Cloud, over its REST API.

What shaped this file: Qdrant's own client takes a second to load, so the calls are put together here. What a collection
was made for is kept in its metadata. Words are weighed among one tenant's points, which servers can from 1.19 on:
`create` refuses older ones, since they would weigh them among everybody's without a word. Both searches, by vector and
by words, and the scores of what the other one found, are one request.
"""

import contextlib
import re
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Generic

import msgspec

from functions.adapters.models.settings import Secret
from functions.adapters.rest import Patience, Rest, T
from functions.adapters.vectors.checking import (
    check_fields,
    check_filter,
    check_ids,
    check_layout,
    check_name,
    check_page,
    check_points,
    check_queries,
    check_same,
    no_such_collection,
)
from functions.adapters.vectors.service_errors import StatusError, store_error
from functions.ports.vector_stores import (
    EVERYTHING,
    SCROLL_POINTS,
    Condition,
    Equals,
    Fields,
    Filter,
    Hit,
    Kind,
    Layout,
    LayoutError,
    NoSuchCollectionError,
    OneOf,
    PartlyRefusedError,
    Point,
    Query,
    RefusedError,
    Terms,
    UnavailableError,
    Value,
    Vector,
)

NEEDED_VERSION = (1, 19)
MAX_REQUEST_BYTES = 16 * 1024 * 1024  # a server takes 32 MB, unless told otherwise
NOT_FOUND = 404
_DONE = "completed"
_DENSE, _TERMS = "dense", "terms"
_TENANT = "tenant"  # the field by whose values Qdrant lays out what it keeps
_DIGITS = 8  # of a vector of length 1: more than its 32 bits tell
_LAST_ID = str(uuid.UUID(int=(1 << 128) - 1))


class _Status(msgspec.Struct):
    error: str = ""


class _Answer(msgspec.Struct, Generic[T]):
    """Of every call: `status` is `ok`, or says what went wrong, whatever the HTTP status was."""

    result: T | None = None
    status: str | _Status = "ok"


class _Version(msgspec.Struct):
    """Of the server, which is the one answer that is not wrapped."""

    version: str = "0"


class _Updated(msgspec.Struct):
    status: str


class _Sparse(msgspec.Struct, frozen=True):
    indices: tuple[int, ...] = ()
    values: tuple[float, ...] = ()


class _Vectors(msgspec.Struct):
    dense: list[float] | None = None
    terms: _Sparse = _Sparse()


class _Stored(msgspec.Struct):
    id: str
    score: float = 0.0
    payload: dict[str, Value] | None = None
    vector: _Vectors | None = None


class _Page(msgspec.Struct):
    points: list[_Stored]


class _Count(msgspec.Struct):
    count: int


class _Name(msgspec.Struct):
    name: str


class _Names(msgspec.Struct):
    collections: list[_Name]


class _Metadata(msgspec.Struct):
    troupe: Layout | None = None


class _Config(msgspec.Struct):
    metadata: _Metadata | None = None


class _Info(msgspec.Struct):
    config: _Config
    payload_schema: dict[str, Any] = {}


class QdrantStore:
    """Collections of one server, each under its layout's name.

    What a collection was made for is read at its first use and remembered.

    Args:
        url: Of the server, e.g. `https://xyz.cloud.qdrant.io:6333`.
        key: Where its API key is.
        patience: How long it is waited for.
        sleep: Waits so many seconds before a call is made again.
    """

    searches_words = True

    def __init__(
        self,
        url: str,
        *,
        key: Secret | None = None,
        patience: Patience | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._rest = Rest(
            url,
            product="Qdrant",
            key=key,
            headers=lambda value: {"api-key": value},
            patience=patience,
            raises=store_error,
            sleep=sleep,
        )
        self._known: dict[str, Layout] = {}

    def create(self, layout: Layout) -> None:
        """See `VectorStore.create`.

        Raises:
            RefusedError: The server is older than 1.19.
        """
        check_layout(layout)
        info = self._info(layout.name)
        if info is None:
            self._check_version()
            info = self._made(layout)
        check_same(layout, _layout_of(layout.name, info))
        for field, kind in layout.fields.items():
            if field not in info.payload_schema:  # or an earlier call was cut short before it
                self._write(layout.name, "PUT", "/index", {"field_name": field, "field_schema": _index(field, kind)})

    def drop(self, name: str) -> None:
        """See `VectorStore.drop`."""
        check_name(name)
        self._known.pop(name, None)
        with contextlib.suppress(NoSuchCollectionError):
            self._call("DELETE", name, kind=_Answer[bool])

    def layouts(self) -> Sequence[Layout]:
        """See `VectorStore.layouts`: of the collections that were made through this port."""
        names = self._send("GET", "/collections", None, kind=_Answer[_Names]).collections
        infos = [self._info(name) for name in sorted(each.name for each in names)]
        return [found for info in infos if info and (found := _made_for(info))]

    def upsert(self, layout: Layout, points: Sequence[Point]) -> None:
        """See `VectorStore.upsert`."""
        self._check(layout)
        kept = check_points(layout, points)
        stored = 0
        for part in _requests(layout, kept):
            try:
                self._write(layout.name, "PUT", "/points", b'{"points":[%b]}' % b",".join(part))
            except RefusedError as error:
                if stored == 0:
                    raise
                raise PartlyRefusedError(
                    f"of {len(kept)} points {stored} were stored, and then: {error}",
                    [point.id for point in kept[stored:]],
                ) from error
            stored += len(part)

    def search(self, layout: Layout, queries: Sequence[Query]) -> Sequence[Sequence[Hit]]:
        """See `VectorStore.search`."""
        self._check(layout)
        asked = check_queries(layout, queries)
        if not asked:
            return []
        vectors = _numbers(layout, [query.vector for query in asked])
        searches = [list(_searches(query, vector)) for query, vector in zip(asked, vectors, strict=True)]
        body = {"searches": [each for of_query in searches for each in of_query]}
        pages = self._call("POST", layout.name, "/points/query/batch", body, kind=_Answer[list[_Page]])
        left = iter(pages)
        return [_hits(*(next(left) for _ in of_query)) for of_query in searches]

    def read(self, layout: Layout, ids: Iterable[str], *, vectors: bool = False) -> Sequence[Point]:
        """See `VectorStore.read`."""
        self._check(layout)
        asked = check_ids(ids)
        if not asked:
            return []
        body = {"ids": asked, "with_payload": True, "with_vector": vectors}
        found = {
            each.id: each for each in self._call("POST", layout.name, "/points", body, kind=_Answer[list[_Stored]])
        }
        return [_point(found[each]) for each in asked if each in found]

    def set_fields(self, layout: Layout, fields: Mapping[str, Fields]) -> None:
        """See `VectorStore.set_fields`."""
        self._check(layout)
        # By a filter: a point that is asked for by its id, and is not there, would be an error.
        operations = [
            {"set_payload": {"payload": given, "filter": {"must": [{"has_id": [each]}]}}}
            for each, given in check_fields(fields, layout).items()
            if given
        ]
        if operations:
            self._write(layout.name, "POST", "/points/batch", {"operations": operations}, kind=_Answer[list[_Updated]])

    def delete(self, layout: Layout, ids: Iterable[str]) -> None:
        """See `VectorStore.delete`."""
        self._check(layout)
        asked = check_ids(ids)
        if asked:
            self._write(layout.name, "POST", "/points/delete", {"points": asked})

    def delete_where(self, layout: Layout, where: Filter) -> None:
        """See `VectorStore.delete_where`."""
        self._check(layout)
        self._write(layout.name, "POST", "/points/delete", {"filter": _filter(check_filter(layout, where))})

    def erase(self, layout: Layout, ids: Iterable[str]) -> None:
        """See `VectorStore.erase`: a server lets go of the bytes when it next rewrites the segment they are in."""
        self.delete(layout, ids)

    def count(self, layout: Layout, where: Filter = EVERYTHING) -> int:
        """See `VectorStore.count`."""
        self._check(layout)
        body = {"filter": _filter(check_filter(layout, where)), "exact": True}
        return self._call("POST", layout.name, "/points/count", body, kind=_Answer[_Count]).count

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
        self._check(layout)
        check_page(after, limit)
        asked = check_filter(layout, where)
        if after == _LAST_ID:
            return []
        body = {
            "filter": _filter(asked),
            "limit": limit,
            "with_payload": True,
            "with_vector": vectors,
            **({"offset": str(uuid.UUID(int=uuid.UUID(after).int + 1))} if after else {}),
        }
        return [
            _point(each) for each in self._call("POST", layout.name, "/points/scroll", body, kind=_Answer[_Page]).points
        ]

    def optimize(self, layout: Layout) -> None:
        """See `VectorStore.optimize`: a server does so by itself."""
        self._known.pop(layout.name, None)
        self._check(layout)

    def close(self) -> None:
        """See `VectorStore.close`."""
        self._rest.close()

    def _check(self, layout: Layout) -> None:
        self._rest.check_open()
        known = self._known.get(layout.name)
        if known is None:
            info = self._info(layout.name)
            if info is None:
                raise no_such_collection(layout.name)
            known = self._known[layout.name] = _layout_of(layout.name, info)
        check_same(layout, known)

    def _check_version(self) -> None:
        found = self._rest.send("GET", "/", answer=_Version).version
        numbers = tuple(int(each) for each in re.findall(r"\d+", found)[:2])
        if numbers < NEEDED_VERSION:
            needed = ".".join(map(str, NEEDED_VERSION))
            raise RefusedError(
                f"the Qdrant server has version {found}: {needed} is needed, since older ones cannot weigh words among "
                "one tenant's points"
            )

    def _made(self, layout: Layout) -> _Info:
        body = {
            "vectors": {_DENSE: {"size": layout.dimension, "distance": layout.distance.capitalize()}},
            "sparse_vectors": {_TERMS: {"modifier": "idf"}},
            "metadata": {"troupe": layout},
        }
        refused: StatusError | None = None
        try:
            self._call("PUT", layout.name, "", body, kind=_Answer[bool])
        except StatusError as error:  # somebody else was faster, or an earlier try that nothing was heard of
            refused = error
        info = self._info(layout.name)
        if info is None:
            raise refused or no_such_collection(layout.name)
        return info

    def _info(self, name: str) -> _Info | None:
        try:
            return self._call("GET", name, kind=_Answer[_Info])
        except NoSuchCollectionError:
            return None

    def _write(self, name: str, method: str, path: str, body: object, *, kind: Any = _Answer[_Updated]) -> None:  # noqa: ANN401
        """A change, which the next call has to see."""
        updated: _Updated | list[_Updated] = self._call(method, name, f"{path}?wait=true", body, kind=kind)
        undone = [each.status for each in (updated if isinstance(updated, list) else [updated]) if each.status != _DONE]
        if undone:
            raise UnavailableError(
                f"Qdrant took a change of {name} and did not make it in time ({undone[0]}): make it again"
            )

    def _call(self, method: str, name: str, path: str = "", body: object = None, *, kind: type[_Answer[T]]) -> T:
        try:
            return self._send(method, f"/collections/{name}{path}", body, kind=kind)
        except StatusError as error:
            if error.status != NOT_FOUND:
                raise
            self._known.pop(name, None)
            raise no_such_collection(name) from error

    def _send(self, method: str, path: str, body: object, *, kind: type[_Answer[T]]) -> T:
        answer = self._rest.send(method, path, body, answer=kind)
        if answer.result is None:
            said = answer.status.error if isinstance(answer.status, _Status) else answer.status
            raise RefusedError(f"Qdrant answered without a result to {method} {path}: {self._rest.hidden(said):.300}")
        return answer.result


def _made_for(info: _Info) -> Layout | None:
    return info.config.metadata.troupe if info.config.metadata else None


def _layout_of(name: str, info: _Info) -> Layout:
    layout = _made_for(info)
    if layout is None:
        raise LayoutError(f"the collection {name} was not made here, and does not say what for: use another name")
    return layout


def _index(field: str, kind: Kind) -> dict[str, object]:
    """How a field is indexed; by the tenant, Qdrant also lays out what it keeps."""
    if kind == "number":
        return {"type": "float"}
    return {"type": "keyword", "is_tenant": True} if field == _TENANT else {"type": "keyword"}


def _requests(layout: Layout, points: Sequence[Point]) -> Iterator[list[bytes]]:
    """The points as JSON, in as few requests as a server takes."""
    part: list[bytes] = []
    size = 0
    vectors = _numbers(layout, [point.vector for point in points])
    for point, vector in zip(points, vectors, strict=True):
        encoded = msgspec.json.encode(
            {"id": point.id, "vector": {_DENSE: vector, **_sparse(point.terms)}, "payload": point.fields}
        )
        if part and size + len(encoded) > MAX_REQUEST_BYTES:
            yield part
            part, size = [], 0
        part.append(encoded)
        size += len(encoded)
    if part:
        yield part


def _sparse(terms: Terms) -> dict[str, object]:
    return {_TERMS: {"indices": terms.indices, "values": terms.weights}} if terms.indices else {}


def _numbers(layout: Layout, vectors: Sequence[Vector | None]) -> list[list[float]]:
    """Vectors as JSON has them.

    For the cosine they are brought to length 1 here: a server leaves very short ones as they are, and so do those
    digits that say nothing any more.
    """
    if not vectors:
        return []
    import numpy as np  # noqa: PLC0415 - as in functions.ports.encoders

    rows = np.asarray(vectors, np.float64)
    if layout.distance == "cosine":
        rows = np.round(rows / np.linalg.norm(rows, axis=1, keepdims=True), _DIGITS)
    return rows.tolist()  # type: ignore[no-any-return]  # numpy cannot tell


def _searches(query: Query, vector: list[float]) -> Iterator[dict[str, object]]:
    """The search by vector; with words, both searches twice: each once to give the scores of what either finds."""
    near = {"query": vector, "using": _DENSE, "filter": _filter(query.where), "limit": query.limit}
    if query.terms is None or not query.terms.indices:
        yield {**near, "with_payload": True}
        return
    rarity = {"idf": {"corpus": _filter(query.rarity)}} if query.rarity != EVERYTHING else {}
    sharing = {**near, "query": _sparse(query.terms)[_TERMS], "using": _TERMS, "params": rarity}
    either = {"prefetch": [near, sharing], "limit": 2 * query.limit}
    yield {**either, "query": vector, "using": _DENSE, "with_payload": True}
    yield {**either, "query": sharing["query"], "using": _TERMS, "params": rarity}


def _hits(near: _Page, sharing: _Page | None = None) -> list[Hit]:
    words = {each.id: each.score for each in (sharing.points if sharing else ())}
    hits = [
        Hit(id=each.id, score=each.score, words=words.get(each.id, 0.0), fields=each.payload or {})
        for each in near.points
    ]
    return sorted(hits, key=lambda hit: (-hit.score, hit.id))


def _point(stored: _Stored) -> Point:
    if stored.vector is None or stored.vector.dense is None:
        return Point(id=stored.id, fields=stored.payload or {})
    import numpy as np  # noqa: PLC0415 - as in functions.ports.encoders

    terms = stored.vector.terms
    vector = np.array(stored.vector.dense, np.float32)
    return Point(id=stored.id, vector=vector, terms=Terms(terms.indices, terms.values), fields=stored.payload or {})


def _filter(where: Filter) -> dict[str, object]:
    return {
        name: [_condition(each) for each in conditions]
        for name, conditions in (("must", where.must), ("must_not", where.must_not))
        if conditions
    }


def _condition(condition: Condition) -> dict[str, object]:
    if isinstance(condition, OneOf):
        return {"key": condition.field, "match": {"any": condition.values}}
    if isinstance(condition, Equals):
        if isinstance(condition.value, str):
            return {"key": condition.field, "match": {"value": condition.value}}
        return {"key": condition.field, "range": {"gte": condition.value, "lte": condition.value}}
    bounds = {"gt": condition.above, "gte": condition.at_least, "lt": condition.below, "lte": condition.at_most}
    return {"key": condition.field, "range": {name: bound for name, bound in bounds.items() if bound is not None}}
