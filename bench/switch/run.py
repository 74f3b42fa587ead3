"""Searches while a collection's name moves back and forth between two versions: how many fail, how many mix them.

    python bench/switch/run.py
    python bench/switch/run.py --queries 10000 --passages 300

The corpus is a part of the standard library's documentation, once encoded by the default encoder and once by the one
with 8-bit weights, in two versions of one collection on Qdrant Edge. The questions' vectors are prepared, so that what
is timed is the search. Two things are looked at: whether every query that the store gets is of the encoder of the
collection that it goes to, and whether every answer, with its scores, is the one of the old or the one of the new
version as they answer alone. It ends with 1 where a query fails or mixes them, or the name stops moving. Needs the
`model` dependency group; the first run encodes the corpus.
"""

import argparse
import os
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from functions.adapters.encoders.registry import registered
from functions.adapters.local.blobs import LocalBlobs
from functions.adapters.local.catalog import LocalCatalog
from functions.adapters.local.store import Store
from functions.adapters.vectors.qdrant_edge import EdgeStore
from functions.collections.collection import VersionedCollection
from functions.collections.lifecycle import begin, create, rollback, switch
from functions.collections.migration import fill
from functions.collections.opening import made
from functions.collections.pinned import PinnedCatalog
from functions.collections.recoding import recode
from functions.documents.python_docs import read_python_docs
from functions.events.common import Passage
from functions.ports.encoders import Encoder
from functions.ports.vector_stores import Hit, Layout, Query

HERE = Path(__file__).parent
TROUPE = HERE.parents[1] / ".troupe"
QUESTIONS = HERE.parent / "retrieval" / "questions.jsonl"
NAME, TENANT, LIMIT = "documents", "bench", 5
OLD, NEW = "minilm", "minilm-8bit"
SEARCHERS = 4

Answer = tuple[tuple[str, float], ...]


class Prepared:
    """The `Encoder` port over another one, which encodes each text once."""

    def __init__(self, encoder: Encoder) -> None:
        self.version = encoder.version
        self.dimension = encoder.dimension
        self.known: dict[str, NDArray[np.float32]] = {}
        self._encoder = encoder

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See `Encoder.encode`."""
        new = [text for text in dict.fromkeys(texts) if text not in self.known]
        self.known |= dict(zip(new, self._encoder.encode(new), strict=True)) if new else {}
        return np.array([self.known[text] for text in texts], np.float32)


class PreparedEncoders:
    """The `Encoders` port over some that are prepared."""

    def __init__(self, encoders: Sequence[Prepared]) -> None:
        self._encoders = {encoder.version: encoder for encoder in encoders}

    @property
    def versions(self) -> frozenset[str]:
        """See `Encoders.versions`."""
        return frozenset(self._encoders)

    def encoder(self, version: str) -> Prepared:
        """See `Encoders.encoder`."""
        return self._encoders[version]


class Checked:
    """A store that counts the queries whose vector is of another encoder than the collection that they go to."""

    def __init__(self, store: EdgeStore) -> None:
        self.mixed = 0
        self.made_by: dict[bytes, str] = {}
        self._store = store

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the store has
        return getattr(self._store, name)

    def search(self, layout: Layout, queries: Sequence[Query]) -> Sequence[Sequence[Hit]]:
        """See `VectorStore.search`."""
        made_by = self.made_by
        if made_by:
            self.mixed += sum(made_by.get(np.asarray(query.vector).tobytes()) != layout.encoder for query in queries)
        return self._store.search(layout, queries)


class Searchers:
    """Threads that ask all the time, and compare every answer with what each version answers alone."""

    def __init__(self, collection: VersionedCollection, expected: dict[str, tuple[Answer, Answer]]) -> None:
        self.counts: Counter[str] = Counter()
        self._collection = collection
        self._expected = expected
        self._lock = threading.Lock()

    def ask(self, queries: int) -> float:
        """Ask so many times; how many seconds that took."""
        began = time.perf_counter()
        threads = [threading.Thread(target=self._ask, args=(queries // SEARCHERS, each)) for each in range(SEARCHERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return time.perf_counter() - began

    def _ask(self, queries: int, first: int) -> None:
        counts: Counter[str] = Counter()
        questions = list(self._expected)
        for number in range(queries):
            question = questions[(first + number) % len(questions)]
            try:
                counts[self._kind(question)] += 1
            except Exception as error:  # noqa: BLE001 - it is what is counted
                counts["failed"] += 1
                counts[f"  {type(error).__name__}: {error}"] += 1
        with self._lock:
            self.counts += counts

    def _kind(self, question: str) -> str:
        answer = answered(self._collection, question)
        old, new = self._expected[question]
        if old == new == answer:
            return "both alike"
        return {old: "old", new: "new"}.get(answer, "mixed")


def answered(collection: VersionedCollection, question: str) -> Answer:
    """What a collection answers, with the scores."""
    found = collection.search(question, limit=LIMIT, tenant=TENANT)
    return tuple((passage.id, passage.score) for passage in found)


def moving(catalog: LocalCatalog, stopping: threading.Event) -> int:
    """Switch and roll back until told to stop; how often the name moved."""
    moved = 0
    while not stopping.wait(0.001):
        (rollback if moved % 2 else switch)(catalog, NAME)
        moved += 1
    return moved


def main() -> None:
    """Fill two versions, ask while the name moves between them, and print what came of it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--queries", type=int, default=100_000)
    parser.add_argument("--passages", type=int, default=500)
    given = parser.parse_args()
    passages = some_passages(given.passages)
    questions = [msgspec.json.decode(line)["question"] for line in QUESTIONS.read_text("utf-8").splitlines()]

    with (
        TemporaryDirectory() as folder,
        closing(Store(Path(folder))) as store,
        closing(EdgeStore(Path(folder) / "collections")) as points,
        closing(registered(TROUPE, os.environ)) as carried,
    ):
        encoders = [Prepared(carried.encoder(carried.version_of(name))) for name in (OLD, NEW)]
        catalog, checked = LocalCatalog(store, "qdrant_edge"), Checked(points)
        parts = {
            "store": checked,
            "encoders": PreparedEncoders(encoders),
            "blobs": LocalBlobs(Path(folder) / "blobs"),
            "now": lambda: datetime.now(UTC),
        }
        collection = filled(catalog, parts, encoders, passages)
        expected = {question: alone(catalog, parts, question) for question in questions}
        checked.made_by = {
            vector.tobytes(): encoder.version for encoder in encoders for vector in encoder.known.values()
        }
        searchers = Searchers(collection, expected)
        took_s, moves = searched_while_moving(searchers, catalog, given.queries)
        report(searchers.counts, checked.mixed, moves, took_s, len(passages))
    check(searchers.counts, checked.mixed, moves)


