"""Blobs as files, one each, written beside their place and then moved there."""

import os
import re
import tempfile
from contextlib import suppress
from datetime import datetime
from pathlib import Path

KEY = re.compile(r"[A-Za-z0-9_-]{1,128}")


class LocalBlobs:
    """The `Blobs` port on a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def put(self, key: str, data: bytes) -> None:
        """See `Blobs.put`."""
        path = self._path(key)
        with tempfile.NamedTemporaryFile(dir=self._folder, prefix=".", delete=False) as file:
            try:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
                Path(file.name).replace(path)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise
        self._sync_folder()

    def get(self, key: str) -> bytes:
        """See `Blobs.get`."""
        try:
            return self._path(key).read_bytes()
        except FileNotFoundError as error:
            raise KeyError(key) from error

    def remove_older(self, than: datetime) -> None:
        """Remove every blob that was written before."""
        for path in self._folder.iterdir():
            with suppress(FileNotFoundError):  # another process may be at it
                if path.stat().st_mtime < than.timestamp():
                    path.unlink()

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
