"""The `Collection` port over a vector store, the catalog, encoders and blobs.

What a collection's name stands for is read from the catalog once a call: writes go to every version that is listed
there, searches to the current one, with the encoder of that version.
"""

import math
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Final, TypeVar
from weakref import WeakKeyDictionary

import msgspec

from functions.collections.encoding import Vectors, check_passages, check_vectors, without_personal_data
from functions.collections.entries import entry_of
from functions.collections.expiring import expired, is_alive
from functions.collections.opening import current_of
from functions.collections.points import blob_of, blob_prefix, passage_of, point_id, point_of, work_field
from functions.collections.ranking import Candidate, question_to_encode, ranked
from functions.collections.words import shared_words, terms_of_passage, terms_of_question
from functions.events.common import Passage
from functions.events.utf8 import storable
from functions.ports.blobs import KeptBlobs
from functions.ports.catalog import Catalog, Entry, Version
from functions.ports.encoders import Encoders
from functions.ports.personal import Tokenizer
from functions.ports.vector_stores import (
    NEVER,
    Condition,
    Equals,
    FieldError,
    Fields,
    Filter,
    Hit,
    Layout,
    NoSuchCollectionError,
    OneOf,
    PointsError,
    Query,
    VectorStore,
    pages,
)
from functions.ports.vectors import ANY, Only

#: What a search can be narrowed by.
NARROWED_BY: Final = ("source", "name", "labels")

# Passages encoded and stored at a time: enough to sort by length, little enough to hold in memory.
_PASSAGES_PER_WRITE: Final = 1024
# What the search by meaning and the search by words each bring to be compared.
_CANDIDATES: Final = 100

Result = TypeVar("Result")

_locks: "WeakKeyDictionary[VectorStore, dict[str, threading.RLock]]" = WeakKeyDictionary()
_locking = threading.Lock()


def writing(store: VectorStore, name: str) -> threading.RLock:
    """Held by whoever writes a collection of this store in this process: so every version takes writes in one order."""
    with _locking:
        return _locks.setdefault(store, {}).setdefault(name, threading.RLock())