def searched_while_moving(searchers: Searchers, catalog: LocalCatalog, queries: int) -> tuple[float, int]:
    """The seconds that so many queries took, and how often the name moved meanwhile; an error where that failed."""
    stopping = threading.Event()
    with ThreadPoolExecutor(1) as threads:
        mover = threads.submit(moving, catalog, stopping)
        try:
            took_s = searchers.ask(queries)
        finally:
            stopping.set()
    return took_s, mover.result()


def some_passages(number: int) -> list[Passage]:
    """The first so many of the corpus."""
    found = list[Passage]()
    for passage in read_python_docs():
        found.append(passage)
        if len(found) == number:
            break
    return found


def filled(
    catalog: LocalCatalog, parts: dict[str, Any], encoders: Sequence[Prepared], passages: Sequence[Passage]
) -> VersionedCollection:
    """A collection with two versions of the same passages."""
    old, new = encoders
    made(create(catalog, NAME, old, ttl_s=None, now=parts["now"]()), catalog=catalog, store=parts["store"])
    collection = VersionedCollection(NAME, catalog=catalog, **parts)
    collection.upsert(passages, tenant=TENANT)
    fill(
        NAME,
        begin(catalog, NAME, new, rate=None, now=parts["now"]()),
        catalog=catalog,
        store=parts["store"],
        recode=lambda layout, points: recode(layout, points, encoders=parts["encoders"], blobs=parts["blobs"]),
        now=parts["now"],
        wait=lambda _: False,
    )
    return collection


def alone(catalog: LocalCatalog, parts: dict[str, Any], question: str) -> tuple[Answer, Answer]:
    """What the old and the new version answer, where nothing moves."""
    old, new = (VersionedCollection(NAME, catalog=PinnedCatalog(catalog, NAME, number), **parts) for number in (1, 2))
    return answered(old, question), answered(new, question)


def report(counts: Counter[str], mixed: int, moves: int, took_s: float, passages: int) -> None:
    """What came of it."""
    queries = counts["old"] + counts["new"] + counts["both alike"] + counts["mixed"] + counts["failed"]
    print(f"{queries:,} queries over {passages:,} passages in {took_s:.0f} s, by {SEARCHERS} threads")
    print(f"the name moved {moves:,} times")
    print(f"answers of the old version {counts['old']:,}, of the new {counts['new']:,}, alike {counts['both alike']:,}")
    print(f"failed {counts['failed']:,}")
    print(f"mixed {counts['mixed']:,} answers, {mixed:,} queries that met vectors of another encoder")
    for kind in sorted(counts):
        if kind.startswith("  "):
            print(f"{kind} ({counts[kind]:,})")


def check(counts: Counter[str], mixed: int, moves: int) -> None:
    """End with 1 where something happened that must not, or nothing was tried."""
    if counts["failed"] or counts["mixed"] or mixed or not moves:
        raise SystemExit("queries failed or mixed the versions, or the name did not move: see above")


if __name__ == "__main__":
    main()
