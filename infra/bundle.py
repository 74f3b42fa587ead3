"""What is deployed as each function's code: a zip of its own, and a layer for the libraries that make vectors.

    python -m infra.bundle [--architecture x86_64] [--python 3.12]   makes them; their sizes beside Lambda's limits

Same inputs, same SHA-256 on any machine. The inputs are uv.lock, `functions/`, this module with `infra/bundling`, the
stack's settings, and whether the machine has a Python of the function's minor version, which alone can compile for it.
"""

import base64
import hashlib
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from pathlib import Path
from typing import Final

import msgspec

from functions.adapters.encoders.minilm import built_encoder
from functions.adapters.encoders.minilm_artefact import PRECISIONS
from functions.errors import TroupeError
from functions.runtime.workflow import Plan
from infra.bundling import sources, trees
from infra.bundling.archive import Files, files_of, write_zip
from infra.bundling.bytecode import interpreter
from infra.bundling.keeping import digest, made_file
from infra.bundling.lock import Architecture, Locked, Target, Wheel, read_lock, wheels
from infra.bundling.needs import ENCODING, Needs, needs
from infra.settings import Settings

ROOT: Final = Path(__file__).parents[1]
MOST_UNZIPPED: Final = 250 * 1024 * 1024  # of a function with its layers
MOST_DIRECT: Final = 50 * 1024 * 1024  # of a zip in a call; what is larger is put into a bucket first

ENCODERS: Final = "encoders"  # the folder of the artefacts, beside the packages

_MADE_BY: Final = (Path(__file__), *sorted((Path(__file__).parent / "bundling").glob("*.py")))
_LAYER_ROOT: Final = "python/"  # of a layer, this is what Lambda puts on sys.path: /opt/python
_LARGEST: Final = 5
_GLIBC: Final = {"3.11": 17}  # Amazon Linux 2 has 2.26, where uv knows 2.17; all newer runtimes have 2.34
_NEWER_GLIBC: Final = 34
_AT_A_TIME: Final = 4


class Zip(msgspec.Struct, frozen=True, kw_only=True):
    """A zip that is deployed.

    Attributes:
        file: Where it is.
        sha256: Of the file, in hexadecimal.
        size: Of the file, in bytes.
        parts: Unzipped bytes of each package, of `functions` and of each encoder.
    """

    file: str
    sha256: str
    size: int
    parts: Mapping[str, int]

    @property
    def unzipped(self) -> int:
        """Bytes, as Lambda counts them."""
        return sum(self.parts.values())

    @property
    def base64_sha256(self) -> str:
        """As Lambda tells the digest of a function's code."""
        return base64.b64encode(bytes.fromhex(self.sha256)).decode()


class Bundle(msgspec.Struct, frozen=True, kw_only=True):
    """What one function is deployed from.

    Attributes:
        layers: In the order in which Lambda unpacks them.
    """

    handler: str
    code: Zip
    layers: tuple[Zip, ...] = ()

    @property
    def unzipped(self) -> int:
        """Bytes, as Lambda counts them against `MOST_UNZIPPED`."""
        return self.code.unzipped + sum(layer.unzipped for layer in self.layers)


class _Contents(msgspec.Struct, frozen=True, kw_only=True):
    """What a zip is made of, beside what all are made of.

    Attributes:
        without: Packages that are elsewhere, with what they import.
        code: The key of `functions/` as it is; empty where it is not in it.
        under: What every name in the zip begins with.
    """

    packages: tuple[str, ...]
    without: tuple[str, ...] = ()
    encoders: tuple[str, ...] = ()
    code: str = ""
    under: str = ""


def lambda_target(settings: Settings) -> Target:
    """Where the functions of a stack run on AWS."""
    python = settings.runtime.removeprefix("python")
    return Target(python=python, architecture=settings.architecture, glibc=_GLIBC.get(python, _NEWER_GLIBC))


def host_target() -> Target:
    """Where functions run on an emulator: this machine."""
    architecture: Architecture = "arm64" if platform.machine() in {"arm64", "aarch64"} else "x86_64"
    return Target(python=f"{sys.version_info.major}.{sys.version_info.minor}", architecture=architecture, glibc=28)


