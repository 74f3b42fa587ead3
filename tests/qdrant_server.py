"""Qdrant's REST API, as much of it as is used here, over Qdrant's own engine in this process.

What it answers and refuses is the engine's doing; what stands here is the protocol: which call takes what, and how
answers and errors look. A key in a request that the API does not have is an error, so that no typing error passes.
"""

import re
import shutil
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

import msgspec
import qdrant_edge as edge
from rest_server import Answer, Asked, Server, serving

VERSION = "1.19.0"
Json = dict[str, Any]


class _ApiError(Exception):
    def __init__(self, status: int, said: str) -> None:
        super().__init__(said)
        self.status = status


class _Collection:
    def __init__(self, folder: Path, config: Json, shard: edge.EdgeShard) -> None:
        self.folder = folder
        self.config = config
        self.shard = shard

    def save(self) -> None:
        (self.folder / "config.json").write_bytes(msgspec.json.encode(self.config))


class Qdrant:
    """A server's state: a folder a collection. Call it with a request, and it gives the answer.

    Args:
        folder: Where collections are, those of an earlier one too.
        key: What the header `api-key` has to say; empty takes every call.
        version: What it says that it is.
    """

    def __init__(self, folder: Path, *, key: str = "", version: str = VERSION) -> None:
        self.key, self.version = key, version
        self._folder = folder
        self._lock = threading.Lock()
        self._collections = {
            unquote(path.name): _Collection(
                path, msgspec.json.decode((path / "config.json").read_bytes()), edge.EdgeShard.load(str(path / "shard"))
            )
            for path in sorted(folder.iterdir())
        }

    def close(self) -> None:
        for each in self._collections.values():
            each.shard.close()

    def __call__(self, asked: Asked) -> Answer:
        try:
            if self.key and asked.headers.get("api-key") != self.key:
                return Answer(401, b"Must provide an API key or an Authorization bearer token")
            result = self._answered(asked)
        except _ApiError as error:
            return _answer(error.status, {"status": {"error": str(error)}, "time": 0.0})
        except Exception as error:  # noqa: BLE001 - all errors of the engine are plain ones
            return _answer(400, {"status": {"error": f"Wrong input: {error}"}, "time": 0.0})
        if asked.path == "/":
            return _answer(200, result)
        return _answer(200, {"result": result, "status": "ok", "time": 0.0})

    def _answered(self, asked: Asked) -> object:
        url = urlsplit(asked.path)
        body = msgspec.json.decode(asked.body) if asked.body else {}
        path = [unquote(each) for each in url.path.strip("/").split("/")]
        if len(path) == 1:
            return self._of_the_server(asked.method, path[0])
        name, call = path[1], (asked.method, "/".join(path[2:]))
        if call in self._of_names:
            return self._of_names[call](name, body)
        found = self._collections.get(name)
        if found is None:
            raise _ApiError(404, f"Not found: Collection `{name}` doesn't exist!")
        result = _CALLS[call](found, body)
        if call in _CHANGES and parse_qs(url.query).get("wait") != ["true"]:
            return {"operation_id": 1, "status": "acknowledged"}
        return result

    @property
    def _of_names(self) -> Mapping[tuple[str, str], Callable[[str, Json], object]]:
        return {
            ("PUT", ""): self._create,
            ("DELETE", ""): self._drop,
            ("GET", "exists"): lambda name, _: {"exists": name in self._collections},
        }

    def _of_the_server(self, method: str, path: str) -> Json:
        if (method, path) == ("GET", ""):
            return {"title": "qdrant - vector search engine", "version": self.version, "commit": "0"}
        if (method, path) == ("GET", "collections"):
            return {"collections": [{"name": name} for name in self._collections]}
        raise _ApiError(404, "")

    def _create(self, name: str, body: Json) -> bool:
        _only(body, "vectors", "sparse_vectors", "metadata")
        if not re.fullmatch(r'[^<>:"/\\|?*\0\x1f]{1,255}', name):
            raise _ApiError(400, "Wrong input: collection name")
        with self._lock:
            if name in self._collections:
                raise _ApiError(409, f"Wrong input: Collection `{name}` already exists!")
            folder = self._folder / quote(name, safe="")
            (folder / "shard").mkdir(parents=True)
            config = edge.EdgeConfig(
                vectors={key: _vector_params(each) for key, each in body["vectors"].items()},
                sparse_vectors={key: _sparse_params(each) for key, each in body.get("sparse_vectors", {}).items()},
            )
            made = _Collection(folder, {**body, "indexes": {}}, edge.EdgeShard.create(str(folder / "shard"), config))
            made.save()
            self._collections[name] = made
        return True

    def _drop(self, name: str, _body: Json) -> bool:
        with self._lock:
            found = self._collections.pop(name, None)
        if found is not None:
            found.shard.close()
            shutil.rmtree(found.folder)
        return found is not None


