import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from functions.adapters.encoders.minilm import MiniLM
from functions.adapters.encoders.minilm_artefact import FP32
from functions.adapters.encoders.registry import registered
from functions.adapters.encoders.sentence_transformers import SentenceTransformersEngine, opened_engine
from functions.ports.encoders import EncoderError
from tests.small_encoder import SmallEncoder

TEXTS = [
    "",
    "a question about lists",
    "word " * 300,
    "Ünïcödé",
    "before [SEP] after [MASK]",
    "\ud800 alone",
    "x" * 3000,
]


def skipped_without_reference() -> None:
    pytest.importorskip("sentence_transformers", reason="the reference dependency group is not installed")


def test_sentence_transformers_makes_the_vectors_of_the_default_encoder(encoder: MiniLM) -> None:
    skipped_without_reference()
    engine = opened_engine(encoder)
    assert (engine.version, engine.dimension) == (encoder.version, 384)
    found, expected = engine.encode(TEXTS), encoder.encode(TEXTS)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert (found * expected).sum(axis=1).min() >= 0.99999
    assert engine.encode([]).shape == (0, 384)


def test_an_encoder_of_8_bits_is_near_what_sentence_transformers_makes_here(
    encoder: MiniLM, small_encoder: MiniLM
) -> None:
    skipped_without_reference()
    cosines = (opened_engine(encoder).encode(TEXTS) * small_encoder.encode(TEXTS)).sum(axis=1)
    assert cosines.min() >= 0.997


def test_an_engine_that_makes_other_vectors_is_refused(encoder: MiniLM) -> None:
    skipped_without_reference()

    class Other(SmallEncoder):
        version = encoder.version
        dimension = encoder.dimension

    with pytest.raises(EncoderError, match=r"makes other vectors here than .*: they are .* apart, expected 1e-05"):
        opened_engine(Other())


class Model:
    """Fails as a tokenizer does that two threads use at once, and stays in a call until another has had its chance."""

    def __init__(self) -> None:
        self.borrowed = threading.Lock()
        self.waited = threading.Event()

    def encode(self, texts: list[str], **_: object) -> Any:  # noqa: ANN401 - as the library's own
        if not self.borrowed.acquire(blocking=False):
            raise RuntimeError("Already borrowed")
        self.waited.wait(0.05)
        self.borrowed.release()
        return np.ones((len(texts), 3))


def engine_on(model: Any) -> SentenceTransformersEngine:  # noqa: ANN401 - one that stands for the library's
    return SentenceTransformersEngine(model, version="small.1", dimension=3)


def test_threads_encode_one_after_the_other() -> None:
    engine = engine_on(Model())
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(engine.encode, [["a"], ["b", "c"], [], ["d"]]))
    assert [each.shape for each in found] == [(1, 3), (2, 3), (0, 3), (1, 3)]


def test_what_the_library_fails_with_is_an_encoders_error() -> None:
    model = Model()
    with model.borrowed, pytest.raises(EncoderError, match="could not encode 2 texts: Already borrowed"):
        engine_on(model).encode(["a", "b"])


def test_where_it_is_not_installed_the_error_says_what_to_do(encoder: MiniLM, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    encoders = registered(encoder.folder.parents[1], {"TROUPE_ENCODER_ENGINE": "sentence-transformers"})
    with pytest.raises(EncoderError, match="sentence-transformers is not installed; run `uv sync"):
        encoders.encoder(FP32.version)


def test_another_engine_is_refused_with_those_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="is 'tensorflow': choose one of onnxruntime, sentence-transformers"):
        registered(tmp_path, {"TROUPE_ENCODER_ENGINE": "tensorflow"})
