"""`troupe ask --url`: the same answer as without it, over lost connections, and one clear line for what is wrong."""

import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from command import Troupe
from local_process import running
from memory_collection import DOCUMENTS
from serving import Served, served

from functions.api.callers import Keys
from functions.errors import PermanentError, TroupeError
from local.process import LocalProcess
from ops.client import Client

SORT = "How do I sort a list?"
KEY = "a-key-of-this-test-alone"


@pytest.fixture
def process(tmp_path: Path) -> Iterator[LocalProcess]:
    with running(tmp_path / "store") as opened:
        opened._collections["documents"].upsert(DOCUMENTS, tenant="default")
        yield opened


@pytest.fixture
def server(process: LocalProcess) -> Iterator[Served]:
    with served(process) as opened:
        yield opened


def test_a_server_gives_the_same_answer_as_the_command_alone(troupe: Troupe, server: Served) -> None:
    ran = troupe("ask", SORT, "--url", server.url)
    assert ran.code == 0, ran.err
    assert "Sort the list in place. [1]" in ran.out
    assert "[1] list.sort  (python:builtins)" in ran.out
    for agent in ("orchestrator", "planner", "retriever", "validator", "summarizer", "response_builder"):
        assert agent in ran.out
    assert "extractive, without a language model" in ran.out
    answer = troupe("ask", SORT, "--json", TROUPE_URL=server.url).json()
    assert (answer["conversation"], answer["degraded"]) == ("cli", False)
    assert {"request", "text", "accepted", "settled", "deliveries"} <= answer.keys()


def test_a_conversation_goes_on(troupe: Troupe, server: Served) -> None:
    for text in (SORT, "Is it stable?"):
        answer = troupe("ask", text, "--url", server.url, "--conversation", "a/b ü", "--json").json()
    assert answer["making"]["queries"] == [f"Is it stable? {SORT}"]


@pytest.mark.parametrize("name", [".", "..", "a/../b", "a?b#c", "%2e"])
def test_a_conversation_may_be_called_anything(troupe: Troupe, server: Served, name: str) -> None:
    asked = troupe("ask", SORT, "--url", server.url, "--conversation", name, "--json")
    assert (asked.code, asked.json()["conversation"]) == (0, name), asked.err


def test_a_request_that_ends_in_an_error_is_exit_code_3(
    troupe: Troupe, server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise PermanentError("no ink")

    monkeypatch.setattr("functions.adapters.local.conversations.LocalHistory.history", fail)
    ran = troupe("ask", SORT, "--url", server.url)
    assert (ran.code, ran.out) == (3, "")
    assert ran.err.startswith("No answer: orchestrator gave up: ")


def test_the_key_is_read_from_the_environment(troupe: Troupe, process: LocalProcess) -> None:
    with served(process, keys=Keys({"default": KEY})) as server:
        assert troupe("ask", SORT, "--url", server.url, TROUPE_API_KEY=KEY).code == 0
        refused = troupe("ask", SORT, "--url", server.url)
        assert (refused.code, refused.err.count("\n")) == (1, 1)
        assert "read from TROUPE_API_KEY" in refused.err
        assert KEY not in refused.err


@pytest.mark.parametrize("key", ["sécret-of-this-test", "secret\nof-this-test", "secret of-this-test"])
def test_what_is_no_key_is_refused_and_not_shown(troupe: Troupe, server: Served, key: str) -> None:
    ran = troupe("ask", SORT, "--url", server.url, TROUPE_API_KEY=key)
    assert (ran.code, ran.err.count("\n")) == (1, 1)
    assert "TROUPE_API_KEY is no API key" in ran.err
    assert "of-this-test" not in ran.err


def test_a_workflow_that_takes_no_questions_is_refused(troupe: Troupe, server: Served) -> None:
    there = troupe("ask", SORT, "--url", server.url, "--workflow", "ingest")
    assert (there.code, "/workflow is none of answer" in there.err) == (1, True)
    here = troupe("ask", SORT, "--workflow", "ingest")
    assert (here.code, "ingest takes no questions: use one of answer" in here.err) == (2, True)


@pytest.mark.parametrize("url", ["ftp://x", "x", "http://", "http://[", "http://a b"])
def test_what_is_no_address_is_refused(troupe: Troupe, url: str) -> None:
    ran = troupe("ask", SORT, "--url", url)
    assert (ran.code, ran.err.count("\n")) == (1, 1)
    assert "no address of a server" in ran.err or "no server answers" in ran.err


def test_a_server_that_is_not_there_is_one_line(troupe: Troupe, server: Served) -> None:
    with server.connect() as connection:
        free = connection.getsockname()[1]
    ran = troupe("ask", SORT, "--url", f"http://127.0.0.1:{free}")
    assert ran.code == 1
    assert ran.err.startswith(f"error: no server answers at http://127.0.0.1:{free}: start one with `troupe run`")
    assert ran.err.count("\n") == 1


# ---------------------------------------------------------------------------------------- a server that fails


Answers = Callable[[http.server.BaseHTTPRequestHandler], None]


@pytest.fixture
def scripted() -> Iterator[Callable[..., str]]:
    """A server that gives these answers one after the other, and its address."""
    servers: list[http.server.ThreadingHTTPServer] = []

    def start(*answers: Answers) -> str:
        left = list(answers)

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self) -> None:
                self.rfile.read(int(self.headers.get("content-length", 0)))
                left.pop(0)(self)

            do_GET = do_POST = answer  # noqa: N815 - as http.server has them

            def log_message(self, *_: Any) -> None: ...

        servers.append(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, args=(0.01,), daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def saying(status: int, body: str | bytes, **headers: str) -> Answers:
    raw = body if isinstance(body, bytes) else body.encode()

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(raw)))
        handler.end_headers()
        handler.wfile.write(raw)

    return answer