def _answer(status: int, said: object) -> Answer:
    return Answer(status, msgspec.json.encode(said), {"content-type": "application/json"})


def _only(body: Json, *known: str) -> None:
    unknown = [each for each in body if each not in known]
    if unknown:
        raise _ApiError(400, f"Format error in JSON body: unknown field {unknown}")


def _vector_params(given: Json) -> edge.EdgeVectorParams:
    _only(given, "size", "distance")
    return edge.EdgeVectorParams(size=given["size"], distance=getattr(edge.Distance, given["distance"]))


def _sparse_params(given: Json) -> edge.EdgeSparseVectorParams:
    _only(given, "modifier")
    return edge.EdgeSparseVectorParams(modifier={"idf": edge.Modifier.Idf}[given["modifier"]])


def _info(of: _Collection, _body: Json) -> Json:
    info = of.shard.info()
    return {
        "status": "green",
        "optimizer_status": "ok",
        "points_count": info.points_count,
        "indexed_vectors_count": info.indexed_vectors_count,
        "segments_count": info.segments_count,
        "config": {
            "params": {"vectors": of.config["vectors"], "sparse_vectors": of.config.get("sparse_vectors", {})},
            "hnsw_config": {"m": 16, "ef_construct": 100, "full_scan_threshold": 10_000},
            "optimizer_config": {
                "deleted_threshold": 0.2,
                "vacuum_min_vector_number": 1_000,
                "default_segment_number": 0,
                "flush_interval_sec": 5,
            },
            **({"metadata": of.config["metadata"]} if "metadata" in of.config else {}),
        },
        "payload_schema": {
            field: {"data_type": given["type"], "params": given, "points": 0}
            for field, given in of.config["indexes"].items()
        },
    }


def _change(of: _Collection, operation: edge.UpdateOperation) -> Json:
    of.shard.update(operation)
    return {"operation_id": 1, "status": "completed"}


def _index(of: _Collection, body: Json) -> Json:
    _only(body, "field_name", "field_schema")
    schema = body["field_schema"]
    kinds: dict[str, Callable[..., Any]] = {"keyword": edge.KeywordIndexParams, "float": edge.FloatIndexParams}
    given = {name: value for name, value in schema.items() if name != "type"}
    of.config["indexes"][body["field_name"]] = schema
    of.save()
    return _change(of, edge.UpdateOperation.create_field_index(body["field_name"], kinds[schema["type"]](**given)))


def _upsert(of: _Collection, body: Json) -> Json:
    _only(body, "points")
    points = []
    for each in body["points"]:
        _only(each, "id", "vector", "payload")
        vector = {name: _vector(given) for name, given in each["vector"].items()}
        points.append(edge.Point(_id(each["id"]), vector, each.get("payload")))
    return _change(of, edge.UpdateOperation.upsert_points(points))


def _delete(of: _Collection, body: Json) -> Json:
    _only(body, "points", "filter")
    if "points" in body:
        return _change(of, edge.UpdateOperation.delete_points([_id(each) for each in body["points"]]))
    return _change(of, edge.UpdateOperation.delete_points_by_filter(_filter(body["filter"])))


def _batch(of: _Collection, body: Json) -> list[Json]:
    return [_set_payload(of, each["set_payload"]) for each in body["operations"]]


def _set_payload(of: _Collection, body: Json) -> Json:
    _only(body, "payload", "filter")
    return _change(of, edge.UpdateOperation.set_payload_by_filter(_filter(body["filter"]), body["payload"]))


def _read(of: _Collection, body: Json) -> list[Json]:
    _only(body, "ids", "with_payload", "with_vector")
    ids = [_id(each) for each in body["ids"]]
    records = of.shard.retrieve(ids, body.get("with_payload", True), body.get("with_vector", False))
    # In no order that anybody may rely on.
    return [_record(each) for each in reversed(records)]


def _scroll(of: _Collection, body: Json) -> Json:
    _only(body, "filter", "limit", "offset", "with_payload", "with_vector")
    offset = body.get("offset")
    request = edge.ScrollRequest(
        offset=None if offset is None else _id(offset),
        limit=body.get("limit", 10),
        filter=_filter(body.get("filter")),
        with_payload=body.get("with_payload", True),
        with_vector=body.get("with_vector", False),
    )
    points, following = of.shard.scroll(request)
    return {
        "points": [_record(each) for each in points],
        "next_page_offset": None if following is None else str(following),
    }


