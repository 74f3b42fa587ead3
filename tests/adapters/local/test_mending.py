"""What a store that cannot be used is said to need; a mistake in the program is not blamed on the disk."""

import resource
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from functions.adapters.local.blobs import BlobError, LocalBlobs
from functions.adapters.local.store import Store, StoreError


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path)
    yield opened
    opened.close()


def test_a_mistake_in_a_statement_is_not_told_to_free_space(store: Store) -> None:
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        store.write(lambda connection: connection.execute("DELETE FROM nowhere"))
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        store.read("SELECT * FROM nowhere")


def test_a_store_that_may_not_be_written_is_not_told_to_free_space(store: Store) -> None:
    store._writer.execute("PRAGMA query_only = ON")
    with pytest.raises(StoreError, match=r"readonly.*see that it may be written; nothing of this was kept"):
        store.write(lambda connection: connection.execute("DELETE FROM stopped"))


def test_a_page_that_is_damaged_while_a_store_is_read_is_said(tmp_path: Path) -> None:
    first = Store(tmp_path)
    first.write(lambda connection: connection.execute("INSERT INTO stopped (scope, reason) VALUES ('a', 'b')"))
    (root,) = first.read("SELECT rootpage FROM sqlite_schema WHERE name = 'stopped'")[0]
    first.close()
    store = Store(tmp_path)
    path = tmp_path / "troupe.sqlite"
    raw = bytearray(path.read_bytes())
    raw[(root - 1) * 4096 : root * 4096] = b"\xff" * 4096
    path.write_bytes(raw)
    with pytest.raises(StoreError, match=r"could not be read .*malformed.*it is damaged: stop whoever uses it"):
        store.read("SELECT * FROM stopped")
    store.close()


def test_a_blob_that_does_not_fit_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    blobs = LocalBlobs(tmp_path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(BlobError, match=r"could not be written .*free space there"):
            blobs.put("key", b"x" * 2000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []
