"""Three shards, each a store in memory."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from functions.adapters.vectors.placement import Placing, evenly
from functions.adapters.vectors.sharded import ShardedStore
from tests.memory_store import MemoryStore

RARITY_OF_A_PART = True  # few points are no fair sample: see `functions.adapters.vectors.sharded`


@contextmanager
def opened(_folder: Path) -> Iterator[ShardedStore]:
    names = ("first", "second", "third")
    placing = Placing(home=evenly(names))
    with closing(ShardedStore({name: MemoryStore() for name in names}, lambda: placing)) as store:
        yield store
