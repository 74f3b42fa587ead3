"""Which shard a point lives on: rendezvous hashing of its id, so that a change of shards moves only what must move.

Every shard draws a number for every point from the two names alone, and the greatest has it. A shard that is added
takes its share from all others and nothing else moves; the points of one that goes are spread over those that stay.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

import msgspec

from functions.adapters.files import replace_file
from functions.events.decoding import decoder
from functions.ports.vector_stores import VectorStoreError

#: From where on one node is too small, see docs/vector-sizes.md.
POINTS_A_SHARD: Final = 10_000_000


class PlacementError(VectorStoreError):
    """Points cannot be spread like this."""


class Placement(msgspec.Struct, frozen=True):
    """The shards that share the points.

    Attributes:
        weights: Of each shard, by its name: one with weight 2 gets twice what one with weight 1 gets. A name is for
            good: another one moves every point of the shard.
    """

    weights: Mapping[str, float]

    def __post_init__(self) -> None:
        wrong = [f"{name} has {weight}" for name, weight in self.weights.items() if not 0 < weight < math.inf]
        if wrong or not self.weights:
            raise PlacementError(
                f"points cannot be spread over these shards ({'; '.join(wrong) or 'there is none'}): expected one "
                "or more, each with a weight above 0"
            )

    def home(self, id_: str) -> str:
        """The shard that a point lives on."""
        return max(self.weights, key=lambda name: (_drawn(name, id_, self.weights[name]), name))


class Placing(msgspec.Struct, frozen=True, kw_only=True):
    """How the points are spread now; every call goes by the one that it found when it began.

    Attributes:
        home: Where points are written to, read and searched.
        following: Where they are written to as well, while it is filled; None while none is.
        strays: Whether a shard may hold points that do not live there: copies for `following`, or what is left of
            the placement before.
    """

    home: Placement
    following: Placement | None = None
    strays: bool = False


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """How far a change of shards is: what one that was cut off goes on from.

    Attributes:
        target: What it leads to.
        collection: The physical collection that is copied now; those before it, by name, are done.
        shard: The shard of it that is copied now; those before it, by name, are done.
        after: The id of the last point of that which was looked at.
        moved: How many points had to move so far.
    """

    target: Placement
    collection: str = ""
    shard: str = ""
    after: str = ""
    moved: int = 0


class Placings(Protocol):
    """Where all processes that use the same shards read how the points are spread."""

    def read(self) -> Placing:
        """The one that holds now."""
        ...

    def write(self, placing: Placing) -> None:
        """Every call that begins from now on goes by this one."""
        ...

    def checkpoint(self) -> Checkpoint | None:
        """How far a change is; None while none is under way."""
        ...

    def keep(self, checkpoint: Checkpoint | None) -> None:
        """Remember how far a change is."""
        ...


class _Kept(msgspec.Struct, frozen=True):
    placing: Placing
    checkpoint: Checkpoint | None = None


class FilePlacings:
    """`Placings` in one file, for the processes of one machine or of a folder that machines share.

    Args:
        file: Where; it is made where it is not there.
        first: How the points are spread while the file is not there.
    """

    def __init__(self, file: Path, first: Placement) -> None:
        self._file = file
        if not file.exists():
            self._replace(_Kept(Placing(home=first)))

    def read(self) -> Placing:
        """See `Placings.read`."""
        return self._kept().placing

    def write(self, placing: Placing) -> None:
        """See `Placings.write`."""
        self._replace(msgspec.structs.replace(self._kept(), placing=placing))

    def checkpoint(self) -> Checkpoint | None:
        """See `Placings.checkpoint`."""
        return self._kept().checkpoint

    def keep(self, checkpoint: Checkpoint | None) -> None:
        """See `Placings.keep`."""
        self._replace(msgspec.structs.replace(self._kept(), checkpoint=checkpoint))

    def _kept(self) -> _Kept:
        try:
            return decoder(_Kept).decode(self._file.read_bytes())
        except (OSError, msgspec.MsgspecError) as error:
            raise PlacementError(
                f"{self._file} does not say how the points are spread ({error}): bring it back from a backup; a wrong "
                "guess would hide points that are there"
            ) from error

    def _replace(self, kept: _Kept) -> None:
        replace_file(self._file, msgspec.json.encode(kept))


def shards_for(points: int, *, limit: int = POINTS_A_SHARD) -> int:
    """How many shards so many points want, each holding at most `limit` if they are spread evenly."""
    return max(1, math.ceil(points / limit))


def evenly(names: Sequence[str]) -> Placement:
    """Shards of one size."""
    return Placement(dict.fromkeys(names, 1.0))


def _drawn(name: str, id_: str, weight: float) -> float:
    """The shard's number for the point: the greater the weight, the more often it is the greatest."""
    digest = hashlib.blake2b(f"{name}\0{id_}".encode(), digest_size=8).digest()
    return -weight / math.log(((int.from_bytes(digest, "big") >> 12) + 0.5) / 2**52)
