"""What a user of the command sees: answers, JSON, exit codes, and one clear line for everything that is wrong."""

import os
import sqlite3
from datetime import datetime
from pathlib import Path

import pytest
from command import Troupe
from model_server import KEY, NAME, ModelServer, decided, refusal, text

from functions.adapters.local.members import locked
from functions.adapters.local.schema import SCHEMA_VERSION
from functions.adapters.local.store import Store
from functions.collections.collection import VersionedCollection
from functions.errors import PermanentError
from functions.workflows.catalog import WORKFLOWS
from ops import cli

OPENS = "When does the office open?"


def test_a_question_is_answered_with_its_sources(troupe: Troupe) -> None:
    ran = troupe("ask", OPENS)
    assert ran.code == 0
    assert "The office [/] opens at nine on [red]Mondays[/red]. [1]" in ran.out
    assert "[1] The [bold] office  (office [1].md)" in ran.out
    for agent in ("orchestrator", "planner", "retriever", "validator", "summarizer", "response_builder"):
        assert agent in ran.out
    assert "extractive, without a language model" in ran.out


def test_reading_is_reported_once_and_unreadable_files_each_time(troupe: Troupe, docs: Path) -> None:
    (docs / "broken.pdf").write_bytes(b"no PDF at all")
    first, second = troupe("ask", OPENS), troupe("ask", OPENS)
    assert f"Read {docs}: 1 new or changed" in first.out.replace("\n", " ").replace("  ", " ")
    assert "new or changed" not in second.out
    for ran in (first, second):
        assert "broken.pdf: is not a PDF" in ran.out
        assert "Not read, for their format: 1 file." in ran.out


def test_an_answer_as_json_has_everything(troupe: Troupe) -> None:
    answer = troupe("ask", OPENS, "--json").json()
    assert answer["conversation"] == "cli"
    assert answer["text"].startswith("The [bold] office: The office [/] opens at nine")
    assert [set(each) for each in answer["citations"]] == [{"number", "passage", "name", "source", "reference"}]
    assert {each["citation"] for each in answer["sentences"]} == {1}
    assert (answer["degraded"], answer["making"]["method"], answer["making"]["rounds"]) == (False, "extractive", 1)
    assert datetime.fromisoformat(answer["accepted"]) <= datetime.fromisoformat(answer["settled"])
    assert {"agent", "event", "started", "finished", "attempts", "error"} <= set(answer["deliveries"][0])


def test_json_alone_goes_to_standard_output(troupe: Troupe) -> None:
    for command in (["ask", OPENS], ["search", "office"], ["ingest"]):
        ran = troupe(*command, "--json")
        assert ran.json() is not None
        assert ran.err == ""


def test_conversations_go_on_and_stay_apart(troupe: Troupe) -> None:
    troupe("ask", "Remember that my favourite colour is teal.", "--conversation", "a")
    told = troupe("ask", "What is my favourite colour?", "--conversation", "b", "--json").json()
    assert "my favourite colour is teal." in told["text"]
    troupe("ask", OPENS, "--conversation", "a")
    assert troupe("ask", "And on Mondays?", "--conversation", "a", "--json").json()["making"]["queries"] == [
        f"And on Mondays? {OPENS}"
    ]


def test_what_is_remembered_is_confirmed(troupe: Troupe) -> None:
    ran = troupe("ask", "Remember that my favourite colour is teal.")
    assert "Remembered: my favourite colour is teal." in ran.out
    assert "nothing was asked, one thing was done" in ran.out


def test_a_question_may_come_from_the_environment(troupe: Troupe) -> None:
    assert "opens at nine" in troupe("ask", Q=OPENS).out


def test_nothing_found_is_an_answer(troupe: Troupe) -> None:
    ran = troupe("ask", "Who won the cup in Paris?")
    assert ran.code == 0
    assert "I found nothing in the documents that answers this." in ran.out


