"""Makes the pictures of the page under docs/: `.venv/bin/python scripts/screenshots.py`, once `scripts/test` has run."""

import re
import sys
import tempfile
from contextlib import AbstractContextManager
from pathlib import Path

from playwright.sync_api import Browser, expect, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.engine.tools import Box, Given  # noqa: E402
from tests.page.building import built  # noqa: E402
from tests.page.visit import CHROMIUM, FLAGS, Visit, visiting  # noqa: E402

from rivermouth import logs  # noqa: E402
from rivermouth.providers.scripted import End, Hold, Reasoning, ScriptedProvider, Step, Text, Tool  # noqa: E402
from rivermouth.settings import Settings  # noqa: E402

MOST_BYTES = 200_000
DOCUMENT = """# Berths

The ferry lies at berth 4. Boats below 12 metres go to the eastern basin.

# Tides

At Kollmar the tide rises by 3.2 metres; at spring tide by half a metre more. The eastern basin falls dry for two hours around
low water.
"""
ANSWER = """At **spring tide** the water rises by half a metre more than the usual 3.2 m [1]:

| tide | rise | eastern basin |
|---|---:|---|
| usual | 3.2 m | dry for two hours |
| spring | 3.7 m | dry for longer |

So count from low water:

```python
def afloat(hours_after_low_water: float, *, dry: float = 2.0) -> bool:
    return hours_after_low_water > dry / 2
```
"""


async def add(terms: list[float]) -> float:
    """The tool."""
    return sum(terms)


def pieces(text: str) -> list[Step]:
    """A text as a model says it."""
    return [Text(piece) for piece in re.findall(r"\s*\S+|\s+", text)]


def model() -> ScriptedProvider:
    """Thinks, calls a tool, and stops in the middle of its answer."""
    call = Tool('{"terms": [3.2, 0.5]}', id="call_1", name="add")
    thought = Reasoning("The handbook gives the usual rise; spring tide adds half a metre. I add the two.")
    half, rest = pieces(ANSWER)[:28], pieces(ANSWER)[28:]
    return ScriptedProvider([thought, call, End("tool_calls"), *half, Hold(), *rest, End()])


def scene(browser: Browser, colours: str, width: int, height: int) -> AbstractContextManager[Visit]:
    """A visitor with a window of that size."""
    size = {"width": width, "height": height}
    agents = {"assistant": {"name": "Harbour master", "tools": ("add",)}}
    context = {"viewport": size, "color_scheme": colours, "device_scale_factor": 1}
    place = Path(tempfile.mkdtemp())
    return visiting(browser, place, model(), toolbox=Box(Given("add", add)), agents=agents, context=context)


def talk(visit: Visit, *, raw: str | None) -> None:
    """A file and a question. raw: the dialect to show beside it."""
    visit.give("harbour.md", DOCUMENT.encode(), "text/markdown")
    if raw is not None:
        visit.page.get_by_role("button", name="Raw stream", exact=True).click()
        visit.page.get_by_label("Dialect").select_option(raw)
    visit.ask("How high is the water at spring tide, and when is the eastern basin dry?")
    expect(visit.replies()).to_contain_text("rises by")


def end(visit: Visit) -> None:
    """Let the answer end."""
    visit.model.tell()
    expect(visit.replies()).to_have_attribute("aria-busy", "false")


def save(visit: Visit, name: str) -> None:
    """Take the picture."""
    visit.page.wait_for_timeout(500)
    path = ROOT / "docs" / f"{name}.png"
    visit.page.screenshot(path=path, animations="disabled")
    size = path.stat().st_size
    assert size < MOST_BYTES, f"{path} has {size} bytes"
    print(f"{path.relative_to(ROOT)}: {size} bytes")


def main() -> None:
    """All of them."""
    built()
    logs.configure(Settings(log_level="error"))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        with scene(browser, "light", 1280, 800) as visit:
            talk(visit, raw="knowbase")
            save(visit, "page-light")
        with scene(browser, "dark", 1280, 800) as visit:
            talk(visit, raw=None)
            end(visit)
            save(visit, "page-dark")
        with scene(browser, "light", 390, 780) as visit:
            talk(visit, raw=None)
            end(visit)
            save(visit, "page-phone")
        browser.close()


if __name__ == "__main__":
    main()
