"""A server that speaks OpenAI's embeddings as its API reference describes them, and misbehaves where a test says so.

A text's vector is that of `SmallEncoder`, three times as long as a unit, and the vectors come in reverse order: their
`index` says which is whose.
"""

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.small_encoder import SmallEncoder

KEY = "sk-test-8e2d47c09b1f4f3a"
MODEL = "small-model"
MOST_CHARACTERS = 1000

Body = dict[str, Any]
Reply = Callable[["Handler", Body], None]


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: "_Server"

    def do_POST(self) -> None:
        body: Body = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))))
        embeddings = self.server.embeddings_server
        with embeddings.receiving:
            embeddings.bodies.append(body)
            embeddings.connections.add(self.client_address)
            reply = embeddings.replies.pop(0) if embeddings.replies else answered
        try:
            (_refusal(self.path, self.headers.get("authorization"), body) or reply)(self, body)
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


class EmbeddingsServer:
    """What a test sees of it.

    Attributes:
        url: Its base URL.
        bodies: Of the requests, as they came.
        connections: The other ends of those that it was asked over.
        replies: To the next requests, one each; a right answer where there is none left.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.bodies: list[Body] = []
        self.connections: set[Any] = set()
        self.replies: list[Reply] = []
        self.receiving = threading.Lock()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    embeddings_server: EmbeddingsServer

    def handle_error(self, *_: object) -> None:
        """Quiet: a client that hangs up, or that does not like the certificate, is what a test is about."""


@contextmanager
def embeddings_server(tls: ssl.SSLContext | None = None) -> Iterator[EmbeddingsServer]:
    """One that runs until the end of the `with` statement."""
    with _Server(("127.0.0.1", 0), Handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        scheme = "https" if tls else "http"
        server.embeddings_server = EmbeddingsServer(f"{scheme}://127.0.0.1:{server.server_address[1]}/v1")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.embeddings_server
        finally:
            server.shutdown()
            thread.join()


def items_of(texts: list[str]) -> list[Body]:
    vectors = 3 * SmallEncoder().encode(texts)
    return [
        {"object": "embedding", "index": at, "embedding": [float(number) for number in vector]}
        for at, vector in reversed(list(enumerate(vectors)))
    ]


def answered(handler: Handler, body: Body) -> None:
    """As it should be."""
    send(handler, {"object": "list", "data": items_of(body["input"]), "model": MODEL})


def changed(change: Callable[[list[Body]], Any]) -> Reply:
    """A right answer, but for what this does to its vectors."""

    def reply(handler: Handler, body: Body) -> None:
        items = items_of(body["input"])
        change(items)
        send(handler, {"object": "list", "data": items, "model": MODEL})

    return reply


def failed(status: int, message: str, code: str | int | None = None, **headers: str) -> Reply:
    """An error in OpenAI's shape."""
    content = json.dumps({"error": {"message": message, "type": "some_error", "param": None, "code": code}}).encode()
    return lambda handler, _: handler.send_whole(status, content, **headers)


def raw(content: bytes, kind: str = "application/json", **headers: str) -> Reply:
    """These bytes under the status 200."""
    return lambda handler, _: handler.send_whole(200, content, kind, **headers)


def hung_up(handler: Handler, _: Body) -> None:
    """The end of the connection, and no answer."""
    handler.close_connection = True


def cut_short(handler: Handler, _: Body) -> None:
    """Half an answer, and the end of the connection."""
    handler.send_response(200)
    handler.send_header("content-length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"data": [')
    handler.close_connection = True


def dripping(ends: threading.Event) -> Reply:
    """An answer that never ends, a byte at a time."""

    def reply(handler: Handler, _: Body) -> None:
        handler.send_response(200)
        handler.send_header("content-length", "10000")
        handler.end_headers()
        while not ends.wait(0.02):
            handler.wfile.write(b" ")

    return reply


def send(handler: Handler, body: Body) -> None:
    handler.send_whole(200, json.dumps(body).encode())


def _refusal(path: str, authorization: str | None, body: Body) -> Reply | None:
    if authorization != f"Bearer {KEY}":
        return failed(401, f"Incorrect API key provided: {authorization}", "invalid_api_key")
    if path != "/v1/embeddings":
        return failed(404, f"Invalid URL (POST {path})")
    if body["model"] != MODEL or set(body) - {"model", "input", "dimensions"}:
        return failed(400, f"The model {body['model']} does not exist")
    if not body["input"] or any(not text for text in body["input"]):
        return failed(400, "'input' cannot be an empty string")
    if any(len(text) > MOST_CHARACTERS for text in body["input"]):
        return failed(400, "This model's maximum context length is 1000 characters", "context_length_exceeded")
    return None
