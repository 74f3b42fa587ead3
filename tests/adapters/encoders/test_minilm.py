import itertools
import json
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from functions.adapters.encoders.minilm import MiniLM
from functions.documents.python_docs import read_python_docs
from functions.ports.encoders import EncoderError

DATA = Path(__file__).parents[2] / "data"
SPECIAL = ["[CLS]", "[SEP]", "[MASK]", "[PAD]", "[UNK]"]


def reference_texts() -> list[str]:
    texts: list[str] = json.loads((DATA / "minilm_reference.json").read_text("utf-8"))
    return texts


def test_vectors_equal_those_that_sentence_transformers_made(encoder: MiniLM) -> None:
    expected = np.load(DATA / "minilm_reference.npy")
    found = encoder.encode(reference_texts())
    assert found.dtype == np.float32
    assert found.shape[1] == encoder.dimension == 384
    np.testing.assert_allclose(found, expected, atol=2e-6)


def test_vectors_in_8_bits_are_near_those_that_sentence_transformers_made(small_encoder: MiniLM) -> None:
    expected = np.load(DATA / "minilm_reference.npy")
    cosines = (small_encoder.encode(reference_texts()) * expected).sum(axis=1)
    assert cosines.min() >= 0.997


def test_8_bits_find_the_same_ten_passages(encoder: MiniLM, small_encoder: MiniLM) -> None:
    """97 of 100 of those that 32 bits find: for passages of a library, each asked for by its name."""
    passages = list(itertools.islice(read_python_docs(), 0, None, 40))
    texts = [passage.text[:100] for passage in passages]
    questions = [f"how to use {passage.name}" for passage in passages[::3]]
    expected, found = (nearest_ten(each, questions, texts) for each in (encoder, small_encoder))
    assert len(questions) > 50
    overlaps = [len(set(a) & set(b)) / 10 for a, b in zip(expected, found, strict=True)]
    assert np.mean(overlaps) >= 0.97


def nearest_ten(encoder: MiniLM, questions: list[str], texts: list[str]) -> list[list[int]]:
    scores = encoder.encode(questions) @ encoder.encode(texts).T
    nearest: list[list[int]] = np.argsort(-scores, axis=1)[:, :10].tolist()
    return nearest


@pytest.fixture(params=["encoder", "small_encoder"])
def either(request: pytest.FixtureRequest) -> MiniLM:
    found: MiniLM = request.getfixturevalue(request.param)
    return found


def test_a_vector_does_not_depend_on_what_is_encoded_with_it(encoder: MiniLM) -> None:
    texts = ["short", "of middle length, " * 4, "long and longer " * 20, "", "short too"]
    together = encoder.encode(texts)
    alone = np.concatenate([encoder.encode([text]) for text in texts])
    np.testing.assert_allclose(together, alone, atol=2e-6)


def test_vectors_come_in_the_order_of_the_texts(encoder: MiniLM) -> None:
    texts = [f"{'long ' * (n * 7 % 20)} number {n}" for n in range(30)]
    forwards = encoder.encode(texts)
    backwards = encoder.encode(texts[::-1])
    np.testing.assert_allclose(forwards, backwards[::-1], atol=2e-6)


def test_no_texts_give_no_vectors(either: MiniLM) -> None:
    assert either.encode([]).shape == (0, 384)


@pytest.mark.parametrize("token", SPECIAL)
def test_a_special_token_in_a_text_is_read_as_its_characters(either: MiniLM, token: str) -> None:
    apart = f"before [ {token[1:-1]} ] after"
    written, spaced = either.encode([f"before {token} after", apart])
    np.testing.assert_allclose(written, spaced, atol=2e-6)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("x" * 10_000_000, id="10 MB without a space"),
        pytest.param("ab " * 3_500_000, id="10 MB of words"),
        pytest.param(" " * 10_000_000, id="10 MB of spaces"),
        pytest.param("[SEP]" * 2_000_000, id="10 MB of special tokens"),
        pytest.param("\U0001f600" * 2_500_000, id="10 MB of emoji"),
        pytest.param("e" + "\u0301" * 5_000_000, id="10 MB of accents on one letter"),
    ],
)
def test_a_huge_text_takes_no_longer_than_a_long_one(encoder: MiniLM, text: str) -> None:
    long = "an ordinary long text " * 500
    encoder.encode([long])
    ordinary = min(seconds_to_encode(encoder, long) for _ in range(3))
    huge = min(seconds_to_encode(encoder, text) for _ in range(3))
    assert huge < 20 * ordinary


def seconds_to_encode(encoder: MiniLM, text: str) -> float:
    started = time.process_time()
    assert np.isfinite(encoder.encode([text])).all()
    return time.process_time() - started


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\x00\x01\x02\xff\xfe",
        "".join(map(chr, range(0x250))),
        "\ud800 lone surrogate \udfff",
        "\ufffe\uffff\U0010ffff",
        "\u202e right to left \u202c",
        "a\x00b",
    ],
)
def test_any_string_has_a_vector(either: MiniLM, text: str) -> None:
    vector = either.encode([text])[0]
    assert np.isfinite(vector).all()
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


def test_what_stands_behind_256_tokens_is_not_seen(either: MiniLM) -> None:
    beginning = "word " * 254
    first, second = either.encode([beginning + "apples", beginning + "bridges"])
    np.testing.assert_array_equal(first, second)


def test_threads_that_encode_at_once_get_their_own_vectors(encoder: MiniLM) -> None:
    texts = [f"thread number {n} " * (n + 1) for n in range(8)]
    expected = encoder.encode(texts)
    found: dict[int, list[np.ndarray]] = {n: [] for n in range(8)}
    start = threading.Barrier(8)

    def encode(n: int) -> None:
        start.wait()
        found[n].extend(encoder.encode([texts[n]])[0] for _ in range(5))

    threads = [threading.Thread(target=encode, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for n, vectors in found.items():
        assert len(vectors) == 5
        for vector in vectors:
            np.testing.assert_allclose(vector, expected[n], atol=2e-6)


def test_the_version_names_model_weights_precision_and_pooling(encoder: MiniLM) -> None:
    assert encoder.version == "all-minilm-l6-v2.53aa5117.fp32.mean"


@pytest.fixture
def damaged(tmp_path: Path, encoder: MiniLM) -> Callable[..., Path]:
    """A copy of the encoder's folder in which one file holds other bytes, as many."""

    def copy(name: str, byte: bytes) -> Path:
        folder = tmp_path / encoder.version
        shutil.copytree(encoder.folder, folder)
        (folder / name).write_bytes(byte * (folder / name).stat().st_size)
        return folder

    return copy


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "vocabulary.txt"])
def test_a_damaged_file_is_refused(damaged: Callable[..., Path], name: str) -> None:
    with pytest.raises(EncoderError, match=r"is damaged .*: remove it, and it is built anew"):
        MiniLM(damaged(name, b"\xff"))


def test_weights_that_make_no_numbers_are_refused(damaged: Callable[..., Path]) -> None:
    encoder = MiniLM(damaged("model.data", b"\xff"))
    with pytest.raises(EncoderError, match=r"weights in .* are damaged: remove it"):
        encoder.encode(["text"])
