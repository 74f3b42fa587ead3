"""The one SQLite file: shared commits, a full disk, a damaged file, and who shares it."""

import os
import re
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from functions.adapters.local import store as store_module
from functions.adapters.local.members import locked
from functions.adapters.local.schema import APPLICATION_ID, MIGRATIONS, SCHEMA_VERSION
from functions.adapters.local.store import Store, StoreError, _Ticket


class StrangeError(Exception):
    """What an operation of one worker raises."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path)
    yield opened
    opened.close()


def put(scope: str, reason: str = "") -> Callable[[sqlite3.Connection], str]:
    def operation(connection: sqlite3.Connection) -> str:
        connection.execute("INSERT INTO stopped (scope, reason) VALUES (?, ?)", (scope, reason))
        return scope

    return operation


def scopes(store: Store) -> list[str]:
    return [scope for (scope,) in store.read("SELECT scope FROM stopped ORDER BY scope")]


# --------------------------------------------------------------------------------------------- group commit


class Blocked:
    """Writers that queue up behind an operation that waits, so that they must share one commit."""

    def __init__(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        self.store = store
        self.commits: list[int] = []
        self.results: dict[int, object] = {}
        original = Store._commit

        def counted(store: Store, batch: list[object]) -> None:
            self.commits.append(len(batch))
            original(store, batch)

        monkeypatch.setattr(Store, "_commit", counted)

    def write_together(self, *operations: Callable[[sqlite3.Connection], object]) -> None:
        begun, released = threading.Event(), threading.Event()

        def wait(connection: sqlite3.Connection) -> None:
            del connection
            begun.set()
            assert released.wait(60)

        first = threading.Thread(target=self.store.write, args=(wait,))
        first.start()
        assert begun.wait(60)
        threads = [threading.Thread(target=self._write, args=each) for each in enumerate(operations)]
        for thread in threads:
            thread.start()
        while len(self.store._queued) < len(operations):
            threading.Event().wait(0.001)  # until every one is in the queue, behind the first
        released.set()
        for thread in (first, *threads):
            thread.join()

    def _write(self, number: int, operation: Callable[[sqlite3.Connection], object]) -> None:
        try:
            self.results[number] = self.store.write(operation)
        except Exception as error:  # noqa: BLE001 - the test looks at it
            self.results[number] = error


def test_writers_that_come_together_share_one_commit(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = Blocked(store, monkeypatch)
    blocked.write_together(*(put(f"{number:02}") for number in range(20)))
    assert blocked.commits == [1, 20]
    assert blocked.results == {number: f"{number:02}" for number in range(20)}
    assert len(scopes(store)) == 20


def test_an_operation_that_fails_undoes_only_itself(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(connection: sqlite3.Connection) -> None:
        put("half done")(connection)
        raise StrangeError("no")

    blocked = Blocked(store, monkeypatch)
    blocked.write_together(put("a"), fail, put("b"), put("c"))
    assert blocked.commits == [1, 4]
    assert scopes(store) == ["a", "b", "c"]
    assert isinstance(blocked.results[1], StrangeError)
    assert [blocked.results[number] for number in (0, 2, 3)] == ["a", "b", "c"]


def test_an_operation_that_breaks_a_constraint_undoes_only_itself(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write(put("a"))
    blocked = Blocked(store, monkeypatch)
    blocked.write_together(put("b"), put("a"), put("c"))
    assert scopes(store) == ["a", "b", "c"]
    assert isinstance(blocked.results[1], sqlite3.IntegrityError)


def test_every_result_comes_back_to_the_thread_that_asked(store: Store) -> None:
    results: dict[int, list[str]] = {}

    def work(number: int) -> None:
        results[number] = [store.write(put(f"{number}-{each}")) for each in range(20)]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {number: [f"{number}-{each}" for each in range(20)] for number in range(8)}
    assert len(scopes(store)) == 160


def test_what_is_read_was_committed(store: Store) -> None:
    seen = []

    def operation(connection: sqlite3.Connection) -> None:
        put("a")(connection)
        seen.append(scopes(store))

    store.write(operation)
    assert seen == [[]]
    assert scopes(store) == ["a"]


# ------------------------------------------------------------------------------------------------ full disk


def fill(store: Store, pages: int) -> None:
    used = store._writer.execute("PRAGMA page_count").fetchone()[0]
    store._writer.execute(f"PRAGMA max_page_count = {used + pages}")


def test_a_full_disk_is_said_and_loses_nothing_that_was_committed(store: Store) -> None:
    store.write(put("before"))
    fill(store, pages=3)
    with pytest.raises(StoreError, match=r"database or disk is full.*free space"):
        store.write(put("large", "x" * 200_000))
    assert scopes(store) == ["before"]
    store.write(put("after"))
    assert scopes(store) == ["after", "before"]


def test_on_a_full_disk_every_writer_of_the_commit_is_told(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(store, pages=3)
    blocked = Blocked(store, monkeypatch)
    blocked.write_together(put("a"), put("large", "x" * 200_000), put("b"))
    told = {number: str(result) for number, result in blocked.results.items() if isinstance(result, Exception)}
    assert 1 in told
    assert all("database or disk is full" in each for each in told.values())
    kept = [result for result in blocked.results.values() if not isinstance(result, Exception)]
    assert scopes(store) == sorted(map(str, kept)), "whoever was told of no error is on disk"


class BrokenConnection:
    """Can neither commit nor roll back."""

    in_transaction = True

    def execute(self, statement: str, *_: object) -> None:
        if statement in ("COMMIT", "ROLLBACK"):
            raise sqlite3.OperationalError("disk I/O error")


def test_nobody_believes_in_a_commit_that_could_not_even_be_rolled_back(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_writer", BrokenConnection())
    tickets = [_Ticket(lambda _connection: None, None), _Ticket(lambda _connection: None, None)]
    with pytest.raises(sqlite3.OperationalError):
        store._commit(tickets)
    assert [str(ticket.error) for ticket in tickets] == ["disk I/O error"] * 2
    monkeypatch.undo()


# ---------------------------------------------------------------------------- writes that nobody waits for


def test_whoever_does_not_wait_is_told_once_it_is_on_disk(store: Store) -> None:
    told = []
    store.submit(put("a"), lambda result, error: told.append((result, error, scopes(store))))
    assert told == [("a", None, ["a"])]


def test_whoever_does_not_wait_is_told_of_a_full_disk(store: Store) -> None:
    fill(store, pages=3)
    told = []
    store.submit(put("large", "x" * 200_000), lambda result, error: told.append((result, error)))
    ((result, error),) = told
    assert result is None
    assert isinstance(error, StoreError)
    assert scopes(store) == []


def test_what_nobody_waits_for_is_written_beside_what_others_write_and_before_the_store_closes(tmp_path: Path) -> None:
    store, told = Store(tmp_path), list[str]()

    def work(number: int) -> None:
        for each in range(20):
            name = f"{number}-{each}"
            if each % 2:
                store.write(put(name))
            else:
                store.submit(put(name), lambda result, _error: told.append(str(result)))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store.close()
    again = Store(tmp_path)
    assert sorted(told) == sorted(f"{number}-{each}" for number in range(8) for each in range(0, 20, 2))
    assert len(scopes(again)) == 160
    again.close()


# ------------------------------------------------------------------------------------------ earlier versions


def made_by(version: int, folder: Path) -> sqlite3.Connection:
    """A store as that version made it."""
    connection = sqlite3.connect(folder / "troupe.sqlite", isolation_level=None)
    connection.executescript((Path(__file__).parent / f"store_version_{version}.sql").read_text("utf-8"))
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {version}")
    return connection


def structure(store: Store) -> dict[str, object]:
    """Every table and index of a store: its columns, and what it is made of."""
    tables = [name for (name,) in store.read("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")]
    return {
        name: (
            store.read(f"PRAGMA table_xinfo({name})"),
            [
                (*index[2:], *store.read(f"PRAGMA index_xinfo({index[1]})"))
                for index in store.read(f"PRAGMA index_list({name})")
            ],
        )
        for name in tables
    }


@pytest.mark.parametrize("version", range(1, SCHEMA_VERSION))
def test_a_store_of_an_earlier_version_becomes_what_a_new_one_is(tmp_path: Path, store: Store, version: int) -> None:
    (tmp_path / "old").mkdir()
    made_by(version, tmp_path / "old").close()
    brought = Store(tmp_path / "old")
    assert structure(brought) == structure(store)
    assert brought.read("PRAGMA user_version") == [(SCHEMA_VERSION,)]
    brought.close()


def test_a_store_of_version_1_keeps_what_it_holds(tmp_path: Path) -> None:
    old = made_by(1, tmp_path)
    row = ("k", "a", "t", "r", "E.v1", 1.0, 2, 0.0, 3.0, 4.0, "no")
    old.execute("INSERT INTO delivery VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
    old.execute("INSERT INTO stopped VALUES ('conversation#t#c', 'why')")
    for key in ("k#1", "gone#1"):
        old.execute(
            "INSERT INTO message (tenant, conversation, key, role, text, at) VALUES ('t', 'c', ?, 'user', 'x', 1)",
            (key,),
        )
    old.close()
    store = Store(tmp_path)
    kept = (
        "SELECT key, agent, tenant, request, event, emitted, attempts, lease_until, started, finished, error, changed"
    )
    assert store.read(kept + " FROM delivery") == [(*row, 0)]
    assert scopes(store) == ["conversation#t#c"]
    assert store.read("SELECT key, request FROM message ORDER BY sequence") == [("k#1", "r"), ("gone#1", "")]
    store.close()


def test_a_store_of_version_2_knows_the_plan_of_what_it_holds(tmp_path: Path) -> None:
    old = made_by(2, tmp_path)
    row = (
        "INSERT INTO queue (envelope_id, generation, agent, priority, due, envelope) VALUES (?, 0, 'a', 'normal', 0, ?)"
    )
    old.execute(row, ("e1", b'{"planversion": "p1"}'))
    old.execute(row, ("e2", b"\xff"))
    old.close()
    store = Store(tmp_path)
    assert store.read("SELECT envelope_id, planversion FROM queue ORDER BY receipt") == [("e1", "p1"), ("e2", "")]
    store.close()


# ------------------------------------------------------------------------------------------ what is no store


def test_what_was_written_is_there_after_a_restart(tmp_path: Path) -> None:
    first = Store(tmp_path)
    first.write(put("a"))
    first.close()
    second = Store(tmp_path)
    assert scopes(second) == ["a"]
    second.close()


def test_a_closed_store_takes_no_writes(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.close()
    with pytest.raises(sqlite3.ProgrammingError):
        store.write(put("a"))


def refused(folder: Path, said: str) -> None:
    """Opening it is refused, twice: the first refusal holds no lock, and changes nothing."""
    before = (folder / "troupe.sqlite").read_bytes()
    for _ in range(2):
        with pytest.raises(StoreError, match=re.escape(said)):
            Store(folder)
    assert (folder / "troupe.sqlite").read_bytes() == before


def test_a_store_of_a_newer_troupe_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store._writer.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    store.close()
    refused(tmp_path, f"was written by a newer Troupe (store version {SCHEMA_VERSION + 1}, this one reads")


@pytest.mark.parametrize(
    "statement", ["CREATE TABLE notes (text)", "PRAGMA application_id = 7", "PRAGMA user_version = 1"]
)
def test_a_database_of_another_program_is_refused(tmp_path: Path, statement: str) -> None:
    other = sqlite3.connect(tmp_path / "troupe.sqlite")
    other.execute(statement)
    other.commit()
    other.close()
    refused(tmp_path, "is a database of another program: choose another folder")


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "troupe.sqlite").write_bytes(b"a diary, not a database\n" * 500)
    refused(tmp_path, "is damaged or no database")


@pytest.mark.parametrize("keep", [0.3, 0.6, 0.9])
def test_a_truncated_store_is_refused(tmp_path: Path, keep: float) -> None:
    store = Store(tmp_path)
    store.write(put("a", "x" * 50_000))
    store.close()
    path = tmp_path / "troupe.sqlite"
    raw = path.read_bytes()
    path.write_bytes(raw[: int(len(raw) * keep)])
    refused(tmp_path, "is damaged")


def test_a_store_with_a_damaged_page_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write(put("a", "x" * 50_000))
    store.close()
    path = tmp_path / "troupe.sqlite"
    raw = bytearray(path.read_bytes())
    raw[4096 * 2 : 4096 * 3] = b"\xff" * 4096
    path.write_bytes(raw)
    refused(tmp_path, "is damaged")


OPEN = """
import pathlib, sys
from functions.adapters.local.store import Store, StoreError
try:
    store = Store(pathlib.Path(sys.argv[1]))