def test_a_search_lists_name_score_source_and_text(troupe: Troupe) -> None:
    (found,) = troupe("search", "office", "--json").json()
    assert list(found) == ["name", "score", "source", "text"]
    assert (found["name"], found["source"]) == ("The [bold] office", "office [1].md")
    assert 0 < found["score"] <= 1
    shown = troupe("search", "office")
    assert "The [bold] office" in shown.out
    assert "[red]Mondays[/red]" in shown.out


def test_a_search_shows_no_more_than_the_limit(troupe: Troupe, docs: Path) -> None:
    for number in range(4):
        (docs / f"{number}.md").write_text(f"# Office {number}\n\nAn office.\n", "utf-8")
    assert len(troupe("search", "office", "--limit", "2", "--json").json()) == 2


def test_ingest_reads_once(troupe: Troupe, docs: Path) -> None:
    first = troupe("ingest", "--json").json()
    assert (first["corpus"], first["added"], first["ignored"], first["skipped"]) == (
        str(docs),
        ["office [1].md"],
        1,
        [],
    )
    second = troupe("ingest", "--json").json()
    assert (second["added"], second["unchanged"], second["written"]) == ([], 1, 0)
    assert f"Nothing changed in {docs}: 1 document." in troupe("ingest", COLUMNS="300").out


def test_an_empty_folder_is_no_error(troupe: Troupe, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    ran = troupe("ask", OPENS, DOCS=str(tmp_path / "empty"))
    assert ran.code == 0
    assert "I found nothing" in ran.out
    assert troupe("search", "office", "--json", DOCS=str(tmp_path / "empty")).json() == []


def test_the_topology_names_every_agent_and_event(troupe: Troupe) -> None:
    shown, data = troupe("topology").out, troupe("topology", "--json").json()
    drawn = troupe("topology", "--mermaid").out
    assert data["workflow"] == "answer"
    assert {each["name"] for each in data["agents"]} == {each.__name__ for each in WORKFLOWS["answer"].agents}
    for each in data["agents"]:
        assert each["name"] in shown
        for event in (*each["consumes"], *each["emits"], *each["fans_out"]):
            assert event in drawn or event == data["answer"]
            assert event in shown
    assert drawn.startswith("flowchart TD")
    assert "planner ==>|PlanCreated| retriever" in drawn


# ------------------------------------------------------------------------------------------ what goes wrong


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["ask", ""], "the text is empty"),
        (["ask", " \n\t "], "the text is empty"),
        (["search", "  "], "the text is empty"),
        (["ask", "x" * 20_001], "20,001 characters, and 20,000 are read"),
        (["ask", "half of a pair: \ud800"], "not valid UTF-8"),
        (["ask", os.fsdecode(b"latin \xe9")], "not valid UTF-8"),
        (["search", os.fsdecode(b"\xff")], "not valid UTF-8"),
        (["ask", OPENS, "--conversation", "c" * 129], "the conversation's name has 129 characters, and 128 are read"),
        (["ask", OPENS, "--conversation", " "], "the conversation's name is empty"),
        (["ask", OPENS, "--conversation", os.fsdecode(b"\xff")], "the conversation's name is not valid UTF-8"),
        (["ask", OPENS, "--workflow", "nope"], "there is no workflow 'nope': use one of answer"),
        (["topology", "--workflow", "[bold]"], "there is no workflow '[bold]': use one of answer"),
        (["explain", "nope"], "answer has no agent 'nope': use one of action, caller, citation"),
        (["explain", os.fsdecode(b"\xff")], "answer has no agent"),
    ],
    ids=lambda given: given[:30] if isinstance(given, str) else ascii(" ".join(given))[:30],
)
def test_wrong_usage_is_one_line_and_exit_code_2(troupe: Troupe, arguments: list[str], says: str) -> None:
    ran = troupe(*arguments)
    assert ran.code == 2
    assert ran.err.startswith("error: ")
    assert says in ran.err
    assert ran.err.count("\n") == 1
    assert ran.out == ""
    as_json = troupe(*arguments, "--json")
    assert as_json.code == 2
    assert as_json.out == ""
    assert says in as_json.err.replace("\\\\", "\\")
    assert as_json.err.startswith('{"error":')


