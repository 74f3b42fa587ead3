"""schemathesis calls everything in the served OpenAPI document, rightly and wrongly, and finds nothing."""

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
from serving import served

Document = Any  # of a class that schemathesis does not export
FEW = settings(max_examples=4, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Document]:
    """The document of a server at work."""
    with running(tmp_path_factory.mktemp("store")) as process, served(process) as server:
        yield schemathesis.openapi.from_url(f"{server.url}/openapi.json")


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
