"""What every agent imports loads no library that would slow a cold start (docs/adr/0002)."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

#: Imports each module in turn, in one fresh interpreter, and prints which of them loaded what is heavy.
PROBE = """
import importlib, json, sys
modules, heavy = json.loads(sys.argv[1])
loaded, blame = set(), {}
for module in modules:
    importlib.import_module(module)
    fresh = {name for name in heavy if name in sys.modules} - loaded
    loaded |= fresh
    if fresh:
        blame[module] = sorted(fresh)
print(json.dumps(blame))
"""


def _contract() -> dict[str, Any]:
    """The import-linter contract that names the light packages and the heavy libraries."""
    linter = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    return next(each for each in linter["contracts"] if each["id"] == "cold-start")


def _loaded_by(modules: list[str], heavy: list[str]) -> dict[str, list[str]]:
    command = [sys.executable, "-c", PROBE, json.dumps([modules, heavy])]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, timeout=120)  # noqa: S603
    blame: dict[str, list[str]] = json.loads(done.stdout)
    return blame


def _modules(package: str) -> list[str]:
    path = ROOT / package.replace(".", "/")
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]
    return [".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for file in files]


def test_delivering_and_planning_load_nothing_heavy() -> None:
    modules = ["functions.runtime.delivery", "functions.runtime.topology"]
    assert _loaded_by(modules, _contract()["forbidden_modules"]) == {}


def test_no_agent_workflow_port_or_event_loads_anything_heavy() -> None:
    contract = _contract()
    modules = [module for package in contract["source_modules"] for module in _modules(package)]
    assert "functions.ports.encoders" in modules
    assert _loaded_by(modules, contract["forbidden_modules"]) == {}


def test_the_probe_sees_what_is_heavy() -> None:
    assert _loaded_by(["functions.errors", "numpy"], ["numpy", "rich"]) == {"numpy": ["numpy"]}
