"""What every command that looks into a store shares: where there is none, where its clock was set, what it refuses."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from command import Troupe

from functions.adapters.local.store import Store

READS = [
    ["stops"],
    ["stop", "--all"],
    ["resume", "--all"],
    ["dead-letters", "list"],
    ["dead-letters", "show", "k"],
    ["dead-letters", "redrive", "k"],
    ["dead-letters", "drop", "k"],
    ["effects", "list"],
    ["effects", "settle", "k", "--done"],
    ["conversations", "list"],
    ["conversations", "show", "c1"],
    ["conversations", "export", "c1"],
    ["conversations", "erase", "c1", "--yes"],
    ["collections", "list"],
    ["collections", "status", "python"],
    ["collections", "create", "notes"],
    ["collections", "migrate", "python"],
    ["collections", "evaluate", "python"],
    ["collections", "switch", "python"],
    ["collections", "rollback", "python"],
    ["collections", "drop", "python", "1", "--yes"],
    ["doctor"],
    ["backup", "copy"],
]
TEXTS = [
    ["stop", "--workflow", "\udcff"],
    ["stop", "--conversation", "\udcff"],
    ["stop", "--conversation", "c1", "--tenant", "\udcff"],
    ["dead-letters", "list", "--agent", "\udcff"],
    ["dead-letters", "list", "--reason", "\udcff"],
    ["dead-letters", "list", "--conversation", "\udcff"],
    ["dead-letters", "list", "--tenant", "\udcff"],
    ["dead-letters", "show", "\udcff"],
    ["dead-letters", "redrive", "k", "\udcff"],
    ["effects", "list", "--conversation", "\udcff"],
    ["effects", "list", "--tenant", "\udcff"],
    ["effects", "settle", "\udcff", "--done"],
    ["conversations", "show", "\udcff"],
    ["conversations", "list", "--tenant", "\udcff"],
    ["collections", "status", "\udcff"],
    ["collections", "create", "\udcff"],
    ["collections", "migrate", "python", "--encoder", "\udcff"],
    ["collections", "evaluate", "python", "--tenant", "\udcff"],
]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Where the commands look."""
    return tmp_path / "home"


@pytest.mark.parametrize("arguments", READS, ids=" ".join)
def test_without_a_store_nothing_is_made_and_the_folder_is_named(
    troupe: Troupe, home: Path, arguments: list[str]
) -> None:
    ran = troupe(*arguments, "--json")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith(f'{{"error":"there is no store in {home}: ')
    assert not home.exists()


@pytest.mark.parametrize("arguments", READS[:-2], ids=" ".join)
def test_a_damaged_store_is_named_and_left_as_it_is(troupe: Troupe, home: Path, arguments: list[str]) -> None:
    home.mkdir()
    (home / "troupe.sqlite").write_bytes(b"no database" * 1000)
    ran = troupe(*arguments)
    assert ran.code == 1
    assert "troupe.sqlite" in ran.err
    assert (home / "troupe.sqlite").read_bytes() == b"no database" * 1000


@pytest.mark.parametrize("arguments", TEXTS, ids=lambda arguments: " ".join(arguments).replace("\udcff", "?"))
def test_bytes_that_are_no_text_are_wrong_usage(troupe: Troupe, home: Path, arguments: list[str]) -> None:
    Store(home).close()
    ran = troupe(*arguments)
    assert (ran.code, ran.err.count("\n")) == (2, 1)


def test_a_command_tells_the_time_of_the_processes_beside_it(troupe: Troupe, home: Path) -> None:
    ahead = timedelta(days=2)
    with closing(Store(home, wall=lambda: datetime.now(UTC) + ahead)):
        at = datetime.fromisoformat(troupe("stop", "--all", "--json").json()["at"])
    assert at > datetime.now(UTC) + ahead / 2


def test_an_age_is_counted_by_the_time_of_the_processes(troupe: Troupe, home: Path) -> None:
    ahead = timedelta(days=2)
    with closing(Store(home, wall=lambda: datetime.now(UTC) + ahead)) as store:
        with closing(sqlite3.connect(home / "troupe.sqlite", isolation_level=None)) as connection:
            connection.execute(
                "INSERT INTO dead_letter (key, agent, reason, error, trace, attempt, age_s, at, tenant, conversation,"
                " request, event) VALUES ('k', 'a', 'r', '', '', 1, 0, ?, '', '', '', x'3f')",
                (store.clock().timestamp(),),
            )
        assert troupe("dead-letters", "list", "--older-than", "1d", "--json").json() == []
        (letter,) = troupe("dead-letters", "list", "--newer-than", "1d", "--json").json()
    assert letter["key"] == "k"