@pytest.mark.parametrize(
    "arguments",
    [
        ["search", "office", "--limit", "0"],
        ["search", "office", "--limit", "101"],
        ["search"],
        ["nope"],
        ["ask", "--nope"],
    ],
)
def test_what_the_options_do_not_allow_is_exit_code_2(troupe: Troupe, arguments: list[str]) -> None:
    ran = troupe(*arguments)
    assert ran.code == 2
    assert ran.err


def test_what_is_to_be_mended_is_one_line_and_exit_code_1(troupe: Troupe, docs: Path, tmp_path: Path) -> None:
    wrong = {
        str(tmp_path / "missing"): "no such file or directory",
        str(docs / "office [1].md"): "is a file; DOCS names a folder",
        os.fsdecode(os.fsencode(tmp_path) + b"/\xff"): "no such file or directory",
        "a\x00b": "cannot be opened",
    }
    for folder, says in wrong.items():
        for command in (["ask", OPENS], ["search", "office"], ["ingest"]):
            ran = troupe(*command, "--docs", folder)
            assert (ran.code, ran.out) == (1, "")
            assert says in ran.err
            assert ran.err.startswith("error: ")
            assert ran.err.count("\n") == 1


@pytest.mark.parametrize(
    "question", ["Is [SEP] [CLS] [PAD] the office?", "[bold]office[/] open [/]? :smile:", "office\x1b[31m"]
)
def test_no_characters_of_a_question_are_taken_for_markup(troupe: Troupe, question: str) -> None:
    ran = troupe("ask", question)
    assert ran.code == 0
    assert question.split("\x1b", maxsplit=1)[0] in ran.out


def test_the_longest_question_is_answered(troupe: Troupe) -> None:
    assert troupe("ask", "office " * 2_857).code == 0


