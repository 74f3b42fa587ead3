"""A service that speaks JSON, remembers what was said, and misbehaves when it is told to."""

import json
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
import rest_server

CUT = 0  # the status of no answer at all


class Asked(msgspec.Struct, frozen=True):
    """A request."""

    method: str
    path: str
    query: list[tuple[str, str]]
    headers: dict[str, str]
    body: Any


class Answer(msgspec.Struct, frozen=True):
    """What is answered; a body of bytes goes out as it is."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = {}


Handle = Callable[[Asked], Answer]


class Service:
    """What a server does: `handle`, unless it was told something else for the next requests."""

    def __init__(self, handle: Handle) -> None:
        self.handle = handle
        self.exchanges: list[tuple[Asked, Answer]] = []
        self.url = ""
        self._instead: deque[Answer | Handle] = deque()
        self._lock = threading.Lock()

    def instead(self, *answers: Answer | Handle) -> None:
        """What to answer the next requests with; they change nothing, unless a handler does it."""
        self._instead.extend(answers)

    def asked(self, path: str) -> list[Asked]:
        """The requests to this path so far."""
        return [asked for asked, _ in self.exchanges if asked.path == path]

    def answered(self, raw: rest_server.Asked) -> rest_server.Answer:
        parts = urlsplit(raw.path)
        query = parse_qsl(parts.query, keep_blank_values=True)
        body = json.loads(raw.body) if raw.body else None
        asked = Asked(raw.method, parts.path, query, dict(raw.headers), body)
        with self._lock:
            instead = self._instead.popleft() if self._instead else self.handle
            answer = instead if isinstance(instead, Answer) else instead(asked)
            self.exchanges.append((asked, answer))
        return rest_server.Answer(answer.status, _encoded(answer.body), answer.headers)


@contextmanager
def served(service: Service) -> Iterator[str]:
    """The service at a URL, until it is left."""
    with rest_server.serving() as server:
        server.script = service.answered
        service.url = server.url
        yield server.url


def _encoded(body: object) -> bytes:
    if isinstance(body, bytes):
        return body
    return b"" if body is None else json.dumps(body).encode()
