"""schemathesis calls everything in the served OpenAPI document, rightly and wrongly, and finds nothing.

What the calls began is waited for: no request is stuck, no event is lost.
"""

import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from hypothesis.stateful import run_state_machine_as_test
from local_process import running
from schemathesis import GenerationMode
from serving import PATIENCE_S, served

from local.process import LocalProcess

Document = Any  # of a class that schemathesis does not export
_OPEN = "SELECT request FROM request WHERE status != 'settled' UNION ALL SELECT agent FROM queue"
FEW = settings(max_examples=4, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalProcess]:
    """A process at work."""
    with running(tmp_path_factory.mktemp("store")) as at_work:
        yield at_work


@pytest.fixture(scope="module")
def document(process: LocalProcess) -> Iterator[Document]:
    """The document of its server."""
    with served(process) as server:
        yield schemathesis.openapi.from_url(f"{server.url}/openapi.json")


@pytest.fixture(autouse=True)
def _all_ends(process: LocalProcess) -> Iterator[None]:
    """What a test began comes to its end, and nothing went wrong on the way."""
    yield
    until = time.monotonic() + PATIENCE_S
    while open_ := process._store.read(_OPEN):
        assert time.monotonic() < until, f"stuck: {open_}"
        time.sleep(0.05)
    assert process._store.read("SELECT agent, reason, error FROM dead_letter") == []


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["right", "wrong"])
def test_every_call_keeps_its_contract_whatever_it_is_sent(document: Document, mode: GenerationMode) -> None:
    for found in document.get_all_operations():
        operation = found.ok()

        @FEW
        @given(case=operation.as_strategy(generation_mode=mode))
        def call(case: schemathesis.Case) -> None:
            _without_what_no_schema_says(case)
            case.call_and_validate()

        with suppress(Unsatisfiable):  # nothing wrong can be said to this one
            call()


def test_calls_that_follow_from_one_another_keep_their_contract(document: Document) -> None:
    class Machine(document.as_state_machine()):  # type: ignore[misc] - a class that schemathesis makes
        def before_call(self, case: schemathesis.Case) -> None:
            _without_what_no_schema_says(case)

    run_state_machine_as_test(Machine, settings=settings(FEW, stateful_step_count=5))


def _without_what_no_schema_says(case: schemathesis.Case) -> None:
    """A key that was used before, for another body; an event's id, of another request: both are refused, rightly."""
    if (case.headers or {}).get("Idempotency-Key"):
        case.headers["Idempotency-Key"] = uuid.uuid4().hex
    if (case.headers or {}).get("Last-Event-ID"):
        del case.headers["Last-Event-ID"]
