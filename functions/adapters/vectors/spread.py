"""Several services of one product as one store: which of them have the points is kept in a file of the home folder.

A service is a shard, and its URL is the shard's name, for good: a service at another address is another shard. The file
is there with one service too, so that it is known where the points are when a second one comes.
"""

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

from functions.adapters.vectors.placement import Checkpoint, FilePlacings, PlacementError, Placing, Placings, evenly
from functions.adapters.vectors.rebalancing import rebalance
from functions.adapters.vectors.sharded import ShardedStore
from functions.ports.vector_stores import Layout, VectorStore

#: Opens the service at a URL.
Opened = Callable[[str], VectorStore]
COMMAND = "troupe collections rebalance"


class NotSpreadError(PlacementError):
    """The points are elsewhere than on the services that are listed."""


def placing_file(home: Path, product: str) -> Path:
    """Where it is kept how the points of a product are spread."""
    return home / f"shards-{product}.json"


def opened_over(file: Path, urls: Sequence[str], opened: Opened, within: Opened | None = None) -> VectorStore:
    """One store over the services at these URLs, to which the points were brought before.

    Args:
        file: Where it is kept how the points are spread.
        urls: Of the services.
        opened: Opens one of them.
        within: Opens the part of one that is looked at for what is there already; by default all of it.

    Raises:
        NotSpreadError: They are elsewhere.
        PlacementError: A list of several is used first, and two of them are one service, or one is in use already.
    """
    placings = _placings(file, urls, within or opened)
    placing = placings.read()
    if placing.following is not None or placing.home != evenly(urls):
        raise NotSpreadError(_elsewhere(placing, urls))
    if len(urls) == 1:
        return opened(urls[0])
    return _sharded(urls, placings, opened)


def moved_to(file: Path, urls: Sequence[str], opened: Opened, told: Callable[[Checkpoint], None]) -> int:
    """Bring all points to the services at these URLs, or go on with that; how many had to move.

    Nobody else may have the store open.

    Args:
        file: Where it is kept how the points are spread.
        urls: Of all services that shall have points; those that are not among them are emptied.
        opened: Opens one of them.
        told: How far it is, now and then.

    Raises:
        PlacementError: Another change is under way, two URLs are of one service, or nothing says where the points are.
    """
    placings = _placings(file, urls, opened)
    known = {*urls, *_known(placings)}
    with closing(_sharded(sorted(known), placings, opened)) as store:
        _refuse_twins(store.shards)
        return rebalance(store, _Telling(placings, told), evenly(urls), drain=lambda: None)


class _Telling:
    """Placings that tell how far a change is, whenever that is kept."""

    def __init__(self, placings: Placings, told: Callable[[Checkpoint], None]) -> None:
        self.read = placings.read
        self.write = placings.write
        self.checkpoint = placings.checkpoint
        self._keep = placings.keep
        self._told = told

    def keep(self, checkpoint: Checkpoint | None) -> None:
        """See `Placings.keep`."""
        self._keep(checkpoint)
        if checkpoint is not None:
            self._told(checkpoint)


def _placings(file: Path, urls: Sequence[str], opened: Opened) -> FilePlacings:
    if len(urls) > 1 and not file.exists():
        with ExitStack() as closing_all:
            shards = _each(urls, opened, closing_all)
            _refuse_used(file, shards)
            _refuse_twins(shards)
    file.parent.mkdir(parents=True, exist_ok=True)
    return FilePlacings(file, evenly(urls))


def _known(placings: Placings) -> set[str]:
    """The services that may have points by what is kept."""
    placing, under_way = placings.read(), placings.checkpoint()
    spread = [placing.home, placing.following, under_way.target if under_way else None]
    return {name for each in spread if each is not None for name in each.weights}


def _sharded(urls: Sequence[str], placings: Placings, opened: Opened) -> ShardedStore:
    with ExitStack() as closing_all:
        store = ShardedStore(_each(urls, opened, closing_all), placings.read)
        closing_all.pop_all()  # it closes them
    return store


def _each(urls: Iterable[str], opened: Opened, closing_all: ExitStack) -> dict[str, VectorStore]:
    return {url: closing_all.enter_context(closing(opened(url))) for url in urls}


def _elsewhere(placing: Placing, urls: Sequence[str]) -> str:
    there = ", ".join(placing.home.weights)
    if placing.following is not None:
        new = ", ".join(placing.following.weights)
        return (
            f"the points are on their way from {there} to {new}, and were not all moved: `{COMMAND}` goes on with it "
            "where TROUPE_VECTOR_URL lists the latter, and gives it up where it lists the former"
        )
    return (
        f"the points are at {there}, and TROUPE_VECTOR_URL lists {', '.join(urls)}: `{COMMAND}` brings them there; or "
        "list the former again"
    )


def _refuse_used(file: Path, shards: Mapping[str, VectorStore]) -> None:
    """What is there already is not spread over the list, or in a way that nothing says."""
    used = [url for url, shard in shards.items() if shard.layouts()]
    if used:
        raise PlacementError(
            f"there are collections at {', '.join(used)} already, and no {file} says how their points are spread: "
            f"bring that back from a backup; where one service has them all, list it alone, run `{COMMAND}`, and again "
            "with the whole list"
        )


def _refuse_twins(shards: Mapping[str, VectorStore]) -> None:
    """Two addresses of one service would be two shards of the same points, and what moved would be swept away."""
    probe = Layout(name=f"probe-{uuid.uuid4().hex}", encoder="probe", dimension=2)
    seen: dict[str, VectorStore] = {}
    try:
        for url, shard in shards.items():
            if any(layout.name == probe.name for layout in shard.layouts()):
                raise PlacementError(f"{url} is one service with {' or '.join(seen)}: list it once")
            seen[url] = shard
            shard.create(probe)
    finally:
        for shard in seen.values():
            shard.drop(probe.name)
