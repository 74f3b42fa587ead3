"""`troupe collections`: what each command does and prints, alone on a workspace and beside the process that has it."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from command import Troupe
from small_encoder import SmallEncoder

from functions.adapters.encoders.registry import Carried, CarriedEncoders
from functions.adapters.local.catalog import LocalCatalog
from functions.adapters.local.store import Store
from functions.collections import opening
from functions.collections.collection import VersionedCollection
from functions.events.common import Passage
from local import keeping as keeping_module
from local.filling import Filling
from local.keeping import Keeping, keeping
from ops import collections

PATIENCE_S = 60.0


def small_encoders(*names: str) -> CarriedEncoders:
    return CarriedEncoders(
        [
            Carried(name=name, version=f"{name}.version", dimension=256, open=partial(SmallEncoder, f"{name}.version"))
            for name in names
        ]
    )


@pytest.fixture(autouse=True)
def _carried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping_module, "registered", lambda *_: small_encoders("one", "two", "three"))


@pytest.fixture
def home(tmp_path: Path, troupe: Troupe) -> Path:
    """A workspace with a collection `notes` of 40 passages."""
    folder = tmp_path / "home"
    Store(folder).close()
    assert troupe("collections", "create", "notes", "--encoder", "one").code == 0
    with keeping(folder) as opened:
        collection(opened).upsert(
            [Passage(id=str(each), name="", source=f"{each}.md", text=f"word{each} more") for each in range(40)],
            tenant="default",
        )
    return folder


def collection(opened: Keeping) -> VersionedCollection:
    kept = opened.kept
    assert kept is not None
    return VersionedCollection(
        "notes", catalog=kept.catalog, store=kept.store, encoders=kept.encoders, blobs=kept.blobs, now=kept.now
    )


@contextmanager
def at_work(home: Path) -> Iterator[Keeping]:
    """Somebody who has the collections, as `troupe run` has."""
    with keeping(home) as opened:
        assert opened.kept is not None
        with Filling(opened.kept, home):
            yield opened


def test_alone_a_collection_goes_through_its_whole_life(troupe: Troupe, home: Path, tmp_path: Path) -> None:
    moved = troupe("collections", "migrate", "notes", "--encoder", "two", "--json").json()
    assert [(each["number"], each["phase"], each["points"]) for each in moved["versions"]] == [
        (1, "whole", 40),
        (2, "whole", 40),
    ]
    questions = tmp_path / "questions.jsonl"
    questions.write_text('{"question": "word7", "ids": ["7"]}\n', "utf-8")
    arguments = ("notes", "--questions", str(questions), "--samples", "10", "-k", "3", "--json")
    found = troupe("collections", "evaluate", *arguments).json()
    assert (found["old"], found["new"]) == (1, 2)
    assert found["evaluation"]["questions"] == 1
    assert found["evaluation"]["new"]["recall"] == 1.0
    assert found["evaluation"]["samples"] == 10

    assert troupe("collections", "switch", "notes", "--json").json()["current"] == 2
    assert troupe("collections", "rollback", "notes", "--json").json()["current"] == 1
    assert troupe("collections", "switch", "notes", "2", "--json").json()["previous"] == 1
    dropped = troupe("collections", "drop", "notes", "1", "--yes", "--json").json()
    assert [each["number"] for each in dropped["versions"]] == [2]
    assert [path.name for path in (home / "collections").iterdir()] == ["notes_v2_two.version"]
    (listed,) = troupe("collections", "list", "--json").json()
    assert (listed["name"], listed["current"], listed["versions"][0]["points"]) == ("notes", 2, 40)


def test_beside_a_process_at_work_the_catalog_changes_and_that_process_does_the_work(
    troupe: Troupe, home: Path
) -> None:
    with at_work(home) as opened:
        moved = troupe("collections", "migrate", "notes", "--encoder", "two", "--json").json()
        assert [(each["number"], each["phase"], each["points"]) for each in moved["versions"]] == [
            (1, "whole", None),
            (2, "whole", None),
        ]
        assert moved["versions"][1]["progress"]["done"] == 40
        found = troupe("collections", "evaluate", "notes", "--samples", "5", "--json").json()
        assert found["evaluation"]["samples"] == 5
        assert troupe("collections", "switch", "notes").code == 0
        said = troupe("collections", "drop", "notes", "1", "--yes").out
        assert f"process {os.getpid()} removes its points" in " ".join(said.split())
        assert opened.kept is not None
        end = time.monotonic() + PATIENCE_S
        while len(opened.kept.store.layouts()) > 1:
            assert time.monotonic() < end
            time.sleep(0.02)


def test_a_collection_that_is_made_beside_a_process_at_work_is_used_and_filled_there(
    troupe: Troupe, home: Path
) -> None:
    with at_work(home) as opened:
        said = troupe("collections", "create", "more", "--encoder", "one").out
        assert f"more is listed: process {os.getpid()} makes it" in " ".join(said.split())
        moved = troupe("collections", "migrate", "more", "--encoder", "two", "--json").json()
        assert [each["phase"] for each in moved["versions"]] == ["whole", "whole"]
        assert opened.kept is not None
        assert {"more_v1_one.version", "more_v2_two.version"} <= {each.name for each in opened.kept.store.layouts()}


def test_a_creation_that_was_cut_off_is_made_up_for_by_the_next_command(
    troupe: Troupe, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert home.exists()
    with monkeypatch.context() as patched:
        patched.setattr(opening, "made", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        troupe("collections", "create", "more", "--encoder", "one")
    moved = troupe("collections", "migrate", "more", "--encoder", "two", "--json").json()
    assert [(each["phase"], each["points"]) for each in moved["versions"]] == [("whole", 0), ("whole", 0)]


def interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(collections.time, "sleep", interrupt)


def test_ctrl_c_does_not_stop_a_filling_in_another_process_and_says_so(
    troupe: Troupe, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with keeping(home):  # at work, and slow
        with monkeypatch.context() as patched:
            interrupted(patched)
            ran = troupe("collections", "migrate", "notes", "--encoder", "two", "--rate", "1/s")
        assert ran.code == 130
        assert f"still being filled, by process {os.getpid()}" in ran.err
        told = troupe("collections", "status", "notes", "--json").json()
    assert told["versions"][1]["phase"] == "filling"
    assert told["versions"][1]["progress"]["rate"] == 1.0


def test_ctrl_c_stops_a_filling_of_the_command_and_the_next_one_goes_on(
    troupe: Troupe, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        interrupted(patched)
        ran = troupe("collections", "migrate", "notes", "--encoder", "two", "--rate", "1/h")
    assert (ran.code, "goes on from here" in ran.err) == (130, True)
    assert not (home / "collections" / "notes_v3_two.version").exists()
    assert "version 2 of notes is not whole yet" in troupe("collections", "switch", "notes").err
    assert troupe("collections", "migrate", "notes", "--rate", "1000/s", "--json").json()["versions"][1]["points"] == 40


REFUSED = [
    (["migrate", "notes", "--encoder", "four"], r"one (one.version), two (two.version), three (three.version)"),
    (["migrate", "notes", "--encoder", "one"], "switch notes 1"),
    (["migrate", "notes"], "say --encoder"),
    (["migrate", "papers", "--encoder", "two"], "there is no collection 'papers': there are notes"),
    (["create", "notes", "--encoder", "two"], "migrate notes"),
    (["create", "No Name", "--encoder", "two"], "is no collection's name"),
    (["create", "papers", "--encoder", "one", "--ttl", "soon"], "--ttl is 'soon'"),
    (["create", "papers", "--encoder", "one", "--ttl", "0s"], "--ttl is 0"),
    (["switch", "notes"], "newest version, 1"),
    (["switch", "notes", "7"], "notes has no version 7: it has 1"),
    (["rollback", "notes"], "nothing to go back to"),
    (["drop", "notes", "1"], "notes stands for version 1, which is not dropped"),
    (["drop", "notes", "7", "--yes"], "notes has no version 7"),
    (["evaluate", "notes"], "name another one"),
    (["evaluate", "notes", "--samples", "0"], "nothing to compare by"),
    (["evaluate", "notes", "--questions", "not-there.jsonl"], "cannot be read"),
    (["status", "papers"], "there is no collection 'papers': there are notes"),
]


@pytest.mark.parametrize(("arguments", "expected"), REFUSED, ids=lambda value: " ".join(value)[:40])
def test_what_is_refused_says_what_to_do_and_changes_nothing(
    troupe: Troupe, home: Path, arguments: list[str], expected: str
) -> None:
    before = troupe("collections", "status", "notes", "--json").json()
    ran = troupe("collections", *arguments)
    assert ran.code in {1, 2}
    assert expected in ran.err
    assert ran.err.count("\n") == 1
    assert troupe("collections", "status", "notes", "--json").json() == before
    assert home.exists()


def test_a_switch_names_the_process_that_does_not_carry_the_encoder(troupe: Troupe, home: Path) -> None:
    troupe("collections", "migrate", "notes", "--encoder", "two", "--json")
    store = Store(home)
    try:
        LocalCatalog(store, "qdrant_edge").carry(["one.version"])
        ran = troupe("collections", "switch", "notes")
        assert ran.code == 1
        assert f"process {os.getpid()} does not carry two.version" in ran.err
        assert "does not carry three.version" in troupe("collections", "migrate", "notes", "--encoder", "three").err
    finally:
        store.close()
    assert troupe("collections", "switch", "notes").code == 0


def test_a_person_sees_versions_progress_and_figures(troupe: Troupe, home: Path) -> None:
    assert home.exists()
    assert "version 2 of notes is whole." in troupe("collections", "migrate", "notes", "--encoder", "two").out.lower()
    out = troupe("collections", "status", "notes").out
    assert "two.version" in out
    assert "whole, current" in out
    assert "stored texts asked of both" in " ".join(troupe("collections", "evaluate", "notes").out.split())
    assert "notes" in troupe("collections", "list").out


def test_dropping_asks_first(troupe: Troupe, home: Path) -> None:
    troupe("collections", "migrate", "notes", "--encoder", "two", "--json")
    ran = troupe("collections", "drop", "notes", "2")
    assert (ran.code, "Say --yes" in ran.err) == (2, True)
    assert (home / "collections" / "notes_v2_two.version").exists()