except StoreError as error:
    print(error)
else:
    print("opened", flush=True)
    sys.stdin.read()
    if sys.argv[2] == "closes":
        store.close()
"""


@pytest.fixture
def other(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """Another process that has the store open."""
    program = [sys.executable, "-c", OPEN, str(tmp_path), "closes"]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        assert process.stdout is not None
        assert process.stdout.readline() == "opened\n"
        yield process
        process.kill()


def test_a_second_process_shares_the_store_and_is_known_while_it_lives(
    tmp_path: Path, other: "subprocess.Popen[str]"
) -> None:
    store = Store(tmp_path)
    store.write(put("a"))
    assert sorted(store.member.living().values()) == sorted([os.getpid(), other.pid])
    other.kill()
    other.wait()
    assert list(store.member.living().values()) == [os.getpid()]
    store.close()


def test_a_process_that_closes_its_store_is_alive_to_nobody(tmp_path: Path) -> None:
    first, second = Store(tmp_path), Store(tmp_path)
    first.close()
    assert list(second.member.living()) == [second.member.id]
    second.close()


def test_a_store_is_not_brought_up_to_date_under_a_process_that_is_at_work_on_it(
    tmp_path: Path, other: "subprocess.Popen[str]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "SCHEMA_VERSION", SCHEMA_VERSION + 1)
    monkeypatch.setitem(MIGRATIONS, SCHEMA_VERSION, "CREATE TABLE more (x);")
    refused(tmp_path, f"process {other.pid} is at work on it: stop that one")
    other.kill()
    other.wait()
    store = Store(tmp_path)
    assert store.read("SELECT * FROM more") == []
    store.close()


def test_a_process_of_an_older_troupe_that_holds_the_whole_store_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Store(tmp_path).close()
    monkeypatch.setattr(store_module, "OPENING_S", 0.0)
    with locked(tmp_path / "lock"):
        refused(tmp_path, f"in use by process {os.getpid()}: stop that one")


def test_what_another_process_wrote_is_noticed_once(tmp_path: Path) -> None:
    store, elsewhere = Store(tmp_path), Store(tmp_path)
    store.write(put("a"))
    assert not store.changed_elsewhere()
    elsewhere.write(put("b"))
    assert store.changed_elsewhere()
    assert not store.changed_elsewhere()
    store.close()
    elsewhere.close()
