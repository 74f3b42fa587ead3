"""What may be wrong with a store, its blobs and its clock: looked at beside its users, without changing anything."""

import fcntl
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from functions.adapters.local.mending import restore
from functions.adapters.local.retention import IDLE_DAYS
from functions.adapters.local.rows import DEADLINE, Routes, set_deadline
from functions.adapters.local.schema import APPLICATION_ID, SCHEMA, SCHEMA_VERSION
from functions.adapters.local.store import Store, utc
from functions.adapters.local.wal import lost_commits, read_only
from functions.events.envelope import Envelope, MalformedEnvelopeError, decode, digest

ROOM_BYTES = 64 * 1024**2  # what the collections want before they write
LATE_S = 10.0  # past its time, for what is at work on it
AHEAD_S = 60.0
DAY_S = 86_400
SHOWN = 5  # of the same kind: the first ones say what there is

RESTART = "stop whoever uses it and start `troupe run` again: it takes over what is left"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong.

    Attributes:
        check: What was looked at, in a word.
        found: What was found.
        means: What follows from it.
        remedy: What to do.
    """

    check: str
    found: str
    means: str
    remedy: str


class Examined(msgspec.Struct, frozen=True, kw_only=True):
    """A store as it was found.

    Attributes:
        processes: The ids of those that have it open.
        findings: What is wrong, the worst first.
        requests: How many there are, by their status.
    """

    processes: list[int]
    findings: list[Finding]
    requests: dict[str, int] = {}


def examine(home: Path, now: datetime) -> Examined:
    """Look at the store in a folder."""
    path, processes = home / "troupe.sqlite", users(home)
    findings = list(_room(home))
    damage = list(_damage(path, alone=not processes))
    requests: dict[str, int] = {}
    if not damage:
        with closing(read_only(path)) as connection:
            connection.execute("BEGIN")  # everything as it is at one moment
            requests = dict(connection.execute("SELECT status, count(*) FROM request GROUP BY status").fetchall())
            for check in (_work, _inconsistencies, _letters, _clock):
                findings += check(connection, now.timestamp(), bool(processes))
            findings += _blobs(connection, home / "blobs")
    return Examined(processes=processes, findings=damage + findings, requests=requests)


def users(home: Path) -> list[int]:
    """The ids of the processes that have the store in a folder open."""
    found = []
    for path in (home / "processes").glob("[!.]*"):
        with suppress(OSError), path.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                found.append(int(file.read() or 0))
    return sorted(found)


def repair(store: Store) -> int:
    """Give every open request that has none the row of its deadline; how many that were.

    That is all that can be mended without knowing what was there: the request then ends by its deadline at the latest.
    """
    routes = Routes(())  # rows without a holder: whoever is at work takes them

    def step(connection: sqlite3.Connection) -> int:
        without = connection.execute(_WITHOUT_DEADLINE).fetchall()
        for _, raw in without:
            set_deadline(connection, routes, decode(raw))
        return len(without)

    return store.write(step)


# ------------------------------------------------------------------------------------------------- the file


def _room(home: Path) -> Iterator[Finding]:
    free = shutil.disk_usage(home).free
    if free < ROOM_BYTES:
        yield Finding(
            check="room",
            found=f"the disk of {home} has {free / 1024**2:.0f} MB left",
            means=f"below {ROOM_BYTES // 1024**2} MB no documents are taken, and without any no messages (503)",
            remedy="free some space; what runs goes on by itself",
        )


def _damage(path: Path, *, alone: bool) -> Iterator[Finding]:
    """What keeps a store from being used at all."""

    def damaged(found: str) -> Finding:
        return Finding(
            check="store",
            found=f"{path}: {found}",
            means="it is damaged, and is not opened: what was written could be lost for good",
            remedy=restore(path),
        )

    try:
        if alone and (lost := lost_commits(path)):
            yield damaged(f"{lost} commits in its log (-wal) cannot be read")
            return
        with closing(read_only(path)) as connection:
            application, version = (
                connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
            )
            if application != APPLICATION_ID or version > SCHEMA_VERSION:
                yield Finding(
                    check="store",
                    found=f"{path} is of application {application:#x}, version {version}",
                    means=f"expected {APPLICATION_ID:#x} and at most {SCHEMA_VERSION}: it is not opened",
                    remedy="use the Troupe that made it, or name another folder in TROUPE_HOME",
                )
                return
            verdicts = [row[0] for row in connection.execute(f"PRAGMA integrity_check({SHOWN})")]
            if verdicts != ["ok"]:
                yield damaged("; ".join(verdicts))
            elif version == SCHEMA_VERSION and (strange := _strange_tables(connection)):
                yield damaged(f"the tables {', '.join(strange)} are not those of store version {version}")
    except sqlite3.OperationalError as error:
        yield Finding(
            check="store",
            found=f"{path} could not be read: {error}",
            means="nothing can be said of it",
            remedy="see that it and its folder may be read and written",
        )
    except sqlite3.DatabaseError as error:
        yield damaged(str(error))


def _strange_tables(connection: sqlite3.Connection) -> list[str]:
    with closing(sqlite3.connect(":memory:")) as fresh:
        fresh.executescript(SCHEMA)
        expected = _columns(fresh)
    found = _columns(connection)
    return sorted(name for name in expected if found.get(name) != expected[name])


def _columns(connection: sqlite3.Connection) -> dict[str, list[tuple[Any, ...]]]:
    tables = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
    return {name: connection.execute(f"PRAGMA table_info({name})").fetchall() for (name,) in tables}


# -------------------------------------------------------------------------------------------------- the work


def _work(connection: sqlite3.Connection, now: float, at_work: bool) -> Iterator[Finding]:  # noqa: FBT001 - as all checks
    open_requests = connection.execute("SELECT count(*) FROM request WHERE status != 'settled'").fetchone()[0]
    if open_requests and not at_work:
        yield Finding(
            check="open",
            found=f"{open_requests} requests are open, and no process has the store open",
            means="nobody works on them",
            remedy="start `troupe run`",
        )
    overdue = _requests(connection, _OVERDUE, {"late": now - LATE_S})
    if overdue and at_work:
        yield Finding(
            check="overdue",
            found=f"requests are past their deadline and not settled: {overdue}",
            means="whoever asked still waits",
            remedy=RESTART,
        )


def _inconsistencies(connection: sqlite3.Connection, _now: float, at_work: bool) -> Iterator[Finding]:  # noqa: FBT001
    if found := _requests(connection, _WITHOUT_DEADLINE):
        yield Finding(
            check="deadline",
            found=f"open requests have no deadline in the queue: {found}",
            means="if they come to nothing, nobody ends them",
            remedy="`troupe doctor --repair` adds them",
        )
    if found := _requests(connection, _STUCK):
        yield Finding(
            check="stuck",
            found=f"requests are running, and no event of theirs is in the queue: {found}",
            means="they end with an error at their deadline",
            remedy="ask again, under a new Idempotency-Key",
        )
    if at_work and (found := _requests(connection, _NOT_STARTED)):
        yield Finding(
            check="waiting",
            found=f"requests wait, and nothing before them in their conversation is open: {found}",
            means="they are started when a process looks at the store anew",
            remedy=RESTART,
        )
    if found := _requests(connection, _LEASED_FOR_NOTHING):
        yield Finding(
            check="leases",
            found=f"deliveries hold a lease, and nothing of their request is in the queue: {found}",
            means="nobody will end them; they hold nothing back",
            remedy="nothing: they are removed 30 days after their request was settled",
        )
    if found := _listed(_unreadable(connection)):
        yield Finding(
            check="envelopes",
            found=f"what is no envelope: {found}",
            means="rows of the queue become dead letters; a request whose first event is lost cannot start",
            remedy="`troupe dead-letters list` shows them once a process has been at work",
        )


def _letters(connection: sqlite3.Connection, _now: float, _at_work: bool) -> Iterator[Finding]:  # noqa: FBT001
    rows = connection.execute(
        "SELECT reason, count(*) FROM dead_letter WHERE redriven IS NULL GROUP BY reason ORDER BY 2 DESC, 1"
    ).fetchall()
    if rows:
        yield Finding(
            check="dead letters",
            found=", ".join(f"{count} of reason {reason!r}" for reason, count in rows),
            means="so many events were given up, and nobody has looked after them",
            remedy="`troupe dead-letters list`, then redrive or drop them",
        )


def _clock(connection: sqlite3.Connection, now: float, _at_work: bool) -> Iterator[Finding]:  # noqa: FBT001
    newest = connection.execute(
        "SELECT max(at) FROM (SELECT max(at) AS at FROM message UNION ALL SELECT max(accepted) FROM request"
        " UNION ALL SELECT max(started) FROM process)"
    ).fetchone()[0]
    if newest is None:
        return
    if newest > now + AHEAD_S:
        yield Finding(
            check="clock",
            found=f"the clock says {utc(now):%F %T} UTC, and the store holds {utc(newest):%F %T}",
            means="it was set back: what waits is moved by as much when a process takes it over",
            remedy="see that the clock is right; a process that runs keeps its own time until it is started again",
        )
    elif newest < now - IDLE_DAYS * DAY_S:
        yield Finding(
            check="clock",
            found=f"the clock says {utc(now):%F %T} UTC, and nothing was said since {utc(newest):%F %T}",
            means="the clock may be ahead; what is older than 30 days stays until something new is said",
            remedy="see that the clock is right",
        )


def _blobs(connection: sqlite3.Connection, folder: Path) -> Iterator[Finding]:
    for what, keys in _bad_blobs(connection, folder).items():
        if keys:
            yield Finding(
                check="blobs",
                found=f"blobs that are {what} in {folder}: {_listed(iter(sorted(keys)))}",
                means="the events that refer to them fail, and become dead letters",
                remedy="put them back from a copy of the folder, or ask again",
            )


def _bad_blobs(connection: sqlite3.Connection, folder: Path) -> dict[str, set[str]]:
    bad: dict[str, set[str]] = {"missing": set(), "damaged": set()}
    for envelope in _envelopes(connection):
        key = envelope.dataref
        if not key or any(key in keys for keys in bad.values()):
            continue
        try:
            if digest(envelope.id, (folder / key).read_bytes()) != key.rpartition("-")[2]:
                bad["damaged"].add(key)
        except OSError:
            bad["missing"].add(key)
    return bad


def _envelopes(connection: sqlite3.Connection) -> Iterator[Envelope]:
    for _, raw in connection.execute(_ENVELOPES):
        with suppress(MalformedEnvelopeError):
            yield decode(raw)


def _unreadable(connection: sqlite3.Connection) -> Iterator[str]:
    for where, raw in connection.execute(_ENVELOPES):
        try:
            decode(raw)
        except (MalformedEnvelopeError, TypeError):
            yield where


def _requests(connection: sqlite3.Connection, query: str, named: dict[str, object] | None = None) -> str:
    return _listed(row[0] for row in connection.execute(query, named or {}))


def _listed(names: Iterator[str]) -> str:
    """The first few, and how many more there are; empty for none."""
    found = list(names)
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return ", ".join(found[:SHOWN]) + more


_OVERDUE = "SELECT request FROM request WHERE status != 'settled' AND deadline < :late ORDER BY sequence"
_WITHOUT_DEADLINE = f"""
SELECT request, envelope FROM request WHERE status != 'settled' AND NOT EXISTS (
    SELECT 1 FROM queue WHERE queue.agent = '{DEADLINE}' AND queue.envelope = request.envelope) ORDER BY sequence
