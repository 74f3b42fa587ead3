"""JSON over HTTP to a service: what vector stores and encoders that are reached over REST have in common.

On the standard library's client, since it is loaded in a third of the time of any other and adds least to a call.
What shaped this file: nearly every call may be made again, since a point that is stored twice is stored once, so that
whatever comes to nothing is tried again until the call's time is over, after a wait that is random, so that many
clients do not come back together; who pays for each call says which may be made again. And a service may repeat the key
that it was sent, wherever it says anything.
"""

import contextlib
import io
import itertools
import math
import random
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPException, HTTPResponse
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import msgspec

from functions.adapters.models.settings import ModelSettingsError, Secret
from functions.errors import TroupeError
from functions.events.decoding import decoder

T = TypeVar("T")

AGAIN: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
KEY_ERRORS: Final = frozenset({401, 403})
REDIRECTS: Final = 300  # which are not followed: from here on, a status is an error
MAX_ANSWER_BYTES: Final = 256 * 1024 * 1024
PIECE_BYTES: Final = 256 * 1024
IDLE_CONNECTIONS: Final = 16
IDLE_S: Final = 60.0  # after longer, what stands between may have forgotten a connection without a word
SHOWN_CHARACTERS: Final = 300  # of what a server says in an error
FIRST_WAIT_S, LONGEST_WAIT_S = 0.1, 5.0


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How long a service is waited for, in seconds.

    Attributes:
        call: For a call in all, with everything that is tried again.
        answer: For the answer of one try.
        connect: Until a connection is there.
    """

    call: float = 30.0
    answer: float = 15.0
    connect: float = 5.0


class RestError(TroupeError):
    """A call to a service came to nothing; the message says why, and does not hold the key."""


class NoAnswerError(RestError):
    """Nothing that can be used was answered in time: nothing is known of the outcome."""


class StatusError(RestError):
    """A service understood a call and said no; its adapter tells what that means, where it is more than a refusal.

    Attributes:
        status: The HTTP status.
        complaint: What it said, whole and without the key.
    """

    def __init__(self, message: str, status: int, complaint: str) -> None:
        super().__init__(message)
        self.status = status
        self.complaint = complaint


class UnusableKeyError(RestError):
    """The key cannot be sent; nothing was."""


class ClosedError(RestError):
    """The client was closed."""


class AgainError(Exception):
    """A try that came to nothing and may be made again."""

    def __init__(self, why: str, after_s: float = 0.0) -> None:
        super().__init__(why)
        self.after_s = after_s


class NotSentError(AgainError):
    """A try that never reached the service."""


class FailedReplyError(Exception):
    """An answer that is an error in spite of its status; trying again would not change it."""


class _Call(msgspec.Struct, frozen=True):
    """What is sent, and until when, by the clock: how long it may take in all."""

    method: str
    path: str
    content: bytes
    headers: Callable[[], Mapping[str, str]]
    key: str
    ends: float
    allowed_s: float
    again: Callable[[AgainError], bool] | None


class Reply(msgspec.Struct, frozen=True):
    """What a service answered.

    Attributes:
        status: The HTTP status.
        headers: By their names in lower case.
        body: As it came.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


class _StaleError(Exception):
    """A connection that was kept open had been closed by the server: nothing was answered on it."""


