"""A function as Lambda runs it: AWS's own runtime client in a process, behind a Runtime API on 127.0.0.1."""

import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
ANSWER_S = 60.0


class Answered(NamedTuple):
    """What became of an invocation: a response, or an error."""

    kind: str
    body: Any


class Function:
    """A function that runs."""

    def __init__(self) -> None:
        self._numbers = count()
        self.waiting: queue.Queue[tuple[str, Any, float] | None] = queue.Queue()
        self.answers: queue.Queue[tuple[str, Answered]] = queue.Queue()

    def invoke(self, event: object, *, left_s: float = 30.0) -> Answered:
        """What it answers to an event."""
        number = str(next(self._numbers))
        self.waiting.put((number, event, left_s))
        answered, answer = self.answers.get(timeout=ANSWER_S)
        assert answered in (number, "init")
        return answer


@contextmanager
def running(handler: str, environment: Mapping[str, str], log: Path) -> Iterator[Function]:
    """The function with this handler in an environment of its own; what it prints goes into a file."""
    function = Function()
    server = _server(function)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    given = {
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{server.server_port}",
        "AWS_LAMBDA_FUNCTION_NAME": "function",
        "AWS_LAMBDA_FUNCTION_VERSION": "1",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "AWS_LAMBDA_LOG_GROUP_NAME": "group",
        "AWS_LAMBDA_LOG_STREAM_NAME": "stream",
        "_HANDLER": handler,
        "LAMBDA_TASK_ROOT": str(ROOT),
    }
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - this Python
            [sys.executable, "-m", "awslambdaric", handler],
            cwd=ROOT,
            env=given | environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield function
    finally:
        process.kill()
        process.wait()
        function.waiting.put(None)
        server.shutdown()
        thread.join()
        server.server_close()


def _server(function: Function) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            job = function.waiting.get()
            if job is None:
                self.close_connection = True
                return
            number, event, left_s = job
            body = json.dumps(event).encode()
            self.send_response(200)
            for name, value in {
                "Lambda-Runtime-Aws-Request-Id": number,
                "Lambda-Runtime-Deadline-Ms": str(int((time.time() + left_s) * 1000)),
                "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:us-east-1:000000000000:function:function",
                "Content-Type": "application/json",
                "Content-Length": str(len(body)),
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            length = self.headers.get("content-length")
            body = json.loads(self.rfile.read(int(length)) if length else self.chunks())
            *_, number, kind = self.path.split("/")
            function.answers.put((number, Answered(kind, body)))
            self.send_response(202)
            self.send_header("content-length", "0")
            self.end_headers()

        def chunks(self) -> bytes:
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """A function that is killed leaves its connection in the middle."""

    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    return server
