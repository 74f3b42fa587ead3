"""What is made once and kept under the digest of what it was made of; several processes may make it at a time."""

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec


def digest(made_of: object) -> str:
    """The SHA-256, in hexadecimal, of anything that msgspec can write down."""
    return hashlib.sha256(msgspec.json.encode(made_of, order="deterministic")).hexdigest()


@contextmanager
def made_folder(folder: Path) -> Iterator[Path]:
    """A draft that becomes `folder` when it is complete; where another process was first, what that made stays."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=folder.parent))
    try:
        yield draft
        with suppress(OSError):  # it is there
            draft.rename(folder)
        if not folder.is_dir():
            raise OSError(f"{folder} cannot be made: {folder.parent} has to be writable")
    finally:
        shutil.rmtree(draft, ignore_errors=True)


@contextmanager
def made_file(file: Path) -> Iterator[Path]:
    """A draft that replaces `file` when it is complete."""
    file.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".draft-", dir=file.parent))
    try:
        yield folder / file.name
        (folder / file.name).replace(file)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
