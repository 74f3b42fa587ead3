"""The `Collection` port on Qdrant Edge: Qdrant's engine inside this process, one folder a collection.

Edge is safe to use from several threads, and locks its folder, so that a second process is refused instead of
damaging it. Its own errors are all plain `Exception`. It is imported when a collection is opened.

What is deleted stays in its files: in the log, in the payloads, in the map of ids. So whatever has to be gone for good
is left out of a copy of the whole shard, which then takes the shard's place (`erase`).
"""

import os
import re
import shutil
import tempfile
import threading
import uuid
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from functions.collections.ranking import (
    Candidate,
    question_to_encode,
    ranked,
    related_words,
    text_to_encode,
    words_of_passage,
    words_of_question,
)
from functions.errors import TroupeError
from functions.events.common import Passage, Work
from functions.events.decoding import decoder
from functions.ports.encoders import Encoder

if TYPE_CHECKING:
    import qdrant_edge

#: Of the stored points: raise it when points written before can no longer be searched as they are.
FORMAT: Final = 1

# Edge maps its files into memory: a write that finds the disk full ends the whole process, so that room is looked
# for before. What one write takes is far less.
_ROOM_BYTES: Final = 64 * 1024**2

_MARKER_FILE: Final = "collection.json"
_SHARD_FOLDER: Final = "shard"
_DENSE: Final = "dense"
_TERMS: Final = "terms"
_POINT_IDS: Final = uuid.UUID("6f1f2a3e-6f0b-5f5e-9a57-0d2c1c2f7f11")
# Passages encoded and stored at a time: enough to sort by length, little enough to hold in memory.
_PASSAGES_PER_WRITE: Final = 1024
# What the search by meaning and the search by words each bring to be compared.
_CANDIDATES: Final = 100
# BM25: how much longer passages are discounted, and the words of a usual one.
_LENGTH_WEIGHT: Final = 0.5
_USUAL_LENGTH: Final = 50.0
_IDS_PER_PAGE: Final = 1_000
_PASSAGE_FIELDS: Final = ("id", "name", "source", "text")
# Points written before passages had one are read without.
_WORK: Final = "work"
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


class CollectionError(TroupeError):
    """A collection cannot be used."""


class Marker(msgspec.Struct, frozen=True, kw_only=True):
    """What a collection's folder was made for; the last file that is written when one is made.

    Attributes:
        shard: The folder with the points; any other one beside it is the rest of an erasure.
    """

    format: int
    encoder: str
    dimension: int
    shard: str = _SHARD_FOLDER


@dataclass(frozen=True)
class _Search:
    """One of the two searches for a question, within its tenant."""

    query: "qdrant_edge.Query"
    tenant: "qdrant_edge.Filter"
    params: "qdrant_edge.SearchParams | None" = None


