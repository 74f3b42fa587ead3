"""The `VectorStore` port on Milvus: a server, Zilliz Cloud, or milvus-lite, which is Milvus's protocol over a folder.

Milvus names collections with letters, digits and `_` only, so a name's `.` and `-` become capitals, which names have
none of. It takes no string above 65,535 bytes, so what a point says is JSON cut into an array; filterable fields are
columns beside it. It sorts a query only for its iterators, so pages are asked for as those do.

Its own word search takes the rarity of a word from everybody's points, which would tell one tenant of another's, so
this store searches none.
"""

import importlib
import logging
import os
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import msgspec
import numpy as np

from functions.adapters.models.settings import ModelSettingsError, Secret, is_near
from functions.adapters.vectors.checking import (
    check_fields,
    check_filter,
    check_ids,
    check_layout,
    check_name,
    check_open,
    check_page,
    check_points,
    check_queries,
    check_same,
    no_such_collection,
)
from functions.events.decoding import decoder
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
    OneOf,
    PartlyRefusedError,
    Point,
    Query,
    Range,
    RefusedError,
    UnavailableError,
    Value,
    VectorStoreError,
)

MOST_FOUND: Final = 16_384  # by one search, and by one query
_MOST_STRING_BYTES: Final = 65_535
_MOST_STRINGS: Final = 4_096  # of an array
_PIECE: Final = 16_000  # characters of at most four bytes
_BATCH: Final = 1_000  # points a call: far below the 64 MB that a server takes
_LAYOUT: Final = "troupe.layout"  # the property of a collection that says what it was made for
_CAPITALS: Final = str.maketrans({".": "D", "-": "H"})
_ESCAPES: Final = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"})
_NOT_THERE: Final = 100  # Milvus's code
_PASSING: Final = {"UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", "ABORTED", "RESOURCE_EXHAUSTED"}
_RATE_LIMIT: Final = 8
_TIMEOUT_S: Final = 30.0

T = TypeVar("T")


