"""What is said to Pinecone and by it: names, tags, filters, and the parts of its answers that are used."""

import base64
import hashlib
import re
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from functions.adapters.rest import FailedReplyError, Reply
from functions.events.decoding import decoder
from functions.ports.vector_stores import (
    Condition,
    Equals,
    Filter,
    Layout,
    OneOf,
)

VERSION = "2026-04"
NAMESPACE = "__default__"
_TAG, _TAG_CHARACTERS = "layout", 120
_PREFIX = 24  # characters of the collection's name that the index shows
_DIGEST = 20
HEADERS = {"x-pinecone-api-version": VERSION}
_METRICS = {"cosine": "cosine", "dot": "dotproduct"}
_HEX = "0123456789abcdef"


class Said(msgspec.Struct, frozen=True):
    """What every answer may be instead: an error, whatever its status says."""

    code: Any = None
    message: str | None = None
    error: Any = None


S = TypeVar("S", bound=Said)


class Upserted(Said, frozen=True, rename="camel"):
    """How many of a batch were stored."""

    upserted_count: int = 0


class Record(msgspec.Struct, frozen=True):
    """A record, as much of it as was asked for."""

    id: str
    score: float = 0.0
    values: list[float] | None = None
    metadata: dict[str, str | int | float | bool | list[str]] | None = None


class Found(Said, frozen=True, rename="camel"):
    """What a query found."""

    matches: list[Record] = []


class Fetched(Said, frozen=True, rename="camel"):
    """Records by id, and where more of them are."""

    vectors: dict[str, Record] = {}
    pagination: "More | None" = None


class Listed(Said, frozen=True, rename="camel"):
    """Ids in their order, and where more of them are."""

    vectors: list[Record] = []
    pagination: "More | None" = None


class Counted(Said, frozen=True, rename="camel"):
    """How much an index holds, about."""

    total_vector_count: int = 0


class More(msgspec.Struct, frozen=True):
    """Where the next page begins."""

    next: str = ""


class Status(msgspec.Struct, frozen=True):
    """Whether an index can be used."""

    ready: bool
    state: str


class Described(Said, frozen=True):
    """An index: where it is, and in its tags what it is for."""

    name: str = ""
    host: str = ""
    status: Status = Status(ready=False, state="unknown")
    tags: dict[str, str] | None = None


class Indexes(Said, frozen=True):
    """All indexes of a project."""

    indexes: list[Described] = []


def index_name(collection: str) -> str:
    """What the index of a collection is called: a beginning that can be read, and a digest of the whole."""
    digest = hashlib.sha256(collection.encode()).hexdigest()[:_DIGEST]
    return f"{re.sub(r'[^a-z0-9]+', '-', collection[:_PREFIX]).strip('-')}-{digest}"


def creation(layout: Layout, cloud: str, region: str) -> dict[str, Any]:
    """What makes the index of a collection."""
    serverless: dict[str, Any] = {"cloud": cloud, "region": region}
    if layout.fields:  # or every field were indexed, the text too
        serverless["schema"] = {"fields": {each: {"filterable": True} for each in sorted(layout.fields)}}
    return {
        "name": index_name(layout.name),
        "dimension": layout.dimension,
        "metric": _METRICS[layout.distance],
        "vector_type": "dense",
        "deletion_protection": "disabled",
        "spec": {"serverless": serverless},
        "tags": tags_of(layout),
    }


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


def read(reply: Reply, kind: type[S]) -> S:
    """An answer as what it should be, or as the error that it is in spite of its status."""
    told = decoder(kind).decode(reply.body or b"{}")
    if told.error or told.message:
        raise FailedReplyError(str(told.error or told.message))
    return told


def made_for(described: Described) -> Layout | None:
    """The layout of an index; None where it is not a collection's."""
    found = layout_of_tags(described.tags or {})
    return found if found is not None and index_name(found.name) == described.name else None
