"""A client of the HTTP API: what `troupe ask --url` asks with."""

import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx
import msgspec

from functions.api.messages import Accepted
from functions.api.problems import Problem
from functions.api.views import Request
from functions.documents.chunks import one_line
from functions.errors import TroupeError

WAIT_S = 20  # of one long poll
CONNECT_S = 5.0
LOST_S = 30.0  # that a server may be away while a request is worked on
PAUSE_S = 0.5
_HERE = {"localhost", "127.0.0.1", "::1"}
_NOT_JSON = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)  # or not of the shape that was expected
_NOT_OURS = (*_NOT_JSON, httpx.DecodingError, httpx.InvalidURL)


class Client:
    """A connection to one server; use it in a `with` statement.

    Args:
        url: Where it serves.
        key: The API key; empty where it needs none.
        sleep: How to let time pass.

    Raises:
        TroupeError: The URL or the key cannot be used.
    """

    def __init__(self, url: str, key: str, *, sleep: Callable[[float], None] = time.sleep) -> None:
        try:
            parsed = httpx.URL(url)
        except (httpx.InvalidURL, UnicodeError) as error:
            raise _no_url(url) from error
        if parsed.scheme not in {"http", "https"} or not parsed.host:
            raise _no_url(url)
        if not (key.isascii() and key.isprintable()) or " " in key:
            raise TroupeError("TROUPE_API_KEY is no API key: set it to one of visible ASCII characters")
        self._url = url
        self._sleep = sleep
        self._http = httpx.Client(
            base_url=parsed,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(WAIT_S + CONNECT_S, connect=CONNECT_S),
            trust_env=parsed.host not in _HERE,  # a proxy does not lead back to this machine
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def ask(self, text: str, *, conversation: str, workflow: str) -> Request:
        """The request of a message, once it is settled; over lost connections and a full queue.

        Raises:
            TroupeError: The server cannot be reached, refuses the message, or is gone for too long.
        """
        try:
            accepted = self._accepted({"text": text, "workflow": workflow}, conversation)
            return self._settled(accepted)
        except _NOT_OURS as error:
            raise TroupeError(f"what answers at {self._url} is no Troupe server: name one with --url") from error

    def _accepted(self, message: dict[str, str], conversation: str) -> Accepted:
        path = f"/conversations/{_segment(conversation)}/messages"
        headers = {"Idempotency-Key": uuid.uuid4().hex}  # so that a repeat after a lost connection is no second one
        until = time.monotonic() + LOST_S
        while True:
            try:
                response = self._http.post(path, json=message, headers=headers)
            except httpx.ConnectError as error:
                raise TroupeError(
                    f"no server answers at {self._url}: start one with `troupe run`, or name another with --url"
                ) from error
            except httpx.TransportError as error:
                self._pause(PAUSE_S, until, f"the connection to {self._url} was lost ({error})")
                continue
            if response.status_code not in {429, 503}:
                accepted: Accepted = self._read(response, Accepted)
                return accepted
            self._pause(_retry_after(response), until, f"{self._url} takes no more requests for now")

    def _settled(self, accepted: Accepted) -> Request:
        path = f"/requests/{_segment(accepted.request)}"  # never elsewhere, for the key goes along
        until = time.monotonic() + LOST_S
        while True:
            try:
                response = self._http.get(path, params={"wait": WAIT_S})
            except httpx.TransportError as error:
                self._pause(PAUSE_S, until, f"the connection to {self._url} was lost ({error})")
                continue
            if response.status_code == 503:  # noqa: PLR2004 - it is starting, or its disk is full
                self._pause(_retry_after(response), until, f"{self._url} cannot answer for now")
                continue
            request: Request = self._read(response, Request)
            if request.status == "settled":
                return request
            until = time.monotonic() + LOST_S
            if datetime.now(UTC).timestamp() > request.deadline.timestamp() + LOST_S:
                raise TroupeError(f"the request {request.request} is past its deadline and not settled: ask again")

    def _pause(self, seconds: float, until: float, what: str) -> None:
        if time.monotonic() + seconds > until:
            raise TroupeError(f"{what}: see that it runs, then ask again")
        self._sleep(seconds)

    def _read(self, response: httpx.Response, kind: Any) -> Any:  # noqa: ANN401 - of that type
        if response.is_error:
            raise TroupeError(f"{self._url} refused it: {_said(response)}")
        return msgspec.json.decode(response.content, type=kind)


def _segment(name: str) -> str:
    """A name as one part of a path; `..` would lead out of it."""
    return quote(name, safe="").replace(".", "%2E")


def _no_url(url: str) -> TroupeError:
    return TroupeError(f"{url!r} is no address of a server: write one such as http://127.0.0.1:8080")


def _said(response: httpx.Response) -> str:
    """What a problem says, in one line that a terminal can be given."""
    try:
        problem = msgspec.json.decode(response.content, type=Problem)
    except _NOT_JSON:
        return one_line(f"{response.status_code} {response.reason_phrase}")
    errors = "; ".join(f"{each.pointer or each.parameter or 'the body'} {each.detail}" for each in problem.errors)
    hint = " (the key is read from TROUPE_API_KEY)" if problem.status == 401 else ""  # noqa: PLR2004
    return one_line(f"{problem.detail}{f': {errors}' if errors else ''}{hint}")


def _retry_after(response: httpx.Response) -> float:
    given = response.headers.get("retry-after", "")
    return min(float(given), LOST_S) if given.isdecimal() else PAUSE_S