class MilvusStore:
    """Collections in a Milvus.

    Args:
        uri: `https://host:19530`, with `/database` behind it where that is not the default one; or the path of a
            milvus-lite folder, which one store of one process has open.
        token: `user:password` or an API key; None for a server without either.
        timeout_s: For a call with what pymilvus tries again in it.

    Raises:
        RefusedError: The URI cannot be used, or the key is refused.
        UnavailableError: Nobody answers there.
    """

    searches_words = False

    def __init__(self, uri: str, token: Secret | None = None, *, timeout_s: float = _TIMEOUT_S) -> None:
        self._uri = uri
        self._token = token
        self._timeout_s = timeout_s
        self._is_open = True
        self._known: dict[str, Layout] = {}
        self._writing = threading.RLock()  # milvus-lite takes one write of a collection at a time
        key = _value(token)
        _check(uri, has_key=bool(key))
        self._milvus, self._grpc = _pymilvus(), importlib.import_module("grpc")
        with self._told():
            self._client: Any = self._milvus.MilvusClient(
                uri=_served(uri), token=key, timeout=timeout_s, dedicated=True
            )

    def create(self, layout: Layout) -> None:
        """See `VectorStore.create`."""
        check_layout(layout)
        with self._writing, self._told():
            if self._client.has_collection(_name(layout.name), **self._in_time):
                self._loaded(layout)
                return
            schema = self._schema(layout)
            index = self._client.prepare_index_params()
            metric = "COSINE" if layout.distance == "cosine" else "IP"
            index.add_index("vector", index_type="AUTOINDEX", metric_type=metric)
            self._client.create_collection(
                _name(layout.name),
                schema=schema,
                index_params=index,
                properties={_LAYOUT: msgspec.json.encode(layout).decode()},
                consistency_level="Strong",
                **self._in_time,
            )
            self._loaded(layout)

    def drop(self, name: str) -> None:
        """See `VectorStore.drop`."""
        check_name(name)
        with self._writing, self._told():
            self._known.pop(name, None)
            if self._client.has_collection(_name(name), **self._in_time):
                self._client.drop_collection(_name(name), **self._in_time)

    def layouts(self) -> Sequence[Layout]:
        """See `VectorStore.layouts`."""
        with self._told():
            names = self._client.list_collections(**self._in_time)
            found = [self._described(each) for each in names]
        return sorted((each for each in found if each), key=lambda layout: layout.name)

    def upsert(self, layout: Layout, points: Sequence[Point]) -> None:
        """See `VectorStore.upsert`: 1,000 points a call."""
        with self._told(layout):
            self._loaded(layout)
            rows = [_row(layout, point) for point in check_points(layout, points)]
            _check_sizes(rows)
            with self._writing:
                self._put(layout, rows)

    def search(self, layout: Layout, queries: Sequence[Query]) -> Sequence[Sequence[Hit]]:
        """See `VectorStore.search`.

        Raises:
            RefusedError: More than 16,384 are asked for.
        """
        with self._told(layout):
            self._loaded(layout)
            asked = check_queries(layout, queries)
            alike: dict[tuple[Filter, int], list[int]] = defaultdict(list)
            for number, query in enumerate(asked):
                alike[query.where, query.limit].append(number)
            found: list[Sequence[Hit]] = [()] * len(asked)
            for (where, limit), numbers in alike.items():
                hits = self._found(layout, where, limit, [asked[number] for number in numbers])
                for number, each in zip(numbers, hits, strict=True):
                    found[number] = each
            return found

    def read(self, layout: Layout, ids: Iterable[str], *, vectors: bool = False) -> Sequence[Point]:
        """See `VectorStore.read`."""
        with self._told(layout):
            self._loaded(layout)
            asked = check_ids(ids)
            found: dict[str, Point] = {}
            for batch in _batches(asked):
                rows = self._query(layout, f"id in {_list(batch)}", vectors=vectors, limit=len(batch))
                found |= {point.id: point for point in rows}
            return [found[each] for each in asked if each in found]

    def set_fields(self, layout: Layout, fields: Mapping[str, Fields]) -> None:
        """See `VectorStore.set_fields`.

        The points are read and stored again: another process that writes the same ones meanwhile is overwritten.
        """
        with self._told(layout), self._writing:
            self._loaded(layout)
            given = check_fields(fields, layout)
            points = self.read(layout, given, vectors=True)
            self.upsert(
                layout,
                [msgspec.structs.replace(each, fields={**each.fields, **given[each.id]}) for each in points],
            )

    def delete(self, layout: Layout, ids: Iterable[str]) -> None:
        """See `VectorStore.delete`."""
        with self._told(layout), self._writing:
            self._loaded(layout)
            for batch in _batches(check_ids(ids)):
                self._client.delete(_name(layout.name), ids=batch, **self._in_time)

    def delete_where(self, layout: Layout, where: Filter) -> None:
        """See `VectorStore.delete_where`."""
        with self._told(layout), self._writing:
            self._loaded(layout)
            asked = check_filter(layout, where)
            self._client.delete(
                _name(layout.name), filter=_expression(asked), consistency_level="Strong", **self._in_time
            )

    def erase(self, layout: Layout, ids: Iterable[str]) -> None:
        """See `VectorStore.erase`: Milvus drops the bytes when it compacts, which is asked for here and done later."""
        with self._told(layout), self._writing:
            self.delete(layout, ids)
            self._client.flush(_name(layout.name), **self._in_time)
            if not _is_lite(self._uri):  # which compacts by itself
                self._client.compact(_name(layout.name), **self._in_time)

    def count(self, layout: Layout, where: Filter = EVERYTHING) -> int:
        """See `VectorStore.count`."""
        with self._told(layout):
            self._loaded(layout)
            rows = self._client.query(
                _name(layout.name),
                filter=_expression(check_filter(layout, where)),
                output_fields=["count(*)"],
                consistency_level="Strong",
                **self._in_time,
            )
            return int(rows[0]["count(*)"])

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
        with self._told(layout):
            self._loaded(layout)
            asked = _expression(check_filter(layout, where))
            check_page(after, limit)
            found: list[Point] = []
            while len(found) < limit:
                behind = f"({asked}) and id > {_text(found[-1].id if found else after)}"
                wanted = min(limit - len(found), _BATCH)
                page = self._query(layout, behind, vectors=vectors, limit=wanted, iterator="True")
                found += sorted(page, key=lambda point: point.id)
                if len(page) < wanted:
                    break
            return found

    def optimize(self, layout: Layout) -> None:
        """See `VectorStore.optimize`: what was stored is sealed, and Milvus builds its index."""
        with self._told(layout):
            self._loaded(layout)
            with self._writing:
                self._client.flush(_name(layout.name), **self._in_time)

    def close(self) -> None:
        """See `VectorStore.close`."""
        with self._writing:
            if not self._is_open:
                return
            self._is_open = False
            self._client.close()
            if _is_lite(self._uri):
                _lite().release_server(self._uri)

    @property
    def _in_time(self) -> Mapping[str, float]:
        return {"timeout": self._timeout_s}

    def _loaded(self, layout: Layout) -> None:
        """See that the collection is there, is what is meant, and can be searched."""
        if layout.name not in self._known:
            found = self._described(_name(layout.name))
            if found is None:
                raise no_such_collection(layout.name)
            check_same(layout, found)
            self._client.load_collection(_name(layout.name), **self._in_time)
            self._known[layout.name] = found
        check_same(layout, self._known[layout.name])

    def _described(self, name: str) -> Layout | None:
        """What a collection was made for; None where it is none of ours."""
        said = self._client.describe_collection(name, **self._in_time).get("properties", {}).get(_LAYOUT)
        return decoder(Layout).decode(said) if said else None

    def _schema(self, layout: Layout) -> Any:  # noqa: ANN401 - pymilvus's own
        kinds = self._milvus.DataType
        strings = {"element_type": kinds.VARCHAR, "max_capacity": _MOST_STRINGS, "max_length": _MOST_STRING_BYTES}
        schema = self._milvus.MilvusClient.create_schema(enable_dynamic_field=False)
        schema.add_field("id", kinds.VARCHAR, is_primary=True, max_length=36)
        schema.add_field("vector", kinds.FLOAT_VECTOR, dim=layout.dimension)
        schema.add_field("fields", kinds.ARRAY, **strings)
        for name, kind in layout.fields.items():
            if kind == "keyword":
                schema.add_field(_column(name), kinds.ARRAY, **strings)
            else:
                schema.add_field(_column(name), kinds.DOUBLE, nullable=True)
        return schema

    def _put(self, layout: Layout, rows: Sequence[dict[str, Any]]) -> None:
        stored = 0
        for batch in _batches(rows):
            try:
                with self._told(layout):
                    self._client.upsert(_name(layout.name), batch, **self._in_time)
            except RefusedError as error:
                if stored == 0:
                    raise
                raise PartlyRefusedError(
                    f"of {len(rows)} points {stored} were stored, and then: {error}",
                    [row["id"] for row in rows[stored:]],
                ) from error
            stored += len(batch)

    def _found(self, layout: Layout, where: Filter, limit: int, queries: Sequence[Query]) -> list[list[Hit]]:
        """What queries with one filter find; asked for more where the last of them are as near as the next."""
        if limit > MOST_FOUND:
            raise RefusedError(f"{limit} were asked for, and Milvus finds {MOST_FOUND} at most: ask for fewer")
        wanted = min(limit + 1, MOST_FOUND)
        while True:
            answers = self._client.search(
                _name(layout.name),
                data=[np.asarray(query.vector, np.float32).tolist() for query in queries],
                anns_field="vector",
                filter="" if where == EVERYTHING else _expression(where),
                limit=wanted,
                output_fields=["fields"],
                consistency_level="Strong",
                **self._in_time,
            )
            hits = [[_hit(each) for each in answer] for answer in answers]
            if wanted == MOST_FOUND or not any(len(each) == wanted and _is_cut(each, limit) for each in hits):
                return [sorted(each, key=lambda hit: (-hit.score, hit.id))[:limit] for each in hits]
            wanted = min(2 * wanted, MOST_FOUND)

    def _query(self, layout: Layout, expression: str, *, vectors: bool, limit: int, **options: str) -> list[Point]:
        rows = self._client.query(
            _name(layout.name),
            filter=expression,
            output_fields=["id", "fields", *(["vector"] if vectors else [])],
            limit=limit,
            consistency_level="Strong",
            **self._in_time,
            **options,
        )
        return [
            Point(
                id=row["id"],
                vector=np.array(row["vector"], np.float32) if vectors else None,
                fields=_said(row["fields"]),
            )
            for row in rows
        ]

    @contextmanager
    def _told(self, layout: Layout | None = None) -> Iterator[None]:
        """Milvus's errors as the port's, without the key."""
        check_open(is_open=self._is_open)
        try:
            yield
        except VectorStoreError:
            raise
        except (self._milvus.MilvusException, self._grpc.RpcError, OSError) as error:
            if getattr(error, "code", None) == _NOT_THERE and layout:
                self._known.pop(layout.name, None)
                raise no_such_collection(layout.name) from None
            what = self._hidden(str(getattr(error, "message", "") or error))
            if _is_passing(error):
                raise UnavailableError(
                    f"Milvus at {self._place} did not answer in {self._timeout_s:g} s ({what}): see that it runs"
                ) from None
            raise RefusedError(f"Milvus at {self._place} refused: {what}") from None

    @property
    def _place(self) -> str:
        return self._uri if _is_lite(self._uri) else urlsplit(self._uri).netloc

    def _hidden(self, text: str) -> str:
        return self._token.hidden_in(text) if self._token else text