def _count(of: _Collection, body: Json) -> Json:
    _only(body, "filter", "exact")
    request = edge.CountRequest(filter=_filter(body.get("filter")), exact=body.get("exact", True))
    return {"count": of.shard.count(request)}


def _query(of: _Collection, body: Json) -> Json:
    _only(body, "query", "using", "filter", "limit", "with_payload", "with_vector", "params", "prefetch")
    request = edge.QueryRequest(
        query=_nearest(body),
        prefetches=[_prefetch(each) for each in body.get("prefetch") or ()],
        filter=_filter(body.get("filter")),
        limit=body.get("limit", 10),
        with_payload=body.get("with_payload", False),
        with_vector=body.get("with_vector", False),
        params=_params(body),
    )
    return {"points": [{**_record(each), "version": 0, "score": each.score} for each in of.shard.query(request)]}


def _query_batch(of: _Collection, body: Json) -> list[Json]:
    _only(body, "searches")
    return [_query(of, each) for each in body["searches"]]


def _prefetch(given: Json) -> edge.Prefetch:
    _only(given, "query", "using", "filter", "limit", "params")
    return edge.Prefetch(
        query=_nearest(given), filter=_filter(given.get("filter")), limit=given["limit"], params=_params(given)
    )


def _nearest(given: Json) -> edge.Query:
    query = given["query"]
    nearest = query["nearest"] if isinstance(query, dict) and "nearest" in query else query
    return edge.Query.Nearest(_vector(nearest), using=given["using"])


def _params(given: Json) -> edge.SearchParams | None:
    params = given.get("params")
    if not params:
        return None
    _only(params, "idf", "exact")
    idf = edge.IdfParams(corpus=_filter(params["idf"]["corpus"])) if "idf" in params else None
    return edge.SearchParams(idf=idf, exact=params.get("exact", False))


def _filter(given: Json | None) -> edge.Filter | None:
    if given is None:
        return None
    _only(given, "must", "must_not")
    return edge.Filter(**{name: [_condition(each) for each in conditions] for name, conditions in given.items()})


def _condition(given: Json) -> "edge.FieldCondition | edge.HasIdCondition":
    _only(given, "key", "match", "range", "has_id")
    if "has_id" in given:
        return edge.HasIdCondition({_id(each) for each in given["has_id"]})
    if given.get("range") is not None:
        _only(given["range"], "gt", "gte", "lt", "lte")
        return edge.FieldCondition(given["key"], range=edge.RangeFloat(**given["range"]))
    _only(given["match"], "value", "any")
    match = given["match"]
    found = edge.MatchValue(match["value"]) if "value" in match else edge.MatchAny(match["any"])
    return edge.FieldCondition(given["key"], match=found)


def _vector(given: "list[float] | Json") -> "list[float] | edge.SparseVector":
    if isinstance(given, dict):
        _only(given, "indices", "values")
        return edge.SparseVector(given["indices"], given["values"])
    return given


def _record(record: "edge.Record | edge.ScoredPoint") -> Json:
    found = {"id": str(record.id), "payload": record.payload}
    vector = record.vector
    if vector:
        found["vector"] = {
            name: {"indices": each.indices, "values": each.values} if isinstance(each, edge.SparseVector) else each
            for name, each in vector.items()
        }
    return found


def _id(given: str) -> uuid.UUID:
    return uuid.UUID(given)


_CHANGES: Mapping[tuple[str, str], Callable[[_Collection, Json], object]] = {
    ("PUT", "index"): _index,
    ("PUT", "points"): _upsert,
    ("POST", "points/delete"): _delete,
    ("POST", "points/batch"): _batch,
}
_CALLS: Mapping[tuple[str, str], Callable[[_Collection, Json], object]] = {
    **_CHANGES,
    ("GET", ""): _info,
    ("POST", "points"): _read,
    ("POST", "points/scroll"): _scroll,
    ("POST", "points/count"): _count,
    ("POST", "points/query"): _query,
    ("POST", "points/query/batch"): _query_batch,
}


@contextmanager
def qdrant_server(folder: Path, *, key: str = "", version: str = VERSION) -> Iterator[Server]:
    """A server over a folder; its `script` is the engine, until a test puts something before it."""
    folder.mkdir(exist_ok=True)
    engine = Qdrant(folder, key=key, version=version)
    try:
        with serving() as server:
            server.script = engine
            yield server
    finally:
        engine.close()
