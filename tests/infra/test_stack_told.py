"""What a stack tells its functions in their environment is what they read there."""

from typing import get_args

import pytest

from functions.adapters.actions.settings import action_names
from functions.adapters.aws.models import BedrockSettings, bedrock_settings
from functions.adapters.models.settings import model_settings
from functions.adapters.vectors.settings import vector_settings
from infra.environment import told
from infra.settings import ModelSettings, Settings, VectorSettings

STORES = get_args(VectorSettings.__annotations__["store"])


def test_a_model_of_bedrock_is_asked_as_one() -> None:
    given = told(Settings(model=ModelSettings(kind="bedrock", id="some.model", usd_per_million=(0.15, 0.6))))
    found = bedrock_settings(given)
    assert isinstance(found, BedrockSettings)
    assert (found.model, found.price.read, found.price.written) == ("some.model", 150_000, 600_000)


def test_a_model_by_url_is_asked_there() -> None:
    given = told(Settings(model=ModelSettings(kind="openai", id="gpt-5-mini", url="https://api.example.com/v1")))
    assert bedrock_settings(given) is None
    found = model_settings({**given, "TROUPE_MODEL_KEY": "some"})
    assert found is not None
    assert (found.model, found.url) == ("gpt-5-mini", "https://api.example.com/v1/chat/completions")


def test_without_a_model_there_is_none() -> None:
    assert bedrock_settings(told(Settings())) is model_settings(told(Settings())) is None
    assert action_names(told(Settings())) == []


@pytest.mark.parametrize("store", STORES)
def test_every_vector_store_of_a_stack_is_one_that_functions_know(store: str) -> None:
    given = told(Settings(vectors=VectorSettings(kind="url", store=store, url="https://vectors.example.com")))  # type: ignore[arg-type]
    found = vector_settings({**given, "TROUPE_VECTOR_KEY": "env:VALUE", "VALUE": "some"})
    assert (found.product, found.url) == (store, "https://vectors.example.com")
