"""Compiled modules: a function's disk is read-only, so that it would compile every module at every cold start.

The bytecode is not checked against its source (`unchecked-hash`), and so holds no time of a file.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import msgspec

from functions.errors import TroupeError

#: Reads pairs from standard input: a module, and its name in the bundle, which is what tracebacks call it.
_COMPILE: Final = """
import json, py_compile, sys
for file, name in json.load(sys.stdin):
    py_compile.compile(file, dfile=name, doraise=True, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
"""


class Interpreter(msgspec.Struct, frozen=True):
    """An interpreter that can compile for a function.

    Attributes:
        version: To the patch release: two of them compile a few modules differently.
    """

    path: str
    version: str


@cache
def interpreter(python: str) -> Interpreter | None:
    """One of this minor version, since no other's bytecode is read; None where this machine has none."""
    if python == f"{sys.version_info.major}.{sys.version_info.minor}":
        return Interpreter(sys.executable, platform.python_version())
    versions = ((path, _version(path)) for path in _candidates(python))
    return next((Interpreter(path, found) for path, found in versions if found.startswith(f"{python}.")), None)


def compiled_with(python: str) -> str:
    """The full version of the interpreter that compiles; empty where bytecode is left out."""
    found = interpreter(python)
    return found.version if found else ""


def compile_folder(folder: Path, python: str) -> None:
    """Put the bytecode of each module in a folder beside it, where there is an interpreter that can.

    In a process of its own and in the order of names: what an interpreter did before shows in what it writes.

    Raises:
        TroupeError: A module is no Python of this version.
    """
    chosen = interpreter(python)
    if chosen is None:
        return
    modules = sorted(folder.rglob("*.py"))
    pairs = [(str(module), module.relative_to(folder).as_posix()) for module in modules]
    done = subprocess.run(  # noqa: S603 - an interpreter of Python
        [chosen.path, "-I", "-S", "-c", _COMPILE],
        input=json.dumps(pairs),
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONHASHSEED": "0"},
    )
    if done.returncode:
        raise TroupeError(f"{folder} cannot be compiled for Python {python}: {done.stderr.strip()[-500:]}")


def _candidates(python: str) -> Iterator[str]:
    """Among uv's, among pyenv's, on PATH: what pyenv puts there may be a command that only says it is not chosen."""
    name = f"python{python}"
    for variable, default, pattern in (
        ("UV_PYTHON_INSTALL_DIR", ".local/share/uv/python", f"cpython-{python}.*"),
        ("PYENV_ROOT", ".pyenv", f"versions/{python}.*"),
    ):
        root = Path(os.environ.get(variable, Path.home() / default))
        yield from (str(each) for each in sorted(root.glob(f"{pattern}/bin/{name}")))
    if found := shutil.which(name):
        yield found


def _version(found: str) -> str:
    """Empty for what cannot be run."""
    done = subprocess.run(  # noqa: S603 - asks an interpreter which one it is
        [found, "-I", "-S", "-c", "import platform; print(platform.python_version())"],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip()