class EdgeCollection:
    """Passages by tenant, found by their meaning and by their words. Safe to use from several threads.

    What `upsert` and `delete` did is on disk when they return, and seen by the next search.

    Args:
        parent: The folder of all collections; this one takes a folder of its own there.
        name: What agents call it, e.g. `documents`.
        version: Another number is another physical collection, for another encoder or another way to cut.
        encoder: Makes the vectors, of passages and of questions.

    Raises:
        CollectionError: The name is not one a store takes, or the folder is in use by another process, was
            made by another encoder or a newer format, or is damaged.
    """

    def __init__(self, parent: Path, *, name: str, version: int, encoder: Encoder) -> None:
        import qdrant_edge  # noqa: PLC0415 - paid by whoever opens a collection, not by every import

        self._edge = qdrant_edge
        self._encoder = encoder
        self._bm25 = qdrant_edge.Bm25(qdrant_edge.Bm25Config(b=_LENGTH_WEIGHT, avg_len=_USUAL_LENGTH))
        self.folder = parent / physical_name(name, version, encoder)
        wanted = Marker(format=FORMAT, encoder=encoder.version, dimension=encoder.dimension)
        if not self.folder.exists():
            _create(self.folder, wanted)
        self._marker = _check(self.folder, wanted)
        self._shard = _load(self.folder, self._marker)
        self._writing = threading.Lock()
        self._closed = False
        _remove_drafts(self.folder)
        _remove_other_shards(self.folder, self._marker)

    @property
    def physical_name(self) -> str:
        """See `Collection.physical_name`."""
        return self.folder.name

    def search(self, text: str, *, limit: int, tenant: str) -> Sequence[Passage]:
        """The tenant's passages nearest to `text`, best first.

        Each with a score from 0 to 1 that means the same for every question, so that a threshold can be put
        on it: four fifths are the cosine of question and passage, one fifth their shared words (see `ranking`). What
        answers a question mostly has 0.45 and more, what has nothing to do with it less than 0.35.
        """
        with self._reporting():
            return ranked(text, self._candidates(text, self._only(tenant)), limit)

    def read(self, ids: Iterable[str], *, tenant: str) -> Sequence[Passage]:
        """The stored passages of these ids, those that exist, in the order asked, each once."""
        points = [_point_id(tenant, each) for each in dict.fromkeys(ids)]
        with self._reporting():
            passages = self._retrieve(points)
        return [passages[point] for point in points if point in passages]

    def upsert(self, passages: Sequence[Passage], *, tenant: str) -> None:
        """Encode and store passages by id; of two with one id the last counts."""
        newest = list({passage.id: passage for passage in passages}.values())
        for start in range(0, len(newest), _PASSAGES_PER_WRITE):
            part = newest[start : start + _PASSAGES_PER_WRITE]
            vectors = self._encoder.encode([text_to_encode(passage) for passage in part]).tolist()
            points = [self._point(*each, tenant) for each in zip(part, vectors, strict=True)]
            self._write(self._edge.UpdateOperation.upsert_points(points))

    def describe(self, passages: Sequence[Passage], *, tenant: str) -> None:
        """Store the `work` of passages that are there already; nothing is encoded, and none is added."""
        points = {_point_id(tenant, passage.id): passage.work for passage in passages}
        with self._reporting():
            there = {record.id for record in self._shard.retrieve(list(points), with_payload=False, with_vector=False)}
        by_work: dict[Work, list[qdrant_edge.PointId]] = {}
        for point, work in points.items():
            if point in there:
                by_work.setdefault(work, []).append(point)
        if by_work:
            payloads = ((same, {_WORK: _storable_work(work)}) for work, same in by_work.items())
            self._write(*(self._edge.UpdateOperation.set_payload(same, payload) for same, payload in payloads))

    def delete(self, ids: Iterable[str], *, tenant: str) -> None:
        """Remove passages by id; an id that is not there is no error."""
        points: list[qdrant_edge.PointId] = [_point_id(tenant, each) for each in dict.fromkeys(ids)]
        if points:
            self._write(self._edge.UpdateOperation.delete_points(points))

    def erase(self, ids: Iterable[str], *, tenant: str) -> None:
        """Remove passages by id, and every byte of what was ever removed or replaced.

        A copy of the rest takes their place, under a millisecond a passage; who writes waits, who reads does not.
        A search index is not copied: `optimize` builds it again.
        """
        with self._writing, self._reporting():
            self._marker, self._shard = _rewrite(self.folder, self._marker, self._shard, _point_ids(tenant, ids))
            _remove_other_shards(self.folder, self._marker)  # whoever still reads the old one has it open

    def count(self, *, tenant: str) -> int:
        """How many passages the tenant has."""
        with self._reporting():
            return self._shard.count(self._edge.CountRequest(filter=self._only(tenant)))

    def ids(self, *, tenant: str) -> Iterator[str]:
        """The ids of all passages of the tenant, in no particular order."""
        start: qdrant_edge.PointId | None = None
        while True:
            page = self._edge.ScrollRequest(
                offset=start, limit=_IDS_PER_PAGE, filter=self._only(tenant), with_payload=["id"], with_vector=False
            )
            with self._reporting():
                points, start = self._shard.scroll(page)
            yield from (str((point.payload or {})["id"]) for point in points)
            if start is None:
                return

    def optimize(self) -> None:
        """Build the search index, where there is enough to be worth one, and drop what was deleted.

        Takes a minute or more for 100,000 passages: from a command or a schedule, never in a request.
        """
        with self._reporting():
            self._shard.optimize()

    def close(self) -> None:
        """Release the folder; what was stored is on disk. Closing again does nothing."""
        self._closed = True
        self._shard.close()

    def _candidates(self, text: str, tenant: "qdrant_edge.Filter") -> list[Candidate]:
        """What the searches by meaning and by words bring, each passage with its score in both."""
        vector: list[float] = self._encoder.encode([question_to_encode(text)])[0].tolist()
        # A word is rare or common among the tenant's own passages: those of others change nothing.
        rarity = self._edge.SearchParams(idf=self._edge.IdfParams(corpus=tenant))
        by_meaning = _Search(self._edge.Query.Nearest(vector, using=_DENSE), tenant)
        by_words = _Search(self._edge.Query.Nearest(self._terms(text), using=_TERMS), tenant, rarity)

        near, sharing = self._found(by_meaning), self._found(by_words)
        near |= self._found(by_meaning, among=sharing.keys() - near.keys())
        sharing |= self._found(by_words, among=near.keys() - sharing.keys())
        return [
            Candidate(_passage(point), point.score, sharing[id_].score if id_ in sharing else 0.0)
            for id_, point in near.items()
        ]

    def _terms(self, question: str) -> "qdrant_edge.SparseVector":
        """The question's words with weight 1, and related words with less."""
        weights = dict.fromkeys(self._bm25.embed_query(_storable(words_of_question(question))).indices, 1.0)
        for word, weight in related_words(question).items():
            for term in self._bm25.embed_query(word).indices:
                weights[term] = max(weight, weights.get(term, 0.0))
        return self._edge.SparseVector(list(weights.keys()), list(weights.values()))

    def _found(
        self, search: "_Search", *, among: Collection["qdrant_edge.PointId"] | None = None
    ) -> dict["qdrant_edge.PointId", "qdrant_edge.ScoredPoint"]:
        """A search's best points; or, of the given ones, those that it finds at all."""
        if among is not None and not among:
            return {}
        chosen = [] if among is None else [self._edge.HasIdCondition(set(among))]
        request = self._edge.QueryRequest(
            query=search.query,
            params=search.params,
            filter=self._edge.Filter(must=[search.tenant, *chosen]),
            limit=_CANDIDATES if among is None else len(among),
            with_payload=True,
        )
        return {point.id: point for point in self._shard.query(request)}

    def _retrieve(self, points: Iterable[uuid.UUID]) -> dict["qdrant_edge.PointId", Passage]:
        records = self._shard.retrieve(list(points), with_payload=True, with_vector=False)
        return {record.id: _passage(record) for record in records}

    def _point(self, passage: Passage, vector: list[float], tenant: str) -> "qdrant_edge.Point":
        terms = self._bm25.embed_document(_storable(words_of_passage(passage)))
        payload = {
            **{field: _storable(getattr(passage, field)) for field in _PASSAGE_FIELDS},
            _WORK: _storable_work(passage.work),
            "tenant": _storable(tenant),
            "encoder": self._encoder.version,
        }
        return self._edge.Point(_point_id(tenant, passage.id), {_DENSE: vector, _TERMS: terms}, payload)

    def _only(self, tenant: str) -> "qdrant_edge.Filter":
        matching = self._edge.MatchValue(_storable(tenant))
        return self._edge.Filter(must=[self._edge.FieldCondition("tenant", match=matching)])

    def _write(self, *operations: "qdrant_edge.UpdateOperation") -> None:
        _look_for_room(self.folder)
        with self._writing, self._reporting():
            for operation in operations:
                self._shard.update(operation)
            self._shard.flush()

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        """Edge's errors, as the collection's own."""
        try:
            yield
        except TroupeError:
            raise
        except BaseException as error:
            if not _is_of_edge(error):
                raise
            closed = " (it is closed)" if self._closed else ""
            raise CollectionError(f"the collection in {self.folder}{closed} failed: {error}") from error


