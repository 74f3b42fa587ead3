"""What is deployed as each function's code: a zip, and a layer for the libraries that make vectors.

    python -m infra.bundle [--host]     makes them, and prints their sizes beside Lambda's limits

Same inputs, same SHA-256 on any machine. The inputs are uv.lock, `functions/`, this module with `infra/bundling`, the
stack's settings, and the version of the Python that compiles, which has to be of the function's minor version.
"""

import argparse
import hashlib
import platform
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from pathlib import Path, PurePath
from typing import Final

import msgspec

from functions.adapters.encoders.minilm_artefact import PRECISIONS, check_folder, verify_folder
from functions.errors import TroupeError
from functions.ports.encoders import EncoderError
from functions.runtime.topology import topology
from functions.runtime.workflow import Plan
from functions.workflows.catalog import WORKFLOWS
from infra.bundling import needs, sources, trees
from infra.bundling.archive import Files, files_of, write_zip
from infra.bundling.bundles import MOST_UNZIPPED, Bundle, Bundles, Zip, largest, megabytes
from infra.bundling.bytecode import compiled_with
from infra.bundling.keeping import digest, made_file
from infra.bundling.lock import Architecture, Locked, Target, read_lock, wheels
from infra.bundling.needs import ENCODING, Needs
from infra.settings import Settings

ROOT: Final = Path(__file__).parents[1]
ENCODERS: Final = "encoders"  # the folder of the artefacts, beside the packages

_MADE_BY: Final = (Path(__file__), *sorted((Path(__file__).parent / "bundling").glob("*.py")))
LAYER: Final = "encoding"  # the name of the layer

_LAYER_ROOT: Final = "python/"  # of a layer, this is what Lambda puts on sys.path: /opt/python
_LARGEST: Final = 5
_GLIBC: Final = 34  # of Amazon Linux 2023, which all runtimes that a stack may have run on
_AT_A_TIME: Final = 4


class _Contents(msgspec.Struct, frozen=True, kw_only=True):
    """What a zip is made of, beside what all are made of.

    Attributes:
        what: How its name begins.
        code: The key of `functions/` as it is; empty where it is not in it.
        actions: The name of the file of declared actions, and its SHA-256; empty where there is none in it.
        under: What every name in the zip begins with.
    """

    what: str
    packages: tuple[str, ...]
    encoders: tuple[str, ...] = ()
    code: str = ""
    actions: tuple[str, ...] = ()
    under: str = ""


def lambda_target(settings: Settings) -> Target:
    """Where the functions of a stack run on AWS."""
    return Target(python=settings.runtime.removeprefix("python"), architecture=settings.architecture, glibc=_GLIBC)


def host_target() -> Target:
    """Where functions run on an emulator: this machine."""
    architecture: Architecture = "arm64" if platform.machine() in {"arm64", "aarch64"} else "x86_64"
    return Target(python=f"{sys.version_info.major}.{sys.version_info.minor}", architecture=architecture, glibc=28)


