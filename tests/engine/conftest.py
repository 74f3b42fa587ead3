"""What the tests of the real engine share; all of them are left out, by name, where it is not on PATH."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # what is beside these tests is imported by name: tests are no package

from engine_stack import EngineStack, missing
from provider_double import serving


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark them all: `-m engine` runs them alone."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.engine)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Callable[[str], EngineStack]]:
    """Begins a stack with the settings of a stack file."""
    if said := missing():
        pytest.skip(f"the engine of Pulumi is not here ({said})")
    with serving() as (provider, port):
        provider.secrets = {f"troupe/{name}/api-keys" for name in ("dev", "prod")}
        yield lambda name: EngineStack(tmp_path, provider, port, name)