def test_a_store_in_use_is_refused_with_who_uses_it(troupe: Troupe, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir(exist_ok=True)
    with locked(tmp_path / "home" / "workspace.lock"):
        ran = troupe("ask", OPENS)
    assert ran.code == 1
    assert f"in use by process {os.getpid()}" in ran.err
    assert ran.err.count("\n") == 1


def test_a_newer_store_is_refused(troupe: Troupe, tmp_path: Path) -> None:
    Store(tmp_path / "home").close()
    with sqlite3.connect(tmp_path / "home" / "troupe.sqlite") as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.close()
    ran = troupe("ask", OPENS)
    assert ran.code == 1
    assert "newer" in ran.err
    assert ran.err.count("\n") == 1


def test_a_damaged_store_is_refused(troupe: Troupe, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "troupe.sqlite").write_bytes(b"no database at all" * 1_000)
    ran = troupe("ask", OPENS)
    assert ran.code == 1
    assert ran.err.startswith("error: ")
    assert ran.err.count("\n") == 1


def test_a_home_that_is_a_file_is_refused(troupe: Troupe, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", "utf-8")
    ran = troupe("ask", OPENS, TROUPE_HOME=str(tmp_path / "file"))
    assert ran.code == 1
    assert "TROUPE_HOME" in ran.err


def test_a_request_that_ends_in_an_error_is_exit_code_3(troupe: Troupe, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermanentError("the [bold] disk is gone")

    troupe("ingest")
    monkeypatch.setattr(VersionedCollection, "read", refuse)
    ran = troupe("ask", OPENS)
    assert ran.code == 3
    assert "No answer: validator gave up: the [bold] disk is gone" in ran.err.replace("\n", " ")
    as_json = troupe("ask", OPENS, "--json")
    assert as_json.code == 3
    assert as_json.json() == {"error": "the [bold] disk is gone", "agent": "validator"}


def test_an_answer_without_a_search_says_so_and_is_still_an_answer(
    troupe: Troupe, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermanentError("the index is gone")

    monkeypatch.setattr(VersionedCollection, "search", refuse)
    ran = troupe("ask", OPENS)
    assert ran.code == 0
    assert "I could not search the documents." in ran.out
    assert "1 of 1 searches failed (the index is gone)" in ran.out.replace("\n ", "")


def test_an_interrupt_is_exit_code_130_and_the_next_run_goes_on(
    troupe: Troupe, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(VersionedCollection, "upsert", interrupt)
        ran = troupe("ask", OPENS)
    assert ran.code == 130
    assert troupe("ask", OPENS).code == 0


# ------------------------------------------------------------------------------------------------ terminals


def test_a_narrow_terminal_loses_nothing(troupe: Troupe) -> None:
    for command in (["topology"], ["explain", "orchestrator"], ["ask", OPENS], ["search", "office"]):
        ran = troupe(*command, COLUMNS="40")
        assert ran.code == 0
        assert max(map(len, ran.out.splitlines())) <= 40
        assert "…" not in ran.out


def test_what_is_piped_has_no_control_characters_and_no_spaces_at_line_ends(troupe: Troupe) -> None:
    ran = troupe("ask", OPENS)
    assert "\x1b" not in ran.out
    answer = ran.out.partition("Agents")[0]
    assert [line for line in answer.splitlines() if line != line.rstrip() and not line.strip()] == []


def test_the_help_lists_commands_and_exit_codes(troupe: Troupe) -> None:
    ran = troupe("--help")
    for word in ("ask", "ingest", "search", "topology", "explain", "Exit codes", "130"):
        assert word in ran.out
    assert troupe().code in (0, 2)


def test_exit_codes_are_told_apart() -> None:
    codes = (cli.EXIT_TO_MEND, cli.EXIT_USAGE, cli.EXIT_NO_ANSWER, cli.EXIT_INTERRUPTED)
    assert codes == (1, 2, 3, 130)
    assert all(f"{code} " in (cli.__doc__ or "") for code in codes)


def test_an_answer_that_a_model_wrote_says_so_and_what_it_cost(troupe: Troupe) -> None:
    with ModelServer().serving() as server:
        server.replies = [decided({"queries": ["office"]}), text("The office opens at nine on Mondays [1].")]
        shown = troupe("ask", OPENS, **server.environment)
        server.replies = [decided({"queries": ["office"]}), text("The office opens at nine on Mondays [1].")]
        answer = troupe("ask", OPENS, "--json", **server.environment).json()
    folded = " ".join(shown.out.split())
    assert f"written by {NAME} from the sources" in folded
    assert "tokens 240, dollars 0.000280" in folded
    assert (answer["making"]["method"], answer["making"]["model"], answer["degraded"]) == ("model", NAME, False)
    assert KEY not in shown.out + shown.err + str(answer)


def test_an_answer_whose_model_failed_says_why_and_is_an_answer(troupe: Troupe) -> None:
    with ModelServer().serving() as server:
        server.replies = [refusal()]
        ran = troupe("ask", OPENS, **server.environment)
    assert ran.code == 0
    folded = " ".join(ran.out.split())
    assert "opens at nine" in folded
    assert "could not be used to write the answer (refused)" in folded
    assert f"extractive, though {NAME} had a part in it" in folded


def test_settings_of_a_model_that_cannot_be_used_are_one_message(troupe: Troupe) -> None:
    ran = troupe("ask", OPENS, TROUPE_MODEL_URL="nowhere", TROUPE_MODEL="tiny", TROUPE_MODEL_KEY="sk secret")
    assert ran.code == 1
    for name in ("TROUPE_MODEL_URL", "TROUPE_MODEL_PRICE", "TROUPE_MODEL_KEY"):
        assert name in ran.err
    assert len(ran.err.splitlines()) == 1
    assert "sk secret" not in ran.err