def bundles(
    plans: Sequence[Plan], settings: Settings, target: Target, *, root: Path = ROOT, kept: Path | None = None
) -> Bundles:
    """The bundle of every function of a stack; what was made before from the same is not made again.

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
    making = _Making(target, root, kept or root / ".troupe", settings.actions)
    found = Bundles(
        agents={name: making.bundle(needed) for name, needed in needs.agents(plans, settings).items()},
        services={name: making.bundle(needed) for name, needed in needs.services(settings).items()},
    )
    if too_large := [_too_large(name, each) for name, each in found.named() if each.unzipped > MOST_UNZIPPED]:
        raise TroupeError("; ".join(too_large))
    return found


def _too_large(name: str, bundle: Bundle) -> str:
    return (
        f"the function {name} is {megabytes(bundle.unzipped)} unzipped, and Lambda takes {megabytes(MOST_UNZIPPED)}: "
        "let its agent ask for less, or its collections for fewer encoders; the largest in it: "
        f"{largest(bundle, _LARGEST)}"
    )


def _known(record: Path, zipped: Path) -> Zip | None:
    """What was made before; None where that is not there, or not whole."""
    try:
        known = msgspec.json.decode(record.read_bytes(), type=Zip)
        return known if known.file == str(zipped) and zipped.stat().st_size == known.size else None
    except (OSError, msgspec.MsgspecError):
        return None


class _Making:
    """Bundles for one target. What is made is kept under the digest of what it is made of."""

    def __init__(self, target: Target, root: Path, kept: Path, actions: str) -> None:
        self._target = target
        self._root = root
        self._kept = kept
        self._actions = (actions, hashlib.sha256((root / actions).read_bytes()).hexdigest()) if actions else ()
        self._made_of = [
            hashlib.sha256((root / "uv.lock").read_bytes()).hexdigest(),
            *(hashlib.sha256(file.read_bytes()).hexdigest() for file in _MADE_BY),
            target,
            compiled_with(target.python),
        ]

    def bundle(self, needed: Needs) -> Bundle:
        """Of one function: what makes vectors is a layer, since it is large and the same for all that have it."""
        own = tuple(name for name in needed.packages if name not in ENCODING)
        code = self._zip(_Contents(what="code", packages=own, code=self._sources, actions=self._actions))
        if not needed.encoders:
            return Bundle(handler=needed.handler, code=code)
        layer = self._zip(_Contents(what=LAYER, packages=ENCODING, encoders=needed.encoders, under=_LAYER_ROOT))
        return Bundle(handler=needed.handler, code=code, layers=(layer,))

    def _zip(self, contents: _Contents) -> Zip:
        name = f"{contents.what}-{digest([self._made_of, contents])[:16]}"
        zipped, record = (self._kept / "bundles" / f"{name}.{suffix}" for suffix in ("zip", "json"))
        known = _known(record, zipped)
        if known is None:
            known = self._make(contents, zipped)
            with made_file(record) as draft:
                draft.write_bytes(msgspec.json.encode(known))
        return known

    def _make(self, contents: _Contents, zipped: Path) -> Zip:
        parts = self._parts(contents)
        with made_file(zipped) as draft:
            write_zip(draft, {name: file for part in parts.values() for name, file in part.items()})
            with draft.open("rb") as opened:
                sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
            size = draft.stat().st_size
        unzipped = {name: sum(file.stat().st_size for file in part.values()) for name, part in parts.items()}
        return Zip(file=str(zipped), sha256=sha256, size=size, parts=unzipped)

    def _parts(self, contents: _Contents) -> Mapping[str, Files]:
        chosen = wheels(contents.packages, self._locked, self._target)
        with ThreadPoolExecutor(_AT_A_TIME) as pool:
            folders = list(pool.map(partial(trees.tree, target=self._target, kept=self._kept / "wheels"), chosen))
        parts = {wheel.package: files_of(folder, contents.under) for wheel, folder in zip(chosen, folders, strict=True)}
        for version in contents.encoders:
            parts[version] = files_of(self._encoder(version), f"{contents.under}{ENCODERS}/{version}/")
        if contents.code:
            parts["functions"] = files_of(sources.tree(self._root, self._target.python, self._kept / "sources"))
        for name in contents.actions[:1]:
            parts["actions"] = {PurePath(name).as_posix(): self._root / name}
        return parts

    @cached_property
    def _locked(self) -> Locked:
        return read_lock(self._root / "uv.lock")

    @cached_property
    def _sources(self) -> str:
        return sources.key(self._root, self._target.python)

    def _encoder(self, version: str) -> Path:
        """The folder of an artefact, which is built first where it is not there."""
        folder = self._kept / "encoders" / version
        try:
            check_folder(folder, version)
        except EncoderError:
            from functions.adapters.encoders.minilm import built_encoder  # noqa: PLC0415 - slow, and needed once

            built_encoder(folder.parent, precision=next(each for each in PRECISIONS if each.version == version))
        verify_folder(folder, version)
        return folder


def main() -> None:
    """Make the bundles of all workflows under the settings that a stack has by default; print their sizes."""
    from infra.bundling.report import print_sizes  # noqa: PLC0415 - a preview prints no table

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", action="store_true", help="for this machine, as on an emulator")
    given = parser.parse_args()
    chosen = Settings()
    target = host_target() if given.host else lambda_target(chosen)
    print_sizes(bundles(list(topology(*WORKFLOWS.values()).values()), chosen, target), target)


if __name__ == "__main__":
    main()
