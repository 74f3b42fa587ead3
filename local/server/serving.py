"""Serving the application with uvicorn: where it binds, whom it gives up, how it stops."""

import asyncio
import errno
import ipaddress
import logging
import signal
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from functions.api.callers import Keys
from functions.errors import TroupeError
from local.server.app import App

BACKLOG = 2048
SLOW_READER_S = 20.0  # that a client may leave what was sent to it unread
HEAD_S = 10.0  # within which the head of a request has to come
STOP_S = 2.0  # for what is being answered when the server stops
OPEN_FILES = 8192  # every connection is one

log = logging.getLogger("troupe.server")


class Protocol(H11Protocol):
    """uvicorn's connection, which also gives up clients that do not read, and those that do not come to the point."""

    _slow: asyncio.TimerHandle | None = None
    _headless: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client connected."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        super().connection_lost(exc)
        for timer in (self._slow, self._headless):
            if timer is not None:
                timer.cancel()

    def data_received(self, data: bytes) -> None:
        """It sent something."""
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE and self._headless is not None:
            self._headless.cancel()
            self._headless = None
        elif self.conn.their_state is h11.IDLE:
            self._await_head()

    def pause_writing(self) -> None:
        """More was sent than the buffers hold: it does not read."""
        super().pause_writing()
        self._slow = self.loop.call_later(SLOW_READER_S, self._give_up)

    def resume_writing(self) -> None:
        """It reads."""
        super().resume_writing()
        if self._slow is not None:
            self._slow.cancel()
            self._slow = None

    def _await_head(self) -> None:
        if self._headless is None:
            self._headless = self.loop.call_later(HEAD_S, self._give_up)

    def _give_up(self) -> None:
        """Close at once, without what is still to be sent: the system would hold that for minutes."""
        connection: socket.socket | None = self.transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()


class Server(uvicorn.Server):
    """uvicorn's server, which ends open streams when it stops, and leaves the process to whoever runs it."""

    def __init__(self, app: App, started: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=Protocol,
                ws="none",
                lifespan="off",
                loop="asyncio",
                log_config=None,
                access_log=False,
                server_header=False,
                backlog=BACKLOG,
                timeout_keep_alive=15,
                timeout_graceful_shutdown=int(STOP_S),
            )
        )
        self._app = app
        self._started = started

    def run_on(self, listening: socket.socket) -> None:
        """Serve until a signal comes or `should_exit` is set."""
        try:
            asyncio.run(self.serve(sockets=[listening]))
        finally:
            self._app.close()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets)
        self._started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop: nothing new comes in, what waits is told."""
        self._app.stop()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """SIGINT and SIGTERM stop the server, and only that: what it served closes in its own time."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {each: signal.signal(each, self.handle_exit) for each in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)


def bound(host: str, port: int, keys: Keys) -> socket.socket:
    """A socket that listens there.

    Raises:
        TroupeError: The address is open to others and no keys are set, or it cannot be used.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except (OSError, UnicodeError) as error:
        raise TroupeError(f"{host!r} is no address of this machine: name one, e.g. --host 127.0.0.1") from error
    if not keys and not ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback:
        raise TroupeError(
            f"{host} can be reached from other machines, and no API key is set: set TROUPE_API_KEY to one of 16 or "
            "more characters, or leave --host at 127.0.0.1"
        )
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(address)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise TroupeError(
                f"port {port} of {host} is in use: stop what uses it, or choose another, e.g. --port {port + 1}"
            ) from error
        raise TroupeError(f"{host} port {port} cannot be used ({error.strerror}): choose another") from error
    return listening


def serve(app: App, listening: socket.socket, *, started: Callable[[str], None]) -> None:
    """Serve until a signal says otherwise; `started` is called with the address, once it can be used."""
    _allow_open_files()
    Server(app, lambda: started(address_of(listening))).run_on(listening)


def address_of(listening: socket.socket) -> str:
    """The address to type into a browser."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _allow_open_files() -> None:
    """Raise the soft limit of open files, which is often lower than a thousand connections need."""
    with suppress(ImportError, OSError, ValueError):
        import resource  # noqa: PLC0415 - only some platforms have it

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
        if soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
