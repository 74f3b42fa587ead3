"""A server that answers as a test tells it to, and remembers what it was asked."""

import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple


class Asked(NamedTuple):
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class Answer(NamedTuple):
    status: int = 200
    body: bytes = b"{}"
    headers: Mapping[str, str] = {}
    cut: int = 0  # of the body's bytes that are announced, so many do not come
    hangs: bool = False  # says nothing until the server is stopped
    ends: bool = False  # closes the connection afterwards without having said so


Script = Callable[[Asked], Answer]


class Server:
    def __init__(self, url: str, stopped: threading.Event) -> None:
        self.url = url
        self.stopped = stopped
        self.asked: list[Asked] = []
        self.connections = 0
        self.script: Script = lambda _: Answer()


@contextmanager
def serving(*, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def setup(self) -> None:
            super().setup()
            server.connections += 1

        def log_message(self, *_: object) -> None:
            pass

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            asked = Asked(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body)
            server.asked.append(asked)
            self.answer(server.script(asked))

        do_GET = do_PUT = do_DELETE = do_PATCH = do_POST  # noqa: N815 - the names that the base class looks for

        def answer(self, answer: Answer) -> None:
            if answer.hangs:
                server.stopped.wait()
            if answer.hangs or answer.status == 0:
                self.close_connection = True
                return
            self.send_response(answer.status)
            for name, value in {"content-length": str(len(answer.body)), **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body[: len(answer.body) - answer.cut])
            self.close_connection = self.close_connection or answer.ends or answer.cut > 0

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        httpd.socket = tls.wrap_socket(httpd.socket, server_side=True)
    httpd.daemon_threads = True
    scheme = "https" if tls else "http"
    server = Server(f"{scheme}://localhost:{httpd.server_port}", threading.Event())
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.stopped.set()
        httpd.shutdown()
        thread.join()
        httpd.server_close()
