"""Reading a request's body: at most so much, and not for ever."""

import asyncio

from starlette.types import Receive

from functions.api.problems import ProblemError

MAX_BODY_BYTES = 1024**2
MAX_DISCARDED_BYTES = 8 * 1024**2  # of a body that is too large, so that its sender comes to read why
BODY_S = 10.0


class ClientGoneError(Exception):
    """The client closed the connection."""


async def read_body(receive: Receive, declared: str, *, seconds: float = BODY_S) -> bytes:
    """The whole body.

    Args:
        receive: Of ASGI.
        declared: The `Content-Length`, if there is one.
        seconds: It has to arrive in.

    Raises:
        ProblemError: 413 where it is too large, 408 where it does not come in time.
        ClientGoneError: The client left.
    """
    if declared.isdecimal() and int(declared) > MAX_BODY_BYTES + MAX_DISCARDED_BYTES:
        raise _too_large()
    body = bytearray()
    size, more = 0, True
    try:
        async with asyncio.timeout(seconds):
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGoneError
                more = message.get("more_body", False)
                size += len(message.get("body", b""))
                if size <= MAX_BODY_BYTES:
                    body += message.get("body", b"")
                elif size > MAX_BODY_BYTES + MAX_DISCARDED_BYTES:
                    raise _too_large()
    except TimeoutError:
        raise ProblemError(
            408, f"the body did not come within {seconds:g} s: send it again", headers={"connection": "close"}
        ) from None
    if size > MAX_BODY_BYTES:
        raise _too_large()
    return bytes(body)


def _too_large() -> ProblemError:
    return ProblemError(
        413,
        f"the body is larger than {MAX_BODY_BYTES // 1024**2} MiB: send it in parts",
        headers={"connection": "close"},
    )