def physical_name(name: str, version: int, encoder: Encoder) -> str:
    """The folder of one version of a collection: its name carries the encoder, so that two never meet."""
    if not _NAME.fullmatch(name):
        raise CollectionError(
            f"{name!r} is no collection's name: expected 1 to 63 of a-z, 0-9, - and _, a letter or digit first"
        )
    tag = re.sub(r"[^a-z0-9.-]+", "-", encoder.version.lower())
    return f"{name}_v{version}_{tag}"


def erase_apart(folder: Path, ids: Iterable[str], *, tenant: str) -> None:
    """See `EdgeCollection.erase`, for a collection that nobody has open; without its folder, nothing is there.

    Raises:
        CollectionError: Another process has it open, or it is damaged.
    """
    if not folder.exists():
        return
    marker = read_marker(folder)
    old = _load(folder, marker)
    try:
        marker, shard = _rewrite(folder, marker, old, _point_ids(tenant, ids))
        shard.close()
    finally:
        old.close()
    _remove_other_shards(folder, marker)


def _rewrite(
    folder: Path, marker: Marker, old: "qdrant_edge.EdgeShard", erased: Collection[uuid.UUID]
) -> tuple[Marker, "qdrant_edge.EdgeShard"]:
    """Copy a shard without some of its points; the marker names the copy once that is whole and on disk."""
    import qdrant_edge as edge  # noqa: PLC0415 - as in EdgeCollection

    _look_for_room(folder, _allocated(folder / marker.shard))
    named = msgspec.structs.replace(marker, shard=f"{_SHARD_FOLDER}-{uuid.uuid4().hex[:8]}")
    shard = _new_shard(folder, named)
    start: qdrant_edge.PointId | None = None
    while True:
        page = edge.ScrollRequest(offset=start, limit=_IDS_PER_PAGE, with_payload=True, with_vector=True)
        found, start = old.scroll(page)
        kept = [edge.Point(each.id, each.vector or {}, each.payload) for each in found if each.id not in erased]
        if kept:
            shard.update(edge.UpdateOperation.upsert_points(kept))
        if start is None:
            break
    shard.flush()
    _replace_marker(folder, named)
    return named, shard


