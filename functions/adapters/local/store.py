"""The one SQLite file of the local target: WAL, every commit on disk, group commit.

A worker that comes to write while another commits joins the next commit: one of those who came runs everybody's
operations in one transaction, so that many workers share one wait for the disk. Whose operation is on disk goes on
at once, beside the next commit.
"""

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from functions.adapters.local.clock import SteadyClock, first_clock, joined_clock, machine_clock
from functions.adapters.local.members import OPENING_S, LockedError, Member, locked
from functions.adapters.local.mending import mended_by, restore
from functions.adapters.local.schema import APPLICATION_ID, MIGRATIONS, SCHEMA, SCHEMA_VERSION
from functions.adapters.local.wal import lost_commits, read_only
from functions.errors import TroupeError

CLOCK = ".clock"  # the file that says how the processes of a store tell the time
CHECKPOINT_PAGES = 4000  # 16 MB of log: rows live for milliseconds, and most never need to reach the file itself

READERS_MS = 500  # that whoever reads the old file is waited for

T = TypeVar("T")
Operation = Callable[[sqlite3.Connection], T]


class StoreError(TroupeError):
    """The store cannot be used as it is; nothing in it was changed."""


def utc(seconds: float) -> datetime:
    """A stored time, in seconds since 1970, as everybody else knows it."""
    return datetime.fromtimestamp(seconds, UTC)


class Size(NamedTuple):
    """What the store holds, and what is free on its disk, in bytes. The room of what was removed is used again."""

    held: int
    free: int


class _Ticket(Generic[T]):
    """One worker's operation on its way through a commit.

    `turn` is held until the operation is done, or its worker is to commit; a worker that does not wait left `then`.
    """

    __slots__ = ("done", "error", "operation", "result", "then", "turn")

    def __init__(self, operation: Operation[T], then: Callable[[T | None, BaseException | None], None] | None) -> None:
        self.operation = operation
        self.then = then
        self.done = False
        if then is None:
            self.turn = threading.Lock()
            self.turn.acquire()
        self.result: T | None = None
        self.error: BaseException | None = None


