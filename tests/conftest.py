"""What every test may ask for; `harness.py` beside it is importable because this folder holds a conftest."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import Harness
from hypothesis import HealthCheck, settings
from memory_target import MemoryTarget

from functions.runtime.workflow import Workflow

# How fast the machine is proves nothing.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.fixture(autouse=True)
def _no_language_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may have set one."""
    for name in ("TROUPE_MODEL_URL", "TROUPE_MODEL", "TROUPE_MODEL_KEY", "TROUPE_MODEL_PRICE", "TROUPE_ACTIONS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Callable[..., Harness]]:
    """Opens a harness over workflows, on this test's folder, and closes it."""
    opened: list[Harness] = []

    def open_harness(*workflows: Workflow, places: int = 0) -> Harness:
        opened.append(Harness(tmp_path / "store", *workflows, places=places))
        return opened[-1]

    yield open_harness
    for each in opened:
        each.store.close()


@pytest.fixture(params=["sqlite", "memory"])
def opens(request: pytest.FixtureRequest, process: Callable[..., Harness]) -> Callable[..., Harness | MemoryTarget]:
    """Opens a target over workflows: the one on SQLite, and the one that works as a cloud's does."""
    return MemoryTarget if request.param == "memory" else process
