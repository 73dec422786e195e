"""That everybody can use the page, and see it: axe, colours, width, movement, and the page of `/docs` beside it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from rivermouth.providers.scripted import End, Reasoning, ScriptedProvider, Text, Tool
from tests.engine.tools import Box, Given
from tests.page.visit import Visit, faults, visiting

LONG = """# A heading

Some *text* with a [link](https://example.org/a) and `code`.

```python
print("CODE")
```

| a | b |
|---|--:|
| 1 | 2 |

> quoted

1. one
2. two

WORD
""".replace("CODE", "on and " * 30).replace("WORD", "x" * 300)
WIDE, NARROW = {"width": 1280, "height": 800}, {"width": 360, "height": 640}


async def order(what: str = "tea") -> str:
    return f"ordered {what}"


def opened(browser: Browser, folder: Path, **context: Any) -> Any:
    """A conversation with everything in it."""
    model = ScriptedProvider(
        [Reasoning("Hm."), Text(LONG), Tool("{}", id="c 1", name="order"), End("tool_calls"), Text("Done."), End()]
    )
    box = Box(Given("order", order, confirm=True))
    return visiting(browser, folder, model, toolbox=box, agents={"assistant": {"tools": ("order",)}}, context=context)


def talk(visit: Visit) -> None:
    visit.give("tides.md", b"# Tides\n\nThe tide at Kollmar is high.", "text/markdown")
    visit.ask("How is the tide?")
    expect(visit.replies().get_by_role("button", name="Approve")).to_be_visible()


@pytest.mark.parametrize(("colours", "size"), [("light", WIDE), ("dark", NARROW)], ids=["light", "dark and narrow"])
def test_axe_finds_nothing_serious(browser: Browser, tmp_path: Path, colours: str, size: dict[str, int]) -> None:
    with opened(browser, tmp_path, viewport=size, color_scheme=colours) as visit:
        found = faults(visit.page)
        talk(visit)
        visit.page.get_by_role("button", name="Raw stream", exact=True).click()
        found += faults(visit.page)
        visit.replies().get_by_role("button", name="Approve").click()
        expect(visit.replies()).to_contain_text("Done.")
        for summary in visit.replies().locator("summary").all():
            summary.click()
        visit.page.get_by_role("button", name="Close the raw stream").click()
        if size is NARROW:
            visit.page.get_by_role("button", name="Conversations").click()
        found += faults(visit.page)

    assert found == []


def test_nothing_is_wider_than_a_phone(browser: Browser, tmp_path: Path) -> None:
    with opened(browser, tmp_path, viewport=NARROW, has_touch=True, is_mobile=True) as visit:
        talk(visit)

        assert visit.page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]
        assert visit.page.locator(".messages").evaluate("one => one.scrollWidth - one.clientWidth") == 0
        visit.page.get_by_role("button", name="Conversations").click()
        expect(visit.page.get_by_role("button", name="Close the list")).to_be_focused()
        visit.page.keyboard.press("Escape")
        expect(visit.page.get_by_role("navigation")).to_have_count(0)
        expect(visit.page.get_by_role("button", name="Conversations")).to_be_focused()
        expect(visit.page).to_have_title("How is the tide? · Rivermouth")


def test_colours_follow_the_system_and_the_persons_choice(browser: Browser, tmp_path: Path) -> None:
    def ground(visit: Visit) -> str:
        return str(visit.page.evaluate("getComputedStyle(document.documentElement).backgroundColor"))

    with visiting(browser, tmp_path, context={"color_scheme": "dark", "viewport": WIDE}) as visit:
        dark = ground(visit)
        visit.page.get_by_text("Light", exact=True).click()
        light = ground(visit)
        visit.page.reload()
        expect(visit.page.get_by_role("radio", name="Light")).to_be_checked()
        kept = ground(visit)
        visit.page.get_by_text("Auto", exact=True).click()
        again = ground(visit)

    assert light == kept != dark == again


def test_who_wants_no_movement_sees_none(browser: Browser, tmp_path: Path) -> None:
    with visiting(browser, tmp_path, context={"reduced_motion": "reduce"}) as visit:
        moving = "() => document.getAnimations().length"
        visit.ask("Hello")
        expect(visit.replies()).to_be_visible()

        assert visit.page.evaluate(moving) == 0


def test_a_reader_hears_the_answer_once_and_not_each_word(browser: Browser, tmp_path: Path) -> None:
    with visiting(browser, tmp_path, ScriptedProvider([*(Text(f"{n} ") for n in range(200)), End()])) as visit:
        expect(visit.page.get_by_role("textbox", name="Message")).to_be_visible()
        visit.page.evaluate("""() => {
            window.heard = [];
            const live = document.querySelector('[role=status]');
            const changes = {childList: true, characterData: true, subtree: true};
            const hear = () => live.textContent && window.heard.push(live.textContent); // nothing is read of what is empty
            new MutationObserver(hear).observe(live, changes);
        }""")
        visit.ask("Count")
        expect(visit.page.get_by_role("status")).to_contain_text("Answer: 0 1 2")
        live = visit.page.locator("[aria-live]:not([aria-live=off]), [role=status], [role=alert], [role=log]").count()

        assert [said.split()[0] for said in visit.page.evaluate("window.heard")] == ["Sent.", "Answer:"]
        assert live == 1


def test_the_keyboard_reaches_everything_in_the_order_of_the_page(browser: Browser, tmp_path: Path) -> None:
    with visiting(browser, tmp_path, context={"viewport": WIDE}) as visit:
        visit.ask("Hello")
        expect(visit.replies()).to_have_attribute("aria-busy", "false")
        visit.page.get_by_role("link", name="Skip to the message").focus()
        reached = ["Skip to the message"]
        for _ in range(12):
            visit.page.keyboard.press("Tab")
            reached.append(
                visit.page.evaluate(
                    "document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent"
                )
            )

    places = [
        reached.index(name)
        for name in ("Skip to the message", "New conversation", "Hello", "Raw stream", "Message", "Add a file")
    ]
    assert places == sorted(places)


@pytest.fixture
def visit(browser: Browser, tmp_path: Path) -> Iterator[Visit]:
    with visiting(browser, tmp_path) as visitor:
        yield visitor


def test_the_page_of_all_paths_works_in_a_browser(visit: Visit) -> None:
    page = visit.tab("/docs")

    expect(page.get_by_text("/smarttalk/api/chat", exact=True).first).to_be_visible()
    expect(page.get_by_text("/streams/{id}", exact=True).first).to_be_visible()
