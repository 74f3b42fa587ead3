"""Weaviate over its REST API, and GraphQL over that for searches.

What shaped this file. A name in GraphQL is letters, digits and `_`, so the class of a collection has a name of its own,
with a digest of the collection's. `id` is no name for a property, a property that nobody declared gets whatever type
its first value looks like, and keywords are trimmed: so all fields of a point are one text of JSON that is not indexed,
and beside it each declared keyword is indexed by its digest, each number as it is. That also leaves nothing in the text
of a query but names, numbers and digests, whatever somebody searches for. Setting some fields merges a second text over
the first, so that it never brings back what an upsert has replaced meanwhile.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

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
)
from functions.adapters.vectors.service_errors import StatusError, store_error
from functions.adapters.vectors.weaviate_messages import (
    CHANGED,
    STORED,
    Answered,
    Batch,
    Class,
    Clause,
    Data,
    Deletion,
    Object,
    Outcome,
    S,
    Said,
    Schema,
    arguments,
    class_name,
    class_of,
    clause_of,
    decoded,
    later_than,
    layout_of,
    nearest,
    numbers,
    page_of,
    passes_nothing,
    properties_of,
    read,
    shown,
    with_ids,
)
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
    Query,
    RefusedError,
)

MOST_OBJECTS = 200  # of a batch
MOST_IDS = 500  # of a filter
MOST_READ = 1_000  # of a page; a server gives 10,000 at most
MOST_QUERIES = 10  # of a request
ALL = "consistency_level=ALL"  # a write is on every replica, so that whichever is searched has it
_NOT_FOUND, _UNPROCESSABLE = 404, 422
_NO_ID = "0"  # before every id
_POINT = {False: shown("id"), True: shown("id", "vector")}  # with its vector or without


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


def _object(layout: Layout, point: Point) -> dict[str, Any]:
    stored = msgspec.json.encode(point.fields).decode()
    return {
        "class": class_name(layout.name),
        "id": point.id,
        "vector": numbers(point.vector),
        "properties": {STORED: stored, **properties_of(layout, point.fields)},
    }


def _point(found: Object, *, vectors: bool) -> Point:
    import numpy as np  # noqa: PLC0415 - as in functions.ports.encoders

    vector = np.array(found.additional.vector, np.float32) if vectors else None
    return Point(id=found.additional.id, vector=vector, fields=found.fields())


def _hits(layout: Layout, found: Sequence[Object]) -> list[Hit]:
    """By their scores: the cosine is 1 less the distance, the dot product the distance the other way round."""
    nearness = 1.0 if layout.distance == "cosine" else 0.0
    hits = [
        Hit(id=each.additional.id, score=nearness - (each.additional.distance or 0.0), fields=each.fields())
        for each in found
    ]
    return sorted(hits, key=lambda hit: (-hit.score, hit.id))


def _why(outcome: Outcome | None) -> str:
    """Why an object was not stored; empty where it was."""
    if outcome is None:
        return "nothing was said of it"
    problems = outcome.errors.error if outcome.errors else []
    if problems or outcome.status == "FAILED":
        return "; ".join(each.message for each in problems) or "without a reason"
    return ""


class WeaviateStore:
    """A class for each physical collection."""

    searches_words = False  # its own BM25 makes its own words of a text, and knows no rarity within a tenant

    def __init__(
        self,
        settings: WeaviateSettings,
        *,
        pause: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rest = Rest(
            settings.url,
            product="Weaviate",
            key=settings.key,
            patience=settings.patience,
            raises=store_error,
            clock=clock,
            sleep=pause,
        )
        self._layouts: dict[str, Layout] = {}
        self._setting = threading.Lock()
        self._is_open = True

    def create(self, layout: Layout) -> None:
        """See `VectorStore.create`."""
        self._check_open()
        check_layout(layout)
        if self._described(layout.name) is None:
            try:
                self._told("POST", "/v1/schema", Class, class_of(layout))
            except StatusError as error:
                if error.status != _UNPROCESSABLE or self._described(layout.name) is None:
                    raise  # or else somebody was faster
        self._check(layout)

    def drop(self, name: str) -> None:
        """See `VectorStore.drop`."""
        check_name(name)
        self._check_open()
        if self._described(name) is not None:
            self._told("DELETE", f"/v1/schema/{class_name(name)}", Said)
        self._layouts.pop(name, None)

    def layouts(self) -> Sequence[Layout]:
        """See `VectorStore.layouts`."""
        self._check_open()
        told = self._told("GET", "/v1/schema", Schema)
        found = [layout_of(each) for each in told.classes or []]
        return sorted((each for each in found if each is not None), key=lambda layout: layout.name)

    def upsert(self, layout: Layout, points: Sequence[Point]) -> None:
        """See `VectorStore.upsert`."""
        self._check(layout)
        kept = check_points(layout, points)
        refused: dict[str, str] = {}
        for start in range(0, len(kept), MOST_OBJECTS):
            batch = [_object(layout, each) for each in kept[start : start + MOST_OBJECTS]]
            try:
                refused |= self._refused(layout, batch)
            except RefusedError as error:
                refused |= {each.id: str(error) for each in kept[start:]}
                break
        if refused:
            id_, why = next(iter(refused.items()))
            message = f"{len(refused)} of {len(kept)} points were not stored, the first of them {id_}: {why:.300}"
            raise PartlyRefusedError(message, list(refused)) if len(refused) < len(kept) else RefusedError(message)

    def search(self, layout: Layout, queries: Sequence[Query]) -> Sequence[Sequence[Hit]]:
        """See `VectorStore.search`: ten queries travel together."""
        self._known(layout)
        asked = check_queries(layout, queries)
        found: list[list[Hit]] = [[] for _ in asked]
        asking = [number for number, query in enumerate(asked) if not passes_nothing(query.where)]
        for start in range(0, len(asking), MOST_QUERIES):
            together = asking[start : start + MOST_QUERIES]
            gets = {f"q{number}": nearest(asked[number]) for number in together}
            answered = self._got(layout, gets, shown("id", "distance"))
            for number in together:
                found[number] = _hits(layout, answered[f"q{number}"])
        return found

    def read(self, layout: Layout, ids: Iterable[str], *, vectors: bool = False) -> Sequence[Point]:
        """See `VectorStore.read`."""
        self._known(layout)
        asked = check_ids(ids)
        found = {each.additional.id: each for each in self._objects(layout, asked, _POINT[vectors])}
        return [_point(found[each], vectors=vectors) for each in asked if each in found]

    def set_fields(self, layout: Layout, fields: Mapping[str, Fields]) -> None:
        """See `VectorStore.set_fields`: what was set before is read for all of them, and a request is made for each.

        Of two processes that set fields of one point at the same time, one may undo what the other has set.
        """
        self._check(layout)
        given = {id_: each for id_, each in check_fields(fields, layout).items() if each}
        with self._setting:
            for each in self._objects(layout, list(given), shown("id")):
                self._set(layout, each, given[each.additional.id])

    def delete(self, layout: Layout, ids: Iterable[str]) -> None:
        """See `VectorStore.delete`."""
        self._known(layout)
        asked = check_ids(ids)
        for start in range(0, len(asked), MOST_IDS):
            self._deleted(layout, with_ids(asked[start : start + MOST_IDS]))

    def delete_where(self, layout: Layout, where: Filter) -> None:
        """See `VectorStore.delete_where`."""
        self._known(layout)
        asked = check_filter(layout, where)
        if not passes_nothing(asked):
            self._deleted(layout, clause_of(asked) or later_than(_NO_ID))

    def erase(self, layout: Layout, ids: Iterable[str]) -> None:
        """See `VectorStore.erase`: the bytes go when the server compacts its files, and from its backups never."""
        self.delete(layout, ids)

    def count(self, layout: Layout, where: Filter = EVERYTHING) -> int:
        """See `VectorStore.count`."""
        self._known(layout)
        asked = check_filter(layout, where)
        if passes_nothing(asked):
            return 0
        only = arguments(where=clause_of(asked))
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
        while len(page) < limit and not passes_nothing(asked):
            most = min(limit - len(page), MOST_READ)
            get = page_of(clause_of(asked), page[-1].id if page else after, most)
            found = self._got(layout, {"page": get}, _POINT[vectors])["page"]
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
            told = self._told("GET", f"/v1/schema/{class_name(collection)}", Class)
        except StatusError as error:
            if error.status == _NOT_FOUND:
                return None
            raise
        found = layout_of(told)
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
            raise no_such_collection(layout.name)
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
        return self._rest.asked(method, path, body, read=lambda reply: read(reply, kind))

    def _asked(self, layout: Layout, method: str, path: str, kind: type[S], body: object) -> S:
        """The same of a collection: an error may be that it is gone."""
        try:
            return self._told(method, path, kind, body)
        except RefusedError:
            self._check(layout)
            raise

    def _queried(self, layout: Layout, query: str) -> Data:
        return self._asked(layout, "POST", "/v1/graphql", Answered, {"query": query}).data or Data()

    def _got(self, layout: Layout, gets: Mapping[str, str], wanted: str) -> dict[str, list[Object]]:
        """What is found for each of these arguments, by their names."""
        name = class_name(layout.name)
        parts = " ".join(f"{alias}: {name}{given} {{ {wanted} }}" for alias, given in gets.items())
        found = self._queried(layout, f"{{ Get {{ {parts} }} }}").get or {}
        if missing := gets.keys() - found.keys():
            raise RefusedError(f"Weaviate answered a query without {', '.join(sorted(missing))}")
        return {alias: found[alias] or [] for alias in gets}

    def _objects(self, layout: Layout, ids: Sequence[str], wanted: str) -> Iterator[Object]:
        for start in range(0, len(ids), MOST_IDS):
            some = ids[start : start + MOST_IDS]
            yield from self._got(layout, {"found": arguments(where=with_ids(some), limit=len(some))}, wanted)["found"]

    def _refused(self, layout: Layout, objects: Sequence[Mapping[str, Any]]) -> dict[str, str]:
        """What was refused of a batch, and why."""
        told = self._asked(layout, "POST", f"/v1/batch/objects?{ALL}", Batch, {"objects": objects}).objects
        outcomes = {each.id: each.result for each in told}
        asked = [str(each["id"]) for each in objects]
        return {id_: self._rest.hidden(why) for id_ in asked if (why := _why(outcomes.get(id_)))}

    def _set(self, layout: Layout, found: Object, given: Fields) -> None:
        name, id_ = class_name(layout.name), found.additional.id
        changed = msgspec.json.encode(decoded(found.changed) | dict(given)).decode()
        body = {"class": name, "id": id_, "properties": {CHANGED: changed, **properties_of(layout, given)}}
        try:
            self._asked(layout, "PATCH", f"/v1/objects/{name}/{id_}?{ALL}", Said, body)
        except StatusError as error:
            if error.status != _NOT_FOUND:  # it was deleted meanwhile
                raise

    def _deleted(self, layout: Layout, where: Clause) -> None:
        """Delete what passes: as often as there is more than a server deletes at once."""
        body = {"match": {"class": class_name(layout.name), "where": where}, "output": "minimal", "dryRun": False}
        while True:
            told = self._asked(layout, "DELETE", f"/v1/batch/objects?{ALL}", Deletion, body).results
            if told is None:
                raise RefusedError("Weaviate answered a deletion without saying what was deleted")
            if told.failed:
                ids = [each.id for each in told.objects or []]
                raise PartlyRefusedError(f"{told.failed} of {told.matches} points were not deleted: try again", ids)
            if told.matches <= told.successful:
                return
            if not told.successful:
                raise RefusedError(f"Weaviate deleted none of {told.matches} points")
