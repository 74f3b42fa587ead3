"""The project's own code in a function: `functions/`, whole, without the adapters of other targets.

All of it, since the plan of a workflow is made of all its agents, and little of it is not reached from there: functions
with the same packages then share one zip, and what is imported late is there.
"""

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from infra.bundling.bytecode import compile_folder, compiled_with
from infra.bundling.keeping import digest, made_folder

_LEFT_OUT: Final = ("functions/adapters/local", "functions/adapters/gcp", "functions/adapters/azure")
_SUFFIXES: Final = frozenset({".py", ".txt"})


def key(root: Path, python: str) -> str:
    """Of all that decides what is in the tree."""
    files = {name: hashlib.sha256(file.read_bytes()).hexdigest() for name, file in _files(root)}
    return digest([Path(__file__).read_bytes(), files, python, compiled_with(python)])


def tree(root: Path, python: str, kept: Path) -> Path:
    """The folder below `kept` with the project's code, made if it is not there yet.

    Raises:
        TroupeError: A module is no Python of this version.
    """
    made = kept / f"functions-{key(root, python)[:16]}"
    if not made.is_dir():
        with made_folder(made) as draft:
            for name, file in _files(root):
                (draft / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, draft / name)
            compile_folder(draft, python)
    return made


def _files(root: Path) -> Iterator[tuple[str, Path]]:
    for file in sorted((root / "functions").rglob("*")):
        name = file.relative_to(root).as_posix()
        if file.suffix in _SUFFIXES and file.is_file() and not name.startswith(tuple(f"{each}/" for each in _LEFT_OUT)):
            yield name, file