def _pymilvus() -> Any:  # noqa: ANN401 - slow to import, and half typed
    """What it and gRPC would log is in the errors."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    for each in ("pymilvus", "milvus_lite", "grpc._server"):
        logging.getLogger(each).setLevel(logging.CRITICAL + 1)
    return importlib.import_module("pymilvus")


def _lite() -> Any:  # noqa: ANN401 - as above
    return importlib.import_module("milvus_lite.server_manager").server_manager_instance


def _is_lite(uri: str) -> bool:
    return "://" not in uri


def _served(uri: str) -> str:
    """Where to connect to: for milvus-lite, the server that it starts in this process."""
    if not _is_lite(uri):
        return uri
    served: str | None = _lite().start_and_get_uri(uri)
    if served is None:
        raise UnavailableError(
            f"milvus-lite could not open {uri}: see that no other process has it open, and that it may be written"
        )
    return served


def _value(token: Secret | None) -> str:
    try:
        return token.value() if token else ""
    except ModelSettingsError as error:
        raise RefusedError(f"Milvus was not asked: {error}") from None


def _check(uri: str, *, has_key: bool) -> None:
    parts = urlsplit(uri)
    if _is_lite(uri):
        return
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise RefusedError("the URI of Milvus cannot be used: expected e.g. https://host:19530, or a milvus-lite path")
    if "@" in parts.netloc:
        raise RefusedError("the URI of Milvus holds a user or a password, which logs would show: put it into the token")
    if parts.scheme == "http" and has_key and not is_near(parts.hostname):
        raise RefusedError(f"the token would be sent in the clear to {parts.hostname}: use https")


def _is_passing(error: BaseException | None) -> bool:
    """Whether the same call may succeed later: what pymilvus raises, or gRPC below it, says so."""
    seen: list[BaseException] = []
    while error is not None and error not in seen:  # pymilvus raises errors that are their own cause
        code = getattr(error, "code", None)
        said = code() if callable(code) else code
        if said == _RATE_LIMIT or getattr(said, "name", "") in _PASSING or getattr(error, "retriable", False):
            return True
        seen.append(error)
        error = error.__cause__
    return False


def _name(name: str) -> str:
    return f"T{name.translate(_CAPITALS)}"


def _column(field: str) -> str:
    """Whatever a field is called, its column is no word of Milvus's language."""
    return f"f_{field}"


