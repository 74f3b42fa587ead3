"""Fills a version on a real store and a real catalog while a thread writes both, in a process that a test kills.

Prints a line for each batch, and at its end whether the version equals a fresh build.
"""

import random
import sys
import threading
from pathlib import Path

from dual_writing import World, Writer

from functions.adapters.local.catalog import LocalCatalog
from functions.adapters.local.store import Store
from functions.adapters.vectors.qdrant_edge import EdgeStore
from functions.collections import migration

POINTS = 300
migration.BATCH = migration.PAGE = 10


def main(home: Path, seed: int) -> None:
    """Fill, and write meanwhile."""
    store = Store(home)
    world = World(POINTS, EdgeStore(home / "collections"), LocalCatalog(store))
    writer = Writer(world, random.Random(seed), POINTS)  # noqa: S311 - no secret
    stopping = threading.Event()

    def write() -> None:
        while not stopping.wait(0.002):
            writer.half()
        writer.finish()

    def wait(_: float) -> bool:
        print("batch", flush=True)  # noqa: T201 - the test waits for it
        return False

    writing = threading.Thread(target=write)
    writing.start()
    ended = world.fill(wait=wait)
    stopping.set()
    writing.join()
    world.assert_equals_a_fresh_build()
    print(ended, "and equal", flush=True)  # noqa: T201 - as above


main(Path(sys.argv[1]), int(sys.argv[2]))
