"""What the tests of encoders and vector stores share: one encoder, built once for all of them."""

from pathlib import Path

import pytest

from functions.adapters.encoders.minilm import MiniLM, built_encoder
from functions.adapters.encoders.minilm_artefact import W8

ENCODERS = Path(__file__).parents[2] / ".troupe" / "encoders"


@pytest.fixture(scope="session")
def encoder() -> MiniLM:
    """The default encoder, kept between runs: the first takes a second or two to build it."""
    return built_encoder(ENCODERS, threads=1)


@pytest.fixture(scope="session")
def small_encoder() -> MiniLM:
    """The same model with weights of 8 bits."""
    return built_encoder(ENCODERS, precision=W8, threads=1)