def bundles(
    plans: Sequence[Plan], settings: Settings, target: Target, *, root: Path = ROOT, kept: Path | None = None
) -> dict[str, Bundle]:
    """The bundle of every function of a stack, by its name; what was made before from the same is not made again.

    Args:
        plans: Of the deployed workflows.
        settings: The stack's.
        target: Where its functions run.
        root: The project's.
        kept: Where wheels, encoders and zips are kept; `.troupe` of the project unless it is said.

    Raises:
        TroupeError: Some are larger than Lambda takes: all of them, with what is large in them. Or a wheel is not to
            be had.
    """
    making = _Making(target, root, kept or root / ".troupe")
    asked = needs(plans, settings)
    found = {name: making.bundle(needed) for name, needed in asked.items()}
    if too_large := [_too_large(name, each) for name, each in found.items() if each.unzipped > MOST_UNZIPPED]:
        raise TroupeError("; ".join(too_large))
    return found


def _too_large(name: str, bundle: Bundle) -> str:
    parts = sorted(((size, part) for each in (bundle.code, *bundle.layers) for part, size in each.parts.items()))
    largest = ", ".join(f"{part} {_mb(size)}" for size, part in reversed(parts[-_LARGEST:]))
    return (
        f"the function {name} is {_mb(bundle.unzipped)} unzipped, and Lambda takes {_mb(MOST_UNZIPPED)}: let its agent "
        f"ask for less, or its collections for fewer encoders; the largest in it: {largest}"
    )


def _mb(size: int) -> str:
    return f"{size / 1024 / 1024:.1f} MB"


class _Making:
    """Bundles for one target. What is made is kept under the digest of what it is made of."""

    def __init__(self, target: Target, root: Path, kept: Path) -> None:
        self._target = target
        self._root = root
        self._kept = kept
        self._made_of = [
            hashlib.sha256((root / "uv.lock").read_bytes()).hexdigest(),
            *(hashlib.sha256(file.read_bytes()).hexdigest() for file in _MADE_BY),
            target,
            bool(interpreter(target.python)),
        ]

    def bundle(self, needed: Needs) -> Bundle:
        """Of one function: what makes vectors is a layer, since it is large and the same for all that have it."""
        code = self._zip(_Contents(packages=needed.packages, without=ENCODING, code=self._sources))
        if not needed.encoders:
            return Bundle(handler=needed.handler, code=code)
        layer = self._zip(_Contents(packages=ENCODING, encoders=needed.encoders, under=_LAYER_ROOT))
        return Bundle(handler=needed.handler, code=code, layers=(layer,))

    def _zip(self, contents: _Contents) -> Zip:
        record = self._kept / "bundles" / f"{digest([self._made_of, contents])}.json"
        try:
            known = msgspec.json.decode(record.read_bytes(), type=Zip)
            if Path(known.file).stat().st_size == known.size:
                return known
        except (OSError, msgspec.MsgspecError):
            pass  # it is not there, or not whole: it is made
        made = self._make(contents)
        with made_file(record) as draft:
            draft.write_bytes(msgspec.json.encode(made))
        return made

    def _make(self, contents: _Contents) -> Zip:
        parts = self._parts(contents)
        files = {name: file for part in parts.values() for name, file in part.items()}
        with made_file(self._kept / "bundles" / f"{digest([self._made_of, contents])}.zip") as draft:
            write_zip(draft, files)
            with draft.open("rb") as opened:
                sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
            size = draft.stat().st_size
        return Zip(
            file=str(self._kept / "bundles" / f"{digest([self._made_of, contents])}.zip"),
            sha256=sha256,
            size=size,
            parts={name: sum(file.stat().st_size for file in part.values()) for name, part in parts.items()},
        )

    def _parts(self, contents: _Contents) -> dict[str, Files]:
        without = {each.package for each in self._wheels(contents.without)}
        chosen = [each for each in self._wheels(contents.packages) if each.package not in without]
        with ThreadPoolExecutor(_AT_A_TIME) as pool:
            folders = list(pool.map(partial(trees.tree, target=self._target, kept=self._kept / "wheels"), chosen))
        parts = {wheel.package: files_of(folder, contents.under) for wheel, folder in zip(chosen, folders, strict=True)}
        for version in contents.encoders:
            parts[version] = files_of(self._encoder(version), f"{contents.under}{ENCODERS}/{version}/")
        if contents.code:
            parts["functions"] = files_of(sources.tree(self._root, self._target.python, self._kept / "sources"))
        return parts

    def _wheels(self, packages: tuple[str, ...]) -> list[Wheel]:
        return wheels(packages, self._locked, self._target)

    @cached_property
    def _locked(self) -> Locked:
        return read_lock(self._root / "uv.lock")

    @cached_property
    def _sources(self) -> str:
        return sources.key(self._root, self._target.python)

    def _encoder(self, version: str) -> Path:
        """The folder of an artefact, which is built first where it is not there."""
        precision = next(each for each in PRECISIONS if each.version == version)
        return built_encoder(self._kept / "encoders", precision=precision).folder