class VersionedCollection:
    """A collection whose versions the catalog lists. Safe to use from several threads.

    Every passage that is found has a score from 0 to 1 that means the same for every question, so that a threshold can
    be put on it: four fifths are the cosine of question and passage, one fifth their shared words (see `ranking`). What
    answers a question mostly has 0.45 and more, what has nothing to do with it less than 0.35.

    Args:
        name: What agents call it.
        catalog: Has an entry of this name (`opening.ensured`).
        store: Where the points are; whoever opened it closes it.
        encoders: Those that this process carries.
        blobs: For texts that are too long for a payload.
        now: The time, in UTC.
        tokenizer: Takes personal data out of what is stored and asked; without one, it stays.

    Raises:
        UnknownCollectionError: The catalog has no entry of this name.
    """

    def __init__(  # noqa: PLR0913 - the ports that it stands on
        self,
        name: str,
        *,
        catalog: Catalog,
        store: VectorStore,
        encoders: Encoders,
        blobs: KeptBlobs,
        now: Callable[[], datetime],
        tokenizer: Tokenizer | None = None,
    ) -> None:
        self._name = name
        self._catalog = catalog
        self._store = store
        self._encoders = encoders
        self._blobs = blobs
        self._now = now
        self._tokenizer = tokenizer
        self._key = self._entry().key
        self._writing = writing(store, name)

    @property
    def name(self) -> str:
        """See `Collection.name`."""
        return self._name

    @property
    def key(self) -> str:
        """See `Collection.key`."""
        return self._key

    def search(
        self, text: str, *, limit: int, tenant: str, only: Only = ANY, minimum: float = 0.0
    ) -> Sequence[Passage]:
        """See `Collection.search`."""
        return self.search_each([text], limit=limit, tenant=tenant, only=only, minimum=minimum)[0]

    def search_each(
        self, texts: Sequence[str], *, limit: int, tenant: str, only: Only = ANY, minimum: float = 0.0
    ) -> Sequence[Sequence[Passage]]:
        """See `Collection.search_each`: encoded together, and asked in one call.

        Raises:
            FieldError: `only` names what a collection is not narrowed by.
            UnknownEncoderError: The current version is of an encoder that this process does not carry.
        """
        where = Filter(must=(_of_tenant(tenant), *self._narrowing(only, tenant)))
        if not texts or limit < 1:
            return [[] for _ in texts]
        asked = self._asked(texts, tenant)
        found = self._of_current(lambda layout: self._found(layout, asked, where, max(limit, _CANDIDATES), tenant))
        return [self._best(text, hits, limit, minimum) for text, hits in zip(asked, found, strict=True)]

    def read(self, ids: Iterable[str], *, tenant: str) -> Sequence[Passage]:
        """See `Collection.read`."""
        points, now = _point_ids(tenant, ids), self._now().timestamp()
        found = self._of_current(lambda layout: self._store.read(layout, points))
        return [self._whole(passage_of(point.fields), point.fields) for point in found if is_alive(point.fields, now)]

    def upsert(self, passages: Sequence[Passage], *, tenant: str, ttl_s: float | None = None) -> None:
        """See `Collection.upsert`; by parts of 1,024 passages, each of which is in every version or fails.

        Raises:
            PointsError: Some are no passages, or have no vectors; of that part, nothing was stored.
            UnknownEncoderError: A version is of an encoder that this process does not carry; nothing was stored.
        """
        check_passages(passages)
        if ttl_s is not None and not 0 < ttl_s < math.inf:
            raise PointsError(f"nothing was stored: passages are to stay for {ttl_s} seconds, expected more than 0")
        newest = list({passage.id: passage for passage in passages}.values())
        for start in range(0, len(newest), _PASSAGES_PER_WRITE):
            self._upsert(newest[start : start + _PASSAGES_PER_WRITE], tenant, ttl_s)

    def describe(self, passages: Sequence[Passage], *, tenant: str) -> None:
        """See `Collection.describe`."""
        check_passages(passages)
        described = self._kept([msgspec.structs.replace(passage, text="") for passage in passages], tenant)
        works: dict[str, Fields] = {
            point_id(tenant, passage.id): {"work": work_field(passage.work)} for passage in described
        }
        if works:
            with self._writing:
                self._to_every_version(lambda layout: self._store.set_fields(layout, works))

    def delete(self, ids: Iterable[str], *, tenant: str) -> None:
        """See `Collection.delete`."""
        points = _point_ids(tenant, ids)
        if points:
            with self._writing:
                blobs = self._blobs_of(points)
                self._to_every_version(lambda layout: self._store.delete(layout, points))
                self._blobs.remove(blobs)

    def erase(self, ids: Iterable[str], *, tenant: str) -> None:
        """See `Collection.erase`: from the files of every version, and every blob that the passages ever had."""
        erased = list(dict.fromkeys(ids))
        points = _point_ids(tenant, erased)
        with self._writing:
            self._to_every_version(lambda layout: self._store.erase(layout, points))
            self._blobs.remove(self._blobs.keys(*(blob_prefix(self._key, tenant, each) for each in erased)))

    def expire(self) -> int:
        """See `Collection.expire`: a point that is in two versions counts twice."""
        gone = Filter(must=(expired(self._now().timestamp()),))
        blobs: dict[str, str] = {}
        removed: list[int] = []

        def step(layout: Layout) -> None:
            removed.append(0)
            for page in pages(lambda after: self._store.scroll(layout, gone, after=after)):
                removed[-1] += len(page)
                blobs.update({str(point.fields["blob"]): point.id for point in page if "blob" in point.fields})
            if removed[-1]:
                self._store.delete_where(layout, gone)

        with self._writing:
            self._to_every_version(step)
            # what another process stored again meanwhile stays
            self._blobs.remove(blobs.keys() - self._blobs_of(list(blobs.values())))
        return sum(removed)

    def count(self, *, tenant: str) -> int:
        """See `Collection.count`."""
        alive = self._alive(tenant)
        return self._of_current(lambda layout: self._store.count(layout, alive))

    def ids(self, *, tenant: str) -> Iterator[str]:
        """See `Collection.ids`; the name may be switched to another version meanwhile: points have one id in all."""
        alive = self._alive(tenant)
        for page in pages(
            lambda after: self._of_current(lambda layout: self._store.scroll(layout, alive, after=after))
        ):
            yield from (str(point.fields["id"]) for point in page)

    def close(self) -> None:
        """See `Collection.close`: the store is closed by whoever opened it."""

    def _upsert(self, passages: Sequence[Passage], tenant: str, ttl_s: float | None) -> None:
        kept = self._kept(passages, tenant)
        vectors = Vectors(self._encoders, kept)
        entry = self._entry()
        for version in entry.versions:  # before anything is stored, and while others may still write
            vectors.of(version.layout)
        now = self._now().timestamp()
        stays_s = entry.ttl_s if ttl_s is None else ttl_s
        expires_at = NEVER if stays_s is None else min(now + stays_s, NEVER)
        keyed = (blob_of(passage, collection=self._key, tenant=tenant) for passage in kept)
        blobs = dict(blob for blob in keyed if blob is not None)

        def store(layout: Layout) -> None:
            points = [
                point_of(
                    passage,
                    vector,
                    collection=self._key,
                    tenant=tenant,
                    encoder=layout.encoder,
                    expires_at=expires_at,
                    written=now,
                )
                for passage, vector in zip(kept, vectors.of(layout), strict=True)
            ]
            self._store.upsert(layout, points)

        with self._writing:
            replaced = self._blobs_of(_point_ids(tenant, [passage.id for passage in kept]))
            for key, data in blobs.items():
                self._blobs.put(key, data)
            self._to_every_version(store)
            self._blobs.remove(replaced - blobs.keys())

    def _to_every_version(self, write: Callable[[Layout], None]) -> None:
        """Write to each version that the catalog lists in the end, lowest number first.

        One that is listed only now gets what it would have missed; one that was dropped meanwhile needs nothing.
        """
        written: set[int] = set()
        while left := [version for version in self._entry().versions if version.number not in written]:
            for version in sorted(left, key=lambda each: each.number):
                try:
                    write(version.layout)
                except NoSuchCollectionError:
                    if (there := self._entry().version(version.number)) is not None:
                        self._write_first(there, write)
                written.add(version.number)

    def _write_first(self, version: Version, write: Callable[[Layout], None]) -> None:
        """Write to a version that a command listed just now, and that nobody made yet.

        Raises:
            NoSuchCollectionError: It was made before, and is gone.
        """
        if version.phase != "whole":
            self._store.create(version.layout)
        try:
            write(version.layout)
        except NoSuchCollectionError as error:
            raise NoSuchCollectionError(
                f"version {version.number} of {self._name} is gone from the vector store ({version.layout.name}): "
                f"bring it back from a copy, or `troupe collections drop {self._name} {version.number}`, then try again"
            ) from error
        if self._entry().version(version.number) is None:  # dropped meanwhile, and made again here
            self._store.drop(version.layout.name)

    def _of_current(self, ask: Callable[[Layout], Result]) -> Result:
        """What the current version answers; where that was dropped meanwhile, the one that is current now."""
        entry = self._entry()
        while True:
            try:
                return ask(current_of(entry).layout)
            except NoSuchCollectionError:
                fresh = self._entry()
                if fresh.revision == entry.revision:
                    raise
                entry = fresh

    def _entry(self) -> Entry:
        return entry_of(self._catalog, self._name)

    def _found(
        self, layout: Layout, texts: Sequence[str], where: Filter, limit: int, tenant: str
    ) -> Sequence[Sequence[Hit]]:
        """What a version has near to each text and in its words, of what has not expired.

        Nearly always nothing has that was not swept: so it is asked without regard to it first, which takes half as
        long where every point is compared.
        """
        vectors = self._encoders.encoder(layout.encoder).encode([question_to_encode(text) for text in texts])
        check_vectors(vectors, layout, [f"the question {text!r:.80}" for text in texts])
        rarity = Filter(must=(_of_tenant(tenant),))  # a word is rare among the tenant's own passages
        queries = [
            Query(
                vector=vector,
                terms=terms_of_question(text) if self._store.searches_words else None,
                where=where,
                limit=limit,
                rarity=rarity,
            )
            for text, vector in zip(texts, vectors, strict=True)
        ]
        now = self._now().timestamp()
        found = self._store.search(layout, queries)
        if all(is_alive(hit.fields, now) for hits in found for hit in hits):
            return found
        alive = msgspec.structs.replace(where, must_not=(expired(now),))
        return self._store.search(layout, [msgspec.structs.replace(query, where=alive) for query in queries])

    def _best(self, text: str, hits: Sequence[Hit], limit: int, minimum: float) -> list[Passage]:
        said = {str(hit.fields["id"]): hit.fields for hit in hits}
        best = ranked(text, self._candidates(text, hits), limit)
        return [self._whole(passage, said[passage.id]) for passage in best if passage.score >= minimum]

    def _candidates(self, text: str, hits: Sequence[Hit]) -> list[Candidate]:
        """What was found, with its words: where the store does not search them, those of its own text."""
        passages = [passage_of(hit.fields) for hit in hits]
        words = [hit.words for hit in hits]
        if not self._store.searches_words:
            words = shared_words(terms_of_question(text), [terms_of_passage(passage) for passage in passages])
        found = zip(passages, hits, words, strict=True)
        return [Candidate(passage, hit.score, bm25) for passage, hit, bm25 in found]

    def _whole(self, passage: Passage, fields: Fields) -> Passage:
        """The passage with its whole text; with the beginning, where the rest was removed just now."""
        if "blob" not in fields:
            return passage
        try:
            text = self._blobs.get(str(fields["blob"])).decode()
        except KeyError:
            return passage
        return msgspec.structs.replace(passage, text=text)

    def _blobs_of(self, points: Sequence[str]) -> set[str]:
        """The keys of the blobs that these points have now."""
        found = self._of_current(lambda layout: self._store.read(layout, points)) if points else ()
        return {str(point.fields["blob"]) for point in found if "blob" in point.fields}

    def _alive(self, tenant: str) -> Filter:
        return Filter(must=(_of_tenant(tenant),), must_not=(expired(self._now().timestamp()),))

    def _kept(self, passages: Sequence[Passage], tenant: str) -> Sequence[Passage]:
        return passages if self._tokenizer is None else without_personal_data(passages, self._tokenizer, tenant)

    def _asked(self, texts: Sequence[str], tenant: str) -> Sequence[str]:
        return texts if self._tokenizer is None else self._tokenizer.tokenized(texts, tenant=tenant, keep=False)

    def _narrowing(self, only: Only, tenant: str) -> list[Condition]:
        if unknown := sorted(only.keys() - set(NARROWED_BY)):
            raise FieldError(
                f"a search of {self._name} cannot be narrowed by {', '.join(unknown)}: use {', '.join(NARROWED_BY)}"
            )
        return [
            OneOf(field, tuple(self._asked([value] if isinstance(value, str) else list(value), tenant)))
            for field, value in only.items()
        ]


def _point_ids(tenant: str, ids: Iterable[str]) -> list[str]:
    """The ids of points, each once, in order."""
    asked = list(dict.fromkeys(ids))
    if wrong := [each for each in asked if not isinstance(each, str)]:
        raise PointsError(
            f"the id {wrong[0]!r:.40} is a {type(wrong[0]).__name__}, expected a string; nothing was done"
        )
    return [point_id(tenant, each) for each in asked]


def _of_tenant(tenant: str) -> Equals:
    return Equals("tenant", storable(tenant))
