"""Pinecone's protocol over exact search: a control plane, and a data plane for each index, where reads lag behind.

It takes and gives what tests/stores/recorded/pinecone.schema.json says, and answers 400 to anything else.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
from http_service import Answer, Asked, Service, served
from protocols import problem_of

KEY = "the-key-of-the-test"
PAGE = 100


class Index:
    """One index: its records as queries see them, and the writes that they do not see yet."""

    def __init__(self, made: dict[str, Any], lag: int) -> None:
        self.made = made
        self.lag = lag
        self.gone = False
        self.records: dict[str, dict[str, Any]] = {}
        self.exists = False  # its namespace does once something was stored
        self.written = self.indexed = 0
        self._unseen: list[tuple[int, Callable[[], None]]] = []
        self.service = Service(self.handle)

    def handle(self, asked: Asked) -> Answer:
        if self.gone:
            return _problem(404, 5, "index not found")
        if wrong := _refused(asked):
            return wrong
        answer = _DATA[asked.method, asked.path](self, asked)
        said = problem_of("pinecone", asked, answer)
        return _problem(500, 13, said) if said else answer

    def upsert(self, asked: Asked) -> Answer:
        vectors = asked.body["vectors"]
        if any(len(each["values"]) != self.made["dimension"] for each in vectors):
            return _problem(400, 3, "Vector dimension does not match the dimension of the index")
        if len(json.dumps(asked.body)) > 2_200_000 or len(vectors) > 1_000:
            return _problem(400, 11, "Request size exceeds the limit")
        self.exists = True
        return self._wrote({"upsertedCount": len(vectors)}, lambda: self.records.update(_kept(vectors)))

    def update(self, asked: Asked) -> Answer:
        def merge() -> None:
            if found := self.records.get(asked.body["id"]):
                merged = {**found.get("metadata", {}), **_metadata(asked.body["setMetadata"])}
                self.records[found["id"]] = {**found, "metadata": merged}

        return self._wrote({}, merge)

    def delete(self, asked: Asked) -> Answer:
        if not self.exists:
            return _problem(404, 5, "Namespace not found")
        body = asked.body

        def take() -> None:
            ids = body.get("ids") or [
                id_ for id_, each in self.records.items() if body.get("deleteAll") or _passes(body["filter"], each)
            ]
            for each in ids:
                self.records.pop(each, None)

        return self._wrote({}, take)

    def query(self, asked: Asked) -> Answer:
        self._see()
        body = asked.body
        passed = [each for each in self.records.values() if _passes(body.get("filter", {}), each)]
        scored = [(self._score(np.array(body["vector"]), np.array(each["values"])), each) for each in passed]
        best = sorted(scored, key=lambda pair: -pair[0])[: body["topK"]]
        metadata = body["includeMetadata"]
        matches = [
            {"id": each["id"], "score": score, **({"metadata": each["metadata"]} if metadata else {})}
            for score, each in best
        ]
        answer = {"matches": matches, "namespace": body["namespace"], "usage": {"readUnits": 1}}
        return Answer(200, answer, {"x-pinecone-max-indexed-lsn": str(self.indexed)} if self.exists else {})

    def fetch(self, asked: Asked) -> Answer:
        if not self.exists:
            return _problem(404, 5, "Namespace not found")
        ids = [value for name, value in asked.query if name == "ids"]
        found = {each: self.records[each] for each in ids if each in self.records}
        return Answer(200, {"vectors": found, "namespace": "__default__", "usage": {"readUnits": 1}})

    def list(self, asked: Asked) -> Answer:
        if not self.exists:
            return _problem(404, 5, "Namespace not found")
        given = dict(asked.query)
        after = given.get("paginationToken", "")
        ids = sorted(each for each in self.records if each.startswith(given.get("prefix", "")) and each > after)
        page = ids[: min(int(given["limit"]), PAGE)]
        answer: dict[str, Any] = {"vectors": [{"id": each} for each in page], "namespace": "__default__"}
        if len(ids) > len(page):
            answer["pagination"] = {"next": page[-1]}
        return Answer(200, answer)

    def fetch_by_metadata(self, asked: Asked) -> Answer:
        if not self.exists:
            return _problem(404, 5, "Namespace not found")
        passed = [each for each in self.records.values() if _passes(asked.body["filter"], each)]
        start = int(asked.body.get("paginationToken", 0))
        page = passed[start : start + asked.body["limit"]]
        answer: dict[str, Any] = {"vectors": {each["id"]: each for each in page}, "namespace": "__default__"}
        if len(passed) > start + len(page):
            answer["pagination"] = {"next": str(start + len(page))}
        return Answer(200, answer)

    def stats(self, _asked: Asked) -> Answer:
        namespaces = {"__default__": {"vectorCount": len(self.records)}} if self.exists else {}
        return Answer(200, {"totalVectorCount": len(self.records), "namespaces": namespaces})

    def _wrote(self, answer: dict[str, Any], change: Callable[[], None]) -> Answer:
        self.written += 1
        self._unseen.append((self.lag, change))
        return Answer(200, answer, {"x-pinecone-request-lsn": str(self.written)})

    def _see(self) -> None:
        """What was written becomes visible in its order, each some queries after it was written."""
        self._unseen = [(left - 1, change) for left, change in self._unseen]
        while self._unseen and self._unseen[0][0] < 0:
            self._unseen.pop(0)[1]()
            self.indexed += 1

    def _score(self, one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> float:
        product = float(one @ other)
        return (
            product
            if self.made["metric"] == "dotproduct"
            else product / float(np.linalg.norm(one) * np.linalg.norm(other))
        )


_DATA: dict[tuple[str, str], Callable[[Index, Asked], Answer]] = {
    ("POST", "/vectors/upsert"): Index.upsert,
    ("POST", "/vectors/update"): Index.update,
    ("POST", "/vectors/delete"): Index.delete,
    ("POST", "/query"): Index.query,
    ("GET", "/vectors/fetch"): Index.fetch,
    ("GET", "/vectors/list"): Index.list,
    ("POST", "/vectors/fetch_by_metadata"): Index.fetch_by_metadata,
    ("POST", "/describe_index_stats"): Index.stats,
}


class Pinecone:
    """The control plane. A new index is not ready at once, and a deleted one not gone at once."""

    def __init__(self, *, lag: int = 1) -> None:
        self.indexes: dict[str, Index] = {}
        self.lag = lag
        self.service = Service(self.handle)
        self._looks: dict[str, int] = {}
        self._running = ExitStack()

    def handle(self, asked: Asked) -> Answer:
        if wrong := _refused(asked):
            return wrong
        _, _, name = asked.path[1:].partition("/")
        answer = self._answered(asked, name)
        said = problem_of("pinecone", asked, answer)
        return _failure(500, "INTERNAL", said) if said else answer

    def close(self) -> None:
        self._running.close()

    def _answered(self, asked: Asked, name: str) -> Answer:
        if asked.method == "POST":
            return self._create(asked.body)
        if not name:
            return Answer(200, {"indexes": [self._described(each) for each in self.indexes.values()]})
        if name not in self.indexes:
            return _failure(404, "NOT_FOUND", f"Resource {name} not found")
        index = self.indexes[name]
        if asked.method == "DELETE":
            index.gone, self._looks[name] = True, 0
            return Answer(202)
        self._looks[name] += 1
        if index.gone and self._looks[name] > 1:
            del self.indexes[name]
            return _failure(404, "NOT_FOUND", f"Resource {name} not found")
        return Answer(200, self._described(index))

    def _create(self, body: dict[str, Any]) -> Answer:
        if body["name"] in self.indexes:
            return _failure(409, "ALREADY_EXISTS", "Resource already exists")
        index = self.indexes[body["name"]] = Index(body, self.lag)
        self._looks[body["name"]] = 0
        self._running.enter_context(served(index.service))
        return Answer(201, self._described(index))

    def _described(self, index: Index) -> dict[str, Any]:
        made = index.made
        ready = self._looks[made["name"]] > 1 and not index.gone
        state = "Terminating" if index.gone else "Ready" if ready else "Initializing"
        capacity = {"mode": "OnDemand", "status": {"state": "Ready"}}
        return {
            **{
                name: made[name]
                for name in ("name", "dimension", "metric", "vector_type", "deletion_protection", "tags")
            },
            "host": index.service.url.removeprefix("http://"),
            "spec": {"serverless": {**made["spec"]["serverless"], "read_capacity": capacity}},
            "status": {"ready": ready, "state": state},
        }


def _refused(asked: Asked) -> Answer | None:
    if asked.headers.get("api-key") != KEY:
        return Answer(401, b"Invalid API Key")
    said = problem_of("pinecone", asked)
    return _problem(400, 3, said) if said else None


def _problem(status: int, code: int, message: str) -> Answer:
    return Answer(status, {"code": code, "message": message, "details": []})


def _failure(status: int, code: str, message: str) -> Answer:
    return Answer(status, {"status": status, "error": {"code": code, "message": message}})


def _kept(vectors: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {each["id"]: {**each, "metadata": _metadata(each.get("metadata", {}))} for each in vectors}


def _metadata(given: dict[str, Any]) -> dict[str, Any]:
    """Every number is one of 64 bits with a point."""
    return {name: float(value) if type(value) is int else value for name, value in given.items()}


def _passes(where: dict[str, Any], record: dict[str, Any]) -> bool:
    return all(_holds(name, wanted, record.get("metadata", {})) for name, wanted in where.items())


def _holds(name: str, wanted: Any, metadata: dict[str, Any]) -> bool:  # noqa: ANN401 - JSON
    if name in ("$and", "$or"):
        return (all if name == "$and" else any)(_passes(each, {"metadata": metadata}) for each in wanted)
    value = metadata.get(name)
    values = value if isinstance(value, list) else [] if value is None else [value]
    return all(_COMPARED[operator](values, operand) for operator, operand in wanted.items())


_COMPARED: dict[str, Callable[[list[Any], Any], bool]] = {
    "$eq": lambda values, wanted: wanted in values,
    "$ne": lambda values, wanted: bool(values) and wanted not in values,
    "$in": lambda values, wanted: any(each in wanted for each in values),
    "$nin": lambda values, wanted: bool(values) and not any(each in wanted for each in values),
    "$gt": lambda values, wanted: any(each > wanted for each in values),
    "$gte": lambda values, wanted: any(each >= wanted for each in values),
    "$lt": lambda values, wanted: any(each < wanted for each in values),
    "$lte": lambda values, wanted: any(each <= wanted for each in values),
    "$exists": lambda values, wanted: bool(values) == wanted,
}


@contextmanager
def running(*, lag: int = 1) -> Iterator[Pinecone]:
    """A service without any index."""
    pinecone = Pinecone(lag=lag)
    try:
        with served(pinecone.service):
            yield pinecone
    finally:
        pinecone.close()
