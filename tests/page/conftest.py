"""The page in Chromium, on a server of this test's own. Without a Chromium, the tests that need one are skipped."""

import asyncio
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from page_fakes import OPTIONS, Gate, Site, no_search, open_site
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, expect, sync_playwright

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


@pytest.fixture
def context(browser: Browser, loop_of_playwright: None) -> Iterator[BrowserContext]:  # noqa: ARG001 - needed around it
    """A browser profile of this test's own, in which nothing was done yet."""
    made = browser.new_context(viewport={"width": 1200, "height": 850}, reduced_motion="reduce", locale="en-GB")
    yield made
    made.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A tab; that the page's own code or its content security policy fails in it fails the test."""
    expect.set_options(timeout=8_000)
    faults: list[str] = []
    tab = context.new_page()
    tab.on("pageerror", lambda error: faults.append(str(error)))
    tab.on("console", lambda said: faults.append(said.text) if "Content Security Policy" in said.text else None)
    yield tab
    assert faults == []
