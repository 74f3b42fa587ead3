"""The files of a wheel as a function carries them: fetched by uv, without what nothing loads, compiled.

uv fetches it from the index that this machine is set up for, checks it against the hash in the lock and keeps it: a
wheel is downloaded once. Neither a compiler nor the function's own architecture is needed.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Final

from functions.errors import TroupeError
from infra.bundling import bytecode
from infra.bundling.bytecode import compile_folder, compiled_with
from infra.bundling.keeping import digest, made_folder
from infra.bundling.lock import Target, Wheel

_ROOT: Final = Path(__file__).parents[2]
_MADE_BY: Final = (Path(__file__), Path(bytecode.__file__))

#: What an installer leaves (bytecode too, where this machine's uv makes it), and what a wheel holds for compilers, type
#: checkers and its own tests. METADATA stays: a scanner for known weaknesses reads it.
_NEVER_LOADED: Final = (
    ".lock",
    "bin/*",
    "*.dist-info/INSTALLER",
    "*.dist-info/RECORD",
    "*.dist-info/REQUESTED",
    "*.dist-info/direct_url.json",
    "*.dist-info/uv_*.json",
    "*.dist-info/sboms/*",
    "*/tests/*",
    "*.a",
    "*.c",
    "*.h",
    "*.pxd",
    "*.pyc",
    "*.pyi",
    "*.pyx",
)
_NEVER_LOADED_OF: Final[Mapping[str, tuple[str, ...]]] = {
    "numpy": ("numpy/_pyinstaller/*", "numpy/f2py/*", "numpy/polynomial/*", "numpy/random/*", "numpy/testing/*"),
    "phonenumbers": ("phonenumbers/carrierdata/*", "phonenumbers/geodata/*", "phonenumbers/tzdata/*"),
    "onnxruntime": ("onnxruntime/quantization/*", "onnxruntime/tools/*", "onnxruntime/transformers/*"),
}


def key(wheel: Wheel, target: Target) -> str:
    """Of all that decides what is in a tree."""
    made_by = [file.read_bytes() for file in _MADE_BY]
    return digest([made_by, wheel.sha256, target, compiled_with(target.python)])


def tree(wheel: Wheel, target: Target, kept: Path) -> Path:
    """The folder below `kept` with the files of a wheel, made if it is not there yet.

    Raises:
        TroupeError: uv cannot fetch it.
    """
    made = kept / f"{wheel.package}-{wheel.version}-{key(wheel, target)[:16]}"
    if not made.is_dir():
        with made_folder(made) as draft:
            _install(wheel, target, draft)
            _trim(draft, _trimmed(wheel))
            compile_folder(draft, target.python)
    return made


def _trimmed(wheel: Wheel) -> tuple[str, ...]:
    return (*_NEVER_LOADED, *_NEVER_LOADED_OF.get(wheel.package, ()))


def _install(wheel: Wheel, target: Target, folder: Path) -> None:
    """By the hash of this one wheel, so that uv can choose no other."""
    wanted = f"{wheel.package}=={wheel.version} --hash=sha256:{wheel.sha256}\n"
    done = subprocess.run(  # noqa: S603 - uv
        [
            *(_uv(), "pip", "install", "--quiet", "--target", str(folder), "--requirements", "-"),
            *("--no-deps", "--only-binary", ":all:", "--require-hashes", "--link-mode", "copy"),
            *("--python", sys.executable, "--python-version", target.newest),
            *("--python-platform", f"{target.machine}-manylinux_2_{target.glibc}"),
        ],
        input=wanted,
        capture_output=True,
        text=True,
        check=False,
        cwd=_ROOT,
        env={**os.environ, "UV_PYTHON_DOWNLOADS": "never"},
    )
    if done.returncode:
        raise TroupeError(f"uv could not fetch {wheel.file} of uv.lock: {done.stderr.strip()[-500:]}")


def _uv() -> str:
    found = shutil.which("uv") or shutil.which("uv", path=str(_ROOT / ".tools" / "bin"))
    if not found:
        raise TroupeError(
            "uv, which fetches what functions are bundled with, is not there: run `make test`, or install it"
        )
    return found


def _trim(folder: Path, patterns: Iterable[str]) -> None:
    """A pattern's `*` goes over folders, too."""
    patterns = tuple(patterns)
    for file in [each for each in folder.rglob("*") if each.is_file()]:
        if any(fnmatch(file.relative_to(folder).as_posix(), pattern) for pattern in patterns):
            file.unlink()
