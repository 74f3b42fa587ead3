"""Any endpoint that speaks OpenAI's embeddings: hosted ones, and vLLM, Ollama or text-embeddings-inference.

On the standard library's client, since it is loaded in a third of the time of any other. What shaped this file:
"compatible" endpoints answer 200 with an error in the body, leave out vectors, return them in another order or not of
unit length; and a text may always be asked again, so that whatever came to nothing is, until the time is over.
"""

import contextlib
import itertools
import random
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
import numpy as np
from numpy.typing import NDArray

from functions.adapters.encoders.settings import Endpoint
from functions.adapters.models.protocol import Failure, Problem
from functions.adapters.models.settings import ModelSettingsError
from functions.events.decoding import decoder
from functions.ports.encoders import EncoderError, EncoderUnavailableError

CHARACTERS_A_CALL: Final = 200_000  # hosted ones take some 300,000 tokens, and a token may be one character
IDLE_CONNECTIONS: Final = 8
CONNECT_S: Final = 5.0
FIRST_WAIT_S, LONGEST_WAIT_S = 0.25, 8.0
SHOWN_CHARACTERS: Final = 200  # of what an endpoint says in an error
_OK: Final = 200
_AGAIN: Final = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
_KEY_ERRORS: Final = frozenset({401, 403})
_TOO_LARGE: Final = 413
_REFUSED_INPUT: Final = frozenset({400, 413, 422})
_TOO_LONG: Final = re.compile(
    r"too (?:long|large|many)|maximum|exceed|context[ _-](?:length|size|window)", re.IGNORECASE
)
_NUMBER_BYTES: Final = 32  # of a number in JSON, with what stands around it
_ROOM_BYTES: Final = 64 * 1024


_Left = Callable[[], float]


class _Item(msgspec.Struct, frozen=True):
    embedding: list[float]
    index: int | None = None


class _Answer(msgspec.Struct, frozen=True):
    data: list[_Item] | None = None
    error: Problem | str | None = None


class _AgainError(Exception):
    """A try that came to nothing, and may be made again."""

    def __init__(self, why: str, after_s: float = 0.0) -> None:
        super().__init__(why)
        self.after_s = after_s


class _TooLongError(Exception):
    """Something among the texts is longer than the model takes."""


