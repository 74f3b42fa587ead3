"""Any endpoint that speaks OpenAI's embeddings: hosted ones, and vLLM, Ollama or text-embeddings-inference.

What shaped this file: "compatible" endpoints answer 200 with an error in the body, leave out vectors, return them in
another order or not of unit length.
"""

import random
import re
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
import numpy as np
from numpy.typing import NDArray

from functions.adapters.encoders.settings import Endpoint
from functions.adapters.models.protocol import Failure, Problem
from functions.adapters.rest import (
    AGAIN,
    AgainError,
    FailedReplyError,
    NoAnswerError,
    Patience,
    Reply,
    Rest,
    RestError,
    StatusError,
)
from functions.events.decoding import decoder
from functions.events.utf8 import storable
from functions.ports.encoders import EncoderError, EncoderUnavailableError

CHARACTERS_A_CALL: Final = 200_000  # hosted ones take some 300,000 tokens, and a token may be one character
_TOO_LARGE: Final = 413
_REFUSED_INPUT: Final = frozenset({400, 413, 422})
_TOO_LONG: Final = re.compile(
    r"too (?:long|large|many)|maximum|exceed|context[ _-](?:length|size|window)", re.IGNORECASE
)
_NUMBER_BYTES: Final = 32  # of a number in JSON, with what stands around it
_ROOM_BYTES: Final = 64 * 1024


class _Item(msgspec.Struct, frozen=True):
    embedding: list[float]
    index: int | None = None


class _Answer(msgspec.Struct, frozen=True):
    data: list[_Item] | None = None
    error: Problem | str | None = None


class _TooLongError(Exception):
    """Something among the texts is longer than the model takes."""


class OpenAICompatibleEncoder:
    """The `Encoder` of one endpoint, over connections that are kept open. Safe to call from several threads.

    A text is cut at `max_characters`. The empty text is sent as a space, since most endpoints refuse it.

    Args:
        endpoint: Which one, and which model.
        clock: Seconds that only go forward.
        sleep: Waits so many seconds before a call is made again.
        chance: A number from 0 to 1, another one each time.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._endpoint = endpoint
        parts = urlsplit(endpoint.url)
        self._path = parts._replace(scheme="", netloc="").geturl()
        self._rest = Rest(
            f"{parts.scheme}://{parts.netloc}",
            product=f"the encoder {endpoint.name}",
            key=endpoint.key,
            patience=Patience(call=endpoint.timeout_s, answer=endpoint.timeout_s),
            most_bytes=_ROOM_BYTES + endpoint.max_texts * (endpoint.dimension + 8) * _NUMBER_BYTES,
            complaint=_complaint,
            raises=_encoder_error,
            clock=clock,
            sleep=sleep,
            chance=chance,
        )

    @property
    def version(self) -> str:
        """See `Encoder.version`."""
        return self._endpoint.version

    @property
    def dimension(self) -> int:
        """See `Encoder.dimension`."""
        return self._endpoint.dimension

    def close(self) -> None:
        """Close the connections."""
        self._rest.close()

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See `Encoder.encode`.

        Raises:
            EncoderUnavailableError: The endpoint gave nothing that can be used within the time of a call.
            EncoderError: It refused, or its vectors are none.
        """
        vectors = np.empty((len(texts), self.dimension), np.float32)
        sent = [_sendable(text, self._endpoint.max_characters) for text in texts]
        for start, end in _batches(sent, self._endpoint.max_texts):
            vectors[start:end] = self._batch(sent[start:end], start)
        return vectors

    def _batch(self, texts: Sequence[str], first: int) -> NDArray[np.float32]:
        """The vectors of one call; of two of half the size, where a text in it is too long, until it is alone."""
        try:
            return self._asked(texts)
        except _TooLongError as error:
            if len(texts) == 1:
                raise EncoderError(
                    f"{error}: it takes no text as long as number {first + 1}, which has {len(texts[0])} characters; "
                    "set max_characters below that"
                ) from error
            half = len(texts) // 2
            return np.concatenate([self._batch(texts[:half], first), self._batch(texts[half:], first + half)])

    def _asked(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self._rest.asked("POST", self._path, self._body(texts), read=lambda reply: self._read(reply, len(texts)))

    def _body(self, texts: Sequence[str]) -> dict[str, Any]:
        body: dict[str, Any] = {"model": self._endpoint.model, "input": texts}
        return body | ({"dimensions": self.dimension} if self._endpoint.shortened else {})

    def _read(self, reply: Reply, count: int) -> NDArray[np.float32]:
        answer = decoder(_Answer).decode(reply.body)
        if answer.data is None or answer.error is not None:
            code = str(answer.error.code) if isinstance(answer.error, Problem) else ""
            if code in {str(status) for status in AGAIN}:
                raise AgainError(f"answered {reply.status} with an error: {_complaint(reply.body)}")
            raise FailedReplyError(_complaint(reply.body))
        return self._unit_vectors(answer.data, count)

    def _unit_vectors(self, items: Sequence[_Item], count: int) -> NDArray[np.float32]:
        """In the order of the texts, each of unit length."""
        places = [at if item.index is None else item.index for at, item in enumerate(items)]
        if sorted(places) != list(range(count)):
            raise self._error(f"answered {len(items)} vectors, numbered {places[:5]} …, to {count} texts")
        wrong = {len(item.embedding) for item in items} - {self.dimension}
        if wrong:
            raise self._error(
                f"makes vectors of {min(wrong)} numbers, expected {self.dimension}: set the dimension, or "
                "`shortened` where the model can make shorter ones"
            )
        found = np.empty((count, self.dimension), np.float64)
        found[places] = [item.embedding for item in items]
        with np.errstate(over="ignore"):
            lengths = np.linalg.norm(found, axis=1, keepdims=True)
        if not (np.isfinite(lengths).all() and (lengths > 0).all()):
            raise self._error("made a vector of zeros, or of numbers that are none")
        return np.asarray(found / lengths, np.float32)

    def _error(self, what: str) -> EncoderError:
        return EncoderError(f"{self._rest.named} {what}")


def _encoder_error(error: RestError) -> Exception:
    if isinstance(error, NoAnswerError):
        return EncoderUnavailableError(str(error))
    if isinstance(error, StatusError) and _is_too_long(error):
        return _TooLongError(str(error))
    return EncoderError(str(error))


def _is_too_long(error: StatusError) -> bool:
    return error.status == _TOO_LARGE or (
        error.status in _REFUSED_INPUT and _TOO_LONG.search(error.complaint) is not None
    )


def _batches(texts: Sequence[str], most: int) -> Iterator[tuple[int, int]]:
    """From where to where the texts of each call stand."""
    start = characters = 0
    for at, text in enumerate(texts):
        if at > start and (at - start == most or characters + len(text) > CHARACTERS_A_CALL):
            yield start, at
            start, characters = at, 0
        characters += len(text)
    if texts:
        yield start, len(texts)


def _sendable(text: str, most: int) -> str:
    """The part of a text that is encoded, without lone surrogates."""
    return storable(text[:most]) or " "


def _complaint(said: bytes) -> str:
    """What the body of an error says, as far as it can be read."""
    try:
        return decoder(Failure).decode(said).text or said.decode(errors="replace")
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return said.decode(errors="replace")
