"""Blobs as files, one each, written beside their place and then moved there.

Who writes one holds a lock that many may share; who erases a conversation holds it alone, in whichever process. So
what a delivery stores is there before its conversation is erased, or not at all.
"""

import fcntl
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import datetime
from pathlib import Path

from functions.adapters.files import sync_folder
from functions.errors import TroupeError
from functions.ports.blobs import PREFIX_CHARACTERS

KEY = re.compile(r"[A-Za-z0-9_-]{1,128}")


class BlobError(TroupeError):
    """A blob could not be written; nothing of it was kept."""


class LocalBlobs:
    """The `Blobs` port on a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def put(self, key: str, data: bytes) -> None:
        """See `Blobs.put`."""
        self.put_if(lambda: True, key, data)

    def put_if(self, wanted: Callable[[], bool], key: str, data: bytes) -> None:
        """The same, where it is still wanted once nobody can erase it any more before it is there."""
        path = self._path(key)
        try:
            with self._locked(fcntl.LOCK_SH):
                if wanted():
                    self._write(path, data)
        except OSError as error:
            raise BlobError(
                f"{path} could not be written ({error.strerror or error}): free space there, or see that it may be "
                "written; nothing of it was kept"
            ) from error

    def get(self, key: str) -> bytes:
        """See `Blobs.get`."""
        try:
            return self._path(key).read_bytes()
        except FileNotFoundError as error:
            raise KeyError(key) from error

    def keys(self, *prefixes: str) -> list[str]:
        """The keys that begin in one of these ways, in order."""
        return self._names(prefixes)

    def has(self, key: str) -> bool:
        """Whether there is a blob of this key."""
        return KEY.fullmatch(key) is not None and self._path(key).exists()

    def remains(self, prefix: str) -> list[str]:
        """What a crash left of blobs that were being written under such keys; asked by whoever is `alone`."""
        return self._names([_remains_of(prefix)])

    def remove(self, names: Iterable[str]) -> None:
        """Remove what `keys` and `remains` named; what is gone already is no error.

        Raises:
            KeyError: A name is none that they give; nothing was removed.
        """
        paths = [self._folder / _as_named(name) for name in names]
        if not paths:
            return
        for path in paths:
            path.unlink(missing_ok=True)
        sync_folder(self._folder)

    def alone(self) -> AbstractContextManager[None]:
        """For as long as it is entered, nobody writes a blob."""
        return self._locked(fcntl.LOCK_EX)

    def remove_older(self, than: datetime) -> None:
        """Remove every blob that was written before."""
        for path in self._folder.iterdir():
            with suppress(FileNotFoundError):  # another process may be at it
                if path.stat().st_mtime < than.timestamp():
                    path.unlink()

    def _write(self, path: Path, data: bytes) -> None:
        descriptor, name = tempfile.mkstemp(dir=self._folder, prefix=f".{path.name[:PREFIX_CHARACTERS]}")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(descriptor)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        sync_folder(self._folder)  # an envelope that is committed next refers to it

    @contextmanager
    def _locked(self, how: int) -> Iterator[None]:
        with self._folder.with_name(f"{self._folder.name}.lock").open("a") as file:
            fcntl.flock(file, how)
            yield

    def _names(self, beginnings: Sequence[str]) -> list[str]:
        return sorted(path.name for path in self._folder.iterdir() if path.name.startswith(tuple(beginnings)))

    def _path(self, key: str) -> Path:
        if not KEY.fullmatch(key):
            raise KeyError(key)
        return self._folder / key


def _remains_of(prefix: str) -> str:
    return f".{prefix[:PREFIX_CHARACTERS]}"


def _as_named(name: str) -> str:
    if not KEY.fullmatch(name.removeprefix(".")):
        raise KeyError(name)
    return name


class LocalTexts(LocalBlobs):
    """The `KeptBlobs` port on a folder: under a prefix is also what a crash left of those that were being written."""

    def keys(self, *prefixes: str) -> list[str]:
        """See `KeptBlobs.keys`."""
        return self._names([*prefixes, *(_remains_of(each) for each in prefixes)])


class BlobsOfDelivery:
    """The `Blobs` port for one delivery: what it puts once its conversation was erased is dropped.

    Args:
        blobs: Everybody's.
        is_there: Whether the event of the delivery is still in the queue.
    """

    def __init__(self, blobs: LocalBlobs, is_there: Callable[[], bool]) -> None:
        self._blobs = blobs
        self._is_there = is_there

    def put(self, key: str, data: bytes) -> None:
        """See `Blobs.put`."""
        self._blobs.put_if(self._is_there, key, data)

    def get(self, key: str) -> bytes:
        """See `Blobs.get`."""
        return self._blobs.get(key)
