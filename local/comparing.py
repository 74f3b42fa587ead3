"""Compare two versions of a collection: here, or in the process that has the collections, asked through a folder."""

import logging
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec

from functions.collections.collection import VersionedCollection
from functions.collections.entries import entry_of, version_of
from functions.collections.evaluation import Asked, Evaluation, Question, evaluate, sampled
from functions.collections.expiring import expired
from functions.collections.pinned import PinnedCatalog
from functions.collections.points import passage_of
from functions.errors import TroupeError
from functions.events.decoding import decoder
from functions.ports.blobs import KeptBlobs
from functions.ports.catalog import Catalog, Entry
from functions.ports.encoders import Encoders
from functions.ports.personal import Tokenizer
from functions.ports.vector_stores import Equals, Filter, VectorStore
from local.shelf import Shelf

FOLDER = "evaluations"
_ASKED, _TOLD = ".asked", ".told"

log = logging.getLogger("troupe.collections")


@dataclass(frozen=True)
class Kept:
    """What the collections of a workspace are kept in; the tokenizer takes personal data out of questions."""

    catalog: Catalog
    store: VectorStore
    encoders: Encoders
    blobs: KeptBlobs
    now: Callable[[], datetime]
    tokenizer: Tokenizer | None = None


def kept_on(shelf: Shelf, now: Callable[[], datetime]) -> Kept:
    """What the collections of this machine are kept in."""
    return Kept(
        catalog=shelf.catalog,
        store=shelf.vectors,
        encoders=shelf.encoders,
        blobs=shelf.texts,
        now=now,
        tokenizer=shelf.personal,
    )


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A comparison that somebody wants.

    Attributes:
        collection: Its name.
        number: Of the version that is compared with the current one.
        questions: With known answers.
        samples: How many stored texts are asked of both besides.
        seed: Chooses them.
        k: How many passages of each answer count.
        tenant: Whose passages.
    """

    collection: str
    number: int
    questions: tuple[Question, ...] = ()
    samples: int = 0
    seed: int = 0
    k: int = 10
    tenant: str


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it: an evaluation, or why there is none."""

    evaluation: Evaluation | None = None
    error: str = ""


def compared(wanted: Wanted, kept: Kept) -> Evaluation:
    """Ask the current version and the other one the same; nothing is written.

    Raises:
        TroupeError: There is no such collection or version, or one of the encoders is not carried here.
    """
    entry = entry_of(kept.catalog, wanted.collection)
    current = version_of(entry, entry.current)
    where = Filter(must=(Equals("tenant", wanted.tenant),), must_not=(expired(kept.now().timestamp()),))
    stored = sampled(kept.store, current.layout, where, wanted.samples, wanted.seed) if wanted.samples else ()
    passages = [passage_of(fields) for fields in stored]
    return evaluate(
        _held(entry, entry.current, kept),
        _held(entry, wanted.number, kept),
        questions=wanted.questions,
        samples=[Asked(text=passage.text, itself=passage.id) for passage in passages],
        k=wanted.k,
        tenant=wanted.tenant,
    )


def ask(home: Path, wanted: Wanted) -> Path:
    """Want a comparison of whoever has the collections of a workspace; what `told` asks for."""
    folder = home / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    asked = folder / f"{uuid.uuid4().hex}{_ASKED}"
    _write(asked, wanted)
    return asked


def told(asked: Path) -> Evaluation | None:
    """The comparison, once; None while it is not there yet.

    Raises:
        TroupeError: What it ended in.
    """
    answer_file = asked.with_suffix(_TOLD)
    if not answer_file.exists():
        return None
    found = decoder(Told).decode(answer_file.read_bytes())
    forget(asked)
    if found.error:
        raise TroupeError(found.error)
    return found.evaluation


def forget(asked: Path) -> None:
    """Nobody waits for it any more."""
    for path in (asked, asked.with_suffix(_TOLD)):
        path.unlink(missing_ok=True)


def wanted_of(home: Path) -> Sequence[Path]:
    """The comparisons that somebody waits for."""
    return sorted((home / FOLDER).glob(f"[!.]*{_ASKED}"))


def answer(home: Path, kept: Kept) -> None:
    """Make the comparisons that are wanted. Whoever asked removes the answer."""
    for asked in wanted_of(home):
        answered = _answered(asked, kept)
        try:
            if asked.exists():  # else nobody waits any more
                _write(asked.with_suffix(_TOLD), answered)
        finally:
            asked.unlink(missing_ok=True)  # else those after it would never be made


def _answered(asked: Path, kept: Kept) -> Told:
    try:
        return Told(evaluation=compared(decoder(Wanted).decode(asked.read_bytes()), kept))
    except (TroupeError, msgspec.MsgspecError, OSError) as error:
        return Told(error=str(error))
    except Exception as error:
        log.exception("two versions could not be compared")
        return Told(error=f"the versions could not be compared: {error!r}, and more in the log of the process at work")


def _held(entry: Entry, number: int, kept: Kept) -> VersionedCollection:
    version_of(entry, number)
    return VersionedCollection(
        entry.name,
        catalog=PinnedCatalog(kept.catalog, entry.name, number),
        store=kept.store,
        encoders=kept.encoders,
        blobs=kept.blobs,
        now=kept.now,
        tokenizer=kept.tokenizer,
    )


def _write(path: Path, content: Wanted | Told) -> None:
    draft = path.with_name(f".{path.name}")
    try:
        draft.write_bytes(msgspec.json.encode(content))
        draft.rename(path)
    finally:
        draft.unlink(missing_ok=True)
