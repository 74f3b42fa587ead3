"""The page in Chromium, on a server of this test's own. Without a Chromium, the tests that need one are skipped."""

import asyncio
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from page_fakes import OPTIONS, Gate, Site, no_search, open_site
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, ViewportSize, expect, sync_playwright

USUAL_SIZE: ViewportSize = {"width": 1200, "height": 850}
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def _chromium(playwright: Playwright) -> str | None:
    """`TROUPE_CHROMIUM`, what is on PATH, or what `playwright install` left."""
    named = os.environ.get("TROUPE_CHROMIUM")
    if named:
        return named
    found = [path for path in map(shutil.which, NAMES) if path]
    own = playwright.chromium.executable_path
    return next(iter(found), own if Path(own).exists() else None)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One browser for all tests of this process."""
    with sync_playwright() as playwright:
        path = _chromium(playwright)
        if path is None:
            pytest.skip("no Chromium is here: install one, or name it in TROUPE_CHROMIUM")
        browser = playwright.chromium.launch(executable_path=path, args=OPTIONS)
        loop = asyncio.get_running_loop()
        asyncio.events._set_running_loop(None)
        browser.__dict__["loop_of_playwright"] = loop
        yield browser
        asyncio.events._set_running_loop(loop)
        browser.close()


@pytest.fixture
def loop_of_playwright(browser: Browser) -> Iterator[None]:
    """Playwright's loop runs in this thread as long as the browser is open; other tests must not see it."""
    asyncio.events._set_running_loop(browser.__dict__["loop_of_playwright"])
    yield
    asyncio.events._set_running_loop(None)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """Opens servers on this test's folder; see `open_site`."""
    with ExitStack() as closing:
        yield lambda **settings: closing.enter_context(open_site(tmp_path, **settings))


@pytest.fixture(scope="session")
def shared_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server for the tests that need nothing of their own in it: each has a conversation that nobody else has."""
    with open_site(tmp_path_factory.mktemp("site")) as opened:
        yield opened


@pytest.fixture
def site(shared_site: Site) -> Iterator[Site]:
    """A server with a few documents."""
    yield shared_site
    shared_site.documents.during = no_search


@pytest.fixture
def gate(site: Site) -> Iterator[Gate]:
    """Holds back every search of documents."""
    gate = Gate()
    site.documents.during = gate
    yield gate
    gate.open()


@pytest.fixture(scope="session")
def shared_context(browser: Browser) -> Iterator[BrowserContext]:
    """One browser profile with one tab: new ones for each test would take longer than most tests."""
    asyncio.events._set_running_loop(browser.__dict__["loop_of_playwright"])
    made = browser.new_context(viewport=USUAL_SIZE, reduced_motion="reduce", locale="en-GB")
    made.new_page()
    asyncio.events._set_running_loop(None)
    yield made
    asyncio.events._set_running_loop(browser.__dict__["loop_of_playwright"])
    made.close()
    asyncio.events._set_running_loop(None)


@pytest.fixture
def context(shared_context: BrowserContext, loop_of_playwright: None) -> BrowserContext:  # noqa: ARG001 - needed around it
    """The browser profile, in which nothing is remembered yet."""
    return shared_context


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """The tab; that the page's own code or its content security policy fails in it fails the test."""
    expect.set_options(timeout=8_000)
    faults: list[str] = []
    (tab,) = context.pages
    tab.on("pageerror", fault := lambda error: faults.append(str(error)))
    tab.on("console", said := lambda each: faults.append(each.text) if "Content Security Policy" in each.text else None)
    yield tab
    _forget(context, tab)
    tab.remove_listener("pageerror", fault)
    tab.remove_listener("console", said)
    assert faults == []


def _forget(context: BrowserContext, tab: Page) -> None:
    """Leave the tab as it was: nothing that the page kept, nothing that the test had played back or set."""
    tab.unroute_all(behavior="ignoreErrors")
    context.set_offline(offline=False)
    origin = "/".join(tab.url.split("/")[:3])
    tab.goto("about:blank")  # before its storage is emptied, so that it writes no more
    storage = context.new_cdp_session(tab)
    storage.send("Storage.clearDataForOrigin", {"origin": origin, "storageTypes": "local_storage"})
    storage.detach()
    tab.set_viewport_size(USUAL_SIZE)
    tab.emulate_media(reduced_motion="reduce", color_scheme="light")
