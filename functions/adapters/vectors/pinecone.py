"""Pinecone's serverless indexes over its REST API, version 2026-04.

What shaped this file. A physical collection is an index of its own: what was dropped answers 404 instead of being made
again by the next write, its layout travels in its tags, and its limits are its own. An index takes 45 characters for
its name, so that is made of the collection's, with a digest of the whole. A write is there at once and found later: it
answers with its number in the log, a query with the number up to which it has read, and a write returns when a query
has read that far. There is no order by id but in the list of ids, and no count of what a filter passes.
"""

import base64
import hashlib
import random
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar
from urllib.parse import urlencode

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
    PointsError,
    Query,
    RefusedError,
    UnavailableError,
    Vector,
)

VERSION = "2026-04"
URL = "https://api.pinecone.io"
NAMESPACE = "__default__"
MOST_RECORDS = 1_000  # of an upsert or a delete
MOST_BYTES = 1_900_000  # of an upsert: 2 MB, and some for what is around the records
MOST_METADATA_BYTES = 40 * 1024
MOST_FETCHED = 100  # ids of 36 characters make an address of 4 KB
MOST_LISTED = 100
_TAG, _TAG_CHARACTERS = "layout", 120
_PREFIX = 24  # characters of the collection's name that the index shows
_DIGEST = 20
_HEADERS = {"x-pinecone-api-version": VERSION}
_NOT_FOUND = 404
_METRICS = {"cosine": "cosine", "dot": "dotproduct"}
_WRITTEN, _INDEXED = "x-pinecone-request-lsn", "x-pinecone-max-indexed-lsn"
_HEX = "0123456789abcdef"
_DEEPEST = 6
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 2.0


class PineconeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Whose indexes, and where new ones are made.

    Attributes:
        key: Where the API key is.
        cloud: Of new indexes: aws, gcp or azure.
        region: Of new indexes, as that cloud calls it.
        url: Of the control plane. What it says of an index is asked the same way, by http or https.
        fresh_within_s: How long a write waits until queries find it.
        ready_within_s: How long `create` waits until an index can be used, and `drop` until it is gone.
        patience: With each request.
    """

    key: Secret
    cloud: str = "aws"
    region: str = "us-east-1"
    url: str = URL
    fresh_within_s: float = 30.0
    ready_within_s: float = 180.0
    patience: Patience = Patience()


class _Said(msgspec.Struct, frozen=True):
    """What every answer may be instead: an error, whatever its status says."""

    code: Any = None
    message: str | None = None
    error: Any = None


S = TypeVar("S", bound=_Said)


class _Upserted(_Said, frozen=True, rename="camel"):
    upserted_count: int = 0


class _Record(msgspec.Struct, frozen=True):
    id: str
    score: float = 0.0
    values: list[float] | None = None
    metadata: dict[str, str | int | float | bool | list[str]] | None = None


class _Found(_Said, frozen=True, rename="camel"):
    matches: list[_Record] = []


class _Fetched(_Said, frozen=True, rename="camel"):
    vectors: dict[str, _Record] = {}
    pagination: "_More | None" = None


class _Listed(_Said, frozen=True, rename="camel"):
    vectors: list[_Record] = []
    pagination: "_More | None" = None


class _Counted(_Said, frozen=True, rename="camel"):
    total_vector_count: int = 0


class _More(msgspec.Struct, frozen=True):
    next: str = ""


class _Status(msgspec.Struct, frozen=True):
    ready: bool
    state: str


class _Described(_Said, frozen=True):
    name: str = ""
    host: str = ""
    status: _Status = _Status(ready=False, state="unknown")
    tags: dict[str, str] | None = None


class _Indexes(_Said, frozen=True):
    indexes: list[_Described] = []


def index_name(collection: str) -> str:
    """What the index of a collection is called: a beginning that can be read, and a digest of the whole."""
    digest = hashlib.sha256(collection.encode()).hexdigest()[:_DIGEST]
    return f"{re.sub(r'[^a-z0-9]+', '-', collection[:_PREFIX]).strip('-')}-{digest}"


def tags_of(layout: Layout) -> dict[str, str]:
    """A layout in the characters that tags may have, and in pieces as long as they may be."""
    text = base64.urlsafe_b64encode(msgspec.json.encode(layout, order="sorted")).decode().rstrip("=")
    pieces = [text[start : start + _TAG_CHARACTERS] for start in range(0, len(text), _TAG_CHARACTERS)]
    return {f"{_TAG}{number}": piece for number, piece in enumerate(pieces)}


def layout_of_tags(tags: Mapping[str, str]) -> Layout | None:
    """The layout in the tags of an index; None where somebody else made it."""
    numbers = sorted(int(each.removeprefix(_TAG)) for each in tags if re.fullmatch(rf"{_TAG}\d{{1,2}}", each))
    text = "".join(tags[f"{_TAG}{number}"] for number in numbers)
    try:
        return decoder(Layout).decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, msgspec.MsgspecError):
        return None


def filter_of(where: Filter) -> dict[str, Any] | None:
    """A filter as Pinecone takes it: empty where it passes everything, None where it passes nothing."""
    if any(isinstance(each, OneOf) and not each.values for each in where.must):
        return None
    clauses = [_clause(each) for each in where.must]
    clauses += [_negated(each) for each in where.must_not if not (isinstance(each, OneOf) and not each.values)]
    if len(clauses) > 1:
        return {"$and": clauses}
    return clauses[0] if clauses else {}


def _clause(condition: Condition) -> dict[str, Any]:
    if isinstance(condition, Equals):
        return {condition.field: {"$eq": condition.value}}
    if isinstance(condition, OneOf):
        return {condition.field: {"$in": list(condition.values)}}
    bounds = (
        ("$gt", condition.above),
        ("$gte", condition.at_least),
        ("$lt", condition.below),
        ("$lte", condition.at_most),
    )
    return {condition.field: {name: bound for name, bound in bounds if bound is not None} or {"$exists": True}}


def _negated(condition: Condition) -> dict[str, Any]:
    """Without the field it holds too, which is said aloud: nothing says what `$ne` makes of a record without it."""
    field = condition.field
    absent = {field: {"$exists": False}}
    if isinstance(condition, Equals):
        return {"$or": [absent, {field: {"$ne": condition.value}}]}
    if isinstance(condition, OneOf):
        return {"$or": [absent, {field: {"$nin": list(condition.values)}}]}
    opposites = (
        ("$lte", condition.above),
        ("$lt", condition.at_least),
        ("$gte", condition.below),
        ("$gt", condition.at_most),
    )
    outside = [{field: {name: bound}} for name, bound in opposites if bound is not None]
    return {"$or": [absent, *outside]} if outside else absent


def prefixes_after(after: str, depth: int) -> list[str]:
    """Prefixes of ids that together begin every id from `after` on, in the order of the ids.

    The deeper, the less of what comes before `after` they begin too, and the more of them there are.
    """
    found = [after[:depth]]
    for length in reversed(range(min(depth, len(after)))):
        later = _HEX[_HEX.find(after[length]) + 1 :] if after[length] in _HEX else ""
        found += [after[:length] + each for each in later]
    return found


def _read(reply: Reply, kind: type[S]) -> S:
    told = decoder(kind).decode(reply.body or b"{}")
    if told.error or told.message:
        raise RefusedError(f"Pinecone answered {reply.status} with an error: {told.error or told.message!s:.300}")
    return told


def _made_for(described: _Described) -> Layout | None:
    """The layout of an index; None where it is not a collection's."""
    found = layout_of_tags(described.tags or {})
    return found if found is not None and index_name(found.name) == described.name else None


def _foreign(index: str) -> LayoutError:
    return LayoutError(f"the index {index} is there and was not made as a collection: it is left as it is, rename it")


def _missing(collection: str) -> NoSuchCollectionError:
    return NoSuchCollectionError(f"there is no collection {collection}: create it first")


