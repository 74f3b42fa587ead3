"""`troupe doctor` names what is wrong and changes nothing; `troupe backup` makes what is put back."""

import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from command import Troupe
from local_process import running
from shelves import shelf_of
from small_encoder import SmallEncoder

from functions.adapters.encoders.minilm_artefact import FP32, W8, write_marker
from functions.adapters.local import checks
from functions.adapters.local.blobs import LocalBlobs
from functions.adapters.local.checks import examine
from functions.adapters.local.store import Store, StoreError
from functions.adapters.vectors.faiss import FaissStore
from functions.adapters.vectors.qdrant_edge import EdgeStore
from functions.collections.points import layout_of
from functions.events.answer import UserMessage
from functions.events.envelope import decode, encode
from functions.runtime.arrival import claim_checked

ROOT = Path(__file__).parents[2]

HOLD = """
import pathlib, sys
from functions.adapters.local.store import Store
store = Store(pathlib.Path(sys.argv[1]))
for number in range(5):
    store.write(lambda c: c.execute("INSERT INTO stopped (scope, reason) VALUES (?, ?)", (number, "x" * 5000)))
print("written", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The folder of a store in which one message was answered."""
    folder = tmp_path / "home"
    with running(folder) as process:
        process.submit("answer", UserMessage(text="When does the office open?"), conversation="c1", request="r1")
        process.wait("r1", timeout_s=60)
    return folder


