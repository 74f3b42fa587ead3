"""An action on a server of this test's own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from action_desk import Desk
from action_server import ActionServer, serving_actions
from stacks import LocalStack, memory_stack


@pytest.fixture
def server() -> Iterator[ActionServer]:
    """One that honours no keys."""
    with serving_actions() as running:
        yield running


@pytest.fixture
def keyed() -> Iterator[ActionServer]:
    """One that honours keys."""
    with serving_actions(honours_keys=True) as running:
        yield running


@pytest.fixture(params=["local", "memory"])
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Desk]:
    """On this test's own store: that of one machine, and items."""
    made = LocalStack(tmp_path / "store") if request.param == "local" else memory_stack()
    yield Desk(made)
    made.close()


@pytest.fixture(autouse=True)
def _no_proxy_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy of the environment would be asked, if anything asked one: there is none at this port."""
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
