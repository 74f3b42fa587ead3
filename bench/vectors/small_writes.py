"""Sixteen callers store one passage a call in a collection on Qdrant Edge, with the default encoder: points a second.

    python bench/vectors/small_writes.py [--passages 800] [--delay 0.25]

The passages are those of the standard library's documentation. Each way has a collection of its own, and both take
turns, so that what the machine does meanwhile meets both.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from functions.adapters.encoders.registry import registered
from functions.adapters.local.store import Store
from functions.collections.collection import VersionedCollection
from functions.collections.gathering import DELAY_S, GatheringCollection
from functions.documents.python_docs import read_python_docs
from functions.events.common import Passage
from functions.ports.vectors import Collection
from local.shelf import Shelf

TROUPE = Path(__file__).resolve().parent.parent.parent / ".troupe"
WRITERS = 16
ROUNDS = 5


def main() -> None:
    """Store, in turns, and print how fast each way was and how long its calls took."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--passages", type=int, default=800)
    asked.add_argument("--delay", type=float, default=DELAY_S)
    given = asked.parse_args()
    passages = list(read_python_docs())[: given.passages]
    encoders = registered(TROUPE, {})
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(Store(Path(folder))) as store,
        closing(Shelf(store, encoders, encoders.encoder(encoders.carried[0].version))) as shelf,
    ):
        alone, gathered = (_opened(shelf, name, store) for name in ("alone", "gathered"))
        _measure({"each by itself": alone, "gathered": GatheringCollection(gathered, delay_s=given.delay)}, passages)


def _opened(shelf: Shelf, name: str, store: Store) -> VersionedCollection:
    """As the shelf opens it, without what gathers."""
    shelf.open(name)
    return VersionedCollection(
        name,
        catalog=shelf.catalog,
        store=shelf.vectors,
        encoders=shelf.encoders,
        blobs=shelf.texts,
        now=store.clock,
    )


def _measure(ways: dict[str, Collection], passages: Sequence[Passage]) -> None:
    rates: dict[str, list[float]] = {way: [] for way in ways}
    took: dict[str, list[float]] = {way: [] for way in ways}
    for part in (passages[start::ROUNDS] for start in range(ROUNDS)):
        for way, collection in ways.items():
            started = time.perf_counter()
            took[way] += _stored(collection, part)
            rates[way].append(len(part) / (time.perf_counter() - started))
    for way in ways:
        cuts = statistics.quantiles(took[way], n=100)
        print(
            f"{way}: {statistics.median(rates[way]):,.0f} points/s; a call takes {1000 * cuts[49]:,.0f} ms at the "
            f"median, {1000 * cuts[98]:,.0f} at the 99th hundredth"
        )
    one, other = (statistics.median(rates[way]) for way in ways)
    print(f"{len(passages)} passages, {WRITERS} callers: {other / one:.2f} times as many")


def _stored(collection: Collection, passages: Sequence[Passage]) -> list[float]:
    def stored(passage: Passage) -> float:
        started = time.perf_counter()
        collection.upsert([passage], tenant="bench")
        return time.perf_counter() - started

    with ThreadPoolExecutor(WRITERS) as threads:
        return list(threads.map(stored, passages))


if __name__ == "__main__":
    main()
