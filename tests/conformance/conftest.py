"""Every test of this folder runs on every target that can run here."""

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest
from harness import Clock
from target import Deploys
from targets import TARGETS, deployed, runs


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that moves the clock runs only where one can be moved; see `targets` for what else is left out."""
    if "target_name" in metafunc.fixturenames:
        file, sets_clock = metafunc.definition.path.stem, "clock" in metafunc.fixturenames
        metafunc.parametrize("target_name", [name for name in TARGETS if runs(name, file, sets_clock=sets_clock)])


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
    with ExitStack() as stack:
        folders = (tmp_path / str(number) for number in count())
        yield lambda *workflows: stack.enter_context(deployed(target_name, next(folders), moved, *workflows))