"""  # noqa: S608
# The rows of the queue name their request only inside their envelope.
_IN_QUEUE = f"""
SELECT json_extract(CAST(envelope AS TEXT), '$.request') AS request FROM queue
WHERE agent != '{DEADLINE}' AND json_valid(CAST(envelope AS TEXT))
"""  # noqa: S608
_STUCK = f"""
SELECT request FROM request WHERE status = 'running' AND request NOT IN ({_IN_QUEUE}) ORDER BY sequence
"""  # noqa: S608
_NOT_STARTED = """
SELECT request FROM request AS first WHERE status = 'waiting' AND NOT EXISTS (
    SELECT 1 FROM request AS earlier WHERE earlier.tenant = first.tenant
    AND earlier.conversation = first.conversation AND earlier.status != 'settled' AND earlier.sequence < first.sequence)
ORDER BY sequence
"""
_LEASED_FOR_NOTHING = f"""
SELECT DISTINCT request FROM delivery WHERE finished IS NULL AND lease_until > 0 AND request NOT IN ({_IN_QUEUE})
"""  # noqa: S608
_ENVELOPES = """
SELECT 'row ' || receipt || ' of the queue', envelope FROM queue
UNION ALL SELECT 'a part of request ' || request, envelope FROM part WHERE length(envelope) > 0
UNION ALL SELECT 'request ' || request, envelope FROM request
UNION ALL SELECT 'the end of request ' || request, settlement FROM request WHERE settlement IS NOT NULL
"""
