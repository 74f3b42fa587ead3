"""`troupe stop`, `resume` and `stops`: what a person types, beside a process that is at work."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from command import Troupe
from memory_collection import DOCUMENTS, MemoryCollection

from functions.adapters.local.store import Store
from functions.adapters.models.bound import Call
from functions.adapters.models.prices import Price
from functions.events.answer import UserMessage
from functions.events.event import AgentFailed
from functions.workflows.catalog import WORKFLOWS
from local.process import LocalProcess

PATIENCE_S = 60.0  # how long a test waits for what must happen; nothing waits so long unless it is broken
SORT = "How do I sort a list?"


class Endless:
    """A model that writes until it is cut off."""

    model = "endless"
    price = Price(read=0, written=0)

    def __init__(self) -> None:
        self.writes = threading.Event()
        self.cut_off = 0

    def complete(self, call: Call) -> str:
        until = time.monotonic() + PATIENCE_S
        try:
            while time.monotonic() < until:
                call.check()
                self.writes.set()
        except Exception:
            self.cut_off += 1
            raise
        raise AssertionError("nobody cut it off")


@pytest.fixture
def chat() -> Endless:
    return Endless()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Where the commands look."""
    return tmp_path / "home"


@pytest.fixture
def at_work(home: Path, chat: Endless) -> Iterator[LocalProcess]:
    store = Store(home)
    documents = MemoryCollection()
    documents.upsert(DOCUMENTS, tenant="default")
    collections = {"documents": documents, "memories": MemoryCollection()}
    try:
        with LocalProcess(store, WORKFLOWS, collections, chat=chat, workers=2) as process:
            yield process
    finally:
        store.close()


@pytest.fixture
def store(home: Path) -> None:
    Store(home).close()


def failure(process: LocalProcess, request: str) -> str:
    view = process.wait(request, timeout_s=PATIENCE_S)
    assert view is not None
    assert view.settlement is not None
    return msgspec.json.decode(view.settlement.data, type=AgentFailed).reason


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (("--all",), "everything was stopped by "),
        (("--workflow", "answer"), "the workflow answer was stopped by "),
        (("--conversation", "c1"), "the conversation c1 was stopped by "),
    ],
)
def test_a_stop_cuts_the_model_of_a_running_process_off_and_its_request_ends_with_who_stopped_what(
    troupe: Troupe, at_work: LocalProcess, chat: Endless, what: tuple[str, ...], said: str
) -> None:
    at_work.submit("answer", UserMessage(text=SORT), conversation="c1", request="r1")
    assert chat.writes.wait(PATIENCE_S)
    stopped = troupe("stop", *what, "--reason", "it costs too much")
    assert stopped.code == 0, stopped.err
    reason = failure(at_work, "r1")
    assert reason.startswith(said)
    assert reason.endswith(": it costs too much")
    assert chat.cut_off > 0
    view = at_work.wait("r1", timeout_s=PATIENCE_S)
    assert view is not None
    assert view.settled is not None
    assert view.settled < view.deadline, "long before its time was over"


def test_what_is_resumed_beside_a_running_process_is_answered_again(troupe: Troupe, at_work: LocalProcess) -> None:
    troupe("stop", "--workflow", "ingest")
    troupe("stop", "--all")
    at_work.submit("answer", UserMessage(text=SORT), conversation="c1", request="r1")
    assert failure(at_work, "r1").startswith("everything was stopped")
    resumed = troupe("resume", "--all")
    assert resumed.out == "everything goes on. Still stopped: the workflow ingest.\n"
    at_work.submit("answer", UserMessage(text="Remember that I like tea."), conversation="c1", request="r2")
    view = at_work.wait("r2", timeout_s=PATIENCE_S)
    assert view is not None
    assert view.settlement is not None
    assert view.settlement.name == "ResponseReady"


@pytest.mark.usefixtures("store")
def test_what_is_stopped_is_listed_for_a_person_and_for_a_program(troupe: Troupe) -> None:
    assert troupe("stops").out == "Nothing is stopped.\n"
    made = troupe("stop", "--conversation", "a#b", "--tenant", "acme", "--reason", "a [leak]", "--json").json()
    assert made["scope"] == {"kind": "conversation", "name": "a#b", "tenant": "acme"}
    assert made["reason"] == "a [leak]"
    assert made["by"]
    assert troupe("stops", "--json").json() == [made]
    assert f"the conversation a#b was stopped by {made['by']}: a [leak] (tenant acme)" in troupe("stops").out
    assert troupe("resume", "--conversation", "a#b", "--tenant", "acme", "--json").json() == []
    assert troupe("stops").out == "Nothing is stopped.\n"


@pytest.mark.usefixtures("store")
def test_a_stop_of_the_same_scope_takes_the_place_of_the_one_before(troupe: Troupe) -> None:
    troupe("stop", "--all", "--reason", "first")
    troupe("stop", "--all", "--reason", "second")
    assert [each["reason"] for each in troupe("stops", "--json").json()] == ["second"]


@pytest.mark.usefixtures("store")
def test_what_is_not_stopped_cannot_be_resumed(troupe: Troupe) -> None:
    ran = troupe("resume", "--workflow", "answer")
    assert (ran.code, ran.err) == (1, "error: the workflow answer is not stopped: `troupe stops` lists what is\n")


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--all", "--workflow", "answer"),
        ("--workflow", "nothing"),
        ("--all", "--reason", "x" * 501),
        ("--conversation", "\udcff"),
        ("--conversation", " "),
    ],
)
def test_a_stop_of_nothing_in_particular_is_wrong_usage_and_stops_nothing(
    troupe: Troupe, arguments: tuple[str, ...]
) -> None:
    assert troupe("stop", *arguments).code == 2
    assert troupe("stops", "--json").json() == []
