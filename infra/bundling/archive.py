"""Zips that depend on nothing but the names and the bytes of what is in them.

Entries are in the order of their names, with one time and one mode, and are stored as they are: what deflate writes
differs between zlib and the libraries that stand in for it, and Lambda counts what is unzipped.
"""

import shutil
import stat
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_TIME: Final = (1980, 1, 1, 0, 0, 0)  # the first that a zip can tell
_MODE: Final = stat.S_IFREG | 0o644
_UNIX: Final = 3

Files = Mapping[str, Path]


def files_of(folder: Path, under: str = "") -> dict[str, Path]:
    """Every file in a folder, by its name in a zip."""
    return {f"{under}{file.relative_to(folder).as_posix()}": file for file in folder.rglob("*") if file.is_file()}


def write_zip(zipped: Path, files: Files) -> None:
    """Put these files into a zip."""
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_STORED) as opened:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, _TIME)
            entry.create_system = _UNIX
            entry.external_attr = _MODE << 16
            entry.file_size = files[name].stat().st_size
            with files[name].open("rb") as source, opened.open(entry, "w") as sink:
                shutil.copyfileobj(source, sink)
