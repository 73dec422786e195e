"""Talking to a model through the page: what it says as it says it, stopping, reloading, tabs."""

import re

import pytest
from playwright.sync_api import expect

from rivermouth.providers.scripted import End, Fail, Hold, Script, Text
from tests.page.visit import Visit

HALVES = [Text("The first half"), Hold(), Text(" and the **second** half."), End()]


@pytest.fixture
def script(request: pytest.FixtureRequest) -> Script:
    return getattr(request, "param", HALVES)


def test_an_answer_is_shown_as_it_comes(visit: Visit) -> None:
    visit.ask("What is a river mouth?")

    expect(visit.replies()).to_contain_text("The first half")
    expect(visit.replies()).to_have_attribute("aria-busy", "true")
    visit.model.tell()
    expect(visit.replies()).to_contain_text("The first half and the second half.")
    expect(visit.replies()).to_have_attribute("aria-busy", "false")
    expect(visit.replies().locator("strong")).to_have_text("second")
    assert visit.questions() == ["What is a river mouth?"]


def test_a_stop_keeps_what_there_is(visit: Visit) -> None:
    visit.ask("Talk on and on")
    expect(visit.replies()).to_contain_text("The first half")

    visit.page.get_by_role("button", name="Stop the answer").click()

    expect(visit.replies().locator(".foot")).to_contain_text("Stopped")
    expect(visit.page.locator("p[role=status]")).to_have_text("The answer was stopped.")
    expect(visit.replies().locator(".prose")).to_have_text("The first half")
    expect(visit.page.get_by_role("button", name="Send")).to_be_visible()
    assert visit.model.cancelled == 1


def test_a_reload_in_the_middle_goes_on_where_it_was(visit: Visit) -> None:
    visit.ask("What is a river mouth?")
    expect(visit.replies()).to_contain_text("The first half")

    visit.page.reload()
    expect(visit.replies()).to_contain_text("The first half")
    visit.model.tell()

    expect(visit.replies().locator(".prose")).to_have_text("The first half and the second half.")
    expect(visit.replies()).to_have_count(1)
    assert visit.questions() == ["What is a river mouth?"]


def test_a_reload_after_the_end_shows_it_all_once(visit: Visit) -> None:
    visit.model.tell()
    visit.ask("What is a river mouth?")
    expect(visit.replies()).to_have_attribute("aria-busy", "false")

    visit.page.reload()

    expect(visit.replies().locator(".prose")).to_have_text("The first half and the second half.")
    expect(visit.replies()).to_have_count(1)
    assert visit.questions() == ["What is a river mouth?"]


def test_two_tabs_show_the_same_answer(visit: Visit) -> None:
    visit.model.tell("other")
    visit.ask("One")
    expect(visit.replies()).to_contain_text("The first half")
    other = visit.tab("/" + visit.page.evaluate("location.hash"))
    expect(visit.replies(other)).to_contain_text("The first half")

    visit.model.tell()
    for page in (visit.page, other):
        expect(visit.replies(page)).to_contain_text("and the second half.")
    visit.ask("Two", other)

    for page in (visit.page, other):
        expect(visit.replies(page)).to_have_count(2)
        expect(visit.replies(page).nth(1)).to_contain_text("and the second half.")
        assert visit.questions(page) == ["One", "Two"]


def test_another_tab_can_stop_it(visit: Visit) -> None:
    visit.ask("One")
    expect(visit.replies()).to_contain_text("The first half")
    other = visit.tab("/" + visit.page.evaluate("location.hash"))

    other.get_by_role("button", name="Stop the answer").click()

    expect(visit.replies().locator(".foot")).to_contain_text("Stopped")
    expect(visit.replies(other).locator(".foot")).to_contain_text("Stopped")


def test_conversations_are_listed_and_opened_again(visit: Visit) -> None:
    visit.model.tell()
    visit.ask("About rivers")
    expect(visit.replies()).to_have_attribute("aria-busy", "false")
    visit.page.get_by_role("button", name="New conversation").click()
    expect(visit.page.get_by_role("heading", name="Ask something")).to_be_visible()
    visit.ask("About tides")
    expect(visit.replies()).to_have_attribute("aria-busy", "false")

    visit.page.get_by_role("button", name="About rivers", exact=True).click()

    expect(visit.page.locator("article.question")).to_have_text("About rivers")
    expect(visit.replies()).to_contain_text("The first half")
    visit.page.go_back()
    expect(visit.page.locator("article.question")).to_have_text("About tides")
    visit.page.get_by_role("button", name="Take “About rivers” off the list").click()
    expect(visit.page.get_by_role("navigation").get_by_text("About rivers")).to_have_count(0)


