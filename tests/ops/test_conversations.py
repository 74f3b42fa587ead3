"""`troupe conversations`: what a person sees, and what is left, with and without a process at work in the folder."""

import stat
from pathlib import Path

import msgspec
import pytest
from command import Troupe

from functions.adapters.local.erasing import pending
from functions.adapters.local.store import Store
from functions.ports.rights import Export
from local.workspace import workspace
from ops import conversations, here, usage

pytestmark = pytest.mark.slow
FACT = "the qzxmark launch is on Thursday"


@pytest.fixture
def told(troupe: Troupe) -> Troupe:
    """The conversation `c1` with a memory, and `c2` without."""
    assert troupe("ask", "When does the office open?", "--conversation", "c2").code == 0
    assert troupe("ask", f"Remember that {FACT}.", "--conversation", "c1").code == 0
    return troupe


def home_of(tmp_path: Path) -> Path:
    return tmp_path / "home"


def holding(home: Path) -> list[str]:
    files = [path for path in sorted(home.rglob("*")) if path.is_file()]
    return [str(path) for path in files if b"qzxmark" in path.read_bytes()]


def test_every_conversation_is_listed(told: Troupe) -> None:
    listed = told("conversations", "list", "--json").json()
    assert [each["conversation"] for each in listed] == ["c1", "c2"]
    assert listed[0]["items"]["memories"] == 1
    assert told("conversations", "list").out.startswith("c1: ")
    assert told("conversations", "list", "--tenant", "acme").out == "Nothing is held.\n"


def test_a_conversation_is_shown_with_what_was_said(told: Troupe) -> None:
    shown = told("conversations", "show", "c1")
    assert "     1 memories" in shown.out
    assert f"user: Remember that {FACT}." in shown.out
    assert told("conversations", "show", "c1", "--json").json()["messages"][0]["role"] == "user"


def test_an_export_is_a_file_for_nobody_else(told: Troupe, tmp_path: Path) -> None:
    file = tmp_path / "export.json"
    ran = told("conversations", "export", "c1", "--to", str(file))
    assert ran.code == 0
    assert f"Wrote {file}: " in ran.out
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    export = msgspec.json.decode(file.read_bytes(), type=Export)
    assert export.places["memories"][0]["passage"]["text"].startswith(FACT)
    assert told("conversations", "export", "c1").json()["conversation"] == "c1"
    assert told("conversations", "export", "c1", "--to", str(file), "--json").json()["items"]["memories"] == 1


def test_an_export_that_cannot_be_written_leaves_what_was_there(
    told: Troupe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "export.json"
    file.write_text("before")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(conversations.os, "fsync", full)
    ran = told("conversations", "export", "c1", "--to", str(file))
    assert ran.code == 1
    assert file.read_text() == "before"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".export")] == []


def test_an_erasure_without_a_process_is_done_by_the_command(told: Troupe, tmp_path: Path) -> None:
    assert holding(home_of(tmp_path))
    ran = told("conversations", "erase", "c1", "--yes")
    assert ran.code == 0
    assert ran.out.startswith("Erased c1: ")
    assert "1 memories" in ran.out
    assert holding(home_of(tmp_path)) == []
    assert [each["conversation"] for each in told("conversations", "list", "--json").json()] == ["c2"]


def test_an_erasure_beside_a_process_is_done_by_that_one(told: Troupe, tmp_path: Path, docs: Path) -> None:
    home = home_of(tmp_path)
    with workspace(home, str(docs)) as opened, opened.process():
        erased = told("conversations", "erase", "c1", "--yes", "--json")
        assert erased.code == 0, erased.err
        assert erased.json()["items"]["memories"] == 1
        assert holding(home) == []
    assert holding(home) == []


def test_a_folder_in_which_nobody_does_it_is_named(
    told: Troupe, tmp_path: Path, docs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(here, "FILES_S", 0.2)
    with workspace(home_of(tmp_path), str(docs)):  # no process over it
        ran = told("conversations", "erase", "c1", "--yes")
        assert ran.code == 1
        assert "it is erased, but still in files of" in ran.err
        assert "is at work" in ran.err
    again = told("conversations", "erase", "c1", "--yes")
    assert (again.code, again.out) == (0, "c1 was erased before; now it is gone from the files too.\n")
    assert holding(home_of(tmp_path)) == []


def test_a_process_that_starts_later_finishes_what_a_command_could_not(told: Troupe, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(here, "finish", lambda _store: None)  # killed there
        told("conversations", "erase", "c1", "--yes")
    assert holding(home_of(tmp_path))
    told("conversations", "erase", "c1", "--yes")
    store = Store(home_of(tmp_path))
    assert not pending(store)
    store.close()
    assert holding(home_of(tmp_path)) == []


def test_nobody_is_asked_where_nobody_can_answer(told: Troupe) -> None:
    ran = told("conversations", "erase", "c1")
    assert ran.code == 2
    assert "Say --yes" in ran.err
    assert told("conversations", "show", "c1").code == 0


@pytest.mark.parametrize(("answer", "code"), [("n", 1), ("y", 0)])
def test_a_person_is_asked_first(told: Troupe, monkeypatch: pytest.MonkeyPatch, answer: str, code: int) -> None:
    asked = []

    def confirm(question: str, **_: object) -> None:
        asked.append(question)
        if answer == "n":
            raise usage.typer.Abort

    monkeypatch.setattr(usage.sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(usage.typer, "confirm", confirm)
    assert told("conversations", "erase", "c1").code == code
    assert asked[0].startswith("Erase c1 for good (")
    assert told("conversations", "show", "c1").code == 1 - code


@pytest.mark.parametrize("command", [("show",), ("export",), ("erase", "--yes")])
def test_a_conversation_that_is_not_held_is_an_error_that_says_so(told: Troupe, command: tuple[str, ...]) -> None:
    ran = told("conversations", *command, "nobody", "--json")
    assert ran.code == 1
    assert "nothing is held about 'nobody' of the tenant 'default'" in msgspec.json.decode(ran.err)["error"]
    assert told("conversations", *command, "c1", "--tenant", "acme").code == 1
