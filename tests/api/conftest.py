"""The API over the hand-driven harness: no server, no threads, and a clock that only tests move."""

from collections.abc import Callable

import pytest
from api_fakes import TOLD, Caller
from harness import Harness
from sample_workflows import FANNED, SINGLE

from functions.ports.requests import Limits


@pytest.fixture
def caller(process: Callable[..., Harness]) -> Caller:
    """Calls as the default tenant; messages go to the workflow `answer`, which has one agent."""
    return Caller(process(TOLD, SINGLE, FANNED), Limits(open=5, of_conversation=3))