@pytest.mark.parametrize("script", [[Fail("provider_unreachable", "the model's server is away", 502)]], indirect=True)
def test_a_failure_says_why_and_can_be_tried_again(visit: Visit) -> None:
    visit.ask("Hello?")
    expect(visit.replies().get_by_role("alert")).to_contain_text("the model's server is away")
    expect(visit.page.locator("p[role=status]")).to_have_text("There is no answer.")
    visit.model._script = [Text("Here I am."), End()]

    visit.page.get_by_role("button", name="Try again").click()

    expect(visit.replies().locator(".prose")).to_have_text("Here I am.")
    expect(visit.replies()).to_have_count(1)
    visit.page.reload()
    expect(visit.replies().locator(".prose")).to_have_text("Here I am.")
    assert visit.questions() == ["Hello?"]
    visit.forgive("the server responded with a status of 502")


@pytest.mark.parametrize("script", [[Text("Half of"), Fail(), End()]], indirect=True)
def test_an_answer_that_breaks_off_keeps_its_half(visit: Visit) -> None:
    visit.ask("Hello?")

    expect(visit.replies().get_by_role("alert")).to_contain_text("broke the connection off")
    expect(visit.page.locator("p[role=status]")).to_have_text("The answer broke off.")
    expect(visit.replies().locator(".prose")).to_have_text("Half of")
    visit.page.reload()
    expect(visit.replies().get_by_role("alert")).to_contain_text("broke off")
    expect(visit.replies().get_by_role("button", name="Try again")).to_be_visible()


def test_the_raw_stream_is_shown_in_any_dialect(visit: Visit) -> None:
    visit.page.get_by_role("button", name="Raw stream", exact=True).click()
    visit.page.get_by_label("Dialect").select_option("knowbase")
    visit.ask("What is a river mouth?")
    raw = visit.page.get_by_label("Bytes of the answer in knowbase")
    expect(raw).to_contain_text('data: {"t":"The first half"}')
    visit.model.tell()
    expect(raw).to_contain_text("event: done")

    visit.page.get_by_label("Dialect").select_option("ares")

    expect(visit.page.get_by_label("Bytes of the answer in ares")).to_have_text(
        re.compile(r"^data: The first half\s+data:  and the \*\*second\*\* half\.\s*$")
    )
    visit.page.reload()
    expect(visit.page.get_by_label("Bytes of the answer in ares")).to_contain_text("data: The first half")


def test_the_keyboard_is_enough(visit: Visit) -> None:
    visit.model.tell()
    visit.page.get_by_role("textbox", name="Message").press_sequentially("Line one")
    visit.page.keyboard.press("Shift+Enter")
    visit.page.keyboard.type("line two")
    visit.page.keyboard.press("Enter")

    expect(visit.replies()).to_contain_text("and the second half.")
    assert visit.questions() == ["Line one\nline two"]
    expect(visit.page.get_by_role("textbox", name="Message")).to_be_focused()
    expect(visit.page.get_by_role("status")).to_have_text("Answer: The first half and the second half.")


def test_a_connection_that_is_lost_is_looked_for_again(visit: Visit) -> None:
    visit.ask("What is a river mouth?")
    expect(visit.replies()).to_contain_text("The first half")
    with visit.page.expect_request(re.compile(r"/streams/\w+\?ids=1&after=[1-9]")):
        visit.cut()
    visit.model.tell()

    expect(visit.replies().locator(".prose")).to_have_text("The first half and the second half.")
    visit.forgive("net::ERR_INVALID_CHUNKED_ENCODING")


def test_who_opens_another_conversation_lets_go_of_the_first_and_finds_it_again(visit: Visit) -> None:
    visit.ask("One")
    expect(visit.replies()).to_contain_text("The first half")
    visit.page.get_by_role("button", name="New conversation").click()
    expect(visit.page.get_by_role("heading", name="Ask something")).to_be_visible()
    visit.none_follow()

    visit.page.get_by_role("button", name="One", exact=True).click()
    expect(visit.replies()).to_contain_text("The first half")
    visit.model.tell()

    expect(visit.replies().locator(".prose")).to_have_text("The first half and the second half.")
    expect(visit.replies()).to_have_count(1)


def test_a_message_that_is_too_long_is_not_cut_off_but_pointed_out(visit: Visit) -> None:
    visit.page.get_by_role("textbox", name="Message").fill("x" * 32_001)

    expect(visit.page.get_by_role("alert")).to_contain_text("32,000 characters")
    expect(visit.page.get_by_role("button", name="Send", exact=True)).to_be_disabled()
