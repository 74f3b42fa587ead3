"""Pinecone's serverless indexes over its REST API, version 2026-04.

What shaped this file. A physical collection is an index of its own: what was dropped answers 404 instead of being made
again by the next write, its layout travels in its tags, and its limits are its own. An index takes 45 characters for
its name, so that is made of the collection's, with a digest of the whole. A write is there at once and found later: it
answers with its number in the log, a query with the number up to which it has read, and a write returns when a query
has read that far. There is no order by id but in the list of ids, and no count of what a filter passes.
"""

import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any
from urllib.parse import urlencode

import msgspec

from functions.adapters.models.settings import Secret
from functions.adapters.rest import Patience, Rest
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
    passes,
)
from functions.adapters.vectors.pinecone_messages import (
    HEADERS,
    NAMESPACE,
    Counted,
    Described,
    Fetched,
    Found,
    Indexes,
    Listed,
    Record,
    S,
    Said,
    Upserted,
    creation,
    filter_of,
    index_name,
    made_for,
    prefixes_after,
    read,
)
from functions.adapters.vectors.service_errors import StatusError, store_error
from functions.ports.vector_stores import (
    EVERYTHING,
    SCROLL_POINTS,
    Fields,
    Filter,
    Hit,
    Layout,
    LayoutError,
    PartlyRefusedError,
    Point,
    PointsError,
    Query,
    RefusedError,
    UnavailableError,
    Vector,
)

URL = "https://api.pinecone.io"
MOST_RECORDS = 1_000  # of an upsert or a delete
MOST_BYTES = 1_900_000  # of an upsert: 2 MB, and some for what is around the records
MOST_METADATA_BYTES = 40 * 1024
MOST_FETCHED = 100  # ids of 36 characters make an address of 4 KB
MOST_LISTED = 100
_NOT_FOUND = 404
_WRITTEN, _INDEXED = "x-pinecone-request-lsn", "x-pinecone-max-indexed-lsn"
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


def _foreign(index: str) -> LayoutError:
    return LayoutError(f"the index {index} is there and was not made as a collection: it is left as it is, rename it")


def _numbers(vector: Vector | None) -> list[float]:
    import numpy as np  # noqa: PLC0415 - as in functions.ports.encoders

    return np.asarray(vector, np.float32).tolist()  # type: ignore[no-any-return]  # of floats


