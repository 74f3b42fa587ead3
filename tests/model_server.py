"""A server that speaks chat completions as OpenAI's API reference describes them, and misbehaves where a test says so.

It refuses what a real one refuses: parameters that do not exist, messages without a role, a wrong key. What it sends
is checked against the SDK's own types in `tests/adapters/models/test_small_model.py`, where those are installed.
"""

import json
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "sk-test-6f1c5b1d0a9e4c7c"
NAME = "test-model"
PARAMETERS = {
    "frequency_penalty", "logprobs", "max_completion_tokens", "max_tokens", "messages", "model", "n",
    "presence_penalty", "reasoning_effort", "response_format", "seed", "stop", "stream", "stream_options",
    "temperature", "tools", "tool_choice", "top_logprobs", "top_p", "user",
}  # fmt: skip
USAGE = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}

Body = dict[str, Any]
Reply = Callable[["Handler", Body], None]


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: "_Server"

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("content-length", 0)))
        body: Body = json.loads(raw)
        model_server = self.server.model_server
        with model_server.receiving:
            model_server.bodies.append(body)
            model_server.connections.add(self.client_address)
            reply = model_server.next_reply(body)
        if self.headers.get("authorization") != f"Bearer {KEY}":
            reply = failed(401, f"Incorrect API key provided: {self.headers.get('authorization')}", "invalid_api_key")
        elif self.path != "/v1/chat/completions":
            reply = failed(404, f"Invalid URL (POST {self.path})")
        elif wrong := _wrong_with(body):
            reply = failed(400, wrong)
        try:
            reply(self, body)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # whoever asked had enough

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def send_whole(self, status: int, content: bytes, kind: str = "application/json", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"content-type": kind, "content-length": str(len(content)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)

    def start_stream(self, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("content-type", "text/event-stream; charset=utf-8")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()

    def send_piece(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def send_event(self, chunk: Body | str) -> None:
        self.send_piece(f"data: {chunk if isinstance(chunk, str) else json.dumps(chunk)}\n\n".encode())

    def end_stream(self) -> None:
        self.send_event("[DONE]")
        self.wfile.write(b"0\r\n\r\n")

    def hang_up(self) -> None:
        self.wfile.flush()
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    model_server: "ModelServer"

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as the base class has it
        if not isinstance(sys.exception(), OSError):  # whoever asked had enough
            super().handle_error(request, client_address)


class ModelServer:
    """What a test looks at.

    Attributes:
        bodies: What was asked, in order.
        replies: What is said next, one after the other; the last one again and again.
        connections: From where it was asked.
        released: Lets the replies go on that hang.
    """

    def __init__(self) -> None:
        self.bodies: list[Body] = []
        self.connections: set[tuple[str, int]] = set()
        self.replies: list[Reply] = [text("Yes.")]
        self.receiving = threading.Lock()
        self.released = threading.Event()
        self._http = _Server(("127.0.0.1", 0), Handler)
        self._http.model_server = self

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    @property
    def environment(self) -> dict[str, str]:
        """The settings that lead here; a million tokens read cost a dollar, and written two."""
        return {
            "TROUPE_MODEL_URL": self.url,
            "TROUPE_MODEL": NAME,
            "TROUPE_MODEL_KEY": KEY,
            "TROUPE_MODEL_PRICE": "1/2",
        }

    def next_reply(self, body: Body) -> Reply:
        del body
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]

    def prompt(self, number: int = -1) -> str:
        """What one of the calls told the model, in all its messages."""
        return "\n".join(message["content"] for message in self.bodies[number]["messages"])

    @contextmanager
    def serving(self) -> Iterator["ModelServer"]:
        thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield self
        finally:
            self.released.set()
            self._http.shutdown()
            thread.join()
            self._http.server_close()


def _wrong_with(body: Body) -> str:
    if unknown := body.keys() - PARAMETERS:
        return f"Unrecognized request argument supplied: {', '.join(sorted(unknown))}"
    messages = body.get("messages")
    if not isinstance(messages, list) or not all(set(message) == {"role", "content"} for message in messages):
        return "Missing required parameter: 'messages'."
    if [message["role"] for message in messages] not in (
        ["system", "user"], ["user"], ["system", "user", "assistant", "user"],
    ):  # fmt: skip
        return "Conversation roles must alternate user/assistant/user/assistant/..."
    if "stream_options" in body and not body.get("stream"):
        return "The 'stream_options' parameter is only allowed when 'stream' is enabled."
    shape = body.get("response_format", {}).get("json_schema")
    if shape and not _is_strict(shape["schema"]):
        return f"Invalid schema for response_format '{shape['name']}'"
    return ""


def _is_strict(schema: Any) -> bool:  # noqa: ANN401 - a part of a JSON Schema
    if isinstance(schema, list):
        return all(map(_is_strict, schema))
    if not isinstance(schema, dict):
        return True
    whole = schema.get("type") != "object" or (
        schema.get("additionalProperties") is False and set(schema["required"]) == set(schema["properties"])
    )
    return whole and all(map(_is_strict, schema.values()))


# --------------------------------------------------------------------------------------------- replies


def chunk(delta: Body | None = None, *, finish: str | None = None, usage: Body | None = None) -> Body:
    """A `chat.completion.chunk`; without a delta the one that ends a stream, with the usage and no choice."""
    choices = [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}] if delta is not None else []
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1767603600,
        "model": NAME,
        "system_fingerprint": "fp_1",
        "choices": choices,
        "usage": usage,
    }