class Rest:
    """Calls to one service, over connections that are kept open. Safe to use from several threads.

    Args:
        url: Of the service; a path in it comes before that of each call.
        product: What it is called in errors.
        key: Its key, looked up for each call.
        headers: What a key is sent as.
        patience: How long it is waited for.
        most_bytes: Of an answer.
        complaint: What the body of an error says.
        raises: What an error is raised as.
        judge: Looks at each answer before anything else does; for one to be asked for again it raises `AgainError`,
            and what else it raises comes out.
        clock: Seconds that only go forward.
        sleep: Waits so many seconds.
        chance: A number of 0 to 1, another one each time.

    Attributes:
        named: The product and where it is, as errors begin.
    """

    def __init__(  # noqa: PLR0913 - what services differ in; the last three are given by hand in tests only
        self,
        url: str,
        *,
        product: str,
        key: Secret | None = None,
        headers: Callable[[str], Mapping[str, str]] = lambda key: {"authorization": f"Bearer {key}"},
        patience: Patience | None = None,
        most_bytes: int = MAX_ANSWER_BYTES,
        complaint: Callable[[bytes], str] = lambda body: body.decode("utf-8", "replace"),
        raises: Callable[[RestError], Exception] = lambda error: error,
        judge: Callable[[Reply], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._at = _Address(url)
        self.named = f"{product} at {self._at.shown}"
        self._key = key
        self._key_headers = headers
        self._patience = patience or Patience()
        self._most_bytes, self._complaint, self._raises, self._judge = most_bytes, complaint, raises, judge
        self._clock, self._sleep, self._chance = clock, sleep, chance
        self._lock = threading.Lock()
        self._idle: list[_Wire] = []
        self._tls: ssl.SSLContext | None = None
        self._is_open = True

    def send(
        self, method: str, path: str, body: object = None, *, answer: type[T], headers: Mapping[str, str] | None = None
    ) -> T:
        """The decoded answer to a call that may be made more than once.

        Args:
            method: E.g. `POST`.
            path: With its query, quoted.
            body: What is sent as JSON; None sends nothing. Bytes are sent as they are.
            answer: What the JSON of the answer has to be; `bytes` takes it as it comes.
            headers: Of this call.

        Raises:
            NoAnswerError: Nothing that can be used was answered in time.
            StatusError: A status of 300 and more that trying again would not change.
            UnusableKeyError: The key is none that could be sent.
            ClosedError: It was closed.
        """

        def read(reply: Reply) -> T:
            if answer is bytes:
                return reply.body  # type: ignore[return-value]  # which is what T is
            return decoder(answer).decode(reply.body)

        return self.asked(method, path, body, read=read, headers=headers)

    def asked(  # noqa: PLR0913 - what a request of HTTP is made of
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        read: Callable[[Reply], T],
        headers: Mapping[str, str] | Callable[[], Mapping[str, str]] | None = None,
        within_s: float | None = None,
        again: Callable[[AgainError], bool] | None = None,
    ) -> T:
        """The same, for answers that say something with their status or their headers too.

        Args:
            method: As with `send`.
            path: As with `send`.
            body: As with `send`.
            read: What to make of an answer with a status below 300; one that it cannot decode, or for which it raises
                `AgainError`, is asked for again. For an error under such a status it raises `FailedReplyError`.
            headers: As with `send`; or what makes them for each try, e.g. a signature that is good for minutes.
            within_s: How long this call may take in all, where that is less than the client's patience.
            again: Which tries that came to nothing are followed by another; None for all. With it, each try has a
                connection of its own: one that was kept open may have been closed before a request came, or after.
        """
        content = body if isinstance(body, bytes) else b"" if body is None else msgspec.json.encode(body)
        allowed_s = self._patience.call if within_s is None else min(within_s, self._patience.call)
        made = headers if callable(headers) else lambda: headers or {}
        ends = self._clock() + allowed_s
        try:
            return self._answered(_Call(method, path, content, made, self._key_value(), ends, allowed_s, again), read)
        except RestError as error:
            raise self._raises(error) from None  # what it came from may hold the key

    def hidden(self, text: str) -> str:
        """A text of the service, without the key that it may repeat."""
        return self._key.hidden_in(text) if self._key else text

    def close(self) -> None:
        """Close the connections that are not in use now; those that are close after it. Closing again does nothing."""
        with self._lock:
            self._is_open = False
            idle, self._idle = self._idle, []
        for wire in idle:
            wire.shut()

    def _answered(self, call: _Call, read: Callable[[Reply], T]) -> T:
        """Tries until one is answered, or the time is over."""
        for tried in itertools.count():
            try:
                return self._tried(call, read)
            except AgainError as again:
                wait = again.after_s + pause_s(tried, self._chance())
                is_last = call.again is not None and not call.again(again)
                if is_last or self._clock() + wait >= call.ends:
                    raise NoAnswerError(
                        f"{self.named} {self._shown(str(again), call.key)} (tries: {tried + 1}, within "
                        f"{call.allowed_s:.3g} s): see whether it runs, and try again"
                    ) from again
            self._sleep(wait)
            call = msgspec.structs.replace(call, key=self._key_value())
        raise AssertionError("the tries only end with an answer or an error")

    def _tried(self, call: _Call, read: Callable[[Reply], T]) -> T:
        authorized = {**(self._key_headers(call.key) if call.key else {}), **call.headers()}
        request = self._at.request(call.method, call.path, call.content, authorized)
        ends = min(call.ends, self._clock() + self._patience.answer)
        exchanged = self._exchanged if call.again is None else self._exchanged_anew
        reply = exchanged(call.method, request, ends)
        self._judge(reply)
        if reply.status in AGAIN:
            after_s = _seconds(reply.headers.get("retry-after", ""))
            raise AgainError(f"answered {reply.status}: {self._complaint(reply.body)}", after_s)
        if reply.status >= REDIRECTS:
            reason = ""
            if self._key and reply.status in KEY_ERRORS:
                if self._key.is_renewed(call.key):
                    raise AgainError(f"answered {reply.status} to the key {self._key.name}, which has changed")
                reason = f" to the key {self._key.name}"
            raise self._refused(call, f"{reply.status}{reason}", reply.status, self._complaint(reply.body))
        try:
            return read(reply)
        except FailedReplyError as error:
            raise self._refused(call, f"{reply.status} with an error", reply.status, str(error)) from error
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            said = self._complaint(reply.body)
            raise AgainError(f"answered {reply.status} and not as expected ({error}): {said}") from error

    def _refused(self, call: _Call, answered: str, status: int, complaint: str) -> StatusError:
        shown = self._shown(complaint, call.key)
        return StatusError(f"{self.named} answered {answered}: {shown}", status, self._hidden(complaint, call.key))

    def _exchanged(self, method: str, request: bytes, ends: float) -> Reply:
        """The answer over a connection that is open, or else over a new one."""
        wire = self._kept()
        if wire is not None:
            with contextlib.suppress(_StaleError):
                return self._over(wire, method, request, ends, reused=True)
        return self._exchanged_anew(method, request, ends)

    def _exchanged_anew(self, method: str, request: bytes, ends: float) -> Reply:
        self.check_open()
        return self._over(self._connected(ends), method, request, ends, reused=False)

    def _over(self, wire: "_Wire", method: str, request: bytes, ends: float, *, reused: bool) -> Reply:
        wire.ends, wire.read_bytes = ends, 0
        try:
            wire.sendall(request)
            response = HTTPResponse(wire, method=method)  # type: ignore[arg-type]  # all that it needs of a socket
            response.begin()
            body = _read(response, self._most_bytes)
        except AgainError:
            wire.shut()
            raise
        except (OSError, HTTPException, ValueError) as error:  # ValueError: the length of a chunk is no number
            wire.shut()
            if reused and wire.read_bytes == 0 and not isinstance(error, TimeoutError):
                raise _StaleError from error
            what = "stopped in the middle of its answer" if wire.read_bytes else "did not answer"
            raise AgainError(f"{what} ({_said(error)})") from error
        named = {name.lower(): value for name, value in response.getheaders()}
        if response.will_close:
            wire.shut()
        else:
            self._keep(wire)
        return Reply(response.status, named, body)

    def check_open(self) -> None:
        """Refuse to go on after `close`.

        Raises:
            ClosedError: It was closed.
        """
        if not self._is_open:
            raise self._raises(ClosedError(f"{self.named} is closed: open it again"))

    def _kept(self) -> "_Wire | None":
        with self._lock:
            self.check_open()
            wire = self._idle.pop() if self._idle else None
        if wire is None or self._clock() - wire.used_at < IDLE_S:
            return wire
        wire.shut()
        return None

    def _keep(self, wire: "_Wire") -> None:
        wire.used_at = self._clock()
        with self._lock:
            if self._is_open and len(self._idle) < IDLE_CONNECTIONS:
                self._idle.append(wire)
                return
        wire.shut()

    def _connected(self, ends: float) -> "_Wire":
        left = max(min(self._patience.connect, ends - self._clock()), 0.001)
        try:
            connection = socket.create_connection((self._at.host, self._at.port), left)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._at.secure:
                connection = self._secured(connection)
        except (OSError, UnicodeError) as error:  # those of TLS are OSErrors too
            raise NotSentError(f"could not be reached ({_said(error)})") from error
        return _Wire(connection, self._clock)

    def _secured(self, connection: socket.socket) -> ssl.SSLSocket:
        with self._lock:
            self._tls = self._tls or ssl.create_default_context()
        try:
            return self._tls.wrap_socket(connection, server_hostname=self._at.host)
        except BaseException:
            connection.close()
            raise

    def _key_value(self) -> str:
        try:
            return self._key.value() if self._key else ""
        except ModelSettingsError as error:
            raise UnusableKeyError(f"{self.named} was not asked: {error}") from None

    def _hidden(self, text: str, key: str) -> str:
        return text.replace(key, self._key.name) if self._key and key else text

    def _shown(self, text: str, key: str) -> str:
        """On one line, cut, and without the key that it was sent."""
        return " ".join(self._hidden(text, key)[: 16 * SHOWN_CHARACTERS].split())[:SHOWN_CHARACTERS] or "nothing"


class _Address:
    """Where a service is, and how a request to it begins."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.secure = parts.scheme == "https"
        self.host = parts.hostname or ""
        self.port = parts.port or (443 if self.secure else 80)
        self._before = parts.path.rstrip("/")
        host = f"[{self.host}]" if ":" in self.host else self.host
        self._authority = host if parts.port is None else f"{host}:{self.port}"
        self.shown = f"{parts.scheme}://{self._authority}{self._before}"

    def request(self, method: str, path: str, content: bytes, headers: Mapping[str, str]) -> bytes:
        """Head and body in one piece, so that they leave together."""
        own = {
            "host": self._authority,
            "user-agent": "troupe",
            "accept": "application/json",
            "accept-encoding": "identity",
            **({"content-type": "application/json", "content-length": str(len(content))} if content else {}),
        }
        if not content and method in ("POST", "PUT", "PATCH"):
            own["content-length"] = "0"
        lines = [f"{method} {self._before}{path} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in {**own, **headers}.items()]
        return "\r\n".join([*lines, "", ""]).encode() + content


class _Wire(io.RawIOBase):
    """A connection, as much of it as an `HTTPResponse` needs, whose every byte has to come before the time is over."""

    def __init__(self, connection: socket.socket, clock: Callable[[], float]) -> None:
        super().__init__()
        self._connection = connection
        self._clock = clock
        self.ends = math.inf
        self.read_bytes = 0
        self.used_at = 0.0

    def sendall(self, content: bytes) -> None:
        self._connection.settimeout(self._left())
        self._connection.sendall(content)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - any that bytes can be written to
        self._connection.settimeout(self._left())
        count = self._connection.recv_into(buffer)
        self.read_bytes += count
        return count

    def close(self) -> None:
        """The response is done with; the connection is not."""

    def shut(self) -> None:
        with contextlib.suppress(OSError):
            self._connection.close()

    def _left(self) -> float:
        left = self.ends - self._clock()
        if left <= 0:
            raise TimeoutError("its time was over")
        return left


def _read(response: HTTPResponse, most: int) -> bytes:
    """The whole body, or an error."""
    if (response.length or 0) > most:
        raise AgainError(f"answered {response.length} bytes, more than {most}")
    if response.length is not None:
        return response.read()
    body = bytearray()
    while len(body) <= most and (piece := response.read1(PIECE_BYTES)):
        body += piece
    if len(body) > most:
        raise AgainError(f"answered more than {most} bytes")
    return bytes(body)


def pause_s(tried: int, chance: float) -> float:
    """How long to wait after so many tries: growing, and random, so that many do not come back together.

    Args:
        tried: How many tries there were before the last one.
        chance: A number of 0 to 1, another one each time.
    """
    return chance * min(FIRST_WAIT_S * 2.0**tried, LONGEST_WAIT_S)


def _seconds(retry_after: str) -> float:
    """What a header Retry-After says, in seconds; 0 where it says nothing that can be read."""
    try:
        return max(float(retry_after), 0.0) if retry_after.strip()[:1].isdigit() else _until(retry_after)
    except (ValueError, OverflowError):
        return 0.0


def _until(date: str) -> float:
    if not date:
        return 0.0
    then = parsedate_to_datetime(date)
    return max((then.replace(tzinfo=then.tzinfo or UTC) - datetime.now(UTC)).total_seconds(), 0.0)


def _said(error: Exception) -> str:
    """Without what a server said: that may hold what it was sent."""
    return str(error) if isinstance(error, OSError) and str(error) else type(error).__name__
