import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import numpy as np
import pytest

from functions.adapters.encoders.openai_compatible import CHARACTERS_A_CALL, OpenAICompatibleEncoder
from functions.adapters.encoders.settings import Endpoint
from functions.adapters.models.settings import Secret
from functions.ports.encoders import EncoderError, EncoderUnavailableError
from tests.embeddings_server import (
    KEY,
    MODEL,
    EmbeddingsServer,
    Reply,
    changed,
    cut_short,
    dripping,
    embeddings_server,
    failed,
    hung_up,
    raw,
)
from tests.small_encoder import SmallEncoder

ENVIRONMENT = {"SMALL_KEY": KEY}


class Pauses:
    """A clock that only pauses move, and what they were."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def now(self) -> float:
        return sum(self.seconds)

    def pause(self, seconds: float) -> None:
        self.seconds.append(seconds)


@pytest.fixture
def server() -> Iterator[EmbeddingsServer]:
    with embeddings_server() as running:
        yield running


@pytest.fixture
def pauses() -> Pauses:
    return Pauses()


def endpoint(base: str, **other: Any) -> Endpoint:
    settings: dict[str, Any] = {
        "name": "small", "url": f"{base}/embeddings", "model": MODEL, "revision": "1", "precision": "fp32",
        "pooling": "mean", "dimension": 256, "shortened": False, "key": Secret("SMALL_KEY", ENVIRONMENT),
        "max_characters": 1000, "max_texts": 4, "timeout_s": 20,
    }  # fmt: skip
    return Endpoint(**settings | other)


@pytest.fixture
def opened(server: EmbeddingsServer, pauses: Pauses) -> Iterator[Callable[..., OpenAICompatibleEncoder]]:
    """Encoders of the server that pause without waiting, and by half of what they may."""
    encoders = []

    def open_encoder(**other: Any) -> OpenAICompatibleEncoder:
        settings = endpoint(server.url, **other)
        encoders.append(OpenAICompatibleEncoder(settings, clock=pauses.now, sleep=pauses.pause, chance=lambda: 0.5))
        return encoders[-1]

    yield open_encoder
    for encoder in encoders:
        encoder.close()


Opened = Callable[..., OpenAICompatibleEncoder]


def test_vectors_are_of_unit_length_and_in_the_order_of_the_texts(opened: Opened) -> None:
    texts = ["one", "two words", "three words here"]
    found = opened().encode(texts)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, SmallEncoder().encode(texts), atol=1e-6)


def test_no_texts_ask_nothing(opened: Opened, server: EmbeddingsServer) -> None:
    assert opened().encode([]).shape == (0, 256)
    assert server.bodies == []


def test_many_texts_are_asked_in_batches_over_one_connection(opened: Opened, server: EmbeddingsServer) -> None:
    texts = [f"text {n}" for n in range(10)]
    np.testing.assert_allclose(opened().encode(texts), SmallEncoder().encode(texts), atol=1e-6)
    assert [body["input"] for body in server.bodies] == [texts[:4], texts[4:8], texts[8:]]
    assert len(server.connections) == 1


def test_a_batch_of_long_texts_has_fewer(opened: Opened, server: EmbeddingsServer) -> None:
    texts = ["x" * 900] * (CHARACTERS_A_CALL // 900 + 1)
    opened(max_texts=2048).encode(texts)
    assert [len(body["input"]) for body in server.bodies] == [len(texts) - 1, 1]


@pytest.mark.parametrize("text", ["", "\ud800 alone", "a\x00b", "x" * 1_000_000, "\U0001f600" * 5000])
def test_any_string_has_a_vector(opened: Opened, text: str) -> None:
    assert np.linalg.norm(opened().encode([text])[0]) == pytest.approx(1, abs=1e-5)


def test_a_text_that_is_too_long_for_the_model_is_named_and_the_others_are_not_blamed(opened: Opened) -> None:
    encoder = opened(max_characters=5000)
    texts = ["short"] * 6 + ["x" * 1001]
    with pytest.raises(EncoderError, match=r"as long as number 7, which has 1001 .* set max_characters below"):
        encoder.encode(texts)


def test_a_length_is_asked_for_only_where_the_settings_say_so(opened: Opened, server: EmbeddingsServer) -> None:
    opened().encode(["a"])
    opened(shortened=True).encode(["a"])
    assert [body.get("dimensions") for body in server.bodies] == [None, 256]


@pytest.mark.parametrize(
    "reply",
    [
        failed(429, "Rate limit reached"),
        failed(500, "The server had an error"),
        failed(503, "overloaded"),
        failed(200, "upstream is busy", 503),
        raw(b"<html>Bad gateway</html>", "text/html"),
        raw(b'{"data": [{"index": 0, "embedding": [NaN]}]}'),
        raw(b'{"data": [{"index": 0, "embedding": [1e400]}]}'),
        raw(b'{"data": [{"index": 0, "embedding": null}]}'),
        raw(b""),
        raw(b"\xff\xfe"),
        hung_up,
        cut_short,
    ],
)
def test_what_may_pass_is_asked_again(opened: Opened, server: EmbeddingsServer, pauses: Pauses, reply: Reply) -> None:
    server.replies += [reply, reply]
    np.testing.assert_allclose(opened().encode(["again"]), SmallEncoder().encode(["again"]), atol=1e-6)
    assert pauses.seconds == [0.05, 0.1]


def test_a_connection_that_the_server_closed_meanwhile_is_replaced_at_once(
    opened: Opened, server: EmbeddingsServer, pauses: Pauses
) -> None:
    encoder = opened()
    encoder.encode(["opens a connection"])
    server.replies.append(hung_up)
    encoder.encode(["finds it closed"])
    assert (len(server.connections), pauses.seconds) == (2, [])


def test_it_is_asked_again_no_sooner_than_it_says(opened: Opened, server: EmbeddingsServer, pauses: Pauses) -> None:
    in_eight = format_datetime(datetime.now(UTC) + timedelta(seconds=8), usegmt=True)
    server.replies += [failed(429, "wait", retry_after="7"), failed(503, "wait", retry_after=in_eight)]
    opened().encode(["later"])
    first, second = pauses.seconds
    assert first == 7.05
    assert 6 < second < 9


@pytest.mark.parametrize("said", ["3600", "no time", "-1", "Mon, 99 Foo 2020"])
def test_a_wait_past_the_time_is_no_wait(opened: Opened, server: EmbeddingsServer, pauses: Pauses, said: str) -> None:
    server.replies += [failed(429, "Rate limit reached", retry_after=said)] * 50
    with pytest.raises(EncoderUnavailableError, match=r"encoder small at http://127\.0\.0\.1:\d+ answered 429: Rate"):
        opened().encode(["never"])
    assert pauses.now() < 20


def test_an_endpoint_that_is_not_there_is_unavailable(opened: Opened) -> None:
    with embeddings_server() as gone:
        url = gone.url
    with pytest.raises(EncoderUnavailableError, match=r"could not be reached .* see whether it runs"):
        opened(url=f"{url}/embeddings").encode(["nobody hears"])


def test_an_answer_that_drips_for_ever_ends_with_the_time(server: EmbeddingsServer) -> None:
    over = threading.Event()
    server.replies.append(dripping(over))
    encoder = OpenAICompatibleEncoder(endpoint(server.url, timeout_s=0.3))
    try:
        with pytest.raises(EncoderUnavailableError, match="stopped in the middle"):
            encoder.encode(["slowly"])
    finally:
        over.set()
        encoder.close()


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (failed(400, "The model does not exist"), "answered 400: The model does not exist"),
        (failed(403, "No access"), "answered 403 to the key SMALL_KEY: No access"),
        (failed(307, "elsewhere", location="http://127.0.0.1:1/"), "answered 307"),
        (failed(200, "the model is not loaded"), "answered 200 with an error: the model is not loaded"),
        (raw(b'{"error": "model not found"}'), "answered 200 with an error: model not found"),
        (raw(b'{"detail": "not here"}'), "answered 200 with an error: not here"),
        (raw(b"{}"), "answered 200 with an error"),
        (changed(lambda items: items.pop()), "answered 1 vectors, .* to 2 texts"),
        (changed(lambda items: items.append(items[0])), "answered 3 vectors, .* to 2 texts"),
        (changed(lambda items: items[0].update(index=0)), r"answered 2 vectors, numbered \[0, 0\]"),
        (changed(lambda items: items[0].update(index=7)), r"answered 2 vectors, numbered \[7, 0\]"),
        (changed(lambda items: items[0]["embedding"].pop()), "makes vectors of 255 numbers, expected 256"),
        (changed(lambda items: items[1].update(embedding=[])), "makes vectors of 0 numbers, expected 256"),
        (changed(lambda items: items[1].update(embedding=[0.0] * 256)), "made a vector of zeros"),
        (changed(lambda items: items[1].update(embedding=[1e308] * 256)), "numbers that are none"),
    ],
)
def test_what_is_wrong_is_refused_at_once(
    opened: Opened, server: EmbeddingsServer, pauses: Pauses, reply: Reply, why: str
) -> None:
    server.replies.append(reply)
    with pytest.raises(EncoderError, match=why) as caught:
        opened().encode(["one", "two"])
    assert not isinstance(caught.value, EncoderUnavailableError)
    assert pauses.seconds == []


def test_vectors_without_numbers_come_in_the_order_of_the_texts(opened: Opened, server: EmbeddingsServer) -> None:
    def forwards(items: list[Any]) -> None:
        items.reverse()
        for item in items:
            del item["index"]

    server.replies.append(changed(forwards))
    np.testing.assert_allclose(opened().encode(["a", "b"]), SmallEncoder().encode(["a", "b"]), atol=1e-6)


def test_an_answer_without_end_is_not_read_to_it(opened: Opened, server: EmbeddingsServer) -> None:
    server.replies += [raw(b" " * 1_000_000)] * 50
    with pytest.raises(EncoderUnavailableError, match=r"answered 1000000 bytes, more than"):
        opened().encode(["a"])


def test_a_key_is_in_no_error_although_the_server_repeats_it(opened: Opened, server: EmbeddingsServer) -> None:
    server.replies.append(failed(401, f"Incorrect API key provided: Bearer {KEY}"))
    with pytest.raises(EncoderError, match=r"to the key SMALL_KEY: Incorrect .* Bearer SMALL_KEY") as caught:
        opened().encode(["a"])
    assert KEY not in repr(caught.value) + str(caught.getrepr(chain=True, showlocals=False))


def test_a_key_that_was_changed_is_used_from_the_next_call_on(opened: Opened) -> None:
    environment = {"SMALL_KEY": "old"}
    encoder = opened(key=Secret("SMALL_KEY", environment))
    with pytest.raises(EncoderError, match="answered 401"):
        encoder.encode(["a"])
    environment["SMALL_KEY"] = KEY
    assert encoder.encode(["a"]).shape == (1, 256)


def test_threads_that_encode_at_once_get_their_own_vectors(opened: Opened) -> None:
    encoder = opened()
    found: dict[int, Any] = {}
    start = threading.Barrier(12)

    def encode(n: int) -> None:
        start.wait()
        found[n] = encoder.encode([f"word{n}", f"other{n}"])

    threads = [threading.Thread(target=encode, args=(n,)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for n, vectors in found.items():
        np.testing.assert_allclose(vectors, SmallEncoder().encode([f"word{n}", f"other{n}"]), atol=1e-6)
    assert len(found) == 12


def test_a_closed_encoder_says_so(opened: Opened) -> None:
    encoder = opened()
    encoder.encode(["a"])
    encoder.close()
    with pytest.raises(EncoderError, match="is closed"):
        encoder.encode(["a"])
