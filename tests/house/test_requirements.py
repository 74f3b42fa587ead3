"""requirements.txt is what uv.lock says, and uv.lock is what pyproject.toml asks for."""

import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
Pinned = tuple[str, str]

#: Brings gigabytes, and nothing that runs needs it.
HEAVY = re.compile(r"(?:torch|nvidia|triton|cuda|sentence-transformers|transformers)\b")


def test_requirements_are_what_make_lock_exports() -> None:
    assert _exported() == _locked(), "run `make lock`"


def test_requirements_bring_no_torch() -> None:
    assert [name for name, _ in _exported() if HEAVY.match(name)] == []


def test_the_model_and_the_tools_bring_no_torch() -> None:
    groups = _troupe()["dev-dependencies"]
    by_default = _read("pyproject.toml")["tool"]["uv"]["default-groups"]
    found = _closure(dependency for group in by_default for dependency in groups[group])
    assert [name for name, _ in found if HEAVY.match(name)] == []


def test_the_lock_holds_what_pyproject_asks_for() -> None:
    project, asked = _read("pyproject.toml"), _troupe()["metadata"]
    assert _specified(asked["requires-dist"]) == sorted(map(_plain, project["project"]["dependencies"])), "make lock"
    groups = {group: _specified(each) for group, each in asked["requires-dev"].items()}
    assert groups == {group: sorted(map(_plain, each)) for group, each in project["dependency-groups"].items()}


def test_requirements_name_no_folder_and_no_other_index() -> None:
    text = (ROOT / "requirements.txt").read_text()
    assert [line for line in text.splitlines() if line.startswith(("-", "/", ".")) or "://" in line] == []


def _exported() -> dict[Pinned, frozenset[str]]:
    """The hashes of each name and version in requirements.txt."""
    text = (ROOT / "requirements.txt").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]
    found = {}
    for line in lines:
        pinned = re.match(r"([A-Za-z0-9._-]+)==([^\s;]+)", line)
        assert pinned, f"not pinned: {line}"
        found[pinned[1], pinned[2]] = frozenset(re.findall(r"--hash=(\S+)", line))
    return found


def _locked() -> dict[Pinned, frozenset[str]]:
    """The hashes of each package that what runs and what deploys depends on, however far away."""
    troupe = _troupe()
    groups = troupe["dev-dependencies"]
    return _closure([*troupe["dependencies"], *groups["infra"], *groups["aws"]])


def _closure(dependencies: Iterable[Mapping[str, Any]]) -> dict[Pinned, frozenset[str]]:
    packages = _read("uv.lock")["package"]
    waiting, seen, found = list(dependencies), set[tuple[str, str, tuple[str, ...]]](), {}
    while waiting:
        asked = waiting.pop()
        extras = tuple(asked.get("extra", ()))
        for package in packages:
            if package["name"] != asked["name"] or package["version"] != asked.get("version", package["version"]):
                continue
            pinned = (package["name"], package["version"])
            if (*pinned, extras) in seen:
                continue
            seen.add((*pinned, extras))
            files = [*package.get("wheels", ()), *([package["sdist"]] if "sdist" in package else ())]
            found[pinned] = frozenset(file["hash"] for file in files)
            waiting += package.get("dependencies", ())
            waiting += [each for extra in extras for each in package["optional-dependencies"].get(extra, ())]
    return found


def _troupe() -> dict[str, Any]:
    return next(package for package in _read("uv.lock")["package"] if package["name"] == "troupe")


def _read(name: str) -> dict[str, Any]:
    return tomllib.loads((ROOT / name).read_text())


def _specified(dependencies: Iterable[Mapping[str, Any]]) -> list[str]:
    """`coverage[toml]>=7.6`, as pyproject.toml writes it."""
    return sorted(
        each["name"] + (f"[{','.join(each['extras'])}]" if "extras" in each else "") + each.get("specifier", "")
        for each in dependencies
    )


def _plain(requirement: str) -> str:
    return requirement.replace(" ", "").lower()
