"""Any endpoint that speaks OpenAI's chat completions: hosted ones, and llama.cpp, vLLM or Ollama on one's own machine.

What shaped this file: "compatible" means a different part of the protocol at each of them. What an endpoint says
400 to is left out of the next call and of every later one. An answer always comes as a stream, so that a model that
is at work can be told from one that hangs, and what was read of a broken answer is known. A call is made again only
as long as nothing of its answer was read: nobody sees a text begin twice.
"""

import contextlib
import math
import random
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal, Self

import httpx
import msgspec

from functions.adapters.models.bound import BYTES_OF_A_TOKEN, Call, estimated_read
from functions.adapters.models.prices import Price
from functions.adapters.models.protocol import (
    Choice,
    Chunk,
    Failure,
    NoEventStreamError,
    Problem,
    Said,
    Usage,
    WithoutThoughts,
    event_data,
)
from functions.adapters.models.settings import KEY, MODEL, URL, ModelSettings, ModelSettingsError
from functions.events.decoding import decoder
from functions.ports.models import ModelError

TRIES = 4
WORTH_TRYING_S = 1.0  # with less time left, no answer would come of another try
AGAIN = frozenset({408, 429, 500, 502, 503, 504})
MAX_ERROR_BYTES = 64 * 1024
MAX_ANSWER_BYTES = 16 * 1024 * 1024
BYTES_OF_A_TOKEN_AT_MOST = 16  # nearly always: an endpoint that goes past so many ignores `max_tokens`
LEEWAY_TOKENS = 64
CIRCLE_CHARACTERS, CIRCLES = 80, 4  # a text whose last characters stand in it so often goes round in circles
END_S = 0.25  # for the end of a connection whose answer has ended
MOST_TOKENS = 100_000_000  # that any count is believed to be
SHOWN_CHARACTERS = 200  # of what an endpoint says in an error
_TOO_LONG = re.compile(r"context[ _-](?:length|size|window)|too (?:long|large)|exceed_context", re.IGNORECASE)
_DONE = b"[DONE]"


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How long an endpoint may be silent, in seconds; the time that a call has left bounds them all.

    Attributes:
        connect: Until it takes the connection.
        silence: Until its first token, and between two of them: reading a long prompt on one's own machine takes long.
    """

    connect: float = 5.0
    silence: float = 30.0


class Dialect(msgspec.Struct, frozen=True, kw_only=True):
    """What an endpoint takes, as far as it is known: everything, until it says otherwise.

    Attributes:
        structure: How it is told the shape of an answer; the others need it in the instructions too.
        limit: What it calls the greatest number of tokens.
        temperature: Whether it takes one.
        counts: Whether it can be asked to count the tokens of a stream.
        system: Whether instructions have a message of their own.
    """

    structure: Literal["json_schema", "json_object", "text"] = "json_schema"
    limit: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    temperature: bool = True
    counts: bool = True
    system: bool = True

    def without(self, complaint: str, call: Call) -> "Dialect | None":
        """This one without what an endpoint complains of; None where that is nothing that can be left out."""
        if _TOO_LONG.search(complaint):
            return None
        lower = complaint.lower()
        simpler: tuple[tuple[bool, dict[str, Any]], ...] = (
            (self.limit == "max_tokens" and "max_completion_tokens" in lower, {"limit": "max_completion_tokens"}),
            (self.temperature and "temperature" in lower, {"temperature": False}),
            (self.counts and "stream_options" in lower, {"counts": False}),
            (self.system and re.search(r"system (?:role|message)", lower) is not None, {"system": False}),
            (call.schema is not None and self.structure == "json_schema", {"structure": "json_object"}),
            (call.schema is not None and self.structure == "json_object", {"structure": "text"}),
        )
        change = next((change for applies, change in simpler if applies), None)
        return msgspec.structs.replace(self, **change) if change else None


class _AgainError(Exception):
    """A try that came to nothing, and may be made again."""

    def __init__(self, error: ModelError, after_s: float | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.after_s = after_s


class _NotTakenError(Exception):
    """The endpoint does not take the call as it was put."""

    def __init__(self, error: ModelError, complaint: str) -> None:
        super().__init__(str(error))
        self.error = error
        self.complaint = complaint


class OpenAICompatible:
    """The `Chat` of one endpoint, over connections that are kept open: one a process, closed with it.

    Args:
        settings: Which endpoint and which model.
        patience: With its silences.
        pause: Waits so many seconds before a call is made again.
    """

    def __init__(
        self, settings: ModelSettings, *, patience: Patience | None = None, pause: Callable[[float], None] = time.sleep
    ) -> None:
        self._settings = settings
        self._patience = patience or Patience()
        self._pause = pause
        self._dialect = Dialect()
        self._client = httpx.Client(headers={"user-agent": "troupe", "accept-encoding": "identity"})

    @property
    def model(self) -> str:
        """See `Chat.model`."""
        return self._settings.model

    @property
    def price(self) -> Price:
        """See `Chat.price`."""
        return self._settings.price

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def complete(self, call: Call) -> str:
        """See `Chat.complete`."""
        ends = time.monotonic() + call.left_s
        for attempt in range(TRIES):
            try:
                return self._put(call, ends)
            except _AgainError as again:
                wait = _wait(again.after_s, attempt)
                if attempt + 1 == TRIES or time.monotonic() + wait + WORTH_TRYING_S > ends:
                    raise again.error from again
            self._pause(wait)
        raise AssertionError("the last try either returns or raises")

    def _put(self, call: Call, ends: float) -> str:
        """One try, put so that the endpoint takes it."""
        dialect = self._dialect
        while True:
            try:
                return self._exchange(call, dialect, ends)
            except _NotTakenError as refused:
                simpler = dialect.without(refused.complaint, call)
                if simpler is None or time.monotonic() + WORTH_TRYING_S > ends:
                    raise refused.error from refused
                dialect = simpler

    def _exchange(self, call: Call, dialect: Dialect, ends: float) -> str:
        with self._sent(call, dialect, ends) as response, _CutOff(response, ends) as cut_off:
            if response.status_code != httpx.codes.OK:
                raise self._failed(response)
            self._dialect = dialect
            return self._read(response, call, ends, cut_off)

    @contextlib.contextmanager
    def _sent(self, call: Call, dialect: Dialect, ends: float) -> Iterator[httpx.Response]:
        left = max(ends - time.monotonic(), 0.001)
        silence = min(self._patience.silence, left)
        timeout = httpx.Timeout(silence, connect=min(self._patience.connect, left), pool=left)
        request = self._client.build_request(
            "POST",
            self._settings.url,
            content=msgspec.json.encode(_body(self.model, call, dialect)),
            headers=self._headers(),
            timeout=timeout,
        )
        try:
            response = self._client.send(request, stream=True)
        except (httpx.ReadTimeout, httpx.PoolTimeout) as error:
            raise self._silent() from error
        except httpx.TransportError as error:
            raise _AgainError(self._error("could not be reached", error, reason="unreachable")) from error
        try:
            yield response
        finally:
            response.close()

    def _headers(self) -> dict[str, str]:
        headers = {"content-type": "application/json", "accept": "text/event-stream"}
        try:
            key = self._settings.key.value()
        except ModelSettingsError as error:
            raise ModelError(str(error), reason="rejected") from None
        return headers | ({"authorization": f"Bearer {key}"} if key else {})

    def _read(self, response: httpx.Response, call: Call, ends: float, cut_off: "_CutOff") -> str:
        answer = _Answer(call)
        try:
            for chunk in _chunks(response):
                call.check()
                answer.add(chunk)
                if answer.is_overlong:
                    break
                if chunk is None:
                    cut_off.hasten(time.monotonic() + END_S)
        except httpx.TransportError as error:
            if not answer.is_complete:
                raise self._broken(answer, error, ends) from error
        except (msgspec.MsgspecError, UnicodeDecodeError, NoEventStreamError, httpx.DecodingError) as error:
            raise self._garbage(error) from error
        finally:
            call.book(*answer.used())
        if not answer.is_complete:
            raise self._broken(answer, None, ends) if answer.chunks else self._garbage(None)
        answer.end()
        return self._said(answer)

    def _said(self, answer: "_Answer") -> str:
        if answer.error:
            said = self._shown(Failure(error=answer.error).text)
            raise ModelError(f"{self.model} failed while it wrote: {said}", reason="server error")
        if answer.refused:
            raise ModelError(f"{self.model} refused to answer", reason="refused")
        if answer.finish == "length" or answer.is_overlong:
            raise ModelError(
                f"{self.model} was cut off: it came to no end within what it was allowed", reason="truncated"
            )
        if not answer.text.strip():
            raise ModelError(f"{self.model} said nothing", reason="malformed")
        return answer.text

    def _broken(self, answer: "_Answer", error: Exception | None, ends: float) -> Exception:
        """What to raise where an answer ended before it was complete."""
        if time.monotonic() >= ends:
            return ModelError(f"{self.model} was still writing when its time was over", reason="timeout")
        if isinstance(error, httpx.TimeoutException):
            return self._silent()
        broken = self._error("ended the connection in the middle of its answer", error, reason="unreachable")
        return broken if answer.has_begun else _AgainError(broken)

    def _silent(self) -> ModelError:
        return ModelError(f"{self.model} was silent for too long", reason="timeout")

    def _garbage(self, error: Exception | None) -> ModelError:
        said = f": {self._shown(str(error))}" if error else ""
        return ModelError(f"{self.model} sent something else than an answer{said}", reason="malformed")

    def _error(self, what: str, error: Exception | None, *, reason: str) -> ModelError:
        said = f" ({type(error).__name__}: {self._shown(str(error))})" if error else ""
        return ModelError(f"{self.model} {what}{said}: see that {URL} is right and its server runs", reason=reason)

    def _failed(self, response: httpx.Response) -> Exception:
        """What to raise for a status that is no answer."""
        status, said = response.status_code, _complaint(response)
        shown = f"{self.model} answered with {status}" + (f": {self._shown(said)}" if said else "")
        if status in (401, 403):  # what the endpoint says may hold a part of the key
            error = ModelError(f"{self.model} answered with {status}: see that {KEY} holds its key", reason="rejected")
            sent = response.request.headers.get("authorization", "").removeprefix("Bearer ")
            return _AgainError(error) if self._settings.key.is_renewed(sent) else error
        if status in (400, 422):
            return _NotTakenError(ModelError(shown, reason="rejected"), said)
        if status in AGAIN:
            error = ModelError(shown, reason="rate limited" if status == 429 else "server error")  # noqa: PLR2004
            is_over = "insufficient_quota" in said  # nothing is left to wait for
            return error if is_over else _AgainError(error, _retry_after(response))
        if status >= 500:  # noqa: PLR2004 - the range that HTTP gives to servers
            return ModelError(shown, reason="server error")
        return ModelError(f"{shown}: see that {URL} and {MODEL} are right", reason="rejected")

    def _shown(self, said: str) -> str:
        """What an endpoint says, without the key, and short."""
        line = " ".join(self._settings.key.hidden_in(said).split())
        return "".join(letter for letter in line if letter.isprintable())[:SHOWN_CHARACTERS]


class _Answer:
    """What was read of an answer so far."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._thoughts = WithoutThoughts()
        self._parts: list[str] = []
        self._bytes_written = 0
        self._unlooked = 0
        self.chunks = 0
        self._usage: Usage | None = None
        self.finish = ""
        self.refused = False
        self.error: Problem | str | None = None
        self.is_overlong = False

    @property
    def text(self) -> str:
        """Without what the model thought."""
        return "".join(self._parts)

    @property
    def has_begun(self) -> bool:
        """Whether anything that the model wrote was read."""
        return self._bytes_written > 0

    @property
    def is_complete(self) -> bool:
        """Whether the endpoint ended it, in whatever way."""
        return bool(self.finish or self.refused or self.error or self.is_overlong)

    def add(self, chunk: Chunk | None) -> None:
        """Take the next chunk; None is the word that it was the last."""
        if chunk is None:
            self.finish = self.finish or "stop"
            return
        self.chunks += 1
        self._usage = chunk.usage or self._usage
        self.error = chunk.error or self.error
        for choice in (chunk.choices or ())[:1]:
            self._add(choice)

    def end(self) -> None:
        """Nothing more comes."""
        self._show(self._thoughts.rest())

    def _add(self, choice: Choice) -> None:
        said = choice.delta or choice.message or Said()
        for written in (said.content, said.refusal, said.reasoning_content or said.reasoning):
            self._bytes_written += len((written or "").encode(errors="replace"))
        self.refused = self.refused or bool(said.refusal) or choice.finish_reason == "content_filter"
        self.finish = choice.finish_reason or self.finish
        if said.content:
            self._show(self._thoughts.add(said.content))
        self.is_overlong = (
            self.is_overlong or self._bytes_written > (self._call.max_tokens + LEEWAY_TOKENS) * BYTES_OF_A_TOKEN_AT_MOST
        )

    def _show(self, text: str) -> None:
        if not text:
            return
        self._parts.append(text)
        self._call.show(text)
        self._unlooked += len(text)
        if self._unlooked >= CIRCLE_CHARACTERS:
            self._unlooked = 0
            self.is_overlong = self.is_overlong or _goes_in_circles(self.text)

    def used(self) -> tuple[int, int]:
        """Tokens read and written: as the endpoint counts them, and where it does not, more than there were."""
        call, usage = self._call, self._usage or Usage()
        read, written = usage.prompt_tokens or 0, usage.completion_tokens or 0
        if read <= 0:
            read = estimated_read(call.messages, call.schema)
        if written < 0 or (written == 0 and self.has_begun):
            written = math.ceil(self._bytes_written / BYTES_OF_A_TOKEN)
        return min(read, MOST_TOKENS), min(written, MOST_TOKENS)


