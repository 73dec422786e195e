"""The page that docs/sockets.md shows, as it stands there, in a browser: it goes offline in the middle and misses nothing."""

import functools
import http.server
import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.page.visit import CHROMIUM, FLAGS
from tests.proxies.shipped import put
from tests.sockets.pages import FOLDER
from tests.wire.world import World

DOCS = Path(__file__).parents[2] / "docs/sockets.md"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield found
        found.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder, and the address at which its files are."""

    class Silent(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Silent, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield tmp_path, f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_it_shows_each_word_once_although_it_was_offline_in_the_middle(
    world: World, site: tuple[Path, str], browser: Browser
):
    folder, url = site
    found = re.search(r"```html\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL)
    assert found
    gates = [world.model.gate(), world.model.gate()]
    question = world.model.question("one", " two", gates[0], " three", gates[1], " four")
    code = put(found[1], ("http://127.0.0.1:8000", world.url), ("Where does a river meet the sea?", question))
    (folder / "index.html").write_text(f"<!doctype html><meta charset=utf-8><body></body>{code}", "utf-8")
    shutil.copy(FOLDER / "node_modules/socket.io-client/dist/socket.io.esm.min.js", folder)
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{url}/index.html")
    expect(page.locator("body")).to_have_text("one two")
    context.set_offline(True)
    world.open(gates[0])
    context.set_offline(False)
    expect(page.locator("body")).to_have_text("one two three")
    world.open(gates[1])
    expect(page.locator("body")).to_have_text("one two three four")
    context.close()