def _parts(said: str) -> list[str]:
    """As tokens come: short pieces, white space in front."""
    return [said[at : at + 7] for at in range(0, len(said), 7)]


def streamed(
    pieces: Iterable[str], *, finish: str | None = "stop", usage: Body | None = USAGE, field: str = "content"
) -> Reply:
    """The pieces of a text, one a chunk; without a finish, the stream ends as if that were all."""

    def reply(handler: Handler, body: Body) -> None:
        counts = body.get("stream_options", {}).get("include_usage")
        handler.start_stream()
        handler.send_event(chunk({"role": "assistant", "content": "", "refusal": None}))
        for piece in pieces:
            handler.send_event(chunk({field: piece}))
        if finish:
            handler.send_event(chunk({}, finish=finish))
        if usage and counts:
            handler.send_event(chunk(usage=usage))
        handler.end_stream() if finish else handler.wfile.write(b"0\r\n\r\n")

    return reply


def text(said: str, **given: Any) -> Reply:
    return streamed(_parts(said), **given)


def decided(value: object, **given: Any) -> Reply:
    return text(json.dumps(value), **given)


def refusal(said: str = "I can't help with that.") -> Reply:
    return text(said, field="refusal")


def whole(said: str) -> Reply:
    """An endpoint that cannot stream: the answer at once."""
    message = {"role": "assistant", "content": said, "refusal": None}
    completion = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1767603600,
        "model": NAME,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": USAGE,
    }
    return lambda handler, _: handler.send_whole(200, json.dumps(completion).encode())


def failed(status: int, message: str = "It failed.", code: str | None = None, **headers: str) -> Reply:
    error = {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}}
    return lambda handler, _: handler.send_whole(status, json.dumps(error).encode(), **headers)


def answered(status: int, content: bytes, kind: str = "application/json", **headers: str) -> Reply:
    return lambda handler, _: handler.send_whole(status, content, kind, **headers)


def raw(*pieces: bytes) -> Reply:
    """A stream of any bytes."""

    def reply(handler: Handler, _: Body) -> None:
        handler.start_stream()
        for piece in pieces:
            handler.send_piece(piece)
        handler.wfile.write(b"0\r\n\r\n")

    return reply


def failed_while_writing(said: str, message: str) -> Reply:
    def reply(handler: Handler, _: Body) -> None:
        handler.start_stream()
        for piece in _parts(said):
            handler.send_event(chunk({"content": piece}))
        handler.send_event({"error": {"message": message, "type": "server_error", "param": None, "code": 500}})
        handler.end_stream()

    return reply


def cut(said: str = "") -> Reply:
    """The connection is lost after this much."""

    def reply(handler: Handler, _: Body) -> None:
        handler.start_stream()
        for piece in _parts(said):
            handler.send_event(chunk({"content": piece}))
        handler.hang_up()

    return reply


def hung_up(handler: Handler, _: Body) -> None:
    """No answer at all."""
    handler.hang_up()


def stalled(said: str = "") -> Reply:
    """Silent after this much, until the test is over."""

    def reply(handler: Handler, _: Body) -> None:
        handler.start_stream()
        for piece in _parts(said):
            handler.send_event(chunk({"content": piece}))
        handler.server.model_server.released.wait()
        handler.close_connection = True

    return reply


def silent(handler: Handler, _: Body) -> None:
    """Takes the call, and says nothing until the test is over."""
    handler.server.model_server.released.wait()
    handler.close_connection = True


def endless(said: str = "on and ", *, every_s: float = 0.0) -> Reply:
    """Writes for ever, past every limit; slowly, where so many seconds lie between two pieces."""

    def reply(handler: Handler, _: Body) -> None:
        handler.start_stream()
        while not handler.server.model_server.released.wait(every_s):
            handler.send_event(chunk({"content": said}))

    return reply


def failed_slowly(status: int) -> Reply:
    """An error whose body drips until the test is over."""

    def reply(handler: Handler, _: Body) -> None:
        handler.start_stream(status)
        while not handler.server.model_server.released.wait(0.05):
            handler.send_piece(b" ")

    return reply


def unless(refused: Callable[[Body], bool], complaint: Reply, otherwise: Reply) -> Reply:
    """Another reply where the call holds what this endpoint does not take."""
    return lambda handler, body: (complaint if refused(body) else otherwise)(handler, body)
