"""A change of shards while collections are in use: what must move is copied, then everybody goes to the new homes.

1. Copying: everything is asked where it was; what is written to a point that will move is written to its next home
   too. Every point that moves is copied.
2. The new homes hold, from one call to the next. Each has everything.
3. Sweeping: what the old homes still have is removed, also from their files.

A change that was cut off goes on where it was when it is asked for again with the same target. Until 2 it can be
given up, with the placement that holds as the target. Why no query and no write is lost: docs/adr/0022.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import msgspec

from functions.adapters.vectors.placement import Checkpoint, Placement, PlacementError, Placing, Placings
from functions.adapters.vectors.sharded import ShardedStore
from functions.ports.vector_stores import Layout, VectorStore, pages

_POINTS_A_PAGE: Final = 500


def rebalance(store: ShardedStore, placings: Placings, target: Placement, *, drain: Callable[[], None]) -> int:
    """Spread all collections of a store by `target`; how many points had to move, over all runs of this change.

    Shards that `target` does not have are empty at the end.

    Args:
        store: Knows the shards of both placements, as every process that uses them must by now.
        placings: Where the store, and every process, reads how the points are spread.
        target: How they shall be spread.
        drain: Returns when no call of any process is under way that began before. Where nobody else has the store open,
            there is none.

    Raises:
        PlacementError: Another change is under way, or shards are not known.
    """
    _check(store, placings, target)
    if placings.read().home != target:
        _fill(store, placings, target, drain)
    placings.write(Placing(home=target, strays=True))
    drain()
    _sweep(store, target)
    placings.write(Placing(home=target))
    ended = placings.checkpoint()
    placings.keep(None)
    return ended.moved if ended and ended.target == target else 0


def _check(store: ShardedStore, placings: Placings, target: Placement) -> None:
    unknown = sorted(target.weights.keys() - store.shards.keys())
    if unknown:
        raise PlacementError(f"the shards {', '.join(unknown)} are not known: start every process with them first")
    under_way, home = placings.checkpoint(), placings.read().home
    if under_way is not None and target not in (under_way.target, home):
        raise PlacementError(
            f"a change to the shards {', '.join(under_way.target.weights)} is under way: let it end, or give it up "
            f"with {', '.join(home.weights)} as the target, before another one"
        )


def _fill(store: ShardedStore, placings: Placings, target: Placement, drain: Callable[[], None]) -> None:
    """Bring every point that moves to its next home, beside those who write."""
    begun = _progress(placings, target)
    placings.keep(begun)
    placing = Placing(home=placings.read().home, following=target, strays=True)
    _create(store, target)
    placings.write(placing)
    drain()
    _create(store, target)  # those that were made meanwhile
    for layout in store.layouts():
        for name in sorted({*placing.home.weights, *target.weights}):
            if (layout.name, name) >= (begun.collection, begun.shard):
                _fill_from(name, layout, store, placings, placing)


def _fill_from(name: str, layout: Layout, store: ShardedStore, placings: Placings, placing: Placing) -> None:
    """Copy what moves away from one shard, a page at a time, and keep how far that is."""
    done = _progress(placings, placing.following or placing.home)
    begun = (done.collection, done.shard) == (layout.name, name)
    for page in _pages(store.shards[name], layout, after=done.after if begun else ""):
        residents = [each for each in page if placing.home.home(each) == name]
        strays = set(page) - set(residents)
        store.follow(layout, strays - {point.id for point in store.read(layout, strays)}, placing)  # deleted meanwhile
        moved = done.moved + store.follow(layout, residents, placing)
        done = msgspec.structs.replace(done, collection=layout.name, shard=name, after=page[-1], moved=moved)
        placings.keep(done)


def _progress(placings: Placings, target: Placement) -> Checkpoint:
    return placings.checkpoint() or Checkpoint(target=target)


def _create(store: ShardedStore, target: Placement) -> None:
    for layout in store.layouts():
        for name in target.weights:
            store.shards[name].create(layout)


def _sweep(store: ShardedStore, target: Placement) -> None:
    """Remove what no longer lives where it is; its copy, or what replaced it, is at its new home."""
    for layout in store.layouts():
        for name, shard in store.shards.items():
            if name not in target.weights:
                shard.drop(layout.name)
                continue
            for page in _pages(shard, layout):
                strays = [each for each in page if target.home(each) != name]
                if strays:
                    shard.delete(layout, strays)
            shard.erase(layout, ())


def _pages(shard: VectorStore, layout: Layout, *, after: str = "") -> Iterator[Sequence[str]]:
    found = pages(lambda last: shard.scroll(layout, after=last, limit=_POINTS_A_PAGE), after)
    return ([point.id for point in page] for page in found)
