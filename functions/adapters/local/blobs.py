"""Blobs as files, one each, written beside their place and then moved there."""

import os
import re
import tempfile
from datetime import datetime
from pathlib import Path

from functions.errors import TroupeError

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
        path = self._path(key)
        try:
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

    def remove_older(self, than: datetime) -> None:
        """Remove every blob that was written before."""
        for path in self._folder.iterdir():
            if path.stat().st_mtime < than.timestamp():
                path.unlink()

    def _write(self, path: Path, data: bytes) -> None:
        descriptor, name = tempfile.mkstemp(dir=self._folder, prefix=".")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(descriptor)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        self._sync_folder()

    def _sync_folder(self) -> None:
        """A new name is on disk only once its folder is: an envelope that is committed next refers to it."""
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _path(self, key: str) -> Path:
        if not KEY.fullmatch(key):
            raise KeyError(key)
        return self._folder / key
