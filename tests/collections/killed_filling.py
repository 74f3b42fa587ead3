"""Fills a version on a real store and a real catalog while a thread writes both, in a process that a test kills.

Whoever writes is the collection itself. Prints a line for each batch, and at its end whether the version equals a fresh
build.
"""

import random
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

from carried_encoders import Carrying
from dual_writing import NEW, OLD, assert_same

from functions.adapters.local.blobs import LocalTexts
from functions.adapters.local.catalog import LocalCatalog
from functions.adapters.local.store import Store
from functions.adapters.vectors.qdrant_edge import EdgeStore
from functions.collections import migration
from functions.collections.collection import VersionedCollection
from functions.collections.entries import entry_of
from functions.collections.lifecycle import begin, create
from functions.collections.opening import made
from functions.collections.recoding import recode
from functions.events.common import Passage
from functions.ports.vector_stores import Filter, Layout, Point, Range

POINTS = 300
LONG = "and so on " * 1_000  # longer than a payload holds
migration.BATCH = migration.PAGE = 10


class Machine:
    """What a process opens that has the collections."""

    def __init__(self, home: Path) -> None:
        store = Store(home)
        self.now = store.clock
        self.catalog, self.store = LocalCatalog(store, "qdrant_edge"), EdgeStore(home / "collections")
        self.blobs, self.encoders = LocalTexts(home / "texts"), Carrying(OLD, NEW)
        self.recode = partial(recode, encoders=self.encoders, blobs=self.blobs)
        is_new = self.catalog.read("documents") is None
        if is_new:
            entry = create(self.catalog, "documents", OLD, ttl_s=None, now=self.now())
            made(entry, catalog=self.catalog, store=self.store)
        self.collection = VersionedCollection(
            "documents",
            catalog=self.catalog,
            store=self.store,
            encoders=self.encoders,
            blobs=self.blobs,
            now=self.now,
        )
        if is_new:
            self.collection.upsert([passage(each, "first") for each in range(POINTS)], tenant="t")
            begin(self.catalog, "documents", NEW, rate=None, now=self.now())

    def fill(self, wait: Callable[[float], bool]) -> migration.Ended:
        return migration.fill(
            "documents", 2, catalog=self.catalog, store=self.store, recode=self.recode, now=self.now, wait=wait
        )

    def assert_equals_a_fresh_build(self) -> None:
        first, second = (version.layout for version in entry_of(self.catalog, "documents").versions)
        gone = Filter(must_not=(Range("expires_at", at_most=self.now().timestamp()),))
        assert_same(self._points(second, gone), self.recode(second, self._points(first, gone)))

    def _points(self, layout: Layout, where: Filter) -> list[Point]:
        return list(self.store.scroll(layout, where, limit=10**6, vectors=True))


def passage(number: int, text: str) -> Passage:
    long = LONG if number % 10 == 0 else ""
    return Passage(id=str(number), name="", source="a.md", text=f"{text} {number} {long}")


def write_once(collection: VersionedCollection, chosen: random.Random) -> None:
    """Something that agents, a sync, an erasure or the sweep would do."""
    some = chosen.sample(range(POINTS + 5), 3)
    kind = chosen.choices(("upsert", "delete", "erase", "expire"), (6, 2, 1, 1))[0]
    if kind == "upsert":
        passages = [passage(each, f"again {chosen.random()}") for each in some]
        collection.upsert(passages, tenant="t", ttl_s=chosen.choice((None, None, 1.0)))
    elif kind == "expire":
        collection.expire()
    else:
        getattr(collection, kind)(map(str, some), tenant="t")


def main(home: Path, seed: int) -> None:
    """Fill, and write meanwhile."""
    machine = Machine(home)
    chosen, stopping, failed = random.Random(seed), threading.Event(), list[Exception]()  # noqa: S311 - no secret

    def write() -> None:
        try:
            while not stopping.wait(0.002):
                write_once(machine.collection, chosen)
        except Exception as error:  # noqa: BLE001 - told at the end
            failed.append(error)

    def wait(_: float) -> bool:
        print("batch", flush=True)  # noqa: T201 - the test waits for it
        return False

    writing = threading.Thread(target=write)
    writing.start()
    ended = machine.fill(wait)
    stopping.set()
    writing.join()
    assert not failed, failed
    machine.assert_equals_a_fresh_build()
    print(ended, "and equal", flush=True)  # noqa: T201 - as above


main(Path(sys.argv[1]), int(sys.argv[2]))
