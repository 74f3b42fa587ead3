"""Which wheels `uv.lock` names for a package and what it imports, for one version of Python on one architecture.

uv.lock is TOML: `[[package]]` with name, version, `dependencies` (name, marker, and the version where several are
locked) and `wheels` (url, hash, size). Markers are read as the function would read them, not as this machine does.
"""

import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
from packaging.markers import Marker
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import parse_wheel_filename

from functions.errors import TroupeError

Architecture = Literal["arm64", "x86_64"]

_MACHINES: Final = {"arm64": "aarch64", "x86_64": "x86_64"}
_OLDEST_GLIBC: Final = {"aarch64": 17, "x86_64": 5}
_LEGACY: Final = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}

#: What a package names as needed, and imports only for what is not done here.
_NOT_IMPORTED: Final[Mapping[str, frozenset[str]]] = {
    "onnxruntime": frozenset({"flatbuffers", "packaging", "protobuf"}),  # to change a graph
    "tokenizers": frozenset({"huggingface-hub"}),  # to download a tokenizer
}


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Where a function runs.

    Attributes:
        python: E.g. `3.13`.
        architecture: As Lambda calls it.
        glibc: The minor version of its C library, which a wheel may not exceed.
    """

    python: str
    architecture: Architecture
    glibc: int

    @property
    def machine(self) -> str:
        """As Python calls the architecture."""
        return _MACHINES[self.architecture]

    @property
    def newest(self) -> str:
        """A full version: Lambda, and whoever keeps a machine up to date, runs the last patch release."""
        return f"{self.python}.99"

    def __str__(self) -> str:
        return f"Python {self.python} on {self.architecture} with glibc 2.{self.glibc}"


class Wheel(msgspec.Struct, frozen=True, kw_only=True):
    """A wheel that the lock names.

    Attributes:
        sha256: In hexadecimal.
        size: In bytes.
    """

    package: str
    version: str
    file: str
    sha256: str
    size: int


Locked = Sequence[Mapping[str, Any]]


def read_lock(file: Path) -> Locked:
    """The packages that a lock names."""
    packages: Locked = tomllib.loads(file.read_text("utf-8"))["package"]
    return packages


def wheels(packages: Iterable[str], locked: Locked, target: Target) -> list[Wheel]:
    """One wheel for each of these packages and for each that they import, by name.

    Raises:
        TroupeError: The lock names none, or none that runs there: all of those at once.
    """
    environment = _environment(target)
    tags = {tag: at for at, tag in enumerate(_tags(target))}
    found: dict[str, Wheel | str] = {}
    waiting = list(_asked(packages, locked, environment))
    while waiting:
        package = waiting.pop()
        name = package["name"]
        if name not in found:
            found[name] = _wheel(package, tags) or f"{name} {package['version']}"
            waiting.extend(_needed(package, locked, environment))
    missing = sorted(each for each in found.values() if isinstance(each, str))
    if missing:
        raise TroupeError(
            f"uv.lock names no wheel for {target} of {', '.join(missing)}: choose another runtime or architecture, or "
            "lock a version that has one"
        )
    return sorted((each for each in found.values() if isinstance(each, Wheel)), key=lambda each: each.package)


def _asked(names: Iterable[str], locked: Locked, environment: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
    """The project's own dependencies decide which of several locked versions is meant."""
    project = next(each for each in locked if "registry" not in each["source"])
    for name in names:
        its = [each for each in project["dependencies"] if each["name"] == name]
        chosen = [each for each in its if _applies(each, environment)]
        if not chosen:
            raise TroupeError(f"{name} is to be bundled, and is no dependency of {project['name']} in uv.lock: add it")
        yield _package(chosen[0], locked)


def _needed(package: Mapping[str, Any], locked: Locked, environment: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
    left_out = _NOT_IMPORTED.get(package["name"], frozenset())
    for dependency in package.get("dependencies", ()):
        if dependency["name"] not in left_out and _applies(dependency, environment):
            yield _package(dependency, locked)


def _applies(dependency: Mapping[str, Any], environment: Mapping[str, str]) -> bool:
    return "marker" not in dependency or Marker(dependency["marker"]).evaluate(dict(environment))


def _package(dependency: Mapping[str, Any], locked: Locked) -> Mapping[str, Any]:
    return next(
        each
        for each in locked
        if each["name"] == dependency["name"] and each["version"] == dependency.get("version", each["version"])
    )


def _wheel(package: Mapping[str, Any], tags: Mapping[Tag, int]) -> Wheel | None:
    """The wheel that an installer would take: the one whose tag says most."""
    ranked = []
    for each in package.get("wheels", ()):
        file = each["url"].rpartition("/")[2]
        fitting = [tags[tag] for tag in parse_wheel_filename(file)[3] if tag in tags]
        if fitting:
            ranked.append((min(fitting), file, each))
    if not ranked:
        return None
    _, file, each = min(ranked, key=lambda one: one[:2])
    return Wheel(
        package=package["name"],
        version=package["version"],
        file=file,
        sha256=each["hash"].removeprefix("sha256:"),
        size=each["size"],
    )


def _tags(target: Target) -> Iterator[Tag]:
    version = tuple(int(part) for part in target.python.split("."))
    platforms = list(_platforms(target))
    yield from cpython_tags(version, platforms=platforms)
    yield from compatible_tags(version, f"cp{target.python.replace('.', '')}", platforms)


def _platforms(target: Target) -> Iterator[str]:
    for minor in range(target.glibc, _OLDEST_GLIBC[target.machine] - 1, -1):
        yield f"manylinux_2_{minor}_{target.machine}"
        if minor in _LEGACY:
            yield f"{_LEGACY[minor]}_{target.machine}"
    yield f"linux_{target.machine}"


def _environment(target: Target) -> dict[str, str]:
    """What markers ask for."""
    return {
        "implementation_name": "cpython",
        "implementation_version": target.newest,
        "os_name": "posix",
        "platform_machine": target.machine,
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": "Linux",
        "platform_version": "",
        "python_full_version": target.newest,
        "python_version": target.python,
        "sys_platform": "linux",
    }
