"""A server that does what it is asked, counts it, and misbehaves where a test says so."""

import gzip
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY_HEADER = "Idempotency-Key"

Behaviour = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: "_Server"

    def do_POST(self) -> None:
        asked = self.server.action_server
        self.body = self.rfile.read(int(self.headers.get("content-length", 0)))
        key = self.headers.get(KEY_HEADER, "")
        with asked.receiving:
            asked.requests.append((self.command, self.path, dict(self.headers), json.loads(self.body)))
            if asked.honours_keys and key in asked.remembered:
                behave: Behaviour = ok("the same again")
            else:
                behave = asked.behaviours.pop(0) if asked.behaviours else ok()
        behave(self)

    do_PUT = do_PATCH = do_DELETE = do_POST  # noqa: N815 - the names that the base class looks for

    def work(self) -> None:
        """Do what was asked: what may happen once only."""
        asked = self.server.action_server
        key = self.headers.get(KEY_HEADER, "")
        with asked.receiving:
            asked.done[self.body.decode()] += 1
            asked.remembered.add(key)
        asked.worked.set()

    def reply(self, status: int, body: bytes, headers: Sequence[tuple[str, str]] = ()) -> None:
        self.send_response(status)
        for name, value in (("Content-Length", str(len(body))), *headers):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_: object) -> None:
        """Nothing goes to standard error."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    action_server: "ActionServer"

    def handle_error(self, *_: Any) -> None:
        """A client that goes away is what some tests are about."""


class ActionServer:
    """The server.

    Attributes:
        done: How often it did what it was asked, by body.
        remembered: The keys under which it did something.
        requests: What came: method, path, headers, body.
        behaviours: For the next requests, in turn; past them it does what it is asked.
        worked: Set once it did anything.
        url: Where it is.
    """

    def __init__(self, *, honours_keys: bool) -> None:
        self.honours_keys = honours_keys
        self.done: Counter[str] = Counter()
        self.remembered: set[str] = set()
        self.requests: list[tuple[str, str, dict[str, str], Any]] = []
        self.behaviours: list[Behaviour] = []
        self.receiving = threading.Lock()
        self.worked = threading.Event()
        self.stopping = threading.Event()
        self._http = _Server(("127.0.0.1", 0), Handler)
        self._http.action_server = self
        self.port = self._http.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/do"

    def run(self) -> None:
        self._http.serve_forever(poll_interval=0.01)

    def stop(self) -> None:
        self.stopping.set()
        self._http.shutdown()
        self._http.server_close()


@contextmanager
def serving_actions(*, honours_keys: bool = False) -> Iterator[ActionServer]:
    """A server at work."""
    server = ActionServer(honours_keys=honours_keys)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join()


def toml(server: ActionServer, **settings: str) -> str:
    """The file that declares the action `notify` on this server; each setting as TOML."""
    lines = {
        "url": json.dumps(server.url),
        "allow": '["127.0.0.1"]',
        "private": '["127.0.0.1"]',
        **({"idempotency": f'"{KEY_HEADER}"'} if server.honours_keys else {}),
    } | settings
    return "[actions.notify]\n" + "".join(f"{key} = {value}\n" for key, value in lines.items())


# ---------------------------------------------------------------------------------------------- behaviours


def ok(text: str = "noted", status: int = 200) -> Behaviour:
    """Does it and says so."""

    def behave(handler: Handler) -> None:
        if text != "the same again":
            handler.work()
        handler.reply(status, text.encode())

    return behave


def lost(handler: Handler) -> None:
    """Does it, and loses the connection before it can say so."""
    handler.work()
    handler.hang_up()


def said(status: int, text: str = "", *headers: tuple[str, str]) -> Behaviour:
    """Does nothing, and says so."""
    return lambda handler: handler.reply(status, text.encode(), headers)


def worked_and_said(status: int, text: str = "", *headers: tuple[str, str]) -> Behaviour:
    """Does it, and says something else than a server that is well would."""

    def behave(handler: Handler) -> None:
        handler.work()
        handler.reply(status, text.encode(), headers)

    return behave


def hanging(handler: Handler) -> None:
    """Does it, and never says anything."""
    handler.work()
    handler.server.action_server.stopping.wait()


def dripping(head: bytes) -> Behaviour:
    """Does it, and sends this at once, then a byte from time to time, for ever."""

    def behave(handler: Handler) -> None:
        handler.work()
        handler.connection.sendall(head)
        while not handler.server.action_server.stopping.wait(0.01):
            handler.connection.sendall(b"x")

    return behave


def endless(handler: Handler) -> None:
    """Does it, and sends a body without end as fast as it is read."""
    handler.work()
    handler.connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while not handler.server.action_server.stopping.is_set():
        handler.connection.sendall(b"x" * 65536)


def raw(answer: bytes) -> Behaviour:
    """Does it, answers with these bytes, and hangs up."""

    def behave(handler: Handler) -> None:
        handler.work()
        handler.connection.sendall(answer)
        handler.hang_up()

    return behave


def bomb(handler: Handler) -> None:
    """Does it, and sends a few bytes that unpack to ten million, though it was told to send plain ones."""
    handler.work()
    handler.reply(200, gzip.compress(b"x" * 10_000_000), [("Content-Encoding", "gzip")])


def echo(handler: Handler) -> None:
    """Does it, and says everything that it was told, headers included."""
    handler.work()
    handler.reply(200, str(handler.headers).encode())


def wait_until(condition: Callable[[], bool], patience_s: float = 60.0) -> None:
    """Wait for what other threads or processes do."""
    ends = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < ends, "it never happened"
        time.sleep(0.005)