class Store:
    """The file and its connections; safe to use from any thread, and beside other processes.

    Args:
        folder: Made where it is missing.
        wall: The machine's clock, in UTC.

    Attributes:
        member: This process among those that use the store.
        clock: The time of all of them.

    Raises:
        StoreError: A newer Troupe wrote it, it is damaged, it is something else, or an older Troupe is at work on it.
    """

    def __init__(self, folder: Path, wall: Callable[[], datetime] = machine_clock) -> None:
        self.folder = folder
        self.path = folder / "troupe.sqlite"
        folder.mkdir(parents=True, exist_ok=True)
        self._reading = threading.local()
        self._readers: list[sqlite3.Connection] = []
        self._queued: list[_Ticket[Any]] = []
        self._queueing = threading.Lock()
        self._led = False  # whether somebody commits, or was told to
        self._commits_left = threading.Semaphore(0)
        self._committer: threading.Thread | None = None  # commits what nobody waits for
        self._committing = threading.Lock()  # for whoever does, and for `close`
        self.member, self.clock, self._writer = _join(folder, self.path, wall)
        self._version_seen = self._version()

    def write(self, operation: Operation[T]) -> T:
        """Run an operation in a transaction, and return its result once that is on disk.

        An operation that raises is undone alone; the others of the same commit stand. To that end all of them may
        be undone and run again, so an operation changes nothing but the store.

        Raises:
            StoreError: The commit failed, e.g. because the disk is full; nothing of it was kept.
        """
        ticket = _Ticket(operation, None)
        if self._is_led(ticket):
            ticket.turn.acquire()
        if not ticket.done:
            self._lead(ticket)
        if ticket.error is not None:
            raise self._told(ticket.error) from ticket.error.__cause__
        return ticket.result  # type: ignore[return-value]  # set, since there was no error

    def start_committer(self) -> None:
        """From now on a thread of the store commits what is submitted, so that its senders can go on meanwhile."""
        with self._queueing:
            if self._committer is None:
                self._committer = threading.Thread(target=self._commit_left, name="commits", daemon=True)
                self._committer.start()

    def submit(self, operation: Operation[T], then: Callable[[T | None, BaseException | None], None]) -> None:
        """The same without waiting for it: `then` is told the result once that is on disk, or the error.

        `then` is called from the thread that committed: it must neither block, nor write here, nor raise. Where no
        thread of the store commits, that is the thread that submits.
        """
        if self._committer is None:
            self.submit_at_once(operation, then)
        elif not self._is_led(_Ticket(operation, then)):
            self._commits_left.release()

    def submit_at_once(self, operation: Operation[T], then: Callable[[T | None, BaseException | None], None]) -> None:
        """The same for whoever has nothing else to do: it commits itself, unless somebody does."""
        if not self._is_led(_Ticket(operation, then)):
            self._lead(None)

    def _is_led(self, ticket: _Ticket[Any]) -> bool:
        """Queue an operation; whether somebody commits who will see to it. Else it is for whoever asks."""
        with self._queueing:
            self._queued.append(ticket)
            led, self._led = self._led, True
        return led

    def _told(self, error: BaseException) -> BaseException:
        """An error as whoever wrote is told of it; one that is not the file's stays as it is."""
        if not (mending := mended_by(error)):
            return error
        told = StoreError(f"{self.path} could not be written ({error}): {mending}; nothing of this was kept")
        told.__cause__ = error
        return told

    def read(self, query: str, parameters: Sequence[object] | Mapping[str, object] = ()) -> list[tuple[Any, ...]]:
        """The rows of a query, as they were when it started.

        Raises:
            StoreError: The file cannot be read, e.g. because it is damaged.
        """
        connection: sqlite3.Connection | None = getattr(self._reading, "connection", None)
        if connection is None:
            connection = self._reading.connection = _connect(self.path)
            with self._queueing:
                self._readers.append(connection)
        try:
            return connection.execute(query, parameters).fetchall()
        except sqlite3.Error as error:
            if not (mending := mended_by(error)):
                raise
            raise StoreError(f"{self.path} could not be read ({error}): {mending}") from error

    def size(self) -> Size:
        """How large it is, and how much more fits on its disk; reads no more than the first page."""
        held = self.read(
            "SELECT (page_count - freelist_count) * page_size"
            " FROM pragma_page_count, pragma_freelist_count, pragma_page_size"
        )[0][0]
        disk = os.statvfs(self.folder)
        return Size(held=held, free=disk.f_bavail * disk.f_frsize)

    @contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """A connection on which everything is read as it was at one moment."""
        with closing(_connect(self.path)) as connection:
            connection.execute("BEGIN")
            yield connection

    def rewrite(self) -> bool:
        """Write the file anew, without a byte of what was deleted; False where somebody was reading the old one.

        Writers wait meanwhile. Overwriting what is deleted (`PRAGMA secure_delete`) would not do: where SQLite moves a
        row to another page, its bytes stay behind on the first one.
        """
        with self._committing:
            self._writer.execute("VACUUM")
        with closing(_connect(self.path)) as connection:
            connection.execute(f"PRAGMA busy_timeout = {READERS_MS}")
            return not connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]

    def changed_elsewhere(self) -> bool:
        """Whether another process wrote since this was asked the last time."""
        with self._committing:
            version = self._version()
        seen, self._version_seen = self._version_seen, version
        return version != seen

    def _version(self) -> int:
        return int(self._writer.execute("PRAGMA data_version").fetchone()[0])

    def flush(self) -> None:
        """Wait until everything that was submitted before is on disk, or its sender knows that it is not."""
        with suppress(StoreError, sqlite3.Error):
            self.write(lambda _connection: None)

    def close(self) -> None:
        """Close every connection and leave the store to the others; what was written is on disk."""
        self.flush()
        committer, self._committer = self._committer, None
        if committer is not None:
            self._commits_left.release()
            committer.join()
        with self._committing, self._queueing:
            for connection in (*self._readers, self._writer):
                connection.close()
            self._readers.clear()
            self.member.leave()

    def _lead(self, own: _Ticket[Any] | None) -> None:
        """Commit what is queued, then let somebody lead who came meanwhile, and the others go on."""
        with self._committing:
            with self._queueing:
                batch, self._queued = self._queued, []
            try:
                self._commit(batch)
            finally:
                self._appoint()
                for ticket in batch:
                    if ticket.then is not None:
                        ticket.then(ticket.result, ticket.error and self._told(ticket.error))
                    elif ticket is not own:
                        ticket.turn.release()

    def _appoint(self) -> None:
        with self._queueing:
            self._led = bool(self._queued)
            if not self._led:
                return
            waiting = next((ticket for ticket in self._queued if ticket.then is None), None)
        if waiting is not None:
            waiting.turn.release()
        else:
            self.start_committer()
            self._commits_left.release()

    def _commit_left(self) -> None:
        while True:
            self._commits_left.acquire()
            if self._committer is None:
                return
            self._lead(None)

    def _commit(self, batch: Sequence[_Ticket[Any]]) -> None:
        connection = self._writer
        try:
            connection.execute("BEGIN IMMEDIATE")
            if not _run_all(connection, batch):
                connection.execute("ROLLBACK")
                connection.execute("BEGIN IMMEDIATE")
                for ticket in batch:
                    _run(connection, ticket)
            connection.execute("COMMIT")
        except BaseException as error:
            for ticket in batch:  # first of all: a rollback may fail too, and nobody may believe in this commit
                ticket.error = error
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            if not isinstance(error, sqlite3.Error):
                raise
        finally:
            for ticket in batch:
                ticket.done = True


