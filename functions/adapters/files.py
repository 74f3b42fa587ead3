"""Files that are on disk when a call returns: a machine that loses its power then still has them."""

import os
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Bring to disk which files a folder has: the name of a new one, or of one that was moved, is there only then.

    Raises:
        OSError: It cannot be.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_file(file: Path, data: bytes) -> None:
    """Let a file hold this from now on: whoever reads it finds all of it, or all of what was there before.

    Raises:
        OSError: It cannot be brought to disk; the file holds one or the other, whole.
    """
    draft = file.with_name(f"{file.name}.draft")
    with draft.open("wb") as opened:
        opened.write(data)
        opened.flush()
        os.fsync(opened.fileno())
    draft.replace(file)
    sync_folder(file.parent)