def lost(handler: http.server.BaseHTTPRequestHandler) -> None:
    handler.close_connection = True


TAKEN = '{"request":"r1","conversation":"c","workflow":"answer","status":"/requests/r1","events":"/requests/r1/events"}'
SETTLED = (
    '{"request":"r1","conversation":"c","workflow":"answer","status":"settled","accepted":"2026-01-05T09:00:00Z",'
    '"deadline":"2126-01-05T09:01:00Z","settled":"2026-01-05T09:00:01Z","tokens":0,"micros":0,'
    '"answer":{"text":"yes"},"error":null,"deliveries":[]}'
)
RUNNING = SETTLED.replace('"settled","accepted"', '"running","accepted"')


def test_lost_connections_full_queues_and_long_work_are_waited_out(scripted: Callable[..., str]) -> None:
    pauses: list[float] = []
    url = scripted(
        lost,
        saying(429, "{}", Retry_After="3"),
        saying(503, "{}"),
        saying(202, TAKEN),
        saying(200, RUNNING),
        lost,
        saying(503, "{}", Retry_After="2"),
        saying(200, SETTLED),
    )
    with Client(url, "", sleep=pauses.append) as client:
        request = client.ask("x", conversation="c", workflow="answer")
    assert bytes(request.answer) == b'{"text":"yes"}'
    assert pauses == [0.5, 3, 0.5, 0.5, 2]


def test_every_repeat_of_a_message_has_the_same_key(scripted: Callable[..., str]) -> None:
    keys = []

    def noting(then: Answers) -> Answers:
        def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
            keys.append(handler.headers["Idempotency-Key"])
            then(handler)

        return answer

    url = scripted(noting(lost), noting(saying(429, "")), noting(saying(202, TAKEN)), saying(200, SETTLED))
    with Client(url, "", sleep=lambda _: None) as client:
        client.ask("x", conversation="c", workflow="answer")
    assert len(keys) == 3
    assert len(set(keys)) == 1
    assert keys[0]


