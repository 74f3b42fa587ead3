"""The API over one machine's store and over items: no server, no threads, and a clock that only tests move."""

from collections.abc import Callable

import pytest
from api_fakes import TOLD, Caller
from harness import Harness
from memory_target import MemoryTarget
from sample_workflows import FANNED, SINGLE

from functions.ports.requests import Limits

LIMITS = Limits(open=5, of_conversation=3)


@pytest.fixture
def local_caller(process: Callable[..., Harness]) -> Caller:
    """Calls as the default tenant on one machine; messages go to the workflow `answer`, which has one agent."""
    return Caller(process(TOLD, SINGLE, FANNED), LIMITS)


@pytest.fixture(params=["local", "memory"])
def caller(request: pytest.FixtureRequest) -> Caller:
    """The same on every store."""
    if request.param == "memory":
        return Caller(MemoryTarget(TOLD, SINGLE, FANNED), LIMITS)
    on_machine: Caller = request.getfixturevalue("local_caller")
    return on_machine
