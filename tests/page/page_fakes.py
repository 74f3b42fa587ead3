"""A server over collections that hold back or fail when told to, and answers that only a model would give."""

import asyncio
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page, Route
from shelves import shelf_of
from small_encoder import SmallEncoder

from functions.adapters.local.store import Store
from functions.api.api import Api
from functions.api.callers import Keys
from functions.events.common import Passage
from functions.ports.requests import Limits
from functions.ports.vectors import Collection
from functions.workflows.catalog import WORKFLOWS
from local.process import LocalProcess
from local.server.app import App, Settings
from local.server.serving import Server, address_of, bound

PATIENCE_S = 60.0  # how long a test waits for what must happen
OPTIONS = [
    "--no-sandbox",  # in a container there is none
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-dev-shm-usage",
    "--disable-sync",
    "--no-first-run",
]

LARGEST = "Find the n largest elements in a dataset."
DOCUMENTS = [
    Passage(id="heap", name="heapq.nlargest", source="python:heapq", text=f"See also\nmin.  {LARGEST}\nThat is all."),
    Passage(id="sort", name="list.sort", source="python:builtins", text="Sort the list in place. The sort is stable."),
    Passage(id="gzip", name="gzip.compress", source="python:gzip", text="Compress data in one shot."),
]
ASK_LARGEST = "How do I find the n largest elements in a dataset?"


def no_search(_: str) -> None:
    """What a collection does about a search beside answering it: nothing."""


class HeldCollection:
    """A collection of which a test sees every search; for the rest, the shipped one.

    Attributes:
        during: Called with each text that is searched for, before anything is found; may raise or block.
    """

    def __init__(self, collection: Collection) -> None:
        self._collection = collection
        self.during = no_search

    def __getattr__(self, name: str) -> object:
        return getattr(self._collection, name)

    def search(self, text: str, **how: Any) -> Sequence[Passage]:
        self.during(text)
        return self._collection.search(text, **how)


@dataclass(frozen=True)
class Site:
    """A server that runs.

    Attributes:
        url: Of the page.
    """

    url: str
    documents: HeldCollection


class Gate:
    """Holds back whoever comes to it, until it is opened; at the end of the test at the latest."""

    def __init__(self) -> None:
        self._open = threading.Event()
        self.reached = threading.Event()

    def __call__(self, _: str) -> None:
        self.reached.set()
        assert self._open.wait(PATIENCE_S), "nobody opened the gate"

    def open(self) -> None:
        self._open.set()


@contextmanager
def open_site(
    folder: Path,
    *,
    keys: Mapping[str, str] | None = None,
    limits: Limits | None = None,
    documents: Sequence[Passage] = (),
) -> Iterator[Site]:
    """The shipped server over the shipped process, on any free port, with these documents beside the usual ones."""
    with ExitStack() as opened:
        store = opened.enter_context(closing(Store(folder / "store")))
        shelf = opened.enter_context(closing(shelf_of(store, SmallEncoder())))
        shelves = {name: HeldCollection(shelf.open(name)) for name in ("documents", "memories")}
        shelves["documents"].upsert([*DOCUMENTS, *documents], tenant="default")
        process = opened.enter_context(LocalProcess(store, WORKFLOWS, shelves))
        known = Keys(keys or {})
        api = Api(process.target(limits=limits or Limits(), secured=bool(known)))
        url = opened.enter_context(_serving(App(api, process.watchers, Settings(keys=known)), known))
        yield Site(url, shelves["documents"])


@contextmanager
def _serving(app: App, keys: Keys) -> Iterator[str]:
    listening = bound("127.0.0.1", 0, keys)
    started = threading.Event()
    server = Server(app, started.set)
    listening.listen()
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listening])), name="server")
    thread.start()
    try:
        assert started.wait(PATIENCE_S), "the server never started"
        yield address_of(listening)
    finally:
        server.should_exit = True
        thread.join()
        app.close()
        listening.close()


# ------------------------------------------------------------------------- what only a model or a broken line gives


def request_view(status: str = "running", **known: Any) -> dict[str, Any]:
    """How a request stands, as the API says it."""
    return {
        "request": "r1",
        "conversation": "c1",
        "workflow": "answer",
        "status": status,
        "accepted": "2026-01-05T09:00:00Z",
        "deadline": "2026-01-05T09:01:00Z",
        "settled": "2026-01-05T09:00:02Z" if status == "settled" else None,
        "tokens": 0,
        "micros": 0,
        "answer": None,
        "error": None,
        "deliveries": [],
    } | known


def delivery(agent: str, **known: Any) -> dict[str, Any]:
    """A delivery that is done, as the API says it."""
    return {
        "key": agent,
        "agent": agent,
        "event": "QuestionAsked.v1",
        "emitted": "2026-01-05T09:00:00.100Z",
        "started": "2026-01-05T09:00:00.200Z",
        "finished": "2026-01-05T09:00:00.500Z",
        "attempts": 1,
        "error": "",
        "failed": False,
    } | known


def answer(text: str, **known: Any) -> dict[str, Any]:
    """An answer, as the API says it."""
    empty = {"citations": [], "sentences": [], "notes": [], "degraded": False}
    return {"text": text, **empty, "making": {"method": "extractive"}} | known


def event(kind: str, data: Mapping[str, Any], number: int | str | None = None) -> str:
    """A server-sent event."""
    identified = "" if number is None else f"id: r1:{number}\n"
    return f"{identified}event: {kind}\ndata: {json.dumps(data)}\n\n"


class Scripted:
    """Answers for a page whose server would not give them; `streams` are sent one a connection, then none answers.

    Attributes:
        asked: The `Last-Event-ID` of each connection.
        posted: The bodies and idempotency keys of the messages.
    """

    def __init__(self, *streams: str) -> None:
        self._streams = list(streams)
        self.asked: list[str | None] = []
        self.posted: list[tuple[str | None, str | None]] = []

    def take(self, route: Route) -> None:
        """Take a message."""
        if route.request.method != "POST":
            route.fallback()
            return
        self._note(route)
        place = {"status": "/requests/r1", "events": "/requests/r1/events"}
        route.fulfill(status=202, json={"request": "r1", "conversation": "c1", "workflow": "answer", **place})

    def lose(self, route: Route) -> None:
        """Break the connection over which a message comes."""
        self._note(route)
        route.abort()

    def _note(self, route: Route) -> None:
        self.posted.append((route.request.post_data, route.request.headers.get("idempotency-key")))

    def stream(self, route: Route) -> None:
        """Send the next stream."""
        self.asked.append(route.request.headers.get("last-event-id"))
        if self._streams:
            route.fulfill(status=200, content_type="text/event-stream", body=self._streams.pop(0))
        else:
            route.abort()


def ask(page: Page, text: str) -> Locator:
    """Ask; the turn that it begins."""
    before = page.locator(".turn").count()
    page.get_by_label("Your question").fill(text)
    page.keyboard.press("Enter")
    return page.locator(".turn").nth(before)


def agent(page: Page, name: str) -> Locator:
    """An agent in the drawing."""
    return page.locator(f'.agent[data-agent="{name}"]')


def scripted(page: Page, site: Site, *streams: str) -> Scripted:
    """The page, with one answer to every message and these streams for it."""
    script = Scripted(*streams)
    page.route("**/conversations/*/messages", script.take)
    page.route("**/requests/r1/events", script.stream)
    page.goto(site.url)
    return script
