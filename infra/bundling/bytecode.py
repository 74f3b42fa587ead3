"""Compiled modules: a function's disk is read-only, so that it would compile every module at every cold start.

The bytecode is not checked against its source (`unchecked-hash`), and so holds no time of a file.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

from functions.errors import TroupeError

#: Reads pairs from standard input: a module, and its name in the bundle, which is what tracebacks call it.
_COMPILE: Final = """
import json, py_compile, sys
for file, name in json.load(sys.stdin):
    py_compile.compile(file, dfile=name, doraise=True, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
"""


@cache
def interpreter(python: str) -> str:
    """The path of an interpreter of this minor version, the only kind that can compile for it; empty without one."""
    if python == f"{sys.version_info.major}.{sys.version_info.minor}":
        return sys.executable
    return next((found for found in _candidates(python) if _version(found) == python), "")


def compile_folder(folder: Path, python: str) -> None:
    """Put the bytecode of each module in a folder beside it, where there is an interpreter that can.

    In a process of its own and in the order of names: what an interpreter did before shows in what it writes.

    Raises:
        TroupeError: A module is no Python of this version.
    """
    chosen = interpreter(python)
    if not chosen:
        return
    modules = sorted(folder.rglob("*.py"))
    pairs = [(str(module), module.relative_to(folder).as_posix()) for module in modules]
    done = subprocess.run(  # noqa: S603 - an interpreter of Python
        [chosen, "-I", "-S", "-c", _COMPILE],
        input=json.dumps(pairs),
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONHASHSEED": "0"},
    )
    if done.returncode:
        raise TroupeError(f"{folder} cannot be compiled for Python {python}: {done.stderr.strip()[-500:]}")


def _candidates(python: str) -> Iterator[str]:
    """On PATH, among pyenv's, among uv's."""
    name = f"python{python}"
    if found := shutil.which(name):
        yield found
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    yield from (str(each) for each in sorted(root.glob(f"versions/{python}.*/bin/{name}")))
    root = Path(os.environ.get("UV_PYTHON_INSTALL_DIR", Path.home() / ".local/share/uv/python"))
    yield from (str(each) for each in sorted(root.glob(f"cpython-{python}.*/bin/{name}")))


def _version(found: str) -> str:
    """Empty for what cannot be run: pyenv puts commands on PATH that name versions it does not use."""
    done = subprocess.run(  # noqa: S603 - asks an interpreter which one it is
        [found, "-I", "-S", "-c", "import sys; print('{}.{}'.format(*sys.version_info))"],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip()
