"""The processes that share one store: each holds a lock on a file of its own for as long as it lives.

The lock goes with the process, however that ends, so nobody has to be asked and no clock decides who is gone.
"""

import fcntl
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

OPENING_S = 5.0  # that another process may take to open the store
PAUSE_S = 0.02


class Member:
    """This process among those that use the store in a folder.

    Attributes:
        id: Names it in the store.
    """

    def __init__(self, folder: Path) -> None:
        self.id = uuid.uuid4().hex[:12]
        self._folder = folder / "processes"
        self._folder.mkdir(exist_ok=True)
        self._file = self._joined()

    def _joined(self) -> IO[str]:
        coming = self._folder / f".{self.id}"  # the others look at it once it is locked
        file = coming.open("x")
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(str(os.getpid()))
        file.flush()
        coming.rename(self._folder / self.id)
        return file

    def living(self) -> dict[str, int]:
        """The process ids of all members that are alive, this one included; files of the others are removed."""
        found = {}
        for path in self._folder.iterdir():
            if path.name.startswith("."):
                continue
            with suppress(FileNotFoundError), path.open() as file:
                if path.name == self.id or _is_locked(file):
                    found[path.name] = int(file.read() or 0)
                else:
                    path.unlink()
        return found

    def leave(self) -> None:
        """From now on, this process is not alive to the others."""
        (self._folder / self.id).unlink(missing_ok=True)
        self._file.close()


def _is_locked(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    return False


class LockedError(Exception):
    """Another process holds the lock; its process id is the message, where it left one."""


@contextmanager
def locked(path: Path, *, patience_s: float = 0.0) -> Iterator[None]:
    """Hold the lock of a file, which then names this process.

    Raises:
        LockedError: Another process holds it, and still did after so many seconds.
    """
    until = time.monotonic() + patience_s
    with path.open("a+") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if time.monotonic() >= until:
                    file.seek(0)
                    raise LockedError(file.read().strip() or "unknown") from error
            time.sleep(PAUSE_S)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