def _new_shard(folder: Path, marker: Marker) -> "qdrant_edge.EdgeShard":
    import qdrant_edge as edge  # noqa: PLC0415 - as in EdgeCollection

    path = folder / marker.shard
    path.mkdir()
    shard = edge.EdgeShard.create(
        str(path),
        edge.EdgeConfig(
            vectors={_DENSE: edge.EdgeVectorParams(size=marker.dimension, distance=edge.Distance.Cosine)},
            sparse_vectors={_TERMS: edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf)},
        ),
    )
    shard.update(edge.UpdateOperation.create_field_index("tenant", edge.KeywordIndexParams(is_tenant=True)))
    return shard


def _replace_marker(folder: Path, marker: Marker) -> None:
    draft = folder / f"{_MARKER_FILE}.draft"
    with draft.open("wb") as file:
        file.write(msgspec.json.encode(marker))
        file.flush()
        os.fsync(file.fileno())
    draft.replace(folder / _MARKER_FILE)
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _remove_other_shards(folder: Path, marker: Marker) -> None:
    """What an erasure replaced, or what one that was cut short had copied."""
    for path in folder.glob(f"{_SHARD_FOLDER}*"):
        if path.name != marker.shard:
            shutil.rmtree(path)


def _create(folder: Path, marker: Marker) -> None:
    """Make an empty collection; it appears under its name only when it is whole."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _look_for_room(folder.parent)
        draft = Path(tempfile.mkdtemp(prefix=_draft_prefix(folder), dir=folder.parent))
    except OSError as error:
        raise CollectionError(
            f"no collection can be made in {folder.parent} ({error.strerror or error}): mend that and try again"
        ) from error
    shard = _new_shard(draft, marker)
    shard.flush()
    shard.close()
    (draft / _MARKER_FILE).write_bytes(msgspec.json.encode(marker))
    try:
        draft.rename(folder)
    except OSError:  # another process made it meanwhile
        shutil.rmtree(draft)


def check_collection(folder: Path) -> None:
    """Raise CollectionError unless this folder holds a collection that can be opened; nobody else may have it open."""
    _load(folder, read_marker(folder)).close()


def _draft_prefix(folder: Path) -> str:
    return f".{folder.name}.draft-"


def _remove_drafts(folder: Path) -> None:
    """What a process that died while it made this collection left beside it."""
    for draft in folder.parent.glob(f"{_draft_prefix(folder)}*"):
        shutil.rmtree(draft, ignore_errors=True)


def read_marker(folder: Path) -> Marker:
    """What a collection's folder was made for; raises CollectionError where it does not say."""
    try:
        return decoder(Marker).decode((folder / _MARKER_FILE).read_bytes())
    except (OSError, msgspec.MsgspecError) as error:
        raise CollectionError(
            f"{folder} is not a whole collection ({error}): move it away and index its documents again"
        ) from error


