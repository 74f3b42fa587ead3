"""What comes in and what goes out, whatever server stands in front.

A handler never waits. Where there is something to wait for, its reply says for what: a server that has a wake-up
uses it, another one asks again from time to time.
"""

from collections.abc import Mapping

import msgspec


class HttpRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request whose sender is known.

    Attributes:
        method: In capital letters.
        path: As it was sent, percent-encoded.
        query: What follows the question mark, as it was sent.
        headers: By name in lower case.
        tenant: Whose request it is; from the API key, from nothing else.
        correlation: The `X-Request-ID` of the caller, or the one that was made for it.
    """

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = {}
    body: bytes = b""
    tenant: str = "default"
    correlation: str = ""


class HttpResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A whole response."""

    status: int
    headers: Mapping[str, str] = {}
    body: bytes = b""


class Wait(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing to say yet: ask again once this request has changed, and after so many seconds ask `otherwise`.

    Attributes:
        otherwise: The same without the wait.
    """

    request: str
    tenant: str
    seconds: float
    otherwise: HttpRequest


class Stream(msgspec.Struct, frozen=True, kw_only=True):
    """Server-sent events of a request, and how far they were sent.

    Attributes:
        after: The number of the last change that was sent.
        opened: Whether the first event was sent.
    """

    request: str
    tenant: str
    after: int = 0
    opened: bool = False


class Chunk(msgspec.Struct, frozen=True, kw_only=True):
    """What a stream sends next.

    Attributes:
        body: Whole events; empty where nothing happened.
        stream: How far it is now.
        ended: Whether this was the end.
        more: Whether there is more to send already.
    """

    body: bytes
    stream: Stream
    ended: bool
    more: bool


Reply = HttpResponse | Wait | Stream
