"""What an operator sees of dead letters: listed, shown, redriven beside whatever runs, dropped."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from command import Troupe
from memory_collection import DOCUMENTS, MemoryCollection

from functions.adapters.local.store import Store
from functions.errors import PermanentError
from functions.events.answer import ResponseReady, UserMessage
from functions.workflows.catalog import WORKFLOWS
from local.process import LocalProcess
from ops import dead_letters

PATIENCE_S = 30.0
SORT = "How do I sort a list?"
BROKEN = "the [bold]index[/] is away"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def documents() -> MemoryCollection:
    found = MemoryCollection()
    found.upsert(DOCUMENTS, tenant="default")
    return found


@contextmanager
def at_work(home: Path, documents: MemoryCollection) -> Iterator[LocalProcess]:
    """A process that runs everything on this home, until the block ends."""
    store = Store(home)
    try:
        collections = {"documents": documents, "memories": MemoryCollection()}
        with LocalProcess(store, WORKFLOWS, collections, workers=2) as process:
            yield process
    finally:
        store.close()


def ask(process: LocalProcess, request: str, conversation: str = "c1") -> None:
    process.submit("answer", UserMessage(text=SORT), conversation=conversation, request=request)
    view = process.wait(request, timeout_s=PATIENCE_S)
    assert view is not None
    assert view.status == "settled"


def away(_: str) -> None:
    raise PermanentError(BROKEN, reason="index away")


@pytest.fixture
def failed(home: Path, documents: MemoryCollection) -> MemoryCollection:
    """The documents, after three conversations in which no search worked; they work again."""
    documents.during = away
    with at_work(home, documents) as process:
        for number in range(3):
            ask(process, f"r{number}", f"c{number}")
    documents.during = lambda _: None
    return documents


def answered(process: LocalProcess, request: str) -> str:
    """The text that a request was answered with."""
    view = process.wait(request, timeout_s=PATIENCE_S)
    assert view is not None
    assert view.settlement is not None
    assert view.settlement.name == ResponseReady.__name__
    return bytes(view.settlement.data).decode()


def test_letters_are_listed_with_who_gave_up_and_why(troupe: Troupe, failed: MemoryCollection) -> None:
    del failed
    letters = troupe("dead-letters", "list", "--json").json()
    assert {(each["agent"], each["reason"], each["error"]) for each in letters} == {("retriever", "index away", BROKEN)}
    shown = troupe("dead-letters", "list", COLUMNS="300")
    assert shown.code == 0
    assert all(each["key"] in shown.out for each in letters)
    assert BROKEN in shown.out
    assert "No dead letters." in troupe("dead-letters", "list", "--tenant", "acme").out


def test_no_letters_are_no_error(troupe: Troupe, home: Path) -> None:
    Store(home).close()
    assert troupe("dead-letters", "list").out == "No dead letters.\n"
    assert troupe("dead-letters", "list", "--json").json() == []
    assert troupe("dead-letters", "redrive", "--everything").code == 0


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["--agent", "retriever"], True),
        (["--agent", "planner"], False),
        (["--reason", "index away"], True),
        (["--conversation", "c1"], True),
        (["--conversation", "elsewhere"], False),
        (["--newer-than", "1h"], True),
        (["--older-than", "1h"], False),
        (["--tenant", "default"], True),
        (["--tenant", "acme"], False),
    ],
)
def test_letters_are_found_by_what_is_known_of_them(
    troupe: Troupe, failed: MemoryCollection, options: list[str], *, found: bool
) -> None:
    del failed
    letters = troupe("dead-letters", "list", "--json", *options).json()
    assert bool(letters) is found
    if options == ["--conversation", "c1"]:
        assert {each["conversation"] for each in letters} == {"c1"}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["list", "--agent", "retreiver"], "there is no agent 'retreiver': use one of"),
        (["list", "--reason", "indexaway"], "use one of index away"),
        (["list", "--older-than", "yesterday"], "--older-than is 'yesterday': write a number and a unit"),
        (["redrive", "--everything", "--rate", "0/s"], "--rate is '0/s': write how many in which time"),
        (["redrive"], "say which letters"),
        (["drop"], "say which letters"),
        (["drop", "--tenant", "default", "--yes"], "say which letters"),
        (["show", "nothing"], "there is no dead letter nothing"),
        (["redrive", "nothing"], "there is no dead letter nothing"),
    ],
)
def test_wrong_usage_is_one_line_that_says_what_there_is(
    troupe: Troupe, failed: MemoryCollection, arguments: list[str], told: str
) -> None:
    del failed
    ran = troupe("dead-letters", *arguments)
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert told in ran.err


def test_a_letter_is_shown_with_its_event(troupe: Troupe, failed: MemoryCollection) -> None:
    del failed
    key = troupe("dead-letters", "list", "--json").json()[0]["key"]
    shown = troupe("dead-letters", "show", key, COLUMNS="300")
    for told in (key, "retriever", BROKEN, "r0", "c0", "PlanCreated.v1", "PermanentError", "sort"):
        assert told in shown.out, told
    letter = troupe("dead-letters", "show", key, "--json").json()
    assert (letter["attempt"], letter["request"], letter["origin"], letter["redriven"]) == (1, "r0", "r0", None)
    assert letter["event"]["type"] == "PlanCreated.v1"
    assert "trace" in letter


def test_a_running_process_delivers_what_is_redriven_beside_it(
    troupe: Troupe, failed: MemoryCollection, home: Path
) -> None:
    with at_work(home, failed) as process:
        ran = troupe("dead-letters", "redrive", "--everything", "--rate", "1000/s", "--json")
        told = ran.json()
        assert (ran.code, told["at_work"]) == (0, [os.getpid()])
        requests = {each["request"] for each in told["letters"]}
        assert len(requests) == 3
        assert all("Sort the list in place." in answered(process, each) for each in requests)
        origins = {process.requests.view(each, tenant="default").origin for each in requests}  # type: ignore[union-attr]
        assert origins == {"r0", "r1", "r2"}
    assert troupe("dead-letters", "list", "--json").json() == []
    assert {each["redriven_as"] for each in troupe("dead-letters", "list", "--all", "--json").json()} == requests


def test_without_a_process_it_waits_for_the_next_start(troupe: Troupe, failed: MemoryCollection, home: Path) -> None:
    ran = troupe("dead-letters", "redrive", "--conversation", "c1", COLUMNS="300")
    assert "No process is at work on this store" in ran.out
    (request,) = {
        each["redriven_as"] for each in troupe("dead-letters", "list", "--all", "--json").json() if each["redriven"]
    }
    with at_work(home, failed) as process:
        assert "Sort the list in place." in answered(process, request)


def test_a_bulk_redrive_keeps_its_rate_and_goes_on_where_it_was_killed(
    troupe: Troupe, failed: MemoryCollection, monkeypatch: pytest.MonkeyPatch
) -> None:
    del failed
    slept: list[float] = []

    def interrupted(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(dead_letters.time, "sleep", interrupted)
    letters = troupe("dead-letters", "list", "--json").json()
    each = len(letters) // 3
    assert troupe("dead-letters", "redrive", "--everything", "--rate", "2/s").code == 130
    assert slept == [each / 2] * 2
    left = troupe("dead-letters", "list", "--json").json()
    assert {letter["request"] for letter in left} == {"r2"}
    again = troupe("dead-letters", "redrive", "--everything", "--json").json()
    assert {letter["key"] for letter in again["letters"]} == {letter["key"] for letter in left}


def test_what_was_redriven_is_redriven_again_only_when_asked(troupe: Troupe, failed: MemoryCollection) -> None:
    del failed
    key = troupe("dead-letters", "list", "--json").json()[0]["key"]
    assert troupe("dead-letters", "redrive", key).code == 0
    refused = troupe("dead-letters", "redrive", key)
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "--again" in refused.err
    assert troupe("dead-letters", "redrive", key, "--again").code == 0


def test_what_cannot_be_redriven_is_named_and_the_others_go_on(
    troupe: Troupe, failed: MemoryCollection, home: Path
) -> None:
    del failed
    with sqlite3.connect(home / "troupe.sqlite") as connection:
        connection.execute(
            "INSERT INTO dead_letter (key, agent, reason, error, trace, attempt, age_s, at, tenant, conversation,"
            " request, event)"
            " VALUES ('bad', 'retriever', 'malformed envelope', 'no JSON', '', 1, 0, 1, '', '', '', x'3f')"
        )
    connection.close()
    ran = troupe("dead-letters", "redrive", "--everything", "--rate", "1000/s", COLUMNS="300")
    assert ran.code == 1
    assert "bad  not redriven: it holds no event" in ran.out
    assert "Refused: 1." in ran.out
    assert [each["key"] for each in troupe("dead-letters", "list", "--json").json()] == ["bad"]
    assert "?" in troupe("dead-letters", "show", "bad").out


def test_letters_are_dropped_by_key_or_when_told_so_and_no_others(troupe: Troupe, failed: MemoryCollection) -> None:
    del failed
    letters = troupe("dead-letters", "list", "--json").json()
    first = letters[0]["key"]
    assert troupe("dead-letters", "drop", first).out == "Dropped: 1.\n"
    refused = troupe("dead-letters", "drop", "--conversation", "c1")
    assert (refused.code, "Say --yes" in refused.err) == (2, True)
    assert troupe("dead-letters", "drop", "--conversation", "c1", "--yes", "--json").json()["kept"] == []
    left = troupe("dead-letters", "list", "--json").json()
    assert left == [each for each in letters if each["key"] != first and each["conversation"] != "c1"]


def test_a_redrive_that_fails_again_says_so_in_a_new_letter(
    troupe: Troupe, failed: MemoryCollection, home: Path
) -> None:
    failed.during = away
    letters = troupe("dead-letters", "list", "--conversation", "c1", "--json").json()
    with at_work(home, failed) as process:
        told = troupe("dead-letters", "redrive", "--conversation", "c1", "--json").json()
        (request,) = {each["request"] for each in told["letters"]}
        answered(process, request)
    found = troupe("dead-letters", "list", "--conversation", "c1", "--json").json()
    assert {each["origin"] for each in found} == {"r1"}
    assert {each["request"] for each in found} == {request}
    assert not {each["key"] for each in found} & {each["key"] for each in letters}
