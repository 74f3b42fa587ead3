"""Secrets that a capability holds."""

import logging
from collections.abc import Callable, Iterator

import pytest
from guarantees import guarantee
from model_server import ModelServer
from sample_workflows import Answered, Asked
from target import Deploys, Troupe

from functions.adapters.models.bound import BoundModel
from functions.adapters.models.openai_compatible import OpenAICompatible
from functions.adapters.models.settings import model_settings
from functions.events.event import AgentFailed
from functions.ports.models import LanguageModel
from functions.runtime.agent import Delivery, agent
from functions.runtime.delivery import Binding
from functions.runtime.workflow import Workflow

SECRETS = guarantee("secrets", "A secret that a capability holds is in no log, no event, no dead letter and no store.")
VALUE = "sk-held-0f9d8c7b6a5e"  # what the server takes for a wrong key, and says so in its error


class KeyedModel:
    """A model of somebody else's making: it keeps its key where a traceback passes by."""

    name = "keyed"

    def __init__(self) -> None:
        self.key = VALUE

    def write(self, instructions: str, text: str, *, max_tokens: int) -> str:
        headers = {"authorization": f"Bearer {self.key}"}
        raise ConnectionError(f"{len(headers)} header was not taken for {len(instructions + text)}, {max_tokens}")


@pytest.fixture
def endpoint() -> Iterator[OpenAICompatible]:
    """The shipped client of a server that repeats a wrong key in its error."""
    with ModelServer().serving() as server:
        settings = model_settings(server.environment | {"TROUPE_MODEL_KEY": VALUE})
        assert settings is not None
        chat = OpenAICompatible(settings, pause=lambda _: None)
        yield chat
        chat.close()


class Page:
    """Nobody watches the text grow."""

    def grow(self, text: str) -> None:
        """Unseen."""

    def end(self) -> None:
        """Unseen."""


@agent(delivery=Delivery(attempts=2))
def consult(event: Asked, *, model: LanguageModel) -> Answered:
    return Answered(texts=(model.write("Answer.", event.text, max_tokens=50),))


CONSULTING = Workflow(
    name="consulting", agents=(consult,), entry=Asked, answer=Answered, resources={"model": "model"}, deadline_s=600.0
)


def failed_with(troupe: Troupe, make: Callable[[Binding], object]) -> tuple[str, bytes]:
    """What a request is told whose model fails, and all that is kept of it."""
    troupe.script.made[LanguageModel] = make
    troupe.start(Asked(text="a"))
    troupe.run()
    failed = troupe.settlement()
    assert isinstance(failed, AgentFailed)
    assert [agent for agent, _ in troupe.letters()] == ["consult"]
    return failed.reason, troupe.target.at_rest()


@SECRETS
def test_the_key_of_a_model_that_fails_is_nowhere(deploy: Deploys, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    reason, kept = failed_with(deploy(CONSULTING), lambda _: KeyedModel())
    assert "1 header was not taken" in reason
    assert b"1 header was not taken" in kept
    assert VALUE.encode() not in kept
    assert VALUE not in caplog.text


@SECRETS
def test_a_key_that_an_endpoint_repeats_in_its_error_is_nowhere(
    deploy: Deploys, endpoint: OpenAICompatible, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    troupe = deploy(CONSULTING)

    def bound(binding: Binding) -> BoundModel:
        ledger = troupe.target.spending(request=binding.request, tenant=binding.tenant)
        return BoundModel(
            endpoint,
            spending=ledger,
            growing=Page(),
            budget=binding.budget,
            until=binding.until,
            now=troupe.now,
            stopped=lambda: None,
        )

    reason, kept = failed_with(troupe, bound)
    assert "TROUPE_MODEL_KEY" in reason
    assert VALUE.encode() not in kept
    assert VALUE not in caplog.text
