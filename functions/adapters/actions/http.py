"""One HTTP call, on a connection to an address that was checked.

On the standard library's client, since that one follows no redirect, asks no proxy, decodes no compression and
resolves no name once it is given a socket. What shaped this file: until the first byte is written nothing can have
been done, and after it anything may have been; so the two are apart, and so are their errors.
"""

import contextlib
import functools
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Any

import msgspec

from functions.adapters.actions.addresses import is_allowed
from functions.adapters.actions.settings import Target

PIECE_BYTES = 16 * 1024

#: Every address of a host, as text.
Resolve = Callable[[str, int], Sequence[str]]


class NotSentError(Exception):
    """No byte of a request was sent."""


class AddressRefusedError(NotSentError):
    """A host has an address that is not public, and that nobody listed."""


class NoAnswerError(Exception):
    """A request was sent, or a part of it, and no answer came: nobody knows what was done."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a server answered.

    Attributes:
        body: As much of it as came in time, and not more than was allowed.
        cut: Whether there was more.
        encoding: The compression that it has, though none was asked for; empty where it has none.
    """

    status: int
    body: bytes
    cut: bool
    encoding: str


def resolved(host: str, port: int) -> Sequence[str]:
    """Every address of a host, as this machine knows them."""
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


@functools.cache
def trusted() -> ssl.SSLContext:
    """What certificates are checked with: the same authorities as for models, or those of `SSL_CERT_FILE`."""
    import httpx  # noqa: PLC0415 - slow, and not for all

    return httpx.create_ssl_context()


class Connection:
    """An open connection, on which one request may be sent."""

    def __init__(self, target: Target, ends: float) -> None:
        self._target = target
        self._socket = socket.socket()  # replaced before it is used
        self._timer = threading.Timer(max(ends - time.monotonic(), 0), self._cut_off)
        self._timer.daemon = True
        self._ends = ends
        self._is_sent = False

    def open(self, addresses: Sequence[str], tls: Callable[[], ssl.SSLContext]) -> None:
        """Connect to the first of these addresses that takes it.

        Raises:
            NotSentError: None does, or its certificate is not that of the host.
        """
        self._timer.start()
        try:
            self._connect(addresses)
            if self._target.secure:
                self._secure(tls())
        except OSError as error:  # those of TLS are OSErrors too
            raise NotSentError(f"{self._target.host} could not be reached ({_said(error)})") from error

    def exchange(self, method: str, headers: Mapping[str, str], body: bytes, *, max_bytes: int) -> Answer:
        """Send the request; what came back.

        Raises:
            NoAnswerError: The connection was lost or the time was over before a status came.
        """
        client = HTTPConnection(self._target.host, self._target.port)
        client.sock = self._socket
        try:
            client.putrequest(method, self._target.path, skip_host=True, skip_accept_encoding=True)
            own = {
                "Host": self._target.authority,
                "Connection": "close",
                "Accept-Encoding": "identity",
                "Content-Type": "application/json",
                "Content-Length": str(len(body)),
            }
            for name, value in (*own.items(), *headers.items()):
                client.putheader(name, value)
            client.endheaders(body)
            self._is_sent = True
            response = client.getresponse()
        except (OSError, HTTPException) as error:
            raise NoAnswerError(f"{self._target.host} did not answer ({_said(error)})") from error
        with response:
            read, cut = _read(response, max_bytes)
            cut = cut or time.monotonic() >= self._ends  # which ends a body without a length like its server would
            encoding = response.headers.get("Content-Encoding", "").strip().lower().replace("identity", "")
        return Answer(status=response.status, body=read, cut=cut, encoding=encoding)

    def close(self) -> None:
        """Close it."""
        self._timer.cancel()
        self._socket.close()

    def _connect(self, addresses: Sequence[str]) -> None:
        for last, address in enumerate(addresses, 1 - len(addresses)):
            self._socket.close()
            self._socket = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
            self._socket.settimeout(max(self._ends - time.monotonic(), 0.001))
            try:
                self._socket.connect((address, self._target.port))
            except OSError:
                if last == 0:
                    raise
            else:
                return

    def _secure(self, context: ssl.SSLContext) -> None:
        wrapped = context.wrap_socket(self._socket, server_hostname=self._target.host, do_handshake_on_connect=False)
        self._socket = wrapped
        if time.monotonic() >= self._ends:  # it was to be cut off while it was not known yet
            raise TimeoutError("its time was over")
        wrapped.do_handshake()

    def _cut_off(self) -> None:
        """The limit of a socket is for one silence, and a server may drip for ever."""
        with contextlib.suppress(OSError):  # it is closed already
            # Not its own `shutdown`: that of a TLS connection takes its state away from whoever reads meanwhile. Of a
            # request that is sent, the reading alone ends: else what still drips in resets what was read so far.
            socket.socket.shutdown(self._socket, socket.SHUT_RD if self._is_sent else socket.SHUT_RDWR)


@contextlib.contextmanager
def connected(
    target: Target, ends: float, *, resolve: Resolve = resolved, tls: Callable[[], ssl.SSLContext] = trusted
) -> Iterator[Connection]:
    """A connection to a host that is cut off at `ends`, in seconds of `time.monotonic`.

    Its name is resolved once, and what was checked is what is connected to.

    Raises:
        AddressRefusedError: One of its addresses is not allowed.
        NotSentError: It has none, or no connection came about.
    """
    addresses = _resolved_in_time(resolve, target, ends)
    refused = [address for address in addresses if not is_allowed(address, target.private)]
    if refused:
        raise AddressRefusedError(f"{target.host} has the address {refused[0]}, which is not public")
    connection = Connection(target, ends)
    try:
        connection.open(addresses, tls)
        yield connection
    finally:
        connection.close()


def _resolved_in_time(resolve: Resolve, target: Target, ends: float) -> Sequence[str]:
    """A resolver has no limit of its own that counts: it is left behind where it takes too long."""
    found: list[Any] = []

    def ask() -> None:
        try:
            found.append(list(resolve(target.host, target.port)))
        except (OSError, UnicodeError) as error:
            found.append(error)

    asking = threading.Thread(target=ask, name="resolver", daemon=True)
    asking.start()
    asking.join(max(ends - time.monotonic(), 0))
    said = found[0] if found else TimeoutError("its name was not resolved in time")
    if isinstance(said, Exception):
        raise NotSentError(f"{target.host} could not be found ({_said(said)})") from said
    if not said:
        raise NotSentError(f"{target.host} could not be found (it has no address)")
    return said  # type: ignore[no-any-return]  # the list that is no error


def _read(response: HTTPResponse, max_bytes: int) -> tuple[bytes, bool]:
    """The body, and whether there is more of it; a server that stops in the middle has still answered."""
    body = bytearray()
    left = response.length  # None: chunks, or whatever comes until the connection ends
    try:
        while left != 0 and len(body) <= max_bytes:
            piece = response.read1(PIECE_BYTES if left is None else min(left, PIECE_BYTES))
            if not piece:
                break
            body += piece
            left = None if left is None else left - len(piece)
    except (OSError, HTTPException, ValueError):  # ValueError: the length of a chunk is no number
        return bytes(body[:max_bytes]), True
    return bytes(body[:max_bytes]), len(body) > max_bytes or bool(left)


def _said(error: Exception) -> str:
    """Without what a server said: that may hold what it was sent."""
    return str(error) if isinstance(error, OSError) and str(error) else type(error).__name__