class OpenAICompatibleEncoder:
    """The `Encoder` of one endpoint, over connections that are kept open. Safe to call from several threads.

    A text is cut at `max_characters`. The empty text is sent as a space, since most endpoints refuse it.

    Args:
        endpoint: Which one, and which model.
        tls: What certificates are checked with: the system's authorities, or those of `SSL_CERT_FILE`.
        clock: Seconds that only go forward.
        pause: Waits so many seconds before a call is made again.
        chance: A number from 0 to 1, another one each time.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        tls: Callable[[], ssl.SSLContext] = ssl.create_default_context,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._endpoint = endpoint
        self._connections = _Connections(endpoint.url, tls)
        self._clock, self._pause, self._chance = clock, pause, chance

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
        self._connections.close()

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
                raise self._error(
                    f"takes no text as long as number {first + 1}, which has {len(texts[0])} characters ({error}): "
                    f"set max_characters below that"
                ) from error
            half = len(texts) // 2
            return np.concatenate([self._batch(texts[:half], first), self._batch(texts[half:], first + half)])

    def _asked(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Tries until one is answered, or the time is over."""
        body = self._body(texts)
        ends = self._clock() + self._endpoint.timeout_s
        for tried in itertools.count():
            try:
                return self._tried(body, len(texts), ends)
            except _AgainError as again:
                jitter = self._chance() * min(FIRST_WAIT_S * 2**tried, LONGEST_WAIT_S)
                wait = again.after_s + jitter
                if self._clock() + wait >= ends:
                    raise EncoderUnavailableError(
                        f"{self._named} {again} (tries: {tried + 1}, within {self._endpoint.timeout_s:g} s): see "
                        "whether it runs, and try again"
                    ) from again
            self._pause(wait)
        raise AssertionError("the tries only end with vectors or an error")

    def _body(self, texts: Sequence[str]) -> bytes:
        body: dict[str, Any] = {"model": self._endpoint.model, "input": texts}
        if self._endpoint.shortened:
            body["dimensions"] = self.dimension
        return msgspec.json.encode(body)

    def _tried(self, body: bytes, count: int, ends: float) -> NDArray[np.float32]:
        most = _ROOM_BYTES + count * (self.dimension + 8) * _NUMBER_BYTES
        headers = self._headers()
        status, said, after_s = self._connections.post(body, headers, lambda: max(ends - self._clock(), 0.001), most)
        if status in _AGAIN:
            raise _AgainError(f"answered {status}: {self._shown(_complaint(said))}", after_s)
        if status != _OK:
            raise self._refused(status, _complaint(said))
        try:
            answer = decoder(_Answer).decode(said)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise _AgainError(f"answered {status} with what are no embeddings ({error})") from error
        if answer.error is not None or answer.data is None:
            raise self._failed(answer.error, said)
        return self._unit_vectors(answer.data, count)

    def _headers(self) -> dict[str, str]:
        headers = {"content-type": "application/json", "accept": "application/json", "user-agent": "troupe"}
        try:
            key = self._endpoint.key.value() if self._endpoint.key else ""
        except ModelSettingsError as error:
            raise EncoderError(str(error)) from None
        return headers | ({"authorization": f"Bearer {key}"} if key else {})

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

    def _refused(self, status: int, complaint: str) -> Exception:
        if status == _TOO_LARGE or (status in _REFUSED_INPUT and _TOO_LONG.search(complaint)):
            return _TooLongError(self._shown(complaint))
        key = f" to the key in {self._endpoint.key.name}" if self._endpoint.key and status in _KEY_ERRORS else ""
        return self._error(f"answered {status}{key}: {self._shown(complaint)}")

    def _failed(self, problem: Problem | str | None, said: bytes) -> Exception:
        """An error under the status 200: worth another try where its code says so."""
        why = f"answered 200 with an error: {self._shown(_complaint(said))}"
        code = str(problem.code) if isinstance(problem, Problem) else ""
        return _AgainError(why) if code in {str(status) for status in _AGAIN} else self._error(why)

    def _error(self, what: str) -> EncoderError:
        return EncoderError(f"{self._named} {what}")

    @property
    def _named(self) -> str:
        return f"the encoder {self._endpoint.name} at {self._connections.shown}"

    def _shown(self, complaint: str) -> str:
        """What an endpoint says, on one line and without the key that it may repeat."""
        hidden = self._endpoint.key.hidden_in(complaint) if self._endpoint.key else complaint
        return " ".join(hidden.split())[:SHOWN_CHARACTERS] or "nothing"