def _numbers(vector: Vector | None) -> list[float]:
    import numpy as np  # noqa: PLC0415 - as in functions.ports.encoders

    return np.asarray(vector, np.float32).tolist()  # type: ignore[no-any-return]  # of floats


def _point(record: _Record, *, vectors: bool) -> Point:
    import numpy as np  # noqa: PLC0415 - as in functions.ports.encoders

    vector = np.array(record.values, np.float32) if vectors else None
    return Point(id=record.id, vector=vector, fields=record.metadata or {})


def _records(points: Sequence[Point]) -> list[tuple[str, bytes]]:
    """The points as they are sent, by id.

    Raises:
        PointsError: Some say more than Pinecone keeps.
    """
    sizes = {point.id: len(msgspec.json.encode(point.fields)) for point in points}
    wrong = [f"point {id_}: its fields have {size} bytes" for id_, size in sizes.items() if size > MOST_METADATA_BYTES]
    if wrong:
        raise PointsError(f"nothing was stored: {'; '.join(wrong[:5])}: Pinecone keeps up to {MOST_METADATA_BYTES}")
    return [
        (point.id, msgspec.json.encode({"id": point.id, "values": _numbers(point.vector), "metadata": point.fields}))
        for point in points
    ]


def _partly(left: Sequence[str], of: int, why: str) -> PartlyRefusedError:
    return PartlyRefusedError(f"{len(left)} of {of} points were not all stored ({why}): store them again", left)


