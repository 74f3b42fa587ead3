"""What goes wrong between a `QdrantStore` and its server, and what comes of it."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from qdrant_server import Qdrant, qdrant_server
from rest_server import Answer, Asked, Script, Server
from stored import LAYOUT, THREE, found, hits, id_of, ids_of, point, query, scrolled

from functions.adapters.models.settings import Secret
from functions.adapters.rest import Patience
from functions.adapters.vectors import qdrant
from functions.adapters.vectors.qdrant import QdrantStore
from functions.ports.vector_stores import (
    Equals,
    Filter,
    LayoutError,
    NoSuchCollectionError,
    PartlyRefusedError,
    RefusedError,
    UnavailableError,
    VectorStore,
)

CHANGES: dict[str, Callable[[VectorStore], object]] = {
    "upsert": lambda store: store.upsert(LAYOUT, [point(4)]),
    "set_fields": lambda store: store.set_fields(LAYOUT, {id_of(1): {"source": "x"}}),
    "delete": lambda store: store.delete(LAYOUT, ids_of(1)),
    "delete_where": lambda store: store.delete_where(LAYOUT, Filter(must=(Equals("source", "a"),))),
}
CALLS: dict[str, Callable[[VectorStore], object]] = {
    **CHANGES,
    "create": lambda store: store.create(msgspec.structs.replace(LAYOUT, name="another_v1")),
    "drop": lambda store: store.drop(LAYOUT.name),
    "layouts": lambda store: store.layouts(),
    "search": lambda store: store.search(LAYOUT, [query(terms={1: 1.0})]),
    "read": lambda store: store.read(LAYOUT, ids_of(1), vectors=True),
    "count": lambda store: store.count(LAYOUT),
    "scroll": lambda store: store.scroll(LAYOUT, after=id_of(1)),
}
TROUBLE = {
    "too many requests": Answer(429, b'{"status":{"error":"Rate limiting exceeded"}}', {"retry-after": "0"}),
    "an error of the server": Answer(500, b'{"status":{"error":"Service internal error"}}'),
    "a cut connection": Answer(status=0),
    "half an answer": Answer(body=b'{"result":{"status":"completed"},"status":"ok"}', cut=9),
    "a page of a proxy": Answer(body=b"<html>be right back</html>"),
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with qdrant_server(tmp_path / "qdrant") as opened:
        yield opened


@pytest.fixture
def store(server: Server) -> Iterator[QdrantStore]:
    """One that does not wait, with three points."""
    opened = QdrantStore(server.url, sleep=lambda _: None)
    opened.create(LAYOUT)
    opened.upsert(LAYOUT, THREE)
    yield opened
    opened.close()


def another(server: Server) -> closing[QdrantStore]:
    """Of another process."""
    return closing(QdrantStore(server.url, patience=Patience(call=5)))


def state(store: QdrantStore) -> object:
    return [(layout, store.scroll(layout)) for layout in store.layouts()]


def once(trouble: Answer, engine: Script) -> Script:
    """Trouble first, for every path; then what the engine says."""
    met: set[tuple[str, str]] = set()

    def answer(asked: Asked) -> Answer:
        if (asked.method, asked.path) in met:
            return engine(asked)
        met.add((asked.method, asked.path))
        return trouble

    return answer


@pytest.mark.parametrize("trouble", TROUBLE.values(), ids=TROUBLE)
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_call_that_came_to_nothing_once_is_made_again(
    store: QdrantStore, server: Server, call: Callable[[VectorStore], object], trouble: Answer
) -> None:
    server.script = once(trouble, server.script)
    call(store)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_change_whose_answer_was_lost_is_made_again_and_counts_once(
    store: QdrantStore, server: Server, call: Callable[[VectorStore], object]
) -> None:
    engine, lost = server.script, set[str]()

    def losing(asked: Asked) -> Answer:
        answer = engine(asked)
        if asked.method != "GET" and asked.path not in lost:
            lost.add(asked.path)
            return Answer(status=0)
        return answer

    server.script = losing
    call(store)
    server.script = engine
    once_more, twice = state(store), call(store)
    assert state(store) == once_more, twice


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_server_that_stays_busy_is_given_up(
    server: Server, store: QdrantStore, call: Callable[[VectorStore], object]
) -> None:
    server.script = lambda _: Answer(503, b'{"status":{"error":"loading"}}', {"retry-after": "60"})
    with pytest.raises(UnavailableError, match=r"503.*loading"):
        call(store)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_an_error_in_an_answer_that_says_ok_is_an_error(
    server: Server, store: QdrantStore, call: Callable[[VectorStore], object]
) -> None:
    server.script = lambda _: Answer(body=b'{"result":null,"status":{"error":"shard is gone"},"time":0}')
    with pytest.raises(RefusedError, match="shard is gone"):
        call(store)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_refusal_is_told_as_the_server_says_it(
    server: Server, store: QdrantStore, call: Callable[[VectorStore], object]
) -> None:
    server.script = lambda _: Answer(507, b'{"status":{"error":"No space left on device"}}')
    with pytest.raises(RefusedError, match=r"507.*No space left"):
        call(store)


@pytest.mark.parametrize("call", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("status", ["acknowledged", "wait_timeout"])
def test_a_change_that_cannot_be_seen_yet_is_no_success(
    server: Server, store: QdrantStore, call: Callable[[VectorStore], object], status: str
) -> None:
    engine = server.script

    def late(asked: Asked) -> Answer:
        answer = engine(asked)
        return answer._replace(body=answer.body.replace(b'"completed"', f'"{status}"'.encode()))

    server.script = late
    with pytest.raises(UnavailableError, match=rf"did not make it in time \({status}\)"):
        call(store)


def test_of_a_batch_that_was_refused_in_part_the_rest_is_named(
    store: QdrantStore, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(qdrant, "MAX_REQUEST_BYTES", 400)
    engine, left = server.script, [1, 1]

    def refusing(asked: Asked) -> Answer:
        if asked.path.endswith("/points?wait=true") and not left:
            return Answer(413, b"too much")
        if asked.path.endswith("/points?wait=true"):
            left.pop()
        return engine(asked)

    batch = [point(n, source="new") for n in range(10, 20)]
    server.script = refusing
    with pytest.raises(PartlyRefusedError, match=r"of 10 points 6 were stored, and then: .*413.*too much") as raised:
        store.upsert(LAYOUT, batch)
    assert raised.value.ids == tuple(ids_of(*range(16, 20)))
    assert scrolled(store, where=Filter(must=(Equals("source", "new"),))) == ids_of(*range(10, 16))
    server.script = engine
    store.upsert(LAYOUT, batch)
    assert store.count(LAYOUT) == 13


def test_a_batch_that_was_refused_at_once_is_refused_as_a_whole(store: QdrantStore, server: Server) -> None:
    server.script = lambda _: Answer(403, b'{"status":{"error":"read only"}}')
    with pytest.raises(RefusedError, match="read only") as raised:
        store.upsert(LAYOUT, THREE)
    assert not isinstance(raised.value, PartlyRefusedError)


def test_a_key_that_was_changed_under_way_is_taken_up(tmp_path: Path) -> None:
    environment = {"QDRANT_KEY": "old"}
    with qdrant_server(tmp_path / "qdrant", key="old") as server:
        store = QdrantStore(server.url, key=Secret("QDRANT_KEY", environment))
        store.create(LAYOUT)
        assert isinstance(server.script, Qdrant)
        server.script.key = environment["QDRANT_KEY"] = "new"
        store.upsert(LAYOUT, THREE)
        assert store.count(LAYOUT) == 3
        server.script.key = "newer"
        with pytest.raises(RefusedError, match="401 to the key QDRANT_KEY"):
            store.count(LAYOUT)
        store.close()


def test_what_another_process_dropped_is_not_there(store: QdrantStore, server: Server) -> None:
    with another(server) as other:
        other.drop(LAYOUT.name)
    for name in ("search", "upsert", "read", "count", "scroll", "delete"):
        with pytest.raises(NoSuchCollectionError, match=LAYOUT.name):
            CALLS[name](store)


def test_what_another_process_made_again_is_looked_at_again_once_it_was_missed(
    store: QdrantStore, server: Server
) -> None:
    other_layout = msgspec.structs.replace(LAYOUT, encoder="other.2")
    with another(server) as other:
        other.drop(LAYOUT.name)
        with pytest.raises(NoSuchCollectionError):
            store.count(LAYOUT)
        other.create(other_layout)
    with pytest.raises(LayoutError, match=r"it has other\.2"):
        store.count(LAYOUT)


@pytest.mark.parametrize("version", ["1.18.2", "1.9.0", "0.11.0", "", "dev"])
def test_no_collection_is_made_on_a_server_that_cannot_weigh_words_by_tenant(tmp_path: Path, version: str) -> None:
    with qdrant_server(tmp_path / "qdrant", version=version) as server, another(server) as store:
        with pytest.raises(RefusedError, match=r"1\.19 is needed"):
            store.create(LAYOUT)
        assert store.layouts() == []


@pytest.mark.parametrize("version", ["1.19.0", "1.20.1", "2.0.0", "1.19.0-dev"])
def test_newer_servers_are_taken(tmp_path: Path, version: str) -> None:
    with qdrant_server(tmp_path / "qdrant", version=version) as server, another(server) as store:
        store.create(LAYOUT)
        assert store.layouts() == [LAYOUT]


def test_a_collection_that_was_not_made_here_is_left_alone(store: QdrantStore, server: Server) -> None:
    foreign = msgspec.structs.replace(LAYOUT, name="somebody-elses")
    vectors = {"vectors": {"dense": {"size": 4, "distance": "Cosine"}}}
    server.script(Asked("PUT", "/collections/somebody-elses", {}, msgspec.json.encode(vectors)))
    assert store.layouts() == [LAYOUT]
    for use in (store.create, store.count):
        with pytest.raises(LayoutError, match="somebody-elses was not made here"):
            use(foreign)


def test_making_a_collection_again_adds_the_indexes_that_an_interrupted_call_left_out(
    server: Server, store: QdrantStore
) -> None:
    engine, layout = server.script, msgspec.structs.replace(LAYOUT, name="cut_v1")
    server.script = lambda asked: Answer(400) if "index" in asked.path else engine(asked)
    with pytest.raises(RefusedError):
        store.create(layout)
    server.script = engine
    server.asked.clear()
    store.create(layout)
    assert [asked.path for asked in server.asked if asked.method == "PUT"] == [
        "/collections/cut_v1/index?wait=true"
    ] * 2
    server.asked.clear()
    store.create(layout)
    assert [asked.method for asked in server.asked] == ["GET"]


def test_a_search_is_one_request_with_words_or_without(store: QdrantStore, server: Server) -> None:
    found(store, query())
    server.asked.clear()
    hits(store, query(terms={1: 1.0}))
    store.search(LAYOUT, [query(), query(terms={1: 1.0})])
    assert [asked.path for asked in server.asked] == [f"/collections/{LAYOUT.name}/points/query/batch"] * 2


def test_a_tenants_points_are_laid_out_together(store: QdrantStore, server: Server) -> None:
    server.asked.clear()
    store.create(msgspec.structs.replace(LAYOUT, name="tenants_v1", fields={"tenant": "keyword", "written": "number"}))
    asked = [msgspec.json.decode(each.body) for each in server.asked if "index" in each.path]
    assert asked == [
        {"field_name": "tenant", "field_schema": {"type": "keyword", "is_tenant": True}},
        {"field_name": "written", "field_schema": {"type": "float"}},
    ]


def test_opening_a_store_loads_nothing_slow() -> None:
    """It is on the path of a cold start; numpy comes with the encoder."""
    code = (
        "import sys; from functions.adapters.vectors.qdrant import QdrantStore; "
        "QdrantStore('http://localhost:1').close(); "
        "print(sorted({'httpx', 'numpy', 'pydantic', 'qdrant_client', 'qdrant_edge', 'urllib3'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    assert ran.stdout == "[]\n"
