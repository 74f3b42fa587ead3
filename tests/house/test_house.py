"""A new agent is one file, its events, and its name in one workflow: import-linter lets no other code name one."""

import ast
import importlib
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import msgspec

from functions.adapters.local.store import Store
from functions.events.event import RESERVED, Event
from functions.ports.capability import CAPABILITIES
from functions.runtime.agent import AgentSpec, spec_of
from functions.runtime.topology import topology
from functions.runtime.workflow import Workflow
from local.process import LocalProcess

ROOT = Path(__file__).parents[2]


def test_a_file_in_agents_holds_one_agent_of_its_name() -> None:
    found = {module.__name__.rpartition(".")[2]: _agents_of(module) for module in _modules("functions/agents")}
    assert found == {name: [name] for name in found}


def test_every_agent_is_in_a_workflow() -> None:
    in_workflows = {spec.name for workflow in _workflows() for spec in map(spec_of, workflow.agents)}
    assert {module.__name__.rpartition(".")[2] for module in _modules("functions/agents")} - in_workflows == set()


def test_the_agent_in_the_readme_works_as_it_stands_there() -> None:
    """One file and its name in one workflow: nothing else is needed."""
    code = re.search(r"```python\n# functions/agents/(\w+)\.py\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert code is not None
    module = ModuleType("readme_example")
    sys.modules["readme_example"] = module
    try:
        exec(code[2], vars(module))  # noqa: S102 - it is our own page
        agent = vars(module)[code[1]]
        answer = importlib.import_module("functions.workflows.answer").answer
        plan = topology(msgspec.structs.replace(answer, agents=(*answer.agents, agent)))["answer"]
    finally:
        del sys.modules["readme_example"]
    assert plan.nodes[code[1]].side


def test_every_workflow_has_a_plan() -> None:
    workflows = _workflows()
    assert topology(*workflows).keys() == {workflow.name for workflow in workflows}


def test_every_workflow_is_in_the_catalog() -> None:
    catalog = importlib.import_module("functions.workflows.catalog").WORKFLOWS
    assert catalog == {workflow.name: workflow for workflow in _workflows()}


def test_every_event_is_emitted_or_consumed() -> None:
    specs = [spec_of(agent) for workflow in _workflows() for agent in workflow.agents]
    used = {event for spec in specs for event in (*spec.consumes, *spec.emits, *spec.fans_out)}
    unused = {event.__name__ for event in _events() if event not in used}
    assert unused == set()


def test_every_capability_is_bound_on_one_machine(tmp_path: Path) -> None:
    store = Store(tmp_path)
    try:
        bound = LocalProcess(store, {}, {})._capabilities.keys()
    finally:
        store.close()
    assert {each.__name__ for each in CAPABILITIES} == {each.__name__ for each in bound}


def test_infra_is_held_to_the_imports_once_it_is_there() -> None:
    """import-linter cannot name a package that does not exist, so this tells when to add it."""
    linter = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    assert ("infra" in linter["root_packages"]) == any((ROOT / "infra").rglob("*.py"))


def test_grants_import_no_pulumi_and_no_cloud_of_infra_imports_another() -> None:
    """So that `troupe explain` can show a policy without a stack, and a cloud's folder stands alone."""
    problems = []
    for file in sorted((ROOT / "infra").rglob("*.py")):
        own = file.relative_to(ROOT / "infra").parts[0]
        for module in _imports(file):
            if file.name == "grants.py" and re.match(r"pulumi|infra\.components", module):
                problems.append(f"{file.relative_to(ROOT)} imports {module}")
            other = re.match(r"infra\.(aws|gcp|azure)\b", module)
            if own in ("aws", "gcp", "azure") and other and other[1] != own:
                problems.append(f"{file.relative_to(ROOT)} imports {module}")
    assert problems == []


def _modules(folder: str) -> list[ModuleType]:
    files = sorted((ROOT / folder).glob("*.py"))
    package = folder.replace("/", ".")
    return [importlib.import_module(f"{package}.{file.stem}") for file in files if file.stem != "__init__"]


def _agents_of(module: ModuleType) -> list[str]:
    return [
        value.__name__
        for value in vars(module).values()
        if isinstance(getattr(value, "__agent__", None), AgentSpec) and value.__module__ == module.__name__
    ]


def _workflows() -> list[Workflow]:
    found = [
        value
        for module in _modules("functions/workflows")
        for value in vars(module).values()
        if isinstance(value, Workflow)
    ]
    return list({id(workflow): workflow for workflow in found}.values())


def _events() -> list[type[Event]]:
    return [
        value
        for module in _modules("functions/events")
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, Event)
        and value.__module__ == module.__name__
        and value not in RESERVED
    ]


def _imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield f"{node.module}.{node.names[0].name}"