def _point(record: Record, *, vectors: bool) -> Point:
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

    def __init__(
        self,
        settings: PineconeSettings,
        *,
        pause: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._pause, self._clock = pause, clock
        self._control = self._opened(settings.url)
        self._indexes: dict[str, _Index] = {}
        self._lock = threading.Lock()
        self._is_open = True

    def create(self, layout: Layout) -> None:
        """See `VectorStore.create`; returns when the index can be used."""
        self._check_open()
        check_layout(layout)
        name = index_name(layout.name)
        if self._described(name) is None:
            body = creation(layout, self._settings.cloud, self._settings.region)
            self._told(self._control, "POST", "/indexes", Described, body, missing=(409,))  # 409: somebody was faster
        self._until(
            lambda: (found := self._described(name)) is not None and found.status.ready,
            self._settings.ready_within_s,
            f"the index {name} is being made and is not ready",
        )
        self._index(layout)

    def drop(self, name: str) -> None:
        """See `VectorStore.drop`; returns when the index is gone."""
        check_name(name)
        self._check_open()
        index = index_name(name)
        found = self._described(index)
        if found is None:
            return
        if made_for(found) is None:
            raise _foreign(index)
        self._told(self._control, "DELETE", f"/indexes/{index}", Said, missing=(404,))
        self._forget(name)
        self._until(
            lambda: self._described(index) is None,
            self._settings.ready_within_s,
            f"the index {index} is being deleted and is still there",
        )

    def layouts(self) -> Sequence[Layout]:
        """See `VectorStore.layouts`."""
        self._check_open()
        told = self._told(self._control, "GET", "/indexes", Indexes) or Indexes()
        found = [made_for(each) for each in told.indexes]
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
                told, write = self._wrote(index, "/vectors/upsert", Upserted, body)
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
                written = max(written, self._wrote(index, "/vectors/update", Said, body)[1])
        self._settle(index, written)

    def delete(self, layout: Layout, ids: Iterable[str]) -> None:
        """See `VectorStore.delete`."""
        index = self._index(layout)
        asked = check_ids(ids)
        written = 0
        for start in range(0, len(asked), MOST_RECORDS):
            body = {"ids": asked[start : start + MOST_RECORDS], "namespace": NAMESPACE}
            written = max(written, self._wrote(index, "/vectors/delete", Said, body)[1])
        self._settle(index, written)

    def delete_where(self, layout: Layout, where: Filter) -> None:
        """See `VectorStore.delete_where`."""
        index = self._index(layout)
        passing = filter_of(check_filter(layout, where))
        if passing is not None:
            what = {"filter": passing} if passing else {"deleteAll": True}
            self._settle(index, self._wrote(index, "/vectors/delete", Said, {**what, "namespace": NAMESPACE})[1])

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
            raises=store_error,
            clock=self._clock,
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
                raise no_such_collection(layout.name)
            made = made_for(described)
            if made is None:
                raise _foreign(name)
            found = _Index(made, name, self._opened(self._address(described.host)))
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
            return rest.asked(method, path, body, read=lambda reply: read(reply, kind), headers=HEADERS)
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
                method, path, body, read=lambda reply: (read(reply, kind), reply.headers), headers=HEADERS
            )
        except (StatusError, UnavailableError) as error:
            if isinstance(error, StatusError) and error.status != _NOT_FOUND:
                raise
            if self._described(index.name) is None:
                self._forget(index.layout.name)
                raise no_such_collection(index.layout.name) from error
            if isinstance(error, UnavailableError):
                raise
            return kind(), None

    def _described(self, name: str) -> Described | None:
        return self._told(self._control, "GET", f"/indexes/{name}", Described, missing=(404,))

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
        told, _ = self._asked(index, "POST", "/query", Found, body)
        found = [Hit(id=each.id, score=each.score, fields=each.metadata or {}) for each in told.matches]
        return sorted(found, key=lambda hit: (-hit.score, hit.id))

    def _fetched(self, index: _Index, ids: Sequence[str]) -> dict[str, Record]:
        found: dict[str, Record] = {}
        for start in range(0, len(ids), MOST_FETCHED):
            asked = [*(("ids", each) for each in ids[start : start + MOST_FETCHED]), ("namespace", NAMESPACE)]
            told, _ = self._asked(index, "GET", f"/vectors/fetch?{urlencode(asked)}", Fetched)
            found |= told.vectors
        return found

    def _listed(self, index: _Index, prefix: str) -> Iterator[str]:
        """The ids that begin so, in their order, each of them once."""
        asked = {"limit": str(MOST_LISTED), "namespace": NAMESPACE} | ({"prefix": prefix} if prefix else {})
        token = ""
        while True:
            page = {**asked, "paginationToken": token} if token else asked
            told, _ = self._asked(index, "GET", f"/vectors/list?{urlencode(page)}", Listed)
            yield from (each.id for each in told.vectors)
            token = told.pagination.next if told.pagination else ""
            if not token:
                return

    def _passing(self, index: _Index, passing: Mapping[str, Any]) -> set[str]:
        body: dict[str, Any] = {"filter": passing, "limit": MOST_LISTED, "namespace": NAMESPACE}
        ids: set[str] = set()
        while True:
            told, _ = self._asked(index, "POST", "/vectors/fetch_by_metadata", Fetched, body)
            ids |= told.vectors.keys()
            if not (told.pagination and told.pagination.next):
                return ids
            body["paginationToken"] = told.pagination.next

    def _prefixes(self, index: _Index, after: str) -> list[str]:
        """A page cannot begin after an id, but it can hold the ids of a prefix: the more there are, the longer."""
        if not after:
            return [""]
        told, _ = self._asked(index, "POST", "/describe_index_stats", Counted, {})
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
                f"{index.name} answered a write without its number ({_WRITTEN}), so that nobody knows when it is "
                "found: expected a serverless index"
            )
        return told, int(number)

    def _settle(self, index: _Index, written: int) -> None:
        """Wait until queries have read up to a write."""
        if not written:
            return
        first = [1.0, *([0.0] * (index.layout.dimension - 1))]
        body = {"vector": first, "topK": 1, "includeMetadata": False, "includeValues": False, "namespace": NAMESPACE}

        def has_read_it() -> bool:
            _, headers = self._asked(index, "POST", "/query", Found, body)
            number = (headers or {}).get(_INDEXED, "")
            return number.isdecimal() and int(number) >= written

        self._until(
            has_read_it, self._settings.fresh_within_s, f"what was written to {index.name} is stored, not found"
        )

    def _until(self, holds: Callable[[], bool], within_s: float, otherwise: str) -> None:
        ends = self._clock() + within_s
        wait = _FIRST_PAUSE_S
        while not holds():
            if self._clock() >= ends:
                raise UnavailableError(f"{otherwise} yet, {within_s:g} s after: ask again later")
            self._pause(wait * (0.5 + random.random() / 2))  # noqa: S311 - nobody gains from guessing it
            wait = min(2 * wait, _LONGEST_PAUSE_S)
