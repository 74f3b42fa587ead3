"""Each call of the stores that are not run here, request by request, as recorded/*.json has it.

The examples were checked with the published descriptions; docs/hosted-stores.md says how.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
from http_service import Answer, Asked, Service, served
from protocols import RECORDED, problem_of
from stored import id_of, ids_of, point, query, vector

from functions.adapters.models.settings import Secret
from functions.adapters.vectors.pinecone import PineconeSettings, PineconeStore
from functions.adapters.vectors.weaviate import WeaviateSettings, WeaviateStore
from functions.ports.vector_stores import Equals, Filter, Hit, Layout, OneOf, Point, Range, VectorStore

LAYOUT = Layout(
    name="documents_v1_small.1",
    encoder="small.1",
    dimension=2,
    fields={"tenant": "keyword", "labels": "keyword", "expires_at": "number"},
)
TENANT = Equals("tenant", 'a "quoted" \\ te\nnant, Ü')
NARROW = Filter(
    must=(TENANT, OneOf("labels", ("x", "y")), Range("expires_at", above=1.5)),
    must_not=(Equals("labels", "z"), OneOf("labels", ("u", "v")), Range("expires_at", at_least=5, below=6)),
)
FIELDS = {"tenant": TENANT.value, "labels": ["x"], "expires_at": 2.5, "text": 'It\'s "said".', "shown": True}
NEW = Point(id=id_of(1), vector=vector(0.5, 0), fields=FIELDS)
OTHER = point(2, 0, 1)
HITS = [Hit(id=id_of(1), score=1.0, fields=FIELDS), Hit(id=id_of(2), score=0.0, fields={})]

#: What is asked of a store, and what it has to answer.
CALLS: dict[str, tuple[Callable[[VectorStore], object], object]] = {
    "create": (lambda store: store.create(LAYOUT), None),
    "drop": (lambda store: store.drop(LAYOUT.name), None),
    "layouts": (lambda store: store.layouts(), [LAYOUT]),
    "upsert": (lambda store: store.upsert(LAYOUT, [NEW, OTHER]), None),
    "search": (lambda store: store.search(LAYOUT, [query(2, 0, limit=2)]), [HITS]),
    "search what a filter passes": (
        lambda store: store.search(LAYOUT, [query(2, 0, limit=1, where=NARROW)]),
        [HITS[:1]],
    ),
    "read": (
        lambda store: [each.fields for each in store.read(LAYOUT, ids_of(2, 1, 3))],
        [{}, FIELDS],
    ),
    "set fields": (lambda store: store.set_fields(LAYOUT, {id_of(1): {"labels": ["y"], "work": "{}"}}), None),
    "delete": (lambda store: store.delete(LAYOUT, ids_of(1, 2)), None),
    "delete what a filter passes": (lambda store: store.delete_where(LAYOUT, Filter(must=(TENANT,))), None),
    "delete everything": (lambda store: store.delete_where(LAYOUT, Filter()), None),
    "count": (lambda store: store.count(LAYOUT), 2),
    "count what a filter passes": (lambda store: store.count(LAYOUT, Filter(must=(TENANT,))), 1),
    "a page": (lambda store: [each.id for each in store.scroll(LAYOUT, after=id_of(1), limit=5)], ids_of(2)),
    "a page of what a filter passes": (
        lambda store: [each.id for each in store.scroll(LAYOUT, Filter(must=(TENANT,)), after=id_of(0), limit=5)],
        ids_of(1),
    ),
}
KEY = "not-the-key-of-anybody"
HOST = "documents.svc.example.invalid"  # of an index, in the examples
HEADERS = {
    "pinecone": {"api-key": KEY, "x-pinecone-api-version": "2026-04"},
    "weaviate": {"authorization": f"Bearer {KEY}"},
}


def recorded(service: str) -> dict[str, Any]:
    return json.loads((RECORDED / f"{service}.json").read_text(encoding="utf-8"))  # type: ignore[no-any-return]


class Replay:
    """Answers as it was recorded, in that order, and remembers what else was asked."""

    def __init__(self, exchanges: list[dict[str, Any]], host: str) -> None:
        text = json.dumps(exchanges).replace(HOST, host)
        self.expected = json.loads(text)
        self.differences: list[object] = []

    def __call__(self, asked: Asked) -> Answer:
        if not self.expected:
            self.differences.append(asked)
            return Answer(400)
        expected = self.expected.pop(0)
        request = _request(asked)
        if request != expected["request"]:
            self.differences.append((request, expected["request"]))
        return Answer(**expected["answer"])


def _request(asked: Asked) -> dict[str, Any]:
    return {"method": asked.method, "path": asked.path, "query": [list(e) for e in asked.query], "body": asked.body}


@contextmanager
def opened(service: str, url: str) -> Iterator[VectorStore]:
    key = Secret("SERVICE_KEY", {"SERVICE_KEY": KEY})
    store: VectorStore
    if service == "pinecone":
        store = PineconeStore(PineconeSettings(key=key, url=url), pause=lambda _: None)
    else:
        store = WeaviateStore(WeaviateSettings(key=key, url=url), pause=lambda _: None)
    with closing(store):
        yield store


SERVICES = pytest.mark.parametrize("service", ["pinecone", "weaviate"])


@SERVICES
@pytest.mark.parametrize("name", CALLS)
def test_a_call_sends_what_was_recorded_and_answers_what_that_says(service: str, name: str) -> None:
    call, expected = CALLS[name]
    server = Service(lambda _: Answer())
    with served(server) as url, opened(service, url) as store:
        replay = server.handle = Replay(recorded(service)[name], url.removeprefix("http://"))
        answered = call(store)
    assert replay.differences == []
    assert replay.expected == []
    assert answered == expected
    for asked, _ in server.exchanges:
        assert HEADERS[service].items() <= asked.headers.items()


@SERVICES
def test_every_example_is_as_the_description_of_its_service_says(service: str) -> None:
    examples = recorded(service)
    assert examples.keys() == CALLS.keys()
    for exchanges in examples.values():
        for exchange in exchanges:
            request = exchange["request"]
            asked = Asked(request["method"], request["path"], request["query"], {}, request["body"])
            assert problem_of(service, asked) == ""
            assert problem_of(service, asked, Answer(**exchange["answer"])) == ""


@SERVICES
def test_the_schemas_let_nothing_pass_that_is_spelt_otherwise(service: str) -> None:
    """Each request of the examples with one more field is refused: no schema is a mere formality."""
    for exchanges in recorded(service).values():
        for exchange in exchanges:
            request = exchange["request"]
            body = {**(request["body"] or {}), "spelt_otherwise": 1}
            asked = Asked(request["method"], request["path"], request["query"], {}, body)
            assert problem_of(service, asked)