def _run_all(connection: sqlite3.Connection, batch: Sequence[_Ticket[Any]]) -> bool:
    """Whether no operation raised: nearly always, and then none needs a savepoint of its own."""
    try:
        for ticket in batch:
            ticket.result = ticket.operation(connection)
    except Exception:
        if not connection.in_transaction:  # SQLite undid it all itself, e.g. since the disk is full
            raise
        return False
    return True


def _run(connection: sqlite3.Connection, ticket: _Ticket[Any]) -> None:
    connection.execute("SAVEPOINT operation")
    try:
        ticket.result = ticket.operation(connection)
    except Exception as error:  # raised again in the thread it belongs to
        if not connection.in_transaction:  # SQLite undid it all itself, e.g. since the disk is full
            raise
        ticket.error = error
        connection.execute("ROLLBACK TO operation")
    connection.execute("RELEASE operation")


def _join(folder: Path, path: Path, wall: Callable[[], datetime]) -> tuple[Member, SteadyClock, sqlite3.Connection]:
    """One process after the other, so that each finds the schema as a whole; of other versions, one at a time."""
    try:
        with locked(folder / "lock", patience_s=OPENING_S):
            member = Member(folder)
            try:
                take_clock = first_clock if len(member.living()) == 1 else joined_clock
                return member, take_clock(folder / "processes" / CLOCK, wall), _open(path, member)
            except BaseException:
                member.leave()
                raise
    except LockedError as error:  # an older Troupe holds it as long as it runs
        raise StoreError(
            f"the store {folder} is in use by process {error}: stop that one, or choose another folder for this one"
        ) from error


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256)
    connection.execute("PRAGMA busy_timeout = 10000")
    return connection


def _open(path: Path, member: Member) -> sqlite3.Connection:
    _refuse(path, member)
    try:
        connection = _connect(path)
    except sqlite3.Error as error:
        raise StoreError(f"{path} could not be opened ({error}): check that its folder may be written") from error
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        _bring_up_to_date(connection, path, member)
    except sqlite3.OperationalError as error:  # the disk is full, the file is locked or read-only: it is not damaged
        connection.close()
        raise StoreError(
            f"{path} could not be opened ({error}): mend that and try again; nothing was changed"
        ) from error
    except sqlite3.DatabaseError as error:
        connection.close()
        raise StoreError(f"{path} is damaged or no database ({error}); nothing was changed: {restore(path)}") from error
    except BaseException:
        connection.close()
        raise
    return connection


def _refuse(path: Path, member: Member) -> None:
    """Look at what is there before anything is changed: whoever closes a database last writes its log into it."""
    if not path.exists() or not path.stat().st_size:
        return
    try:
        if len(member.living()) == 1 and (lost := lost_commits(path)):
            raise StoreError(
                f"{path}-wal is damaged: {lost} commits behind the damage cannot be read; nothing was changed: "
                f"{restore(path)}, or move {path}-wal away to go on without everything that only it holds"
            )
        with closing(read_only(path)) as connection:
            _refuse_others(connection, path)
    except sqlite3.OperationalError as error:  # it is locked, or may not be read: it is not damaged
        raise StoreError(
            f"{path} could not be opened ({error}): mend that and try again; nothing was changed"
        ) from error
    except sqlite3.DatabaseError as error:
        raise StoreError(f"{path} is damaged or no database ({error}); nothing was changed: {restore(path)}") from error


def _bring_up_to_date(connection: sqlite3.Connection, path: Path, member: Member) -> None:
    """The schema of this version: made in an empty file, or of what an earlier version left, whole or not at all."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version == SCHEMA_VERSION:
        return
    others = [pid for each, pid in member.living().items() if each != member.id]
    if version and others:
        raise StoreError(
            f"{path} is of store version {version}, and process {others[0]} is at work on it: stop that one, and this "
            f"Troupe brings the store to version {SCHEMA_VERSION}"
        )
    steps = "".join(MIGRATIONS[step] for step in range(version, SCHEMA_VERSION)) if version else SCHEMA
    connection.executescript(
        f"BEGIN; {steps} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
    )


def _refuse_others(connection: sqlite3.Connection, path: Path) -> None:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if application != APPLICATION_ID and (application or version or tables):
        raise StoreError(f"{path} is a database of another program: choose another folder for the store")
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"{path} was written by a newer Troupe (store version {version}, this one reads {SCHEMA_VERSION}): "
            "use that version, or choose another folder for the store"
        )
    verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if verdict != "ok":
        raise StoreError(f"{path} is damaged ({verdict}); nothing was changed: {restore(path)}")