def _batches(records: Iterable[tuple[str, bytes]]) -> Iterator[list[tuple[str, bytes]]]:
    """As many records together as a request may hold."""
    batch: list[tuple[str, bytes]] = []
    size = 0
    for each in records:
        if batch and (len(batch) == MOST_RECORDS or size + len(each[1]) > MOST_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(each)
        size += len(each[1]) + 1
    if batch:
        yield batch


class _Index(msgspec.Struct, frozen=True):
    layout: Layout
    name: str
    rest: Rest


class PineconeStore:
    """An index for each physical collection, and its default namespace."""

    searches_words = False  # sparse values need an index by dot product, and know no rarity within a tenant

    def __init__(self, settings: PineconeSettings, *, pause: Callable[[float], None] = time.sleep) -> None:
        self._settings = settings
        self._pause = pause
        self._control = self._opened(settings.url)
        self._indexes: dict[str, _Index] = {}
        self._lock = threading.Lock()
        self._is_open = True

    def create(self, layout: Layout) -> None:
        """See `VectorStore.create`; returns when the index can be used."""
        self._check_open()
        check_layout(layout)
        name = index_name(layout.name)
        serverless: dict[str, Any] = {"cloud": self._settings.cloud, "region": self._settings.region}
        if layout.fields:  # or every field were indexed, the text too
            serverless["schema"] = {"fields": {each: {"filterable": True} for each in sorted(layout.fields)}}
        body = {
            "name": name,
            "dimension": layout.dimension,
            "metric": _METRICS[layout.distance],
            "vector_type": "dense",
            "deletion_protection": "disabled",
            "spec": {"serverless": serverless},
            "tags": tags_of(layout),
        }
        if self._described(name) is None:
            self._told(self._control, "POST", "/indexes", _Described, body, missing=(409,))  # 409: somebody was faster
        self._until(
            lambda: (found := self._described(name)) is not None and found.status.ready,
            self._settings.ready_within_s,
            f"the index {name} is being made and is not ready",
        )
        self._index(layout)

    def drop(self, name: str) -> None:
        """See `VectorStore.drop`; returns when the index is gone."""
        self._check_open()
        index = index_name(name)
        found = self._described(index)
        if found is None:
            return
        if _made_for(found) is None:
            raise _foreign(index)
        self._told(self._control, "DELETE", f"/indexes/{index}", _Said, missing=(404,))
        self._forget(name)
        self._until(
            lambda: self._described(index) is None,
            self._settings.ready_within_s,
            f"the index {index} is being deleted and is still there",
        )

    def layouts(self) -> Sequence[Layout]:
        """See `VectorStore.layouts`."""
        self._check_open()
        told = self._told(self._control, "GET", "/indexes", _Indexes) or _Indexes()
        found = [_made_for(each) for each in told.indexes]
        return sorted((each for each in found if each is not None), key=lambda layout: layout.name)

    def upsert(self, layout: Layout, points: Sequence[Point]) -> None:
        """See `VectorStore.upsert`: as many requests as their sizes need, and one wait until queries find them."""
        index = self._index(layout)
        records = _records(check_points(layout, points))
        left = [id_ for id_, _ in records]
        written = 0
        for batch in _batches(records):
            body = {"vectors": [msgspec.Raw(each) for _, each in batch], "namespace": NAMESPACE}
            try:
                told, write = self._wrote(index, "/vectors/upsert", _Upserted, body)
            except RefusedError as error:
                self._settle(index, written)
                if not written:
                    raise
                raise _partly(left, len(records), str(error)) from error
            written = max(written, write)
            if told.upserted_count < len(batch):
                self._settle(index, written)
                raise _partly(left, len(records), f"{told.upserted_count} of {len(batch)} were, and not said which")
            left = left[len(batch) :]
        self._settle(index, written)

    def search(self, layout: Layout, queries: Sequence[Query]) -> Sequence[Sequence[Hit]]:
        """See `VectorStore.search`: a request for each query, one after the other."""
        index = self._index(layout)
        return [self._searched(index, query) for query in check_queries(layout, queries)]

    def read(self, layout: Layout, ids: Iterable[str], *, vectors: bool = False) -> Sequence[Point]:
        """See `VectorStore.read`."""
        index = self._index(layout)
        asked = check_ids(ids)
        found = self._fetched(index, asked)
        return [_point(found[each], vectors=vectors) for each in asked if each in found]

    def set_fields(self, layout: Layout, fields: Mapping[str, Fields]) -> None:
        """See `VectorStore.set_fields`: a request for each point."""
        index = self._index(layout)
        written = 0
        for id_, given in check_fields(fields, layout).items():
            if given:
                body = {"id": id_, "setMetadata": given, "namespace": NAMESPACE}
                written = max(written, self._wrote(index, "/vectors/update", _Said, body)[1])
        self._settle(index, written)

    def delete(self, layout: Layout, ids: Iterable[str]) -> None:
        """See `VectorStore.delete`."""
        index = self._index(layout)
        asked = check_ids(ids)
        written = 0
        for start in range(0, len(asked), MOST_RECORDS):
            body = {"ids": asked[start : start + MOST_RECORDS], "namespace": NAMESPACE}
            written = max(written, self._wrote(index, "/vectors/delete", _Said, body)[1])
        self._settle(index, written)

    def delete_where(self, layout: Layout, where: Filter) -> None:
        """See `VectorStore.delete_where`."""
        index = self._index(layout)
        passing = filter_of(check_filter(layout, where))
        if passing is not None:
            what = {"filter": passing} if passing else {"deleteAll": True}
            self._settle(index, self._wrote(index, "/vectors/delete", _Said, {**what, "namespace": NAMESPACE})[1])

    def erase(self, layout: Layout, ids: Iterable[str]) -> None:
        """See `VectorStore.erase`: what the service keeps of it, and for how long, is up to the service."""
        self.delete(layout, ids)

    def count(self, layout: Layout, where: Filter = EVERYTHING) -> int:
        """See `VectorStore.count`: the ids are listed, and with a filter what it passes is read."""
        index = self._index(layout)
        passing = filter_of(check_filter(layout, where))
        if passing is None:
            return 0
        return sum(1 for _ in self._listed(index, "")) if not passing else len(self._passing(index, passing))

    def scroll(
        self,
        layout: Layout,
        where: Filter = EVERYTHING,
        *,
        after: str = "",
        limit: int = SCROLL_POINTS,
        vectors: bool = False,
    ) -> Sequence[Point]:
        """See `VectorStore.scroll`: everything after `after` is read until enough of it passes the filter."""
        from functions.adapters.vectors.memory import passes  # noqa: PLC0415 - it imports numpy

        index = self._index(layout)
        asked = check_filter(layout, where)
        check_page(after, limit)
        page: list[Point] = []
        listed = (each for prefix in self._prefixes(index, after) for each in self._listed(index, prefix))
        later = (each for each in listed if each > after)
        while len(page) < limit and (ids := list(islice(later, min(MOST_FETCHED, limit - len(page))))):
            found = self._fetched(index, ids)
            points = [_point(found[each], vectors=vectors) for each in ids if each in found]
            page += [each for each in points if passes(asked, each.fields)]
        return page

    def optimize(self, layout: Layout) -> None:
        """See `VectorStore.optimize`: Pinecone does that by itself."""
        self._index(layout)

    def close(self) -> None:
        """See `VectorStore.close`."""
        with self._lock:
            self._is_open = False
            indexes, self._indexes = self._indexes, {}
        for each in (self._control, *(index.rest for index in indexes.values())):
            each.close()

    def _opened(self, url: str) -> Rest:
        return Rest(
            url,
            product="Pinecone",
            key=self._settings.key,
            headers=lambda key: {"api-key": key},
            patience=self._settings.patience,
            sleep=self._pause,
        )

    def _check_open(self) -> None:
        check_open(is_open=self._is_open)

    def _index(self, layout: Layout) -> _Index:
        """The index of a collection; asked for once, since what a collection was made for never changes."""
        self._check_open()
        found = self._indexes.get(layout.name)
        if found is None:
            name = index_name(layout.name)
            described = self._described(name)
            if described is None or described.status.state == "Terminating":
                raise _missing(layout.name)
            made_for = _made_for(described)
            if made_for is None:
                raise _foreign(name)
            found = _Index(made_for, name, self._opened(self._address(described.host)))
            with self._lock:
                found = self._indexes.setdefault(layout.name, found)
        check_same(layout, found.layout)
        return found

    def _told(  # noqa: PLR0913 - a call, and what it may miss
        self,
        rest: Rest,
        method: str,
        path: str,
        kind: type[S],
        body: Mapping[str, Any] | None = None,
        *,
        missing: Sequence[int] = (),
    ) -> S | None:
        """The answer of the control plane; None where its status is one of `missing`."""
        try:
            return rest.asked(method, path, body, read=lambda reply: _read(reply, kind), headers=_HEADERS)
        except StatusError as error:
            if error.status in missing:
                return None
            raise

    def _asked(
        self, index: _Index, method: str, path: str, kind: type[S], body: Mapping[str, Any] | None = None
    ) -> tuple[S, Mapping[str, str] | None]:
        """An index's answer and its headers; an empty one without any where nothing was ever stored."""
        try:
            return index.rest.asked(
                method, path, body, read=lambda reply: (_read(reply, kind), reply.headers), headers=_HEADERS
            )
        except (StatusError, UnavailableError) as error:
            if isinstance(error, StatusError) and error.status != _NOT_FOUND:
                raise
            if self._described(index.name) is None:
                self._forget(index.layout.name)
                raise _missing(index.layout.name) from error
            if isinstance(error, UnavailableError):
                raise
            return kind(), None

    def _described(self, name: str) -> _Described | None:
        return self._told(self._control, "GET", f"/indexes/{name}", _Described, missing=(404,))

    def _forget(self, collection: str) -> None:
        with self._lock:
            index = self._indexes.pop(collection, None)
        if index is not None:
            index.rest.close()

    def _address(self, host: str) -> str:
        """Indexes have hosts of their own, given without a scheme."""
        return host if "://" in host else f"{self._settings.url.partition('://')[0]}://{host}"

    def _searched(self, index: _Index, query: Query) -> list[Hit]:
        passing = filter_of(query.where)
        if passing is None:
            return []
        body: dict[str, Any] = {
            "vector": _numbers(query.vector),
            "topK": query.limit,
            "includeMetadata": True,
            "includeValues": False,
            "namespace": NAMESPACE,
        }
        if passing:
            body["filter"] = passing
        told, _ = self._asked(index, "POST", "/query", _Found, body)
        found = [Hit(id=each.id, score=each.score, fields=each.metadata or {}) for each in told.matches]
        return sorted(found, key=lambda hit: (-hit.score, hit.id))

    def _fetched(self, index: _Index, ids: Sequence[str]) -> dict[str, _Record]:
        found: dict[str, _Record] = {}
        for start in range(0, len(ids), MOST_FETCHED):
            asked = [*(("ids", each) for each in ids[start : start + MOST_FETCHED]), ("namespace", NAMESPACE)]
            told, _ = self._asked(index, "GET", f"/vectors/fetch?{urlencode(asked)}", _Fetched)
            found |= told.vectors
        return found

    def _listed(self, index: _Index, prefix: str) -> Iterator[str]:
        """The ids that begin so, in their order, each of them once."""
        asked = {"limit": str(MOST_LISTED), "namespace": NAMESPACE} | ({"prefix": prefix} if prefix else {})
        token = ""
        while True:
            page = {**asked, "paginationToken": token} if token else asked
            told, _ = self._asked(index, "GET", f"/vectors/list?{urlencode(page)}", _Listed)
            yield from (each.id for each in told.vectors)
            token = told.pagination.next if told.pagination else ""
            if not token:
                return

    def _passing(self, index: _Index, passing: Mapping[str, Any]) -> set[str]:
        body: dict[str, Any] = {"filter": passing, "limit": MOST_LISTED, "namespace": NAMESPACE}
        ids: set[str] = set()
        while True:
            told, _ = self._asked(index, "POST", "/vectors/fetch_by_metadata", _Fetched, body)
            ids |= told.vectors.keys()
            if not (told.pagination and told.pagination.next):
                return ids
            body["paginationToken"] = told.pagination.next

    def _prefixes(self, index: _Index, after: str) -> list[str]:
        """A page cannot begin after an id, but it can hold the ids of a prefix: the more there are, the longer."""
        if not after:
            return [""]
        told, _ = self._asked(index, "POST", "/describe_index_stats", _Counted, {})
        depth = 0
        while told.total_vector_count > MOST_LISTED * 16**depth and depth < _DEEPEST:
            depth += 1
        return prefixes_after(after, depth)

    def _wrote(self, index: _Index, path: str, kind: type[S], body: Mapping[str, Any]) -> tuple[S, int]:
        """What was answered to a write, and its number; 0 where there was nothing to write to."""
        told, headers = self._asked(index, "POST", path, kind, body)
        if headers is None:
            return told, 0
        number = headers.get(_WRITTEN, "")
        if not number.isdecimal():
            raise RefusedError(
                f"{index.name} answered a write without its number ({_WRITTEN}), so that nobody knows when it is found: "
                "expected a serverless index"
            )
        return told, int(number)

    def _settle(self, index: _Index, written: int) -> None:
        """Wait until queries have read up to a write."""
        if not written:
            return
        first = [1.0, *([0.0] * (index.layout.dimension - 1))]
        body = {"vector": first, "topK": 1, "includeMetadata": False, "includeValues": False, "namespace": NAMESPACE}

        def has_read_it() -> bool:
            _, headers = self._asked(index, "POST", "/query", _Found, body)
            number = (headers or {}).get(_INDEXED, "")
            return number.isdecimal() and int(number) >= written

        self._until(
            has_read_it, self._settings.fresh_within_s, f"what was written to {index.name} is stored, not found"
        )

    def _until(self, holds: Callable[[], bool], within_s: float, otherwise: str) -> None:
        ends = time.monotonic() + within_s
        wait = _FIRST_PAUSE_S
        while not holds():
            if time.monotonic() >= ends:
                raise UnavailableError(f"{otherwise} yet, {within_s:g} s after: ask again later")
            self._pause(wait * (0.5 + random.random() / 2))  # noqa: S311 - nobody gains from guessing it
            wait = min(2 * wait, _LONGEST_PAUSE_S)
