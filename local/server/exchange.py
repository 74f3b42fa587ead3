"""One request and its response on the wire: ASGI on one side, the API's plain structs on the other."""

import logging
import re
import time
import uuid
from collections.abc import Mapping
from urllib.parse import quote

from starlette.types import Message, Receive, Scope, Send

from functions.api.headers import ALWAYS, NEVER_STORED
from functions.api.http import HttpRequest, HttpResponse

_CONVERSATION = re.compile(r"^/conversations/[^/]+")

access = logging.getLogger("troupe.access")


class Exchange:
    """A request, and the one response that it gets.

    Attributes:
        headers: By name in lower case; of a header that came twice, both.
        correlation: What the caller knows it by.
        tenant: Whose it is, once that is known.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.receive = receive
        self.headers = _headers(scope)
        self.correlation = uuid.uuid4().hex
        self.tenant = "-"
        self._send = send
        self._status = 0
        self._is_whole = False
        self._began = time.monotonic()

    @property
    def path(self) -> str:
        """As it was sent, percent-encoded."""
        raw: bytes | None = self.scope.get("raw_path")
        return quote(self.scope["path"]) if raw is None else raw.decode("ascii", "replace")

    def request(self) -> HttpRequest:
        """The request, without its body and its tenant."""
        return HttpRequest(
            method=self.scope["method"],
            path=self.path,
            query=self.scope["query_string"].decode("ascii", "replace"),
            headers=self.headers,
            correlation=self.correlation,
        )

    async def respond(self, response: HttpResponse) -> None:
        """Send a whole response; where a stream has begun, that is over."""
        if not self._status:
            length = {} if response.status == 204 else {"content-length": str(len(response.body))}  # noqa: PLR2004
            await self.start(response.status, {**response.headers, **length})
        elif not self._is_whole:
            await self.end()
            return
        await self.send({"type": "http.response.body", "body": response.body})

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        """Send the head of a response."""
        named = [(name.encode(), value.encode("latin-1")) for name, value in {**NEVER_STORED, **headers}.items()]
        await self.send({"type": "http.response.start", "status": status, "headers": named})

    async def write(self, body: bytes) -> None:
        """Send a piece of a stream; waits while the client does not read."""
        await self.send({"type": "http.response.body", "body": body, "more_body": True})

    async def end(self) -> None:
        """End a stream."""
        await self.send({"type": "http.response.body", "body": b""})

    async def send(self, message: Message) -> None:
        """Send what ASGI knows, with the headers that every response has."""
        if message["type"] == "http.response.start":
            self._status = message["status"]
            always = {**ALWAYS, "x-request-id": self.correlation}
            message["headers"] = [
                *message["headers"],
                *((name.encode(), value.encode()) for name, value in always.items()),
            ]
        elif not message.get("more_body", False):
            self._is_whole = True
        await self._send(message)

    def record(self) -> None:
        """Write the line of the access log: without the names of conversations, since people choose them."""
        path = _CONVERSATION.sub("/conversations/*", self.path)
        took = (time.monotonic() - self._began) * 1000
        status = self._status or "left"
        access.info("%s %s %s %.1f ms %s %s", self.scope["method"], path, status, took, self.tenant, self.correlation)


def _headers(scope: Scope) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return headers
