"""A real server on 127.0.0.1, over a process of this test's own, in a thread that ends with the test."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from functions.api.api import Api
from functions.api.callers import Keys
from functions.ports.requests import Limits
from local.process import LocalProcess
from local.server.app import App, Settings
from local.server.serving import Server, address_of, bound

PATIENCE_S = 60.0


@dataclass(frozen=True)
class Served:
    """A server, and where it is."""

    url: str
    server: Server
    process: LocalProcess

    @property
    def address(self) -> tuple[str, int]:
        host, port = self.url.removeprefix("http://").split(":")
        return host, int(port)

    def connect(self) -> socket.socket:
        """A bare connection."""
        return socket.create_connection(self.address, timeout=PATIENCE_S)


@contextmanager
def served(
    process: LocalProcess,
    *,
    keys: Keys | None = None,
    limits: Limits | None = None,
    body_s: float = 10.0,
    keep_alive_s: float = 15.0,
) -> Iterator[Served]:
    """Serve a process that is at work."""
    keys = keys or Keys({})
    target = process.target(limits=limits or Limits(), secured=bool(keys))
    settings = Settings(keys=keys, body_s=body_s, keep_alive_s=keep_alive_s)
    listening, started = bound("127.0.0.1", 0, keys), threading.Event()
    url = address_of(listening)
    server = Server(App(Api(target), process.watchers, settings), started.set)
    thread = threading.Thread(target=server.run_on, args=(listening,), name="serving")
    thread.start()
    try:
        assert started.wait(PATIENCE_S)
        yield Served(url, server, process)
    finally:
        server.should_exit = True
        thread.join(PATIENCE_S)
        listening.close()
        assert not thread.is_alive(), "the server did not stop"
