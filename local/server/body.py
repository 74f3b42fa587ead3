"""Reading a request's body: at most so much, not for ever, and of all bodies no more than there is room for."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from starlette.types import Receive

from functions.api.bodies import MAX_BODY_BYTES, too_large
from functions.api.problems import ProblemError

MAX_DISCARDED_BYTES = 8 * 1024**2  # of a body that is too large, so that its sender comes to read why
BODY_S = 10.0


class ClientGoneError(Exception):
    """The client closed the connection."""


class Room:
    """The memory that all bodies share."""

    def __init__(self, size: int) -> None:
        self._free = size

    @contextmanager
    def share(self) -> Iterator[Callable[[int], bool]]:
        """What takes so many bytes more, if there are as many; all that it took is given back in the end."""
        taken = 0

        def take(size: int) -> bool:
            nonlocal taken
            if size > self._free:
                return False
            self._free -= size
            taken += size
            return True

        try:
            yield take
        finally:
            self._free += taken


async def read_body(receive: Receive, declared: str, take: Callable[[int], bool], *, seconds: float = BODY_S) -> bytes:
    """The whole body.

    Args:
        receive: Of ASGI.
        declared: The `Content-Length`, if there is one.
        take: Whether there is room for so many bytes more.
        seconds: It has to arrive in.

    Raises:
        ProblemError: 413 where it is too large, 408 where it does not come in time, 429 where there is no room for it.
        ClientGoneError: The client left.
    """
    if declared.isdecimal() and int(declared) > MAX_BODY_BYTES + MAX_DISCARDED_BYTES:
        raise too_large()
    body = bytearray()
    size, more, fits = 0, True, True
    try:
        async with asyncio.timeout(seconds):
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGoneError
                piece, more = message.get("body", b""), message.get("more_body", False)
                size += len(piece)
                if size <= MAX_BODY_BYTES:
                    fits = fits and take(len(piece))
                    if fits:
                        body += piece
                    else:
                        body.clear()
                elif size > MAX_BODY_BYTES + MAX_DISCARDED_BYTES:
                    raise too_large()
    except TimeoutError:
        raise ProblemError(
            408, f"the body did not come within {seconds:g} s: send it again", headers={"connection": "close"}
        ) from None
    if size > MAX_BODY_BYTES:
        raise too_large()
    if not fits:
        raise ProblemError(429, "too much is coming in at once: come again", headers={"retry-after": "1"})
    return bytes(body)