def _goes_in_circles(text: str) -> bool:
    """Small models do, to the last token that they are allowed."""
    return text.count(text[-CIRCLE_CHARACTERS:]) >= CIRCLES


def _chunks(response: httpx.Response) -> Iterator[Chunk | None]:
    """The chunks of a stream, then None where its end is marked; an answer that came whole is one chunk."""
    pieces = _bounded(response.iter_bytes(), MAX_ANSWER_BYTES)
    if response.headers.get("content-type", "").startswith("application/json"):
        yield decoder(Chunk).decode(b"".join(pieces))
        yield None
        return
    for data in event_data(pieces):
        if data.strip() != _DONE:
            yield decoder(Chunk).decode(data)
            continue
        yield None
        for _ in pieces:  # a connection that was read to its end can be used again
            pass


def _bounded(pieces: Iterator[bytes], most: int) -> Iterator[bytes]:
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > most:
            raise NoEventStreamError(f"it has more than {most} bytes")
        yield piece


class _CutOff:
    """Ends the connection at a time: its own limits are for one silence, and tokens may drip for ever."""

    def __init__(self, response: httpx.Response, ends: float) -> None:
        self._connection: socket.socket | None = response.extensions["network_stream"].get_extra_info("socket")
        self._timers: list[threading.Timer] = []
        self._ends = ends

    def __enter__(self) -> Self:
        self.hasten(self._ends)
        return self

    def hasten(self, ends: float) -> None:
        """End it at this time, if that is before the one that was set."""
        timer = threading.Timer(max(ends - time.monotonic(), 0), self._cut)
        timer.daemon = True
        self._timers.append(timer)
        timer.start()

    def _cut(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(OSError):  # it is closed already
                # Not its own `shutdown`: that of a TLS connection takes its state away from whoever reads meanwhile.
                socket.socket.shutdown(self._connection, socket.SHUT_RDWR)

    def __exit__(self, *_: object) -> None:
        for timer in self._timers:
            timer.cancel()
            timer.join()  # or it might cut off whoever gets the connection next


def _body(model: str, call: Call, dialect: Dialect) -> dict[str, Any]:
    body: dict[str, Any] = {"model": model, "stream": True, dialect.limit: call.max_tokens}
    body["messages"] = _messages(call, dialect)
    if dialect.temperature:
        body["temperature"] = 0
    if dialect.counts:
        body["stream_options"] = {"include_usage": True}
    if call.schema and dialect.structure == "json_schema":
        shape = {"name": "answer", "strict": True, "schema": call.schema}
        body["response_format"] = {"type": "json_schema", "json_schema": shape}
    if call.schema and dialect.structure == "json_object":
        body["response_format"] = {"type": "json_object"}
    return body


def _messages(call: Call, dialect: Dialect) -> list[dict[str, str]]:
    (instructions, *others) = call.messages
    told = instructions.content
    if call.schema and dialect.structure != "json_schema":
        schema = msgspec.json.encode(call.schema).decode()
        told += f"\n\nAnswer with one JSON object of this JSON Schema and nothing else: {schema}"
    rest = [{"role": message.role, "content": message.content} for message in others]
    if dialect.system:
        return [{"role": "system", "content": told}, *rest]
    rest[0]["content"] = f"{told}\n\n{rest[0]['content']}"
    return rest


def _complaint(response: httpx.Response) -> str:
    """What the body of an error says; empty where it says nothing that can be read."""
    try:
        raw = b"".join(_bounded(response.iter_bytes(), MAX_ERROR_BYTES))
    except (httpx.HTTPError, NoEventStreamError):
        return ""
    try:
        return decoder(Failure).decode(raw).text
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return raw.decode(errors="replace")


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds to wait, as the endpoint says: a number, or the date of HTTP."""
    said = response.headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d{1,9}(?:\.\d+)?", said):
        return float(said)
    try:
        at = parsedate_to_datetime(said)
        return max(0.0, (at.replace(tzinfo=at.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
    except (ValueError, OverflowError):
        return None


def _wait(after_s: float | None, attempt: int) -> float:
    """Seconds until the next try: no sooner than the endpoint said, and not everybody at the same moment."""
    jitter = random.random()  # noqa: S311 - nobody gains from guessing it
    if after_s is not None:
        return after_s + jitter / 4
    return (0.5 + jitter / 2) * 2.0**attempt / 2
