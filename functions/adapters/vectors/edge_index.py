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

from functions.adapters.vectors.edge_folders import config_of, read_marker
from functions.ports.vector_stores import RefusedError

if TYPE_CHECKING:
    import qdrant_edge

#: A segment with less is searched as fast without an index, and Edge builds none: so many bytes of vectors.
SMALLEST_BYTES: Final = 10_000 * 1024
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


def stop(builder: "subprocess.Popen[str] | None") -> None:
    """End a builder, if there is one, so that it touches no file any more."""
    if builder is not None:
        builder.kill()
        builder.wait()


def is_wanted(shard: "qdrant_edge.EdgeShard", dimension: int) -> bool:
    """Whether so many points have no index that one would be built."""
    found = shard.info()
    return (found.points_count - found.indexed_vectors_count) * dimension * 4 >= SMALLEST_BYTES


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
