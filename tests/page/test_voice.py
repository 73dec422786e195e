"""A message by voice, said into the browser's microphone."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Route, expect, sync_playwright

from tests.page.speech import spoken
from tests.page.visit import CHROMIUM, FLAGS, PATIENCE, Visit, faults, visiting
from tests.processes import processes_below

MICROPHONE = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]


@pytest.fixture(scope="module")
def browser(page_files: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One whose microphone hears a sentence."""
    sound = spoken("hello world", tmp_path_factory.mktemp("sound") / "hello.wav")
    with sync_playwright() as playwright:
        flags = [*FLAGS, *MICROPHONE, f"--use-file-for-fake-audio-capture={sound}"]
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield found
        found.close()


HEARD = [
    {"type": "transcription", "text": "hello world", "language": "en", "duration": 1.2},
    {"type": "stream_start", "messageId": "m1", "streamId": "r1", "chatModelId": "assistant"},
    {"type": "token", "token": "Hello to you.", "index": 0},
    {"type": "agent_response", "response": "Hello to you.", "sources": [], "usage": {}, "finishReason": "stop"},
    {"type": "stream_end", "success": True, "durationMs": 5, "firstTokenMs": 2, "tokens": 3},
]


@pytest.fixture
def visit(browser: Browser, tmp_path: Path) -> Iterator[Visit]:
    with visiting(browser, tmp_path) as visitor:
        yield visitor


def record(visit: Visit, seconds: int = 2) -> None:
    visit.page.get_by_role("button", name="Record a voice message").click()
    expect(visit.page.get_by_role("timer")).to_have_text(f"0:0{seconds}")
    visit.page.get_by_role("button", name="Send the recording").click()


def test_what_is_said_into_the_microphone_is_answered(visit: Visit) -> None:
    record(visit, 4)
    question = visit.page.locator("article.question.spoken p:not(.faint)")
    expect(question).to_be_visible(timeout=60_000)
    expect(visit.replies()).to_have_attribute("aria-busy", "false")
    heard = question.inner_text()

    assert len(heard) > 2
    expect(visit.replies().locator(".prose")).to_have_text(heard)
    visit.page.reload()
    expect(visit.replies().locator(".prose")).to_have_text(heard)
    assert visit.questions() == [heard]


def test_what_was_said_stands_where_the_question_does(visit: Visit) -> None:
    asked: list[bytes] = []

    def answer(route: Route) -> None:
        asked.append(route.request.post_data_buffer or b"")
        body = "".join(f"id: {number}\ndata: {json.dumps(one)}\n\n" for number, one in enumerate(HEARD, 1))
        route.fulfill(body=body, content_type="text/event-stream", headers={"Stream-Id": "r1"})

    visit.context.route("**/api/chat/voice*", answer)
    record(visit)

    expect(visit.replies()).to_contain_text("Hello to you.")
    assert visit.questions() == ["hello world"]
    assert b'name="chatModelId"\r\n\r\nassistant' in asked[0]
    assert b'filename="message.webm"' in asked[0]
    assert b"\x1a\x45\xdf\xa3" in asked[0]


def test_a_reload_while_the_recording_is_decoded_loses_nothing(visit: Visit) -> None:
    record(visit, 4)
    until = time.monotonic() + PATIENCE / 1000
    while not processes_below(os.getpid(), "rivermouth.speech._decoder"):
        assert time.monotonic() < until, "nobody decodes it"
        time.sleep(0.005)
    visit.page.reload()

    question = visit.page.locator("article.question p:not(.faint)")
    expect(question).to_be_visible(timeout=60_000)
    expect(visit.replies().locator(".prose")).to_have_text(question.inner_text())
    expect(visit.replies()).to_have_count(1)
    assert len(visit.questions()) == 1
    visit.forgive("status of 404")  # the page has looked for a conversation that was not there yet


def test_a_message_that_arrives_after_a_reload_is_waited_for(visit: Visit) -> None:
    visit.context.route("**/api/chat/voice*", lambda route: None)
    with visit.page.expect_request("**/api/chat/voice*"):
        record(visit)
    visit.page.reload()

    expect(visit.page.locator("article.question.spoken")).to_have_text("Voice message, being understood …")
    expect(visit.replies()).to_have_attribute("aria-busy", "true")
    body = "".join(f"id: {number}\ndata: {json.dumps(one)}\n\n" for number, one in enumerate(HEARD, 1))
    told = {"body": body, "content_type": "text/event-stream", "headers": {"Stream-Id": "r1"}}
    visit.context.route("**/conversations/*/stream*", lambda route: route.fulfill(**told))
    expect(visit.replies()).to_contain_text("Hello to you.")
    assert visit.questions() == ["hello world"]
    visit.forgive("status of 404")


def test_a_message_that_never_arrives_is_given_up(visit: Visit) -> None:
    visit.context.route("**/api/chat/voice*", lambda route: None)
    with visit.page.expect_request("**/api/chat/voice*"):
        record(visit)
    visit.page.clock.install()
    visit.page.reload()
    expect(visit.page.locator("article.question.spoken")).to_have_text("Voice message, being understood …")
    for _ in range(30):
        visit.page.clock.run_for(1000)
        if visit.replies().get_by_role("alert").count():
            break

    expect(visit.replies().get_by_role("alert")).to_contain_text("did not arrive")
    with visit.page.expect_response("**/api/chat/history/*"):
        visit.page.reload()
    expect(visit.page.locator(".welcome")).to_be_visible()
    expect(visit.replies()).to_have_count(0)
    visit.forgive("status of 404")


def test_a_recording_can_be_thrown_away(visit: Visit) -> None:
    visit.page.get_by_role("button", name="Record a voice message").click()
    expect(visit.page.get_by_role("timer")).to_have_text("0:01")
    assert faults(visit.page) == []
    visit.page.keyboard.press("Escape")

    expect(visit.page.get_by_role("button", name="Record a voice message")).to_be_visible()
    expect(visit.replies()).to_have_count(0)


def test_who_goes_elsewhere_in_the_middle_records_no_longer(visit: Visit) -> None:
    visit.page.get_by_role("button", name="Record a voice message").click()
    expect(visit.page.get_by_role("timer")).to_have_text("0:01")
    visit.page.get_by_role("button", name="New conversation").click()

    expect(visit.page.get_by_role("timer")).to_have_count(0)
    visit.ask("Written")
    expect(visit.replies()).to_contain_text("Written")


def test_a_message_that_is_refused_says_why(visit: Visit) -> None:
    visit.context.route(
        "**/api/chat/voice*", lambda route: route.fulfill(status=413, json={"error": "too long", "code": "TOO_LARGE"})
    )
    record(visit)

    expect(visit.replies().get_by_role("alert")).to_contain_text("too long")
    assert visit.questions() == ["Voice message"]
    expect(visit.replies().get_by_role("button", name="Try again")).to_be_visible()
    visit.forgive("status of 413")


def test_without_leave_there_is_no_microphone_and_the_page_says_so(visit: Visit) -> None:
    expect(visit.page.get_by_role("button", name="Record a voice message")).to_be_visible()
    visit.page.evaluate("""() => {
        navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('no', 'NotAllowedError'));
    }""")
    visit.page.get_by_role("button", name="Record a voice message").click()

    expect(visit.page.get_by_role("alert")).to_contain_text("not allowed")
    expect(visit.page.get_by_role("textbox", name="Message")).to_be_visible()