def _row(layout: Layout, point: Point) -> dict[str, Any]:
    text = msgspec.json.encode(point.fields).decode()
    row: dict[str, Any] = {
        "id": point.id,
        "vector": np.asarray(point.vector, np.float32).tolist(),
        "fields": [text[start : start + _PIECE] for start in range(0, len(text), _PIECE)],
    }
    for name, kind in layout.fields.items():
        row[_column(name)] = _stored(point.fields.get(name), kind)
    return row


def _stored(value: Value | None, kind: Kind) -> list[str] | float | None:
    if kind == "number":
        return float(value) if isinstance(value, int | float) else None
    if isinstance(value, str):
        return [value]
    return [str(each) for each in value] if isinstance(value, Sequence) else []


def _check_sizes(rows: Sequence[dict[str, Any]]) -> None:
    """Refuse what Milvus cannot hold before any of it is sent."""
    problems = [
        f"point {row['id']}: {column.removeprefix('f_')} holds {what}"
        for row in rows
        for column, value in row.items()
        if column != "vector" and isinstance(value, list)
        for what in _too_large(value)
    ]
    if problems:
        raise RefusedError(f"Milvus cannot hold this, nothing was stored: {'; '.join(problems[:5])}")


def _too_large(value: Sequence[str]) -> Iterator[str]:
    if len(value) > _MOST_STRINGS:
        yield f"{len(value)} strings, expected {_MOST_STRINGS} at most"
    if any(len(each.encode()) > _MOST_STRING_BYTES for each in value):
        yield f"a string of more than {_MOST_STRING_BYTES} bytes"


