"""`troupe doctor` and `troupe backup`: what is wrong with a folder, what to do about it, and a copy of it.

The doctor changes nothing. Collections are opened only where nobody else has them: opening is all that shows whether
their files can be read.
"""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from functions.adapters.encoders.minilm_artefact import PRECISIONS, verify_folder
from functions.adapters.local.checks import Examined, Finding, examine, repair, users
from functions.adapters.local.members import LockedError, locked
from functions.adapters.local.store import Store
from functions.adapters.local.wal import read_only
from functions.adapters.vectors.edge_folders import check_collection, read_marker
from functions.adapters.vectors.settings import DEFAULT, KEPT, vector_settings
from functions.errors import TroupeError
from functions.events.decoding import decoder
from functions.ports.catalog import Entry
from functions.ports.encoders import EncoderError
from functions.ports.vector_stores import VectorStoreError
from local.shelf import TEXTS

STORE = "troupe.sqlite"


class Examination(msgspec.Struct, frozen=True, kw_only=True):
    """What the doctor says.

    Attributes:
        home: The folder.
        processes: The ids of those that have its store open.
        requests: How many there are, by their status.
        repaired: How many open requests got their deadline back.
    """

    home: str
    processes: list[int]
    requests: dict[str, int]
    findings: list[Finding]
    repaired: int = 0


def examined(home: Path) -> Examination:
    """Look at everything in a folder with a store."""
    store: Examined = examine(home, datetime.now(UTC))
    findings = [*store.findings, *_encoders(home / "encoders"), *_collections(home)]
    return Examination(home=str(home), processes=store.processes, requests=store.requests, findings=findings)


def repaired(home: Path) -> int:
    """Mend what can be mended without a loss; how much that was.

    Raises:
        StoreError: The store cannot be opened.
    """
    with closing(Store(home)) as store:
        return repair(store)


def report(found: Examination) -> str:
    """For a person."""
    counts = ", ".join(f"{count} {status}" for status, count in sorted(found.requests.items()))
    users_ = ", ".join(map(str, found.processes))
    lines = [
        f"{found.home}: {f'in use by process {users_}' if users_ else 'in use by nobody'}; requests: {counts or 'none'}"
    ]
    for finding in found.findings:
        lines += ["", f"{finding.check}: {finding.found}", f"  means: {finding.means}", f"  do: {finding.remedy}"]
    return "\n".join([*lines, *([] if found.findings else ["nothing is wrong"])])


def backup(home: Path, folder: Path) -> list[str]:
    """Copy a folder, also beside whoever uses it; what could not be copied, and why.

    Raises:
        TroupeError: Something is there already, or the environment names a vector store that cannot be used.
    """
    if folder.exists():
        raise TroupeError(f"{folder} is there already: name a folder that is not")
    vectors = vector_settings(os.environ)
    folder.mkdir(parents=True)
    with closing(read_only(home / STORE)) as source, closing(sqlite3.connect(folder / STORE)) as target:
        source.backup(target)
    _copy(home / "blobs", folder / "blobs")  # after the store: a blob is there before what refers to it
    kept = [each for each in (*KEPT.values(), TEXTS) if (home / each).exists()]
    for placing in home.glob("shards-*.json"):
        _copy(placing, folder / placing.name)
    with _collections_unused(home) as unused:
        for each in kept if unused else ():
            _copy(home / each, folder / each)
    left = [] if unused else [f"{home / each}: in use; stop `troupe run` to copy it too" for each in kept]
    if vectors.is_service:
        left.append(f"the vectors: they are in {vectors.product}, which makes copies of its own")
    return left


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns(".*"))
    elif source.exists():
        shutil.copy2(source, target)


def _encoders(parent: Path) -> Iterator[Finding]:
    for precision in PRECISIONS:
        if (parent / precision.version).exists():  # each is built when it is first used
            yield from _encoder(parent / precision.version, precision.version)


def _encoder(folder: Path, version: str) -> Iterator[Finding]:
    try:
        verify_folder(folder, version)
    except EncoderError as error:
        yield Finding(
            check="encoder",
            found=str(error),
            means="questions would be compared with vectors that are none",
            remedy=f"remove {folder}: the next start builds it anew",
        )


def _collections(home: Path) -> Iterator[Finding]:
    yield from _gone(home)
    with _collections_unused(home) as unused:
        for folder in sorted((home / KEPT["qdrant_edge"]).glob("[!.]*")):
            try:
                (check_collection if unused else read_marker)(folder)
            except VectorStoreError as error:
                yield Finding(
                    check="collection",
                    found=str(error),
                    means="nothing is found in it, and `troupe run` does not start",
                    remedy=f"put {folder} back from a copy, or move it away: documents are read again, not memories",
                )


def _gone(home: Path) -> Iterator[Finding]:
    """What the catalog lists in the store of this process, and is not there."""
    with closing(read_only(home / STORE)) as store:
        if store.execute("SELECT 1 FROM sqlite_master WHERE name = 'collection'").fetchone() is None:
            return  # an earlier release made it, and knew no catalog
        rows = store.execute("SELECT entry FROM collection WHERE place = ?", (DEFAULT,)).fetchall()
    for entry in (decoder(Entry).decode(row[0]) for row in rows):
        for version in entry.versions:
            folder = home / KEPT[DEFAULT] / version.layout.name
            if version.phase == "whole" and not folder.exists():
                is_current = version.number == entry.current
                yield Finding(
                    check="collection",
                    found=f"version {version.number} of {entry.name} is listed, and {folder} is not there",
                    means="nothing is found in it" if is_current else "nothing can be written to the collection",
                    remedy="bring it back from a copy, or "
                    + (
                        "start `troupe run`, which says what else can be done"
                        if is_current
                        else f"`troupe collections drop {entry.name} {version.number}`"
                    ),
                )


@contextmanager
def _collections_unused(home: Path) -> Iterator[bool]:
    """Whether nobody has the collections open, which holds as long as this does."""
    if users(home):
        yield False
        return
    try:
        with locked(home / "workspace.lock"):
            yield True
    except LockedError:
        yield False