class _Connections:
    """Those to one address, kept open between calls."""

    def __init__(self, url: str, tls: Callable[[], ssl.SSLContext]) -> None:
        parts = urlsplit(url)
        self._secure = parts.scheme == "https"
        self._host, self._port = parts.hostname or "", parts.port
        self._path = f"{parts.path}?{parts.query}" if parts.query else parts.path
        host = f"[{self._host}]" if ":" in self._host else self._host
        self.shown = f"{parts.scheme}://{host}{f':{self._port}' if self._port else ''}"
        self._make_tls = tls
        self._tls: ssl.SSLContext | None = None
        self._idle: list[HTTPConnection] = []
        self._is_closed = False
        self._lock = threading.Lock()

    def post(self, body: bytes, headers: dict[str, str], left: _Left, most: int) -> tuple[int, bytes, float]:
        """Status, body and the seconds after which it may be asked again.

        Raises:
            _AgainError: No whole answer came in the time that is left.
        """
        kept = self._kept()
        if kept is not None:
            with contextlib.suppress(_StaleError):
                return self._over(kept, body, headers, left(), most)
        with contextlib.suppress(_StaleError):
            return self._over(self._new(left()), body, headers, left(), most)
        raise _AgainError("did not answer (it closed the connection)")

    def close(self) -> None:
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _over(
        self, connection: HTTPConnection, body: bytes, headers: dict[str, str], left_s: float, most: int
    ) -> tuple[int, bytes, float]:
        with contextlib.ExitStack() as closing:
            closing.callback(connection.close)
            with _cut_off(connection, left_s):
                response = _answered(connection, body, headers, self._path)
                said = _read(response, most)
            if not response.will_close:
                closing.pop_all()
                self._keep(connection)
        return response.status, said, _seconds(response.headers.get("retry-after", ""))

    def _kept(self) -> HTTPConnection | None:
        with self._lock:
            if self._is_closed:
                raise EncoderError(f"the encoder at {self.shown} was closed")
            return self._idle.pop() if self._idle else None

    def _keep(self, connection: HTTPConnection) -> None:
        with self._lock:
            if not self._is_closed and len(self._idle) < IDLE_CONNECTIONS:
                self._idle.append(connection)
                return
        connection.close()

    def _new(self, left_s: float) -> HTTPConnection:
        timeout = min(CONNECT_S, left_s)
        connection = (
            HTTPSConnection(self._host, self._port, timeout=timeout, context=self._context())
            if self._secure
            else HTTPConnection(self._host, self._port, timeout=timeout)
        )
        try:
            connection.connect()
        except (OSError, UnicodeError) as error:  # those of TLS are OSErrors too
            connection.close()
            raise _AgainError(f"could not be reached ({_said(error)})") from error
        return connection

    def _context(self) -> ssl.SSLContext:
        with self._lock:
            self._tls = self._tls or self._make_tls()
            return self._tls


class _StaleError(Exception):
    """The server had closed the connection: nothing was answered on it."""


@contextlib.contextmanager
def _cut_off(connection: HTTPConnection, left_s: float) -> Iterator[None]:
    """Ends the connection when the time is over: the limit of a socket is for one silence, and answers may drip."""
    opened: socket.socket = connection.sock
    opened.settimeout(left_s)

    def cut() -> None:
        with contextlib.suppress(OSError):  # it is closed already
            # Not its own `shutdown`: that of a TLS connection takes its state away from whoever reads meanwhile.
            socket.socket.shutdown(opened, socket.SHUT_RDWR)

    timer = threading.Timer(left_s, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()  # or it might cut off whoever gets the connection next


def _answered(connection: HTTPConnection, body: bytes, headers: dict[str, str], path: str) -> HTTPResponse:
    try:
        connection.request("POST", path, body, headers)
        return connection.getresponse()
    except ConnectionError as error:  # http.client's RemoteDisconnected is one
        raise _StaleError from error
    except (OSError, HTTPException, ValueError) as error:
        raise _AgainError(f"did not answer ({_said(error)})") from error


def _read(response: HTTPResponse, most: int) -> bytes:
    try:
        said = response.read(most + 1)
        if len(said) > most:
            raise _AgainError(f"answered more than {most} bytes")
        rest = response.read()  # nothing, and the end of the last chunk
    except (OSError, HTTPException, ValueError) as error:  # ValueError: the length of a chunk is no number
        raise _AgainError(f"stopped in the middle of its answer ({_said(error)})") from error
    if response.length:
        raise _AgainError("stopped in the middle of its answer")
    return said + rest


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
    """The part of a text that is encoded, without lone surrogates, which UTF-8 cannot carry."""
    return text[:most].encode("utf-8", "replace").decode("utf-8") or " "


def _complaint(said: bytes) -> str:
    """What the body of an error says, as far as it can be read."""
    try:
        return decoder(Failure).decode(said).text or said.decode(errors="replace")
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return said.decode(errors="replace")


def _seconds(said: str) -> float:
    """What Retry-After says: a number, or the date of HTTP."""
    if re.fullmatch(r"\d{1,9}(?:\.\d+)?", said.strip()):
        return float(said)
    try:
        at = parsedate_to_datetime(said)
        return max(0.0, (at.replace(tzinfo=at.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
    except (ValueError, OverflowError):
        return 0.0


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__
