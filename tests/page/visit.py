"""A visitor: a browser's context with a page in it, and a server with a model that does as it is told."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from rivermouth.providers.scripted import ScriptedProvider, echo
from tests.page.building import AXE
from tests.running import Running, running

expect.set_options(timeout=15_000)
CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
PATIENCE = 15_000
"""Milliseconds until something that does not come counts as missing; two cores may be busy with other tests."""


class Visit:
    """What tests do and look at."""

    def __init__(self, context: BrowserContext, server: Running, model: ScriptedProvider) -> None:
        self.context, self.server, self.model = context, server, model
        self.wrong: list[str] = []
        self._forgiven: tuple[str, ...] = ()
        self.page = self.tab()

    def tab(self, path: str = "/") -> Page:
        """One more tab."""
        page = self.context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("console", lambda said: self.wrong.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("request", lambda asked: self._look(asked.url))
        page.goto(self.server.url + path)
        return page

    def _look(self, url: str) -> None:
        if not re.match(rf"{re.escape(self.server.url)}/|blob:|data:", url):
            self.wrong.append(f"asked {url}")

    def ask(self, text: str, page: Page | None = None) -> None:
        """Write it and send it off."""
        where = page or self.page
        where.get_by_role("textbox", name="Message").fill(text)
        where.get_by_role("button", name="Send", exact=True).click()

    def give(self, name: str, data: bytes, kind: str = "text/plain", *, there: int = 1) -> Locator:
        """Give a file, and return the shelf when so many have been read."""
        self.page.locator("input[type=file]").set_input_files({"name": name, "mimeType": kind, "buffer": data})
        shelf = self.page.get_by_role("region", name="Files")
        expect(shelf.get_by_role("button", name="Take ")).to_have_count(there)
        expect(shelf.get_by_role("progressbar")).to_have_count(0)
        return shelf

    def replies(self, page: Page | None = None) -> Locator:
        """The answers that are there."""
        return (page or self.page).get_by_role("article", name="Answer")

    def questions(self, page: Page | None = None) -> list[str]:
        """What was asked, as it is shown."""
        return (page or self.page).locator("article.question").all_inner_texts()

    def cut(self) -> None:
        """Break off all streams, as a server does that leaves."""

        async def let_go() -> None:
            await self.server.app._watchers.part(0.0)

        self.server.do(let_go())

    def none_follow(self) -> None:
        """Return when nobody has a stream open."""
        until = time.monotonic() + PATIENCE / 1000
        while "rivermouth_watchers 0.0" not in httpx.get(self.server.url + "/metrics").text:
            assert time.monotonic() < until, "somebody still follows"
            time.sleep(0.02)

    def forgive(self, words: str) -> None:
        """What Chromium says of a request that was meant to fail is no fault of the page's; it may say so a moment later."""
        self._forgiven += (words,)

    @property
    def faulty(self) -> list[str]:
        """What went wrong and was not forgiven."""
        return [one for one in self.wrong if not any(words in one for words in self._forgiven)]


@contextmanager
def visiting(browser: Browser, folder: Path, model: ScriptedProvider | None = None, **settings: Any) -> Iterator[Visit]:
    """A server, and somebody who looks at its page, in which nothing may go wrong.

    settings: of the server, and `context`, options of the browser's context.
    """
    model = model or ScriptedProvider(echo)
    context_options = settings.pop("context", {})
    settings.setdefault("runs", {"drain": 0.1})  # what still waits in the end is waited for by nobody
    with running(folder / "data", provider=model, **settings) as server:
        context = browser.new_context(**context_options)
        try:
            visitor = Visit(context, server, model)
            yield visitor
        finally:
            context.close()
        assert visitor.faulty == [], visitor.faulty


def faults(page: Page) -> list[str]:
    """What axe finds that is serious: the rule, what is meant, and where."""
    page.evaluate(AXE.read_text("utf-8") + "; undefined")
    found = page.evaluate(
        "() => axe.run(document, {resultTypes: ['violations']}).then(found => JSON.stringify(found.violations))"
    )
    return [
        f"{one['id']}: {one['help']}: {[node['target'] for node in one['nodes']]}"
        for one in msgspec.json.decode(found)
        if one["impact"] in ("serious", "critical")
    ]
