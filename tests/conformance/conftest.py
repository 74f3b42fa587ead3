"""Every test of this folder runs on every target that can run here."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import Clock
from target import Deploys, Troupe
from targets import TARGETS

from functions.runtime.workflow import Workflow


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that moves the clock runs only where one can be moved."""
    if "target_name" in metafunc.fixturenames:
        names = [name for name, made in TARGETS.items() if made.sets_clock or "clock" not in metafunc.fixturenames]
        metafunc.parametrize("target_name", names)


@pytest.fixture
def moved() -> Clock:
    """The time that the deployments of a test go by, where theirs can be set."""
    return Clock()


@pytest.fixture
def clock(moved: Clock) -> Clock:
    """The same, for a test that moves it."""
    return moved


@pytest.fixture
def deploy(target_name: str, moved: Clock, tmp_path: Path) -> Iterator[Deploys]:
    """Deploys workflows on the target of this test, and takes them down again."""
    deployed = []

    def deploy_workflows(*workflows: Workflow) -> Troupe:
        target = TARGETS[target_name](tmp_path / str(len(deployed)), moved, *workflows)
        deployed.append(target)
        return Troupe(target)

    yield deploy_workflows
    for each in deployed:
        each.close()
