"""A server that speaks the protocol, and a chat with it."""

from collections.abc import Callable, Iterator

import pytest
from model_server import ModelServer

from functions.adapters.models.openai_compatible import OpenAICompatible, Patience
from functions.adapters.models.settings import model_settings


@pytest.fixture
def server() -> Iterator[ModelServer]:
    """A server at work."""
    with ModelServer().serving() as serving:
        yield serving


@pytest.fixture
def connect(server: ModelServer) -> Iterator[Callable[..., OpenAICompatible]]:
    """Makes a chat with the server; its pauses take no time, and are counted in `pauses`."""
    opened: list[OpenAICompatible] = []

    def make(pauses: list[float] | None = None, silence_s: float = 20.0, **environment: str) -> OpenAICompatible:
        settings = model_settings(server.environment | environment)
        assert settings is not None
        noted = [] if pauses is None else pauses
        opened.append(OpenAICompatible(settings, patience=Patience(silence=silence_s), pause=noted.append))
        return opened[-1]

    yield make
    for each in opened:
        each.close()