def _check(folder: Path, wanted: Marker) -> Marker:
    found = read_marker(folder)
    if found.format > wanted.format:
        raise CollectionError(
            f"{folder} has format {found.format}, this Troupe knows up to {wanted.format}: use a newer Troupe"
        )
    if (found.format, found.encoder, found.dimension) != (wanted.format, wanted.encoder, wanted.dimension):
        raise CollectionError(
            f"{folder} was made with encoder {found.encoder} ({found.dimension} dimensions, format "
            f"{found.format}), expected {wanted.encoder} ({wanted.dimension}, format {wanted.format}): ask for "
            "another version number of the collection and index its documents into that"
        )
    return found


def _load(folder: Path, marker: Marker) -> "qdrant_edge.EdgeShard":
    import qdrant_edge as edge  # noqa: PLC0415 - as in EdgeCollection

    try:
        return edge.EdgeShard.load(str(folder / marker.shard))
    except BaseException as error:
        if not _is_of_edge(error):
            raise
        if "WouldBlock" in str(error):
            raise CollectionError(
                f"{folder} is in use by another process (or is open twice in this one): stop that one first"
            ) from error
        _look_for_room(folder)  # moving the collection away would mend nothing
        raise CollectionError(
            f"{folder} cannot be opened ({error}): move it away and index its documents again"
        ) from error


def _is_of_edge(error: BaseException) -> bool:
    """Its errors are plain ones; what it does not expect of a damaged file is a panic, which is no `Exception`."""
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


def _look_for_room(folder: Path, beside: int = 0) -> None:
    free, wanted = shutil.disk_usage(folder).free, _ROOM_BYTES + beside
    if free < wanted:
        raise CollectionError(
            f"the disk of {folder} has {free / 1024**2:.0f} MB left, and {wanted // 1024**2} MB are wanted: free some"
        )


def _allocated(folder: Path) -> int:
    """What the files take on the disk: most of them are larger, with nothing in them yet."""
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*"))


def _point_id(tenant: str, passage_id: str) -> uuid.UUID:
    """The same for the same passage of the same tenant; the tenant's length keeps the two apart."""
    return uuid.uuid5(_POINT_IDS, _storable(f"{len(tenant)}:{tenant}{passage_id}"))


def _point_ids(tenant: str, ids: Iterable[str]) -> frozenset[uuid.UUID]:
    return frozenset(_point_id(tenant, each) for each in ids)


def _passage(point: "qdrant_edge.ScoredPoint | qdrant_edge.Record") -> Passage:
    payload = point.payload or {}
    fields = {field: payload[field] for field in _PASSAGE_FIELDS}
    return Passage(**fields, work=msgspec.convert(payload.get(_WORK, {}), Work))


def _storable_work(work: Work) -> dict[str, str | list[str]]:
    """By field; what is empty is left out."""
    given: dict[str, str | Sequence[str]] = msgspec.to_builtins(work)
    return {
        field: _storable(value) if isinstance(value, str) else [_storable(each) for each in value]
        for field, value in given.items()
    }


def _storable(text: str) -> str:
    """The text without lone surrogates, which UTF-8 cannot carry."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