def _hit(given: Mapping[str, Any]) -> Hit:
    return Hit(id=given["id"], score=float(given["distance"]), fields=_said(given["entity"]["fields"]))


def _said(pieces: Iterable[str]) -> Fields:
    fields: Fields = decoder(dict[str, str | int | float | bool | list[str]]).decode("".join(pieces))
    return fields


def _is_cut(hits: Sequence[Hit], limit: int) -> bool:
    """Whether behind the last that was found there may be one as near as the last that counts."""
    return hits[-1].score == hits[limit - 1].score


def _expression(where: Filter) -> str:
    """A filter in Milvus's language; every value in it is a literal."""
    said = [*(_holds(each) for each in where.must), *(_holds_not(each) for each in where.must_not)]
    return " and ".join(f"({each})" for each in said) or 'id != ""'


def _holds(condition: Condition) -> str:
    column = _column(condition.field)
    if isinstance(condition, OneOf):
        return f"array_contains_any({column}, {_list(condition.values)})" if condition.values else 'id == ""'
    if isinstance(condition, Equals) and isinstance(condition.value, str):
        return f"array_contains({column}, {_text(condition.value)})"
    return " and ".join(f"{column} {sign} {float(bound)!r}" for sign, bound in _bounds(condition)) or (
        f"{column} is not null"
    )


def _holds_not(condition: Condition) -> str:
    """The contrary, spelled out: what a missing number makes of `not` is nowhere promised."""
    column = _column(condition.field)
    if isinstance(condition, OneOf) or isinstance(condition.value if isinstance(condition, Equals) else None, str):
        return f"not ({_holds(condition)})"
    outside = [f"{column} {_CONTRARY[sign]} {float(bound)!r}" for sign, bound in _bounds(condition)]
    return " or ".join([f"{column} is null", *outside])


_CONTRARY: Final = {"==": "!=", ">": "<=", ">=": "<", "<": ">=", "<=": ">"}


def _bounds(condition: Equals | Range) -> list[tuple[str, float]]:
    if isinstance(condition, Equals):
        return [("==", float(condition.value))]
    bounds = (
        (">", condition.above),
        (">=", condition.at_least),
        ("<", condition.below),
        ("<=", condition.at_most),
    )
    return [(sign, bound) for sign, bound in bounds if bound is not None]


def _list(values: Iterable[str]) -> str:
    return f"[{', '.join(_text(each) for each in values)}]"


def _text(value: str) -> str:
    return f'"{value.translate(_ESCAPES)}"'


def _batches(given: Sequence[T]) -> Iterator[list[T]]:
    return ([*given[start : start + _BATCH]] for start in range(0, len(given), _BATCH))
