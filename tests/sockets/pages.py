"""Pages in Node that talk to a server with the real socket.io-client, steered from a test."""

import itertools
import json
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).parents[1] / "clients"
PATIENCE = 20.0
TRANSPORTS: dict[str, dict[str, Any]] = {
    "polling": {"transports": ["polling"], "upgrade": False},
    "websocket": {"transports": ["websocket"]},
    "polling upgraded to websocket": {"transports": ["polling", "websocket"]},
}


class Heard(NamedTuple):
    """An event that a page heard."""

    event: str
    values: list[Any]

    @property
    def value(self) -> Any:
        """The first of what came with it."""
        return self.values[0] if self.values else None


class Page:
    """One socket, and all that it has heard."""

    def __init__(self, pages: "Pages", name: str) -> None:
        self._pages, self._name = pages, name
        self.heard: list[Heard] = []

    def do(self, what: str, **more: Any) -> None:
        self._pages.tell({"page": self._name, "do": what, **more})

    def emit(self, event: str, *values: Any) -> None:
        self.do("emit", event=event, values=values)

    def ask(self, event: str, *values: Any) -> Any:
        """Emit with a callback; what that is called with."""
        before = len(self.all(f"ack {event}"))
        self.do("ask", event=event, values=values)
        return self.until(f"ack {event}", times=before + 1).value

    def all(self, *events: str) -> list[Heard]:
        """What it has heard of these so far."""
        return [heard for heard in list(self.heard) if heard.event in events]

    def until(
        self, event: str, times: int = 1, where: Callable[[Any], bool] = lambda _: True, seconds: float = PATIENCE
    ) -> Heard:
        """The event, as soon as it has been heard so often."""
        with self._pages.news:
            found = self._pages.news.wait_for(lambda: self._found(event, where, times), seconds)
        assert found, f"no {event}, but {self.heard[-20:]}"
        return self._found(event, where, times)[times - 1]

    def _found(self, event: str, where: Callable[[Any], bool], times: int) -> list[Heard]:
        found = [heard for heard in self.heard if heard.event == event and where(heard.value)]
        return found if len(found) >= times else []

    def text(self, stream: str | None = None) -> str:
        """The tokens that it heard, of one stream or of all."""
        told = [heard.value for heard in self.all("chat_token")]
        return "".join(one["token"] for one in told if stream in (None, one["stream_id"]))

    def close(self) -> None:
        self.do("forget")


class Pages:
    """A process of Node with any number of pages."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process, self._names = process, itertools.count(1)
        self._pages: dict[str, Page] = {}
        self.news = threading.Condition()
        self._reading = threading.Thread(target=self._read, name="pages", daemon=True)
        self._reading.start()

    def tell(self, command: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()

    @contextmanager
    def page(self, url: str, transport: str = "websocket", **options: Any) -> Iterator[Page]:
        """A page that connects, and goes at the end of the block."""
        page = self._new()
        page.do("open", url=url, options={**TRANSPORTS[transport], **options})
        try:
            yield page
        finally:
            page.close()

    @contextmanager
    def inside(self, url: str, transport: str = "websocket", **options: Any) -> Iterator[Page]:
        """The same, once it is connected; where it is to be upgraded, once it is."""
        with self.page(url, transport, **options) as page:
            page.until("connect")
            if len(TRANSPORTS[transport]["transports"]) > 1:
                page.until("upgrade")
            yield page

    @contextmanager
    def sample(self, name: str, url: str, transport: str, **what: Any) -> Iterator[Page]:
        """A page that does what the contract's sample does."""
        page = self._new()
        page.do(name, url=url, options=TRANSPORTS[transport], **what)
        try:
            yield page
        finally:
            page.close()

    def _new(self) -> Page:
        name = str(next(self._names))
        page = self._pages[name] = Page(self, name)
        return page

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            told = json.loads(line)
            with self.news:
                self._pages[told["page"]].heard.append(Heard(told["event"], told["values"]))
                self.news.notify_all()


@contextmanager
def node() -> Iterator[Pages]:
    """Pages until the block ends."""
    assert (FOLDER / "node_modules/socket.io-client").is_dir(), "the Node packages are missing: run scripts/test"
    program = shutil.which("node")
    assert program, "Node is missing: install Node 18 or newer (scripts/test does)"
    pipe = subprocess.PIPE
    command = [program, str(FOLDER / "sockets.mjs")]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            yield Pages(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(PATIENCE)
