"""An erased conversation is in no file of the folder: the test looks at every byte, while a process runs and after."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from local_fakes import PATIENCE_S, asked
from shelves import carried
from small_encoder import SmallEncoder

from functions.adapters.local.erasing import pending
from functions.adapters.local.growing import LocalGrowing
from functions.adapters.local.places import PLACES, whose
from functions.adapters.local.settling import keep
from functions.adapters.local.stops import conversation_scope
from functions.api.api import Api
from functions.api.http import HttpRequest, HttpResponse
from functions.ports.requests import Limits
from functions.ports.state import DeadLetter
from local import workspace as module
from local.process import LocalProcess
from local.workspace import workspace

MARK = b"qzxmark"
NAME = "chat-qzxmark"
FACT = "the qzxmark launch is on Thursday"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(module, "registered", lambda *_: carried(SmallEncoder()))
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "office.md").write_text("# Office\n\nThe office opens at nine.\n", "utf-8")
    return tmp_path / "home"


@contextmanager
def at_work(home: Path) -> Iterator[LocalProcess]:
    with workspace(home, str(home.parent / "docs")) as opened:
        opened.read_documents(lambda _done, _total: None)
        with opened.process() as process:
            yield process


def called(process: LocalProcess, method: str, path: str, body: object = None, **headers: str) -> HttpResponse:
    reply = Api(process.target(limits=Limits(), secured=False)).handle(
        HttpRequest(
            method=method,
            path=path,
            headers={"content-type": "application/json", **headers},
            body=msgspec.json.encode(body) if body else b"",
            correlation=headers.get("x-request-id", "c"),
        )
    )
    assert isinstance(reply, HttpResponse)
    return reply


def say(process: LocalProcess, text: str, conversation: str = NAME) -> str:
    """A message as it comes over the API, answered; its request."""
    marked = {"idempotency-key": f"qzxmark-key-{len(text)}", "x-request-id": "qzxmark-id"}
    headers = marked if conversation == NAME else {}
    taken = called(process, "POST", f"/conversations/{conversation}/messages", {"text": text}, **headers)
    assert taken.status == 202, taken.body
    request: str = msgspec.json.decode(taken.body)["request"]
    view = process.wait(request, timeout_s=PATIENCE_S)
    assert view is not None
    assert view.status == "settled"
    return request


def fill(process: LocalProcess) -> None:
    """Something of one conversation in every place; what no shipped agent leaves is written with the shipped steps."""
    request = say(process, f"Remember that {FACT}.")
    say(process, "When does the qzxmark launch? " + "€" * 19_000)
    growing = LocalGrowing(process._bus, tenant="default", request=request, agent="summarizer", attempt=1)
    growing.grow("qzxmark is what a model wrote")
    store = process._store
    letter = DeadLetter(
        key="k",
        agent="planner",
        reason="attempts exhausted",
        error="qzxmark in an error",
        trace="qzxmark in a trace",
        attempt=3,
        age_s=1,
        at=process._now(),
        request=request,
        conversation=NAME,
        tenant="default",
        event=b'{"data": "qzxmark"}',
    )
    process.requests.stop(conversation_scope("default", NAME), "qzxmark is why")
    rows = (
        ("INSERT OR REPLACE INTO pace VALUES ('default', ?, 1, 1)", (NAME,)),
        (
            "INSERT INTO effect VALUES ('default', ?, 'k', ?, 'mail', 'done', 'qzxmark sent', 'qzxmark received', 1)",
            (request, NAME),
        ),
        ("INSERT INTO awaited VALUES ('j', 0, 0, 'default', ?)", (request,)),
        (
            (
                "INSERT INTO queue (envelope_id, generation, agent, priority, due, envelope, holder)"
                " SELECT 'q', 0, 'planner', 'normal', 9e9, envelope, ? FROM request WHERE request = ?"
            ),
            (store.member.id, request),
        ),
    )
    store.write(lambda connection: keep(connection, letter))
    for statement, parameters in rows:
        store.write(lambda connection, each=(statement, parameters): connection.execute(*each).rowcount)


def found_in(home: Path, mark: bytes = MARK) -> list[str]:
    """The files that hold the mark, as it is or as UTF-16, in their bytes or their name."""
    marks = (mark, mark.decode().encode("utf-16-le"))
    return [
        str(path.relative_to(home))
        for path in sorted(home.rglob("*"))
        if mark.decode() in path.name or (path.is_file() and any(each in path.read_bytes() for each in marks))
    ]


def until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


@pytest.mark.slow
def test_an_erased_conversation_is_in_no_byte_of_any_file(home: Path) -> None:
    with at_work(home) as process:
        say(process, "When does the office open?", "another")  # before there is a memory that it could find
        fill(process)
        store = process._store
        counts = "SELECT count(*) FROM {} WHERE {}"
        held = {
            place.table: store.read(counts.format(place.table, place.rows), whose(NAME, "default"))[0][0]
            for place in PLACES
        }
        assert all(held.values()), held
        before = found_in(home)
        assert {Path(each).parts[0] for each in before} >= {"blobs", "collections", "troupe.sqlite-wal"}, before
        erased = called(process, "DELETE", f"/conversations/{NAME}")
        assert erased.status == 202, erased.body
        assert called(process, "GET", f"/conversations/{NAME}/export").status == 404
        until(lambda: not pending(store))
        assert found_in(home) == [], "while the process runs"
        assert "opens at nine" in asked(process, "When does the office open?", conversation="another").text
    assert found_in(home) == [], "after its end"
    with at_work(home) as process:
        assert found_in(home) == [], "after a restart"
        assert not asked(process, f"Is it true that {FACT}?", conversation="new").text.count("Thursday. [")
        assert called(process, "GET", "/conversations/another/export").status == 200
