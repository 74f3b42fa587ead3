"""Builds the search index of a Qdrant Edge shard that nobody else has open, in a process of its own.

    python -m functions.adapters.vectors.edge_index <folder of the shard>

While Edge builds an index, no other thread of its process runs: for minutes, where points are many. Here that is
nobody's. Whoever answers others goes first.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from functions.adapters.vectors.edge_folders import Marker, config_of, read_marker
from functions.ports.vector_stores import RefusedError

if TYPE_CHECKING:
    import qdrant_edge

#: A segment with less is searched as fast without an index, and Edge builds none: so many bytes of vectors.
SMALLEST_BYTES: Final = 10_000 * 1024
#: A whole collection is copied for its index: that is not worth it for less of its points.
SMALLEST_SHARE: Final = 0.1
_NICENESS: Final = 10


def begin(shard: Path) -> "subprocess.Popen[str]":
    """Begin to build the index of a shard that is closed."""
    command = [sys.executable, "-m", __name__, str(shard)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)  # noqa: S603 - ours


def end(builder: "subprocess.Popen[str]") -> None:
    """Wait until it is built.

    Raises:
        RefusedError: It could not be; or the builder was ended.
    """
    _, said = builder.communicate()
    if builder.returncode:
        why = said.strip().splitlines()[-1] if said.strip() else f"ended with {builder.returncode}"
        raise RefusedError(f"the search index could not be built ({why}): the collection is as it was, try again")


def stop(builder: "subprocess.Popen[str]") -> None:
    """End a builder, so that it touches no file any more."""
    builder.kill()
    builder.wait()


def is_wanted(shard: "qdrant_edge.EdgeShard", marker: Marker) -> bool:
    """Whether so many points were stored since the index was built that it is worth another one.

    What Edge counts as indexed are vectors and words, and words are indexed at once: so what was stored since is what
    was counted since, or, of points without words, how many more there are.
    """
    found = shard.info()
    since = max(found.points_count - marker.indexed, found.indexed_vectors_count - marker.counted)
    return since * marker.dimension * 4 >= SMALLEST_BYTES and since >= found.points_count * SMALLEST_SHARE


def main() -> None:
    """Build it, in the format of today also where the shard was made before that."""
    import qdrant_edge as edge  # noqa: PLC0415 - slow, and not for those who begin

    os.nice(_NICENESS)
    path = Path(sys.argv[1])
    shard = edge.EdgeShard.load(str(path), config_of(read_marker(path.parent)))
    shard.optimize()
    shard.flush()
    shard.close()


if __name__ == "__main__":
    main()
