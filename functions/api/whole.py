"""Replies as whole responses: for a server that can neither be woken nor stream, so that it asks again instead."""

import time
from collections.abc import Callable

from functions.api import problems
from functions.api.api import Api
from functions.api.http import HttpRequest, HttpResponse, Stream, Wait
from functions.api.routes import EVENT_STREAM

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 1.0
MOST_STREAMED = 4 * 1024**2  # bytes: the rest comes with the next call
RETRY = b"retry: 1000\n\n"  # milliseconds after which an EventSource comes back for the rest


def whole(
    api: Api,
    request: HttpRequest,
    *,
    left_s: float,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> HttpResponse:
    """The response to a request; where the API waits, it is asked again with growing pauses.

    A stream is what happened so far: whoever wants the rest calls again with `Last-Event-ID`.

    Args:
        api: What answers.
        request: The request.
        left_s: Seconds within which the response has to be there.
        sleep: How to wait.
        clock: Seconds that only grow.
    """
    until, pause = clock() + left_s, FIRST_PAUSE_S
    reply = api.handle(request)
    if isinstance(reply, Wait):
        until = min(until, clock() + reply.seconds)
    while isinstance(reply, Wait) and (left := until - clock()) > 0:
        sleep(min(pause, left))
        pause = min(pause * 1.5, LONGEST_PAUSE_S)
        reply = api.handle(request)
    if isinstance(reply, Wait):
        reply = api.handle(reply.otherwise)
    if isinstance(reply, Stream):
        return _streamed(api, reply)
    return problems.response(problems.internal()) if isinstance(reply, Wait) else reply


def _streamed(api: Api, stream: Stream) -> HttpResponse:
    body = bytearray(RETRY)
    while len(body) < MOST_STREAMED:
        chunk = api.follow(stream)
        body += chunk.body
        if chunk.ended or not chunk.more:
            break
        stream = chunk.stream
    return HttpResponse(status=200, headers={"content-type": EVENT_STREAM}, body=bytes(body))
