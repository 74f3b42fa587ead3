import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray

from functions.adapters.encoders.batching import BatchingEncoder
from functions.ports.encoders import EncoderError, EncoderUnavailableError
from tests.small_encoder import SmallEncoder

FOR_EVER = 60.0


class HeldEncoder(SmallEncoder):
    """Writes down its batches, and waits in those that hold the text `held` until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[list[str]] = []
        self.entered = threading.Semaphore(0)
        self.let_go = threading.Event()
        self.closed = 0

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.batches.append(list(texts))
        if "held" in texts:
            self.entered.release()
            assert self.let_go.wait(FOR_EVER)
        if "wrong" in texts:
            raise ValueError("a text is wrong")
        if "gone" in texts:
            raise EncoderUnavailableError("it is gone")
        if "interrupted" in texts:
            raise KeyboardInterrupt
        return super().encode(texts)

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def held() -> HeldEncoder:
    return HeldEncoder()


@pytest.fixture
def pool(held: HeldEncoder) -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as threads:
        yield threads
        held.let_go.set()


def until(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + FOR_EVER
    while not condition():
        assert time.monotonic() < ends, "it does not come to that"
        time.sleep(0.001)


Ask = Callable[..., Future[NDArray[np.float32]]]


def asking(encoder: BatchingEncoder, pool: ThreadPoolExecutor) -> Ask:
    """Calls from threads of their own, each of which waits for its batch before the next one comes."""

    def ask(*texts: str) -> Future[NDArray[np.float32]]:
        before = len(encoder._waiting)
        future = pool.submit(encoder.encode, texts)
        until(lambda: len(encoder._waiting) > before)
        return future

    return ask


def one_at_work(encoder: BatchingEncoder, inner: HeldEncoder, pool: ThreadPoolExecutor) -> Future[NDArray[np.float32]]:
    future = pool.submit(encoder.encode, ["held"])
    assert inner.entered.acquire(timeout=FOR_EVER)
    return future


def test_a_call_alone_is_encoded_at_once_and_by_itself(held: HeldEncoder) -> None:
    vectors = BatchingEncoder(held, most_wait_s=FOR_EVER).encode(["one", "two"])
    np.testing.assert_array_equal(vectors, SmallEncoder().encode(["one", "two"]))
    assert held.batches == [["one", "two"]]


def test_no_texts_give_no_vectors_from_a_batch_either(held: HeldEncoder) -> None:
    assert BatchingEncoder(held).encode([]).shape == (0, 256)


def test_calls_that_come_while_one_is_at_work_share_a_batch_and_get_their_own_vectors(
    held: HeldEncoder, pool: ThreadPoolExecutor
) -> None:
    encoder = BatchingEncoder(held, most_wait_s=FOR_EVER)
    first = one_at_work(encoder, held, pool)
    ask = asking(encoder, pool)
    others = {texts: ask(*texts) for texts in [("a", "b"), ("c",), ("d", "e", "f")]}
    held.let_go.set()
    first.result(FOR_EVER)
    for texts, future in others.items():
        np.testing.assert_array_equal(future.result(FOR_EVER), SmallEncoder().encode(texts))
    assert held.batches == [["held"], ["a", "b", "c", "d", "e", "f"]]


def test_a_batch_has_no_more_texts_than_it_may_and_calls_keep_their_order(
    held: HeldEncoder, pool: ThreadPoolExecutor
) -> None:
    encoder = BatchingEncoder(held, most_texts=4, most_wait_s=FOR_EVER)
    one_at_work(encoder, held, pool)
    ask = asking(encoder, pool)
    others = [ask("a", "b", "c"), ask("d", "e"), ask("f")]
    held.let_go.set()
    for future in others:
        future.result(FOR_EVER)
    assert held.batches == [["held"], ["a", "b", "c"], ["d", "e", "f"]]


def test_a_call_with_more_texts_than_a_batch_goes_past_the_one_at_work(
    held: HeldEncoder, pool: ThreadPoolExecutor
) -> None:
    encoder = BatchingEncoder(held, most_texts=2, most_wait_s=FOR_EVER)
    first = one_at_work(encoder, held, pool)
    assert encoder.encode(["a", "b", "c"]).shape == (3, 256)
    assert not first.done()


def test_a_call_that_has_waited_enough_is_encoded_beside_the_one_at_work(
    held: HeldEncoder, pool: ThreadPoolExecutor
) -> None:
    encoder = BatchingEncoder(held, most_wait_s=0.01)
    first = one_at_work(encoder, held, pool)
    np.testing.assert_array_equal(encoder.encode(["late"]), SmallEncoder().encode(["late"]))
    assert not first.done()
    assert held.batches == [["held"], ["late"]]


def test_an_error_goes_to_the_caller_whose_text_it_is_about(held: HeldEncoder, pool: ThreadPoolExecutor) -> None:
    encoder = BatchingEncoder(held, most_wait_s=FOR_EVER)
    one_at_work(encoder, held, pool)
    ask = asking(encoder, pool)
    right, wrong, right_too = ask("right"), ask("wrong"), ask("right too")
    held.let_go.set()
    np.testing.assert_array_equal(right.result(FOR_EVER), SmallEncoder().encode(["right"]))
    np.testing.assert_array_equal(right_too.result(FOR_EVER), SmallEncoder().encode(["right too"]))
    with pytest.raises(ValueError, match="a text is wrong"):
        wrong.result(FOR_EVER)


def test_an_encoder_that_is_gone_is_asked_once_for_a_whole_batch(held: HeldEncoder, pool: ThreadPoolExecutor) -> None:
    encoder = BatchingEncoder(held, most_wait_s=FOR_EVER)
    one_at_work(encoder, held, pool)
    ask = asking(encoder, pool)
    others = [ask("a"), ask("gone"), ask("b")]
    held.let_go.set()
    for future in others:
        with pytest.raises(EncoderUnavailableError, match="it is gone"):
            future.result(FOR_EVER)
    assert held.batches == [["held"], ["a", "gone", "b"]]


def test_an_interrupted_batch_leaves_nobody_waiting(held: HeldEncoder, pool: ThreadPoolExecutor) -> None:
    encoder = BatchingEncoder(held, most_wait_s=FOR_EVER)
    one_at_work(encoder, held, pool)
    ask = asking(encoder, pool)
    interrupted, beside = ask("interrupted"), ask("beside")
    held.let_go.set()
    with pytest.raises(KeyboardInterrupt):
        interrupted.result(FOR_EVER)
    with pytest.raises(EncoderError, match="was interrupted: call again"):
        beside.result(FOR_EVER)
    assert encoder.encode(["again"]).shape == (1, 256)


def test_closing_lets_the_calls_at_work_end_and_closes_the_encoder_once(
    held: HeldEncoder, pool: ThreadPoolExecutor
) -> None:
    encoder = BatchingEncoder(held, most_wait_s=FOR_EVER)
    first = one_at_work(encoder, held, pool)
    second = asking(encoder, pool)("second")
    closing = pool.submit(encoder.close)
    until(lambda: encoder._is_closed)
    held.let_go.set()
    closing.result(FOR_EVER)
    encoder.close()
    assert (first.result(0).shape, second.result(0).shape, held.closed) == ((1, 256), (1, 256), 1)
    with pytest.raises(EncoderError, match=r"small\.1 was closed"):
        encoder.encode(["late"])


def test_many_threads_each_get_their_own_vectors(pool: ThreadPoolExecutor) -> None:
    encoder = BatchingEncoder(SmallEncoder(), most_texts=5, most_wait_s=FOR_EVER)
    texts = [[f"word{n} and{m}" for m in range(n % 4 + 1)] for n in range(400)]
    for given, found in zip(texts, pool.map(encoder.encode, texts), strict=True):
        np.testing.assert_array_equal(found, SmallEncoder().encode(given))


def test_it_is_the_encoder_that_it_stands_for() -> None:
    encoder = BatchingEncoder(SmallEncoder())
    assert (encoder.version, encoder.dimension) == ("small.1", 256)