@pytest.mark.parametrize(
    "body",
    ["<html>", '{"status":"ok"}', "", "[]", TAKEN.encode().replace(b"r1", b"\xff"), '{"x":' + "[" * 100_000],
    ids=["html", "another", "empty", "list", "no-utf-8", "deep"],
)
def test_what_is_no_troupe_server_is_said(scripted: Callable[..., str], body: str | bytes) -> None:
    with Client(scripted(saying(200, body)), "") as client, pytest.raises(TroupeError, match="no Troupe server"):
        client.ask("x", conversation="c", workflow="answer")


def test_a_body_that_cannot_be_unpacked_is_no_troupe_server(scripted: Callable[..., str]) -> None:
    url = scripted(saying(202, TAKEN, Content_Encoding="gzip"))
    with Client(url, "") as client, pytest.raises(TroupeError, match="no Troupe server"):
        client.ask("x", conversation="c", workflow="answer")


def test_the_key_goes_to_no_other_server(scripted: Callable[..., str]) -> None:
    other = scripted()
    url = scripted(saying(202, TAKEN.replace('"/requests/r1"', f'"{other}/requests/r1"')), saying(200, SETTLED))
    with Client(url, KEY) as client:
        assert client.ask("x", conversation="c", workflow="answer").request == "r1"


@pytest.mark.parametrize("answer", ["null", '{"text":1}', '{"text":"x","citations":7}'])
def test_an_answer_of_another_shape_is_one_line(troupe: Troupe, scripted: Callable[..., str], answer: str) -> None:
    url = scripted(saying(202, TAKEN), saying(200, SETTLED.replace('{"text":"yes"}', answer)))
    ran = troupe("ask", SORT, "--url", url)
    assert (ran.code, ran.err.count("\n")) == (1, 1)
    assert "none that this version knows" in ran.err


ESCAPE = "\\u001b]0;x\\u0007\\u001b[2J"  # as JSON has it: a title for the terminal, then an empty screen


DELIVERY = (
    f'{{"key":"k","agent":"{ESCAPE}planner","event":"x","emitted":"2026-01-05T09:00:00Z","started":null,'
    '"finished":null,"attempts":1,"error":"","failed":false}'
)


GIVEN = SETTLED.replace('"deliveries":[]', f'"deliveries":[{DELIVERY}]').replace(
    '{"text":"yes"}',
    f'{{"text":"{ESCAPE}yes","notes":["{ESCAPE}"],"making":{{"method":"model","model":"{ESCAPE}m",'
    f'"queries":["{ESCAPE}q"],"rounds":1,"passages":1,"considered":1}},"citations":'
    f'[{{"number":1,"passage":"p","name":"{ESCAPE}n","source":"{ESCAPE}s","reference":"{ESCAPE}r"}}]}}',
)


def test_no_terminal_escape_of_a_server_is_printed(troupe: Troupe, scripted: Callable[..., str]) -> None:
    problem = f'{{"title":"x","status":400,"detail":"no\\n{ESCAPE}ne","errors":[{{"detail":"{ESCAPE}bad"}}]}}'
    error = f'"error":{{"agent":"{ESCAPE}planner","reason":"{ESCAPE}no ink"}}'
    answers = {
        1: [saying(400, problem)],
        3: [saying(202, TAKEN), saying(200, SETTLED.replace('"error":null', error))],
        0: [saying(202, TAKEN), saying(200, GIVEN)],
    }
    for code, given in answers.items():
        ran = troupe("ask", SORT, "--url", scripted(*given))
        assert ran.code == code, ran.err
        assert "\x1b" not in ran.out + ran.err
        assert "\x07" not in ran.out + ran.err
        assert code != 1 or ran.err.count("\n") == 1


def test_an_error_that_is_no_problem_is_shown_by_its_status(scripted: Callable[..., str]) -> None:
    with Client(scripted(saying(502, "<html>")), "") as client, pytest.raises(TroupeError, match="502 Bad Gateway"):
        client.ask("x", conversation="c", workflow="answer")


def test_a_server_that_stays_full_is_given_up(scripted: Callable[..., str]) -> None:
    full = saying(429, "{}", Retry_After="31")
    with Client(scripted(full), "") as client, pytest.raises(TroupeError, match="takes no more requests for now"):
        client.ask("x", conversation="c", workflow="answer")
