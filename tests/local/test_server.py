"""The server: what a client meets on the wire."""

import http.client
import json
import logging
import select
import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from memory_collection import MemoryCollection
from serving import PATIENCE_S, Served, served

from functions.adapters.local.store import Store
from functions.api.callers import Keys
from functions.errors import TroupeError
from functions.ports.requests import Limits
from functions.workflows.catalog import WORKFLOWS
from local.process import LocalProcess
from local.server import app, page, serving
from local.server.settings import read_limits

SORT = "How do I sort a list?"
KEYS = {"alice": "alice-key-0123456789", "bob": "bob-key-0123456789"}
Json = Any  # whatever was sent


@pytest.fixture
def process(
    open_store: Callable[[], Store], documents: MemoryCollection, memories: MemoryCollection
) -> Iterator[LocalProcess]:
    collections = {"documents": documents, "memories": memories}
    with LocalProcess(open_store(), WORKFLOWS, collections, workers=4) as running:
        yield running


@pytest.fixture
def server(process: LocalProcess) -> Iterator[Served]:
    with served(process) as running:
        yield running


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server for the tests that only send it something."""
    store = Store(tmp_path_factory.mktemp("shared"))
    collections = {"documents": MemoryCollection(), "memories": MemoryCollection()}
    with LocalProcess(store, WORKFLOWS, collections, workers=2) as running, served(running) as server:
        yield server
    store.close()


@pytest.fixture(scope="module")
def shared_client(shared: Served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=shared.url, timeout=PATIENCE_S) as opened:
        yield opened


@pytest.fixture
def client(server: Served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=PATIENCE_S) as opened:
        yield opened


@contextmanager
def blocked(documents: MemoryCollection) -> Iterator[threading.Event]:
    """Every search waits until the block ends; the event says that one has begun."""
    searching, release = threading.Event(), threading.Event()

    def wait(_: str) -> None:
        searching.set()
        assert release.wait(PATIENCE_S)

    documents.during = wait
    try:
        yield searching
    finally:
        release.set()


def say(client: httpx.Client, text: str = SORT, **headers: str) -> Json:
    response = client.post("/conversations/c1/messages", json={"text": text}, headers=headers)
    assert response.status_code == 202, response.text
    return response.json()


def exchanged(server: Served, request: bytes) -> tuple[int, dict[str, Any]]:
    """Bytes as they are, and the status and the problem that came back."""
    with server.connect() as connection:
        connection.sendall(request)
        response = http.client.HTTPResponse(connection)
        response.begin()
        return response.status, json.loads(response.read())


# ---------------------------------------------------------------------------------------- asking and watching


def test_a_message_is_answered(client: httpx.Client) -> None:
    taken = say(client)
    shown = client.get(taken["status"], params={"wait": 30}).json()
    assert shown["status"] == "settled"
    assert "Sort the list in place." in shown["answer"]["text"]
    assert shown["deliveries"][0]["agent"] == "orchestrator"
    said = client.get("/conversations/c1/messages").json()["messages"]
    assert [(each["role"], each["request"]) for each in said] == [
        ("user", taken["request"]),
        ("assistant", taken["request"]),
    ]


def test_a_long_poll_answers_once_the_request_is_settled(client: httpx.Client, documents: MemoryCollection) -> None:
    with blocked(documents) as searching:
        taken = say(client)
        assert searching.wait(PATIENCE_S)
        assert client.get(taken["status"], params={"wait": 0.05}).json()["status"] == "running"
        found: list[Any] = []
        poll = threading.Thread(target=lambda: found.append(client.get(taken["status"], params={"wait": 30}).json()))
        poll.start()
        assert client.get(taken["status"]).json()["status"] == "running"
    poll.join(PATIENCE_S)
    assert found[0]["status"] == "settled"


def test_a_stream_shows_every_agent_and_ends_with_the_answer(client: httpx.Client) -> None:
    taken = say(client)
    with client.stream("GET", taken["events"]) as response:
        assert response.headers["content-type"] == "text/event-stream"
        lines = list(response.iter_lines())
    names = [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]
    assert (names[0], names[-1]) == ("request", "settled")
    agents = [json.loads(line[6:])["agent"] for line in lines if line.startswith("data: ") and '"agent"' in line[:60]]
    last = [line for line in lines if line.startswith("id: ")][-1].removeprefix("id: ")
    assert set(agents) <= {"orchestrator", "planner", "retriever", "validator", "summarizer", "response_builder"}
    assert client.get(taken["events"], headers={"Last-Event-ID": last}).status_code == 204


def test_an_idle_stream_is_kept_open_with_comments(process: LocalProcess, documents: MemoryCollection) -> None:
    with (
        served(process, keep_alive_s=0.01) as server,
        httpx.Client(base_url=server.url, timeout=PATIENCE_S) as client,
        blocked(documents),
        client.stream("GET", say(client)["events"]) as response,
    ):
        assert any(line.startswith(":") for line in response.iter_lines())


def test_a_document_that_was_sent_is_found_by_the_next_question(client: httpx.Client) -> None:
    body = {"documents": [{"name": "zoo", "format": "markdown", "text": "# Zebra\n\nA zebra has stripes."}]}
    taken = client.post("/collections/documents/documents", json=body).json()
    shown = client.get(taken["status"], params={"wait": 30}).json()
    assert shown["answer"]["documents"] == [{"name": "zoo", "passages": 1, "written": 1, "deleted": 0, "skipped": ""}]
    answer = client.get(say(client, "What has a zebra?")["status"], params={"wait": 30}).json()["answer"]
    (citation,) = answer["citations"]
    assert citation["source"] == "upload:zoo"
    passage = client.get(f"/collections/documents/passages/{citation['passage']}").json()
    assert passage["text"] == "A zebra has stripes."


@pytest.mark.parametrize("collection", ["memories", "conversations", "nope"])
def test_documents_go_only_where_users_may_send_them(shared_client: httpx.Client, collection: str) -> None:
    body = {"documents": [{"name": "a", "text": "x"}]}
    assert shared_client.post(f"/collections/{collection}/documents", json=body).status_code == 404


def test_everything_wrong_with_documents_is_named_at_once(shared_client: httpx.Client) -> None:
    body = {"documents": [{"name": "a", "text": 1}, {"name": "\0", "text": "x", "format": "pdf"}, 7]}
    problem = shared_client.post("/collections/documents/documents", json=body).json()
    pointers = {each["pointer"] for each in problem["errors"]}
    assert pointers == {"/documents/0/text", "/documents/1/name", "/documents/1/format", "/documents/2"}
    twice = shared_client.post(
        "/collections/documents/documents", json={"documents": [{"name": "a", "text": "x"}] * 2}
    ).json()
    assert [each["pointer"] for each in twice["errors"]] == ["/documents/1/name"]


def test_what_may_not_be_open_at_once_is_told_to_come_again(process: LocalProcess, documents: MemoryCollection) -> None:
    limits = Limits(open=2, of_conversation=2)
    with served(process, limits=limits) as server, httpx.Client(base_url=server.url, timeout=PATIENCE_S) as client:
        with blocked(documents):
            first, _ = say(client), say(client)
            refused = client.post("/conversations/c1/messages", json={"text": SORT})
            assert refused.status_code == 429
            assert int(refused.headers["retry-after"]) > 0
        client.get(first["status"], params={"wait": 30})
        say(client)


# -------------------------------------------------------------------------------------------------- who calls


def test_with_keys_every_call_but_health_needs_one(process: LocalProcess) -> None:
    with served(process, keys=Keys(KEYS)) as server, httpx.Client(base_url=server.url, timeout=PATIENCE_S) as client:
        assert client.get("/healthz").status_code == 200
        for path in ("/openapi.json", "/workflows", "/requests/x", "/nope", "/conversations/c/messages"):
            refused = client.get(path)
            assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
        alice = {"Authorization": f"Bearer {KEYS['alice']}"}
        bob = {"Authorization": f"Bearer {KEYS['bob']}"}
        taken = say(client, "Remember that tea is at four.", **alice)
        assert client.get(taken["status"], params={"wait": 30}, headers=alice).json()["status"] == "settled"
        for path in (taken["status"], taken["events"]):
            foreign, unknown = client.get(path, headers=bob), client.get(f"{path}x", headers=bob)
            assert foreign.status_code == unknown.status_code == 404
            assert foreign.content == unknown.content
        assert client.get("/conversations/c1/messages", headers=bob).json()["messages"] == []
        assert client.get("/openapi.json", headers=alice).json()["paths"]["/workflows"]["get"]["security"]


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "", "localhost@evil"])
def test_without_keys_a_foreign_host_is_refused(shared: Served, host: str) -> None:
    status, problem = exchanged(shared, f"GET /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    assert (status, problem["status"]) == (421, 421)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:8080", "[::1]", "[::1]:8080"])
def test_without_keys_this_machine_may_be_named_in_any_way(shared: Served, host: str) -> None:
    assert exchanged(shared, f"GET /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())[0] == 200


def test_with_keys_the_host_does_not_matter(process: LocalProcess) -> None:
    with served(process, keys=Keys(KEYS)) as server:
        assert exchanged(server, b"GET /healthz HTTP/1.1\r\nHost: troupe.example\r\n\r\n")[0] == 200


def test_a_request_id_is_returned_and_logged_and_keys_are_not(
    process: LocalProcess, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with served(process, keys=Keys(KEYS)) as server, httpx.Client(base_url=server.url, timeout=PATIENCE_S) as client:
        headers = {"Authorization": f"Bearer {KEYS['alice']}", "X-Request-ID": "trace-7"}
        assert client.get("/workflows?x=1", headers=headers).headers["x-request-id"] == "trace-7"
        assert len(client.get("/healthz").headers["x-request-id"]) == 32
        refused = client.get("/healthz", headers={"X-Request-ID": "a b"})
        assert (refused.status_code, refused.json()["errors"][0]["parameter"]) == (400, "X-Request-ID")
    ours = [each.getMessage() for each in caplog.records if each.name.startswith("troupe.")]
    (line,) = [each for each in ours if "trace-7" in each]
    assert line.startswith("GET /workflows 400 ")
    assert line.endswith(" ms alice trace-7")
    assert not any(key in caplog.text for key in KEYS.values())


def test_every_response_has_the_headers_that_keep_a_browser_safe(client: httpx.Client) -> None:
    for response in (client.get("/healthz"), client.get("/nope"), client.get(say(client)["events"])):
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["content-security-policy"].startswith("default-src 'self';")
        assert response.headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in response.headers


# ------------------------------------------------------------------------------------------------ bad clients


@pytest.mark.parametrize("head", ["Content-Length: 100\r\n\r\n{", "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"])
def test_a_body_that_never_ends_is_given_up(process: LocalProcess, head: str) -> None:
    with served(process, body_s=0.05) as server:
        request = (
            f"POST /conversations/c/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{head}"
        )
        assert exchanged(server, request.encode())[0] == 408


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_is_too_large_is_refused(shared_client: httpx.Client, *, chunked: bool) -> None:
    body = b'{"text":"' + b"x" * 1024**2 + b'"}'
    content: Any = iter([body[: 600 * 1024], body[600 * 1024 :]]) if chunked else body
    response = shared_client.post(
        "/conversations/c/messages", content=content, headers={"Content-Type": "application/json"}
    )
    assert response.status_code == 413
    assert "1 MiB" in response.json()["detail"]


def test_a_body_that_says_it_is_far_too_large_is_not_waited_for(shared: Served) -> None:
    head = "POST /conversations/c/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n"
    assert exchanged(shared, head.encode())[0] == 413


def test_bodies_that_are_still_coming_take_room_too(process: LocalProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "MAX_HELD_BYTES", 1000)
    with served(process) as server, httpx.Client(base_url=server.url, timeout=PATIENCE_S) as client:

        def until(status: int) -> httpx.Response:
            for _ in range(10_000):
                body = {"text": "x" * 500}
                response = client.post("/conversations/c1/messages", json=body, headers={"Idempotency-Key": "k1"})
                if response.status_code == status:
                    return response
            raise AssertionError(f"there was no {status}")

        with server.connect() as slow:
            head = "POST /conversations/c/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 901\r\n\r\n"
            slow.sendall(head.encode() + b"x" * 900)
            assert int(until(429).headers["retry-after"]) > 0
        until(202)


def test_a_head_that_never_ends_is_given_up(shared: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "HEAD_S", 0.05)
    for sent in (b"", b"GET /healthz HTTP/1.1\r\nHost: lo"):
        with shared.connect() as connection, pytest.raises(ConnectionResetError) if sent else _ended():
            connection.sendall(sent)
            assert connection.recv(1) == b""
            raise ConnectionResetError


@contextmanager
def _ended() -> Iterator[None]:
    try:
        yield
    except ConnectionResetError:
        return


def test_a_client_that_does_not_read_is_given_up(
    server: Served, client: httpx.Client, process: LocalProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = say(client)
    client.get(taken["status"], params={"wait": 30})
    rows = [("default", taken["request"], number, "a", 1, number, "x" * 200_000) for number in range(1, 100)]
    process._store.write(lambda connection: connection.executemany("INSERT INTO written VALUES (?,?,?,?,?,?,?)", rows))
    monkeypatch.setattr(serving, "SLOW_READER_S", 0.05)
    with server.connect() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(f"GET {taken['events']} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        waiting = select.poll()
        waiting.register(connection, select.POLLHUP | select.POLLERR)
        assert waiting.poll(PATIENCE_S * 1000), "it was given up without reading anything"


def test_a_client_that_leaves_is_forgotten(server: Served, client: httpx.Client, documents: MemoryCollection) -> None:
    with blocked(documents):
        taken = say(client)
        with client.stream("GET", taken["events"]) as response:
            lines = response.iter_lines()  # kept, since who drops it closes the connection
            assert next(lines) == "event: request"
            assert server.process.watchers._watching
        for _ in range(10_000):
            if not server.process.watchers._watching:
                break
            client.get("/healthz")
        assert not server.process.watchers._watching


@pytest.mark.parametrize(
    "raw", [b"\x16\x03\x01\x02\x00\x01\x00", b"GET / HTTP/9\r\n\r\n", b"GET /\xff HTTP/1.1\r\n\r\n"]
)
def test_what_is_no_http_is_refused(shared: Served, raw: bytes) -> None:
    with shared.connect() as connection:
        connection.sendall(raw + b"\r\n\r\n")
        assert connection.recv(64).startswith(b"HTTP/1.1 400 ")


# ---------------------------------------------------------------------------------------- stops and failures


def test_a_stop_says_so_to_who_has_not_sent_all_yet(process: LocalProcess) -> None:
    with served(process) as server, server.connect() as connection:
        connection.sendall(
            b"POST /conversations/c/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: 100\r\nExpect: 100-continue\r\n\r\n"
        )
        assert connection.recv(64).startswith(b"HTTP/1.1 100 ")  # it waits for the body
        server.server.should_exit = True
        said = connection.makefile("rb").read()
    assert said.startswith(b"HTTP/1.1 503 ")
    assert b"application/problem+json" in said


def test_a_stop_ends_streams_and_answers_long_polls(process: LocalProcess, documents: MemoryCollection) -> None:
    found: dict[str, Any] = {}
    with (
        blocked(documents) as searching,
        served(process) as server,
        httpx.Client(base_url=server.url, timeout=PATIENCE_S) as client,
    ):
        taken = say(client)
        assert searching.wait(PATIENCE_S)

        def poll() -> None:
            found["poll"] = client.get(taken["status"], params={"wait": 30}).json()

        def watch() -> None:
            with client.stream("GET", taken["events"]) as response:
                found["stream"] = b"".join(response.iter_raw())

        threads = [threading.Thread(target=each) for each in (poll, watch)]
        for thread in threads:
            thread.start()
        while sum(map(len, process.watchers._watching.values())) < 2:
            client.get("/healthz")
        server.server.should_exit = True
        for thread in threads:
            thread.join(PATIENCE_S)
    assert found["poll"]["status"] == "running"
    assert b"event: request" in found["stream"]
    assert b"event: settled" not in found["stream"]


def test_a_store_that_cannot_be_used_is_said_and_not_explained(
    client: httpx.Client, process: LocalProcess, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise sqlite3.OperationalError("disk I/O error in /secret/path")

    monkeypatch.setattr(process._store, "read", fail)
    response = client.get("/healthz")
    assert response.status_code == 503
    assert "retry-after" in response.headers
    assert "secret" not in response.text
    assert "secret" in caplog.text


def test_what_should_not_happen_is_logged_and_not_shown(
    client: httpx.Client, process: LocalProcess, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(process.requests, "view", lambda *_, **__: 1 / 0)
    response = client.get("/requests/r1", headers={"X-Request-ID": "trace-8"})
    assert (response.status_code, response.headers["content-type"]) == (500, "application/problem+json")
    assert "ZeroDivisionError" not in response.text
    assert "ZeroDivisionError" in caplog.text
    assert "trace-8" in caplog.text


# --------------------------------------------------------------------------------------- the page, the address


def test_the_page_is_served_without_a_key(
    process: LocalProcess, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "index.html").write_text("<title>Troupe</title>")
    (tmp_path / "app.js").write_text("1")
    (tmp_path.parent / "secret.txt").write_text("secret")
    monkeypatch.setattr(page, "FOLDER", tmp_path)
    with served(process, keys=Keys(KEYS)) as server, httpx.Client(base_url=server.url) as client:
        home, script = client.get("/"), client.get("/page/app.js")
        assert home.text == "<title>Troupe</title>"
        assert script.headers["content-type"].startswith("text/javascript")
        for response in (home, script):
            assert response.headers["content-security-policy"].startswith("default-src 'self'")
        for path in ("/page/../../secret.txt", "/page/%2e%2e/secret.txt", "/page/", "/page/nope.js"):
            assert client.get(path).status_code in {401, 404}


def test_no_browser_keeps_a_file_of_the_page_without_asking_for_a_newer_one(shared_client: httpx.Client) -> None:
    for path in ("/", "/page/main.js"):
        assert shared_client.get(path).headers["cache-control"] == "no-cache"
    tag = {"If-None-Match": shared_client.get("/page/main.js").headers["etag"]}
    assert shared_client.get("/page/main.js", headers=tag).status_code == 304


def test_what_is_wrong_with_a_call_of_the_page_is_a_problem_too(shared_client: httpx.Client) -> None:
    for method, path, status in (("POST", "/", 405), ("POST", "/page/main.js", 405), ("GET", "/page/nope.js", 404)):
        response = shared_client.request(method, path)
        assert (response.status_code, response.json()["status"]) == (status, status)
        assert response.headers["content-type"] == "application/problem+json"


def test_a_port_in_use_is_refused_with_another(shared: Served) -> None:
    port = shared.address[1]
    with pytest.raises(TroupeError, match=f"port {port} of 127.0.0.1 is in use: .*--port {port + 1}"):
        serving.bound("127.0.0.1", port, Keys({}))


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])  # noqa: S104 - that this is refused is what is tested
def test_an_address_for_others_is_refused_without_keys(host: str) -> None:
    with pytest.raises(TroupeError, match="set TROUPE_API_KEY"):
        serving.bound(host, 0, Keys({}))


@pytest.mark.parametrize("host", ["nowhere.invalid", "999.1.1.1", "a b", "", "\0"])
def test_an_address_that_is_none_is_refused(host: str) -> None:
    with pytest.raises(TroupeError, match=r"no address of this machine|set TROUPE_API_KEY"):
        serving.bound(host, 0, Keys({}))


def test_limits_come_from_the_environment_and_wrong_ones_are_all_named() -> None:
    assert read_limits({}, tenants=1) == Limits()
    found = read_limits({"TROUPE_MAX_OPEN": " 7 ", "TROUPE_MAX_OPEN_PER_CONVERSATION": "2"}, tenants=0)
    assert found == Limits(open=7, of_tenant=7, of_conversation=2)
    assert read_limits({}, tenants=2) == Limits(of_tenant=200)
    room = {"TROUPE_MAX_EVENTS": "5", "TROUPE_MAX_STORE_MB": "50", "TROUPE_MIN_FREE_MB": "1"}
    assert read_limits(room, tenants=1) == Limits(events=5, store_mb=50, free_mb=1)
    with pytest.raises(TroupeError, match=r"TROUPE_MAX_OPEN .*; TROUPE_MAX_OPEN_PER_CONVERSATION "):
        read_limits({"TROUPE_MAX_OPEN": "many", "TROUPE_MAX_OPEN_PER_CONVERSATION": "0"}, tenants=1)
    with pytest.raises(TroupeError, match=r"TROUPE_MAX_EVENTS .*; TROUPE_MAX_STORE_MB .*; TROUPE_MIN_FREE_MB "):
        read_limits(dict.fromkeys(room, "-1"), tenants=1)
