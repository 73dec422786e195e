"""The page as people see it: built out of `web/`, served by a real server, shown by Debian's Chromium."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from rivermouth.providers.scripted import Script, ScriptedProvider
from tests.page.building import built
from tests.page.visit import CHROMIUM, FLAGS, Visit, visiting


@pytest.fixture(scope="session")
def page_files() -> Path:
    """The folder of the page, built where that has not been done."""
    return built()


@pytest.fixture(scope="module")
def browser(page_files: Path) -> Iterator[Browser]:
    """A browser of this module's own: while it is there, nobody else in this thread can run an event loop."""
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield found
        found.close()


@pytest.fixture
def script() -> Script:
    """What the model does; tests put their own in its place."""
    return ()


@pytest.fixture
def visit(browser: Browser, tmp_path: Path, script: Script) -> Iterator[Visit]:
    """A visitor of a fresh server. Nothing may go wrong in the page, and nobody else be asked for anything."""
    with visiting(browser, tmp_path, ScriptedProvider(script) if script else None) as visitor:
        yield visitor
