"""A deployment with two real processes on one store: the new version starts, the old one stops or is killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from deployed_workflows import INCOMPATIBLE, Answered

from functions.adapters.local.store import Store
from functions.events.envelope import decode
from functions.events.event import AgentFailed

pytestmark = pytest.mark.slow  # an event that nobody can deliver is retried for some seconds

PATIENCE_S = 120.0
REQUESTS = 100  # of each version
SIDE_BRANCH = "a side branch is added"


class Version:
    """A process at work, and what it said."""

    def __init__(self, folder: Path, change: str, prefix: str, requests: int = REQUESTS) -> None:
        script = Path(__file__).with_name("deployed_process.py")
        paths = [str(Path.cwd()), str(script.parents[1])]
        self.process = subprocess.Popen(  # noqa: S603 - every argument is this test's own
            [sys.executable, str(script), str(folder), change, prefix, str(requests)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        )
        self.accepted: list[str] = []

    def said(self, line: str) -> None:
        """Wait until it said this, or accepted so many."""
        assert self.process.stdout is not None
        for heard in self.process.stdout:
            self._hear(heard.strip())
            if heard.strip() == line:
                return
        raise AssertionError(f"it ended before it said {line!r}")

    def _hear(self, heard: str) -> None:
        if heard not in {"ready", "all", "left"}:
            self.accepted.append(heard)

    def end(self, how: signal.Signals) -> None:
        """Send it a signal, hear it out, and see it gone."""
        assert self.process.stdout is not None
        self.process.send_signal(how)
        for heard in self.process.stdout:
            self._hear(heard.strip())
        expected = 0 if how is signal.SIGTERM else -signal.SIGKILL
        assert self.process.wait(PATIENCE_S) == expected


Starts = Callable[..., Version]


@pytest.fixture
def starts(tmp_path: Path) -> Iterator[Starts]:
    """Starts a version on this test's store."""
    with ExitStack() as ending:

        def start(change: str, prefix: str, requests: int = REQUESTS) -> Version:
            version = Version(tmp_path, change, prefix, requests)
            ending.enter_context(version.process)
            ending.callback(version.process.kill)
            version.said("ready")
            return version

        yield start


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """The store of the versions, for whoever only looks."""
    with closing(Store(tmp_path)) as opened:
        yield opened


def wait_until_settled(store: Store) -> None:
    until = time.monotonic() + PATIENCE_S
    while store.read("SELECT count(*) FROM request WHERE status != 'settled'") != [(0,)]:
        assert time.monotonic() < until, "requests are left open"
        time.sleep(0.05)


def settlements(store: Store) -> dict[str, str]:
    """The event that each request was settled with."""
    return {request: decode(raw).name for request, raw in store.read("SELECT request, settlement FROM request")}


def reasons(store: Store) -> list[str]:
    rows = store.read("SELECT settlement FROM request")
    return [bytes(each.data).decode() for (raw,) in rows if (each := decode(raw)).name == AgentFailed.__name__]


def processes_at_old_ones(store: Store) -> int:
    """How many processes worked on what the old version accepted."""
    return int(store.read("SELECT count(DISTINCT holder) FROM delivery WHERE request LIKE 'old%'")[0][0])


def said_twice(store: Store) -> list[tuple[str, int]]:
    return store.read("SELECT text, count(*) FROM message GROUP BY request, text HAVING count(*) > 1")


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
def test_every_accepted_request_is_answered_once_through_a_compatible_deployment(
    starts: Starts, store: Store, how: signal.Signals
) -> None:
    old = starts("none", "old")
    old.said(f"old{REQUESTS // 2}")
    new = starts(SIDE_BRANCH, "new")
    new.said(f"new{REQUESTS // 4}")
    old.end(how)
    new.said("all")
    wait_until_settled(store)
    new.end(signal.SIGTERM)
    found = settlements(store)
    assert found.keys() >= set(old.accepted + new.accepted)
    assert set(found.values()) == {Answered.__name__}
    assert said_twice(store) == []
    assert processes_at_old_ones(store) == 2


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
@pytest.mark.parametrize("change", ["an agent is renamed", "the join waits for something else"])
def test_through_an_incompatible_deployment_every_accepted_request_is_answered_or_told_to_ask_again(
    starts: Starts, store: Store, change: str, how: signal.Signals
) -> None:
    assert change in INCOMPATIBLE
    old = starts("none", "old")
    old.said(f"old{REQUESTS // 2}")
    new = starts(change, "new", REQUESTS // 4)
    old.end(how)
    new.said("all")
    wait_until_settled(store)
    new.end(signal.SIGTERM)
    found = settlements(store)
    assert found.keys() >= set(old.accepted + new.accepted)
    assert {found[request] for request in new.accepted} == {Answered.__name__}
    assert all("it began under an older deployment" in reason for reason in reasons(store))
    assert all("ask again" in reason for reason in reasons(store))
    assert said_twice(store) == []
    assert processes_at_old_ones(store) == 2


def test_a_version_that_is_stopped_and_one_that_is_started_lose_nothing_between_them(
    starts: Starts, store: Store
) -> None:
    """As with a process that cannot have another one beside it."""
    old = starts("none", "old")
    old.said("all")
    old.end(signal.SIGTERM)
    new = starts(SIDE_BRANCH, "new", 0)
    wait_until_settled(store)
    new.end(signal.SIGTERM)
    assert settlements(store) == dict.fromkeys(old.accepted, Answered.__name__)
    assert len(old.accepted) == REQUESTS
    assert said_twice(store) == []
    assert processes_at_old_ones(store) == 2
