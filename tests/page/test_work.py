"""What a model does besides talking: it thinks, calls tools, asks for leave, and cites files."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from rivermouth.providers.scripted import End, Hold, Reasoning, ScriptedProvider, Text, Tool
from tests.engine.tools import Box, Given
from tests.page.visit import Visit, visiting

SECTIONS = "# Tides\n\nThe tide at Kollmar is 3.2 metres high.\n\n# Ships\n\nThe ferry leaves at nine.\n"


async def order(what: str = "tea") -> str:
    return f"ordered {what}"


async def fails() -> str:
    raise ValueError("never shown")


SCRIPT = [
    Reasoning("Somebody wants tea."),
    Hold("thought"),
    Text("One moment. "),
    Tool('{"what": "<b>tea</b>"}', id="c 1", name="order"),
    End("tool_calls"),
    Text("It is ordered."),
    End(),
]


@pytest.fixture
def visit(browser: Browser, tmp_path: Path) -> Iterator[Visit]:
    box = Box(Given("order", order, confirm=True))
    agents = {"assistant": {"tools": ("order",)}}
    with visiting(browser, tmp_path, ScriptedProvider(SCRIPT), toolbox=box, agents=agents) as visitor:
        yield visitor


def test_what_it_thinks_is_shown_and_folded_away_when_it_speaks(visit: Visit) -> None:
    visit.ask("Tea, please")
    thinking = visit.replies().locator("details.thinking")

    expect(thinking).to_have_attribute("open", "")
    expect(thinking).to_contain_text("Somebody wants tea.")
    visit.model.tell("thought")
    expect(visit.replies()).to_contain_text("One moment.")
    expect(thinking).not_to_have_attribute("open", "")


def test_a_tool_that_asks_is_called_after_a_yes(visit: Visit) -> None:
    visit.model.tell("thought")
    visit.ask("Tea, please")
    tool = visit.replies().get_by_role("region", name="Tool order")
    expect(tool).to_contain_text("waits for your approval")
    expect(tool).to_contain_text('"what": "<b>tea</b>"')
    expect(visit.page.get_by_role("status")).to_have_text("The tool order waits for your approval.")

    visit.page.reload()
    tool.get_by_role("button", name="Approve").click()

    expect(visit.replies()).to_contain_text("It is ordered.")
    tool.locator("summary").click()
    expect(tool).to_contain_text("ordered <b>tea</b>")


def test_a_tool_that_is_refused_is_not_called(visit: Visit) -> None:
    visit.model.tell("thought")
    visit.ask("Tea, please")

    visit.replies().get_by_role("button", name="Refuse").click()

    expect(visit.replies()).to_contain_text("It is ordered.")
    expect(visit.replies().get_by_role("region", name="Tool order")).to_contain_text("refused")
    assert len(visit.model.requests) == 2


def test_a_file_is_given_read_and_cited(browser: Browser, tmp_path: Path) -> None:
    with visiting(browser, tmp_path, ScriptedProvider([Text("It is 3.2 metres high [1]."), End()])) as visit:
        shelf = visit.give("tides.md", SECTIONS.encode(), "text/markdown")
        visit.ask("How high is the tide at Kollmar?")
        sources = visit.replies().get_by_role("region", name="Sources")

        expect(sources.get_by_role("listitem").first).to_contain_text("tides.md")
        sources.locator("summary").first.click()
        expect(sources).to_contain_text("The tide at Kollmar is 3.2 metres high.")
        visit.page.reload()
        expect(visit.replies().get_by_role("region", name="Sources")).to_contain_text("tides.md")
        shelf.get_by_role("button", name="Take tides.md away").click()
        expect(shelf).to_have_count(0)


def test_a_large_file_shows_how_far_it_is(browser: Browser, tmp_path: Path) -> None:
    with visiting(browser, tmp_path) as visit:
        slow = visit.context.new_cdp_session(visit.page)
        slow.send("Network.enable")
        slow.send(
            "Network.emulateNetworkConditions",
            {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 3_000_000},
        )
        data = b"word " * 600_000
        visit.page.locator("input[type=file]").set_input_files(
            {"name": "long.txt", "mimeType": "text/plain", "buffer": data}
        )
        bar = visit.page.get_by_role("progressbar", name="Sending long.txt")

        visit.page.wait_for_function(
            "() => { const bar = document.querySelector('progress'); return bar && bar.value > 0 && bar.value < 100; }"
        )
        expect(bar).to_have_count(0)
        expect(visit.page.get_by_role("button", name="Take long.txt away")).to_be_visible()


def test_a_file_that_is_refused_says_why_and_may_be_sent_again(browser: Browser, tmp_path: Path) -> None:
    with visiting(browser, tmp_path) as visit:
        visit.page.locator("input[type=file]").set_input_files(
            {"name": "what.bin", "mimeType": "application/octet-stream", "buffer": b"\x00\xff\x01" * 99}
        )
        shelf = visit.page.get_by_role("region", name="Files")

        expect(shelf.get_by_role("alert")).to_be_visible()
        shelf.get_by_role("button", name="Send what.bin again").click()
        expect(shelf.get_by_role("alert")).to_be_visible()
        shelf.get_by_role("button", name="Do not send what.bin").click()
        expect(shelf).to_have_count(0)
        visit.forgive("status of 415")


def test_where_files_are_not_taken_the_page_says_so(browser: Browser, tmp_path: Path) -> None:
    with visiting(browser, tmp_path, page={"uploads": False}) as visit:
        button = visit.page.get_by_role("button", name="Add a file")

        expect(button).to_be_disabled()
        expect(button).to_have_attribute("title", "this server takes no files from visitors (page.uploads)")