@contextmanager
def user_of(home: Path) -> Iterator["subprocess.Popen[str]"]:
    """Another process that wrote to the store and has it open."""
    with subprocess.Popen(  # noqa: S603 - the program is above
        [sys.executable, "-c", HOLD, str(home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "written\n"
            yield process
        finally:
            process.kill()


def change(home: Path, *statements: str) -> None:
    with closing(sqlite3.connect(home / "troupe.sqlite", isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def checked(troupe: Troupe, *options: str) -> list[str]:
    """What the doctor names."""
    ran = troupe("doctor", "--json", *options)
    names = [finding["check"] for finding in ran.json()["findings"]]
    assert ran.code == int(bool(names))
    return names


def contents(home: Path) -> dict[str, str]:
    files = (path for path in home.rglob("troupe.sqlite*") if path.is_file() and not path.name.endswith("-shm"))
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files if path.stat().st_size}


def test_nothing_is_wrong_with_a_store_that_was_used(troupe: Troupe, home: Path) -> None:
    before = contents(home)
    assert checked(troupe) == []
    ran = troupe("doctor")
    assert (ran.code, ran.err) == (0, "")
    assert "in use by nobody; requests: 1 settled\nnothing is wrong\n" in ran.out
    assert contents(home) == before


def test_it_looks_beside_a_process_that_is_at_work(troupe: Troupe, home: Path) -> None:
    with user_of(home) as other:
        before = contents(home)
        ran = troupe("doctor", "--json")
        assert (ran.code, ran.json()["processes"]) == (0, [other.pid])
        assert contents(home) == before


def test_without_a_store_it_says_where_it_looked(troupe: Troupe, tmp_path: Path) -> None:
    ran = troupe("doctor", TROUPE_HOME=str(tmp_path / "nowhere"))
    assert (ran.code, ran.err.count("\n")) == (1, 1)
    assert "there is no store in" in ran.err


WAITING = "UPDATE request SET status = 'waiting', settlement = NULL"
RUNNING = "UPDATE request SET status = 'running', settlement = NULL, deadline = 9e9"
ROW = (
    "INSERT INTO queue (envelope_id, generation, agent, priority, due, envelope)"
    " SELECT 'e1', 0, '{}', 'normal', 0, envelope FROM request"
)


UNREADABLE_LETTER = (
    "INSERT INTO dead_letter"
    " (key, agent, reason, error, trace, attempt, age_s, at, tenant, conversation, request, event)"
    " VALUES ('k', 'a', 'expired', '', '', 1, 1, 1, '', '', '', x'00')"
)


@pytest.mark.parametrize(
    ("statements", "names"),
    [
        ([RUNNING], ["open", "deadline", "stuck"]),
        ([RUNNING, ROW.format("runtime")], ["open", "stuck"]),
        ([RUNNING, ROW.format("runtime"), ROW.format("planner").replace("e1", "e2")], ["open"]),
        (["UPDATE delivery SET finished = NULL, lease_until = 9e9"], ["leases"]),
        (["INSERT INTO queue (envelope_id, generation, agent, priority, due, envelope) VALUES (1, 0, 1, 1, 0, x'ff')"],
         ["envelopes"]),
        (["UPDATE request SET settlement = x'ff'"], ["envelopes"]),
        ([UNREADABLE_LETTER],
         ["dead letters"]),
        (["UPDATE message SET at = 9e9"], ["clock"]),
        (["UPDATE message SET at = 1", "UPDATE request SET accepted = 1", "DELETE FROM process"], ["clock"]),
        (["ALTER TABLE stopped ADD COLUMN more TEXT"], ["store"]),
        (["PRAGMA user_version = 99"], ["store"]),
        (["PRAGMA application_id = 7"], ["store"]),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_store_is_named(troupe: Troupe, home: Path, statements: list[str], names: list[str]) -> None:
    change(home, *statements)
    assert checked(troupe) == names


def test_what_hangs_beside_a_process_at_work_is_named(troupe: Troupe, home: Path) -> None:
    with user_of(home):
        change(home, WAITING, "UPDATE request SET deadline = 1", ROW.format("runtime"))
        assert checked(troupe) == ["overdue", "waiting"]


def test_a_finding_says_what_it_means_and_what_to_do(troupe: Troupe, home: Path) -> None:
    change(home, RUNNING)
    ran = troupe("doctor")
    assert ran.code == 1
    assert "deadline: open requests have no deadline in the queue: r1\n  means: " in ran.out
    assert "  do: `troupe doctor --repair` adds them" in ran.out


def test_a_request_gets_its_deadline_back_and_then_ends(troupe: Troupe, home: Path) -> None:
    change(home, RUNNING)
    assert checked(troupe, "--repair") == ["open", "stuck"]
    assert checked(troupe, "--repair") == ["open", "stuck"], "the second time there is nothing to add"
    change(home, "UPDATE queue SET due = 0")
    with running(home) as process:
        view = process.wait("r1", timeout_s=60)
        assert view is not None
        assert view.status == "settled"


# ---------------------------------------------------------------------------------------------------- damage


def test_a_damaged_page_is_named_though_a_start_would_not_see_it(troupe: Troupe, home: Path) -> None:
    path = home / "troupe.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        root = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'message_by_age'").fetchone()[0]
    raw = bytearray(path.read_bytes())
    at = root * 4096 - 12  # in the last entry of the index: another time than its row has
    raw[at] ^= 0x01
    path.write_bytes(raw)
    before = contents(home)
    assert checked(troupe) == ["store"]
    assert contents(home) == before


def test_a_damaged_log_is_named_and_no_start_goes_on_without_what_it_held(troupe: Troupe, home: Path) -> None:
    with user_of(home) as other:
        other.kill()
        other.wait()
    log = home / "troupe.sqlite-wal"
    raw = bytearray(log.read_bytes())
    raw[32 + 24 + 100] ^= 0xFF  # in the first frame, which every later one hangs on
    log.write_bytes(raw)
    before = contents(home)
    assert checked(troupe) == ["store"]
    with pytest.raises(StoreError, match=r"-wal is damaged: \d+ commits"):
        Store(home)
    assert contents(home) == before
    log.unlink()
    Store(home).close()


def test_a_log_without_its_head_is_named(troupe: Troupe, home: Path) -> None:
    with user_of(home) as other:
        other.kill()
        other.wait()
    log = home / "troupe.sqlite-wal"
    log.write_bytes(bytes(32) + log.read_bytes()[32:])
    assert checked(troupe) == ["store"]


def test_a_log_whose_last_commit_was_cut_off_is_none_that_is_damaged(troupe: Troupe, home: Path) -> None:
    with user_of(home) as other:
        other.kill()
        other.wait()
    log = home / "troupe.sqlite-wal"
    log.write_bytes(log.read_bytes()[:-100])
    assert checked(troupe) == []
    with closing(Store(home)) as store:
        assert len(store.read("SELECT scope FROM stopped")) == 4


def test_garbage_beside_the_log_is_no_damage(troupe: Troupe, home: Path) -> None:
    with user_of(home) as other:
        other.kill()
        other.wait()
    (home / "troupe.sqlite-shm").write_bytes(os.urandom(32768))
    (home / "processes" / "stale").write_text("1")
    (home / "lock").write_text("nonsense")
    assert checked(troupe) == []
    with closing(Store(home)) as store:
        assert len(store.read("SELECT scope FROM stopped")) == 5


@pytest.mark.parametrize("damage", ["missing", "damaged"])
def test_a_blob_that_cannot_be_read_is_named(troupe: Troupe, home: Path, damage: str) -> None:
    with closing(sqlite3.connect(home / "troupe.sqlite")) as connection:
        first = decode(connection.execute("SELECT envelope FROM request").fetchone()[0])
        large = msgspec.structs.replace(first, data=msgspec.Raw(msgspec.json.encode("x" * 60_000)))
        connection.execute(
            "UPDATE request SET envelope = ?", (encode(claim_checked(large, LocalBlobs(home / "blobs"))),)
        )
        connection.commit()
    assert checked(troupe) == []
    (blob,) = (home / "blobs").iterdir()
    blob.unlink()
    if damage == "damaged":
        blob.write_bytes(b"{}")
    ran = troupe("doctor", "--json")
    assert [finding["check"] for finding in ran.json()["findings"]] == ["blobs"]
    assert damage in ran.json()["findings"][0]["found"]


def made(home: Path) -> None:
    """A collection, made or opened, and closed again."""
    with closing(EdgeStore(home / "collections")) as vectors:
        vectors.create(layout_of("memories", 1, SmallEncoder()))


def test_a_damaged_collection_is_named(troupe: Troupe, home: Path) -> None:
    made(home)
    assert checked(troupe) == []
    (home / "collections" / "memories_v1_small.1" / "shard" / "edge_config.json").write_text("{")
    assert checked(troupe) == ["collection"]
    (home / "collections" / "memories_v1_small.1" / "collection.json").unlink()
    with user_of(home):
        assert checked(troupe) == ["collection"], "its marker is looked at beside a process too"


def test_a_version_that_is_listed_and_gone_is_named(troupe: Troupe, home: Path) -> None:
    made(home)
    with closing(Store(home)) as store, closing(shelf_of(store, SmallEncoder())) as shelf:
        key = shelf.open("memories").key
    assert checked(troupe) == []
    shutil.rmtree(home / "collections" / key)
    assert checked(troupe) == ["collection"]
    assert "version 1 of memories is listed" in troupe("doctor").out


@pytest.mark.parametrize("version", [FP32.version, W8.version])
def test_an_encoder_that_is_not_what_was_built_is_named(troupe: Troupe, home: Path, version: str) -> None:
    folder = home / "encoders" / version
    folder.mkdir(parents=True)
    for name in ("model.onnx", "model.data", "tokenizer.json", "vocabulary.txt"):
        (folder / name).write_bytes(b"weights")
    write_marker(folder, version)
    assert checked(troupe) == []
    (folder / "model.data").write_bytes(b"Weights")
    assert checked(troupe) == ["encoder"]


def test_a_disk_with_little_room_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(home)._replace(free=1024**2)
    monkeypatch.setattr(checks.shutil, "disk_usage", lambda _: usage)
    (finding,) = examine(home, datetime.now(UTC)).findings
    assert (finding.check, "has 1 MB left" in finding.found) == ("room", True)


def test_a_clock_that_was_set_back_a_little_is_no_finding(home: Path) -> None:
    assert examine(home, datetime.now(UTC) - timedelta(seconds=30)).findings == []


# ---------------------------------------------------------------------------------------------------- backup


def test_a_copy_made_beside_a_process_at_work_holds_all_that_was_written(
    troupe: Troupe, home: Path, tmp_path: Path
) -> None:
    made(home)
    copy = tmp_path / "copy"
    with user_of(home):
        ran = troupe("backup", str(copy))
        assert (ran.code, "not copied: " in ran.out) == (0, True)
        told = troupe("backup", str(tmp_path / "another"), "--json").json()
        assert (told["folder"], len(told["left"])) == (str(tmp_path / "another"), 1)
    assert checked(lambda *given: troupe(*given, TROUPE_HOME=str(copy))) == []
    with running(copy) as process:
        view = process.wait("r1", timeout_s=1)
        assert view is not None
        assert view.status == "settled"
        assert len(process._store.read("SELECT scope FROM stopped")) == 5
    assert troupe("backup", str(copy)).code == 1, "a copy is never written over"


def test_a_copy_made_while_nobody_is_at_work_is_whole(troupe: Troupe, home: Path, tmp_path: Path) -> None:
    made(home)
    copy = tmp_path / "copy"
    assert troupe("backup", str(copy)).out == f"copied to {copy}\n"
    made(copy)
    assert {path.name for path in copy.iterdir()} == {"troupe.sqlite", "blobs", "collections"}


def test_a_copy_holds_the_vectors_of_a_store_in_the_process_and_says_which_are_elsewhere(
    troupe: Troupe, home: Path, tmp_path: Path
) -> None:
    pytest.importorskip("faiss", reason="it is in the group `stores`")
    layout = layout_of("notes", 1, SmallEncoder())
    with closing(FaissStore(home / "faiss")) as store:
        store.create(layout)
    assert troupe("backup", str(tmp_path / "copy"), TROUPE_VECTOR_STORE="faiss").out.count("not copied") == 0
    with closing(FaissStore(tmp_path / "copy" / "faiss")) as copied:
        assert copied.layouts() == [layout]
    (home / "shards-qdrant.json").write_text("how the points are spread", "utf-8")
    ran = troupe(
        "backup",
        str(tmp_path / "another"),
        TROUPE_VECTOR_STORE="qdrant",
        TROUPE_VECTOR_URL="https://vectors.invalid",
    )
    assert "not copied: the vectors: they are in qdrant" in ran.out
    assert (tmp_path / "another" / "shards-qdrant.json").read_text("utf-8") == "how the points are spread"
