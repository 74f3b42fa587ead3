"""The log of a Qdrant Edge shard: what was written is on disk once the log is.

The engine applies a write to thirty files that it maps, and brings all of them to disk with `flush`, which takes 20 ms.
The log takes less than one: it is synced at every write, the rest is flushed from time to time. A shard that was
killed, or whose machine lost its power, does again what its log says.
"""

import os
from pathlib import Path

from functions.adapters.files import sync_folder
from functions.ports.vector_stores import RefusedError

_FOLDER = "wal"
_OPEN, _CLOSED = "open-", "closed-"
_sync = getattr(os, "fdatasync", os.fsync)  # macOS has the one, Linux both


class Log:
    """The log of one shard, in its folder."""

    def __init__(self, shard: Path) -> None:
        self._folder = shard / _FOLDER
        self._synced: frozenset[str] = frozenset()

    def sync(self) -> None:
        """Bring to disk what was written to it so far.

        Raises:
            RefusedError: It cannot be.
        """
        try:
            self._sync()
        except OSError as error:
            raise RefusedError(
                f"what was written to {self._folder} may not be on disk ({error.strerror or error}): mend that, and "
                "write it again"
            ) from error

    def _sync(self) -> None:
        """The engine closes a file of the log under another name: that one is synced once more, and then no more."""
        names = frozenset(path.name for path in self._folder.iterdir())
        closed = {name for name in names if name.startswith(_CLOSED)}
        for name in {name for name in names if name.startswith(_OPEN)} | (closed - self._synced):
            try:
                file = os.open(self._folder / name, os.O_RDONLY)
            except FileNotFoundError:  # it was closed just now
                return self._sync()
            try:
                _sync(file)
            finally:
                os.close(file)
        if names != self._synced:
            sync_folder(self._folder)
        self._synced = names
        return None
