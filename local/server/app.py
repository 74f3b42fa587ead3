"""The ASGI application: hands requests to the API, and does what its replies say.

What commits runs in a few threads, so that many commits share one wait for the disk. What waits is a coroutine and
holds no thread: it is woken by the commit that changed its request. What reads is done at once, as the store's pages
are in memory.
"""

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass

import msgspec
from starlette.types import Receive, Scope, Send

from functions.adapters.local.watchers import Watchers
from functions.api import problems
from functions.api.api import Api
from functions.api.callers import Keys, correlation
from functions.api.events import KEEP_ALIVE
from functions.api.http import HttpRequest, HttpResponse, Reply, Stream, Wait
from functions.api.problems import ProblemError
from functions.api.routes import EVENT_STREAM
from functions.errors import TroupeError
from local.server.body import BODY_S, ClientGoneError, Room, read_body
from local.server.doorbell import Doorbell
from local.server.exchange import Exchange
from local.server.page import is_page, page_app

COMMITTING_THREADS = 16
MAX_HELD_BYTES = 64 * 1024**2  # of bodies that are coming in, or are not dealt with yet
KEEP_ALIVE_S = 15.0

log = logging.getLogger("troupe.server")


@dataclass(frozen=True)
class Settings:
    """How the server treats its callers.

    Attributes:
        keys: Without any, everybody on this machine is let in, and only under this machine's names.
        body_s: Seconds within which a body has to come.
        keep_alive_s: Seconds after which an idle stream sends a comment.
    """

    keys: Keys
    body_s: float = BODY_S
    keep_alive_s: float = KEEP_ALIVE_S


class App:
    """The application; `stop` ends what waits, `close` ends the threads.

    Args:
        api: What answers.
        watchers: Of the requests that the API shows.
        settings: How callers are treated.
    """

    def __init__(self, api: Api, watchers: Watchers, settings: Settings) -> None:
        self._api = api
        self._watchers = watchers
        self._settings = settings
        self._page = page_app()
        self._threads = ThreadPoolExecutor(COMMITTING_THREADS, thread_name_prefix="api")
        self._room = Room(MAX_HELD_BYTES)
        self._bells: set[Doorbell] = set()
        self._is_stopping = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI)."""
        exchange = Exchange(scope, receive, send)
        try:
            await self._answer(exchange)
        except ClientGoneError:
            pass
        except asyncio.CancelledError:
            if not self._is_stopping:
                raise
            await exchange.respond(problems.response(ProblemError(503, "the server stops: come again")))
        except ProblemError as error:
            await exchange.respond(problems.response(error))
        except (TroupeError, sqlite3.Error) as error:
            log.error("%s: %s", exchange.correlation, error)  # noqa: TRY400 - the message says it all
            await exchange.respond(problems.response(problems.unavailable()))
        except Exception:
            log.exception("%s: a call failed", exchange.correlation)
            await exchange.respond(problems.response(problems.internal()))
        finally:
            exchange.record()

    def stop(self) -> None:
        """Let every stream end, and every long poll answer with what there is; called in the loop."""
        self._is_stopping = True
        for bell in tuple(self._bells):
            bell.ring()

    def close(self) -> None:
        """End the threads, once what they are at is done."""
        self._threads.shutdown()

    async def _answer(self, exchange: Exchange) -> None:
        exchange.correlation = correlation(exchange.headers)
        if not self._settings.keys:
            _refuse_foreign_host(exchange.headers.get("host", ""))
        if is_page(exchange.path):
            await self._page(exchange.scope, exchange.receive, exchange.send)
            return
        request = exchange.request()
        if not self._api.is_open(request):
            exchange.tenant = self._settings.keys.tenant(exchange.headers)
            request = msgspec.structs.replace(request, tenant=exchange.tenant)
        if request.method in {"GET", "HEAD"}:
            reply = self._api.handle(request)
        else:
            reply = await self._committed(exchange, request)
        if isinstance(reply, Wait):
            reply = await self._waited(exchange, request, reply)
        if isinstance(reply, Stream):
            await self._stream(exchange, reply)
        else:
            await exchange.respond(reply)

    async def _committed(self, exchange: Exchange, request: HttpRequest) -> Reply:
        declared = exchange.headers.get("content-length", "")
        with self._room.share() as take:
            body = await read_body(exchange.receive, declared, take, seconds=self._settings.body_s)
            whole = msgspec.structs.replace(request, body=body)
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._api.handle, whole)

    async def _waited(self, exchange: Exchange, request: HttpRequest, wait: Wait) -> HttpResponse | Stream:
        """What the API says once the request is settled, or once the time is over."""
        loop = asyncio.get_running_loop()
        until = loop.time() + wait.seconds
        async with self._listening(exchange, wait.request, wait.tenant) as bell:
            while not self._is_over(bell):
                if not isinstance(reply := self._api.handle(request), Wait):
                    return reply
                if not await bell.heard(until - loop.time()):
                    break
        reply = self._api.handle(wait.otherwise)
        return problems.response(problems.internal()) if isinstance(reply, Wait) else reply

    async def _stream(self, exchange: Exchange, stream: Stream) -> None:
        await exchange.start(200, {"content-type": EVENT_STREAM})
        async with self._listening(exchange, stream.request, stream.tenant) as bell:
            while True:
                chunk = self._api.follow(stream)
                if chunk.body:
                    await exchange.write(chunk.body)
                if chunk.ended or self._is_over(bell):
                    break
                stream = chunk.stream
                if not chunk.more and not await bell.heard(self._settings.keep_alive_s):
                    await exchange.write(KEEP_ALIVE)
        await exchange.end()

    @asynccontextmanager
    async def _listening(self, exchange: Exchange, request: str, tenant: str) -> AsyncIterator[Doorbell]:
        """A bell that rings at every change of a request, when its client leaves, and when the server stops."""
        bell = Doorbell()
        self._bells.add(bell)
        leaving = asyncio.create_task(_ring_when_left(exchange.receive, bell))
        try:
            with self._watchers.watching(request, tenant=tenant, wake=bell.ring):
                yield bell
        finally:
            self._bells.discard(bell)
            leaving.cancel()

    def _is_over(self, bell: Doorbell) -> bool:
        return self._is_stopping or bell.is_abandoned


async def _ring_when_left(receive: Receive, bell: Doorbell) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    bell.is_abandoned = True
    bell.ring()


def _refuse_foreign_host(host: str) -> None:
    """A page elsewhere may name itself 127.0.0.1 (DNS rebinding); its browser still sends the page's own name.

    Raises:
        ProblemError: 421.
    """
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
    if name.lower() in {"localhost", "127.0.0.1", "[::1]"}:
        return
    raise ProblemError(421, "this server answers to localhost and 127.0.0.1 only, as no API keys are set")
