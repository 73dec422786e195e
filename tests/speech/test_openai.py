"""Servers with `/v1/audio/transcriptions`, over real HTTP: what they are asked, and what becomes of their failures."""

import asyncio
import io
import threading
import time
import wave
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from python_multipart.multipart import MultipartParser, parse_options_header

from rivermouth.clock import SystemClock
from rivermouth.errors import (
    ProviderBroken,
    ProviderFault,
    ProviderOverloaded,
    ProviderRefused,
    ProviderSilent,
    ProviderUnreachable,
)
from rivermouth.parts import transcriber_of
from rivermouth.settings import Settings, SettingsError
from rivermouth.speech import SECOND, Segment, Transcriber
from rivermouth.speech._opening import open_transcriber
from tests import sounds
from tests.model_server import Handler, Listening, listening
from tests.speech.ears import all_of, pieces

PATH = "POST /v1/audio/transcriptions"
KEY = "tk-a-secret-of-the-tests"


class Form:
    """What a server was sent: its fields, and the file."""

    def __init__(self, handler: Handler) -> None:
        self.authorization = handler.headers.get("Authorization")
        self.fields: dict[str, str] = {}
        self.file, self.filename = b"", ""
        _, options = parse_options_header(handler.headers["Content-Type"])
        self._disposition, self._data = b"", b""
        parser = MultipartParser(
            options[b"boundary"],
            {
                "on_part_begin": self._begin,
                "on_header_value": lambda data, start, end: self._header(data[start:end]),
                "on_part_data": lambda data, start, end: self._take(data[start:end]),
                "on_part_end": self._end,
            },
        )
        parser.write(handler.body)
        parser.finalize()

    @property
    def samples(self) -> bytes:
        with wave.open(io.BytesIO(self.file)) as file:
            assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16000, 1, 2)
            return file.readframes(file.getnframes())

    def _begin(self) -> None:
        self._disposition = self._data = b""

    def _header(self, value: bytes) -> None:
        if value.startswith(b"form-data"):
            self._disposition = value

    def _take(self, data: bytes) -> None:
        self._data += data

    def _end(self) -> None:
        _, options = parse_options_header(self._disposition)
        if b"filename" in options:
            self.file, self.filename = self._data, options[b"filename"].decode()
        else:
            self.fields[options[b"name"].decode()] = self._data.decode()


class Server:
    """A transcription server that answers its requests one after another with what it was given; the last one for ever."""

    def __init__(self, listener: Listening, forms: list[Form]) -> None:
        self.url, self.seen, self.forms = listener.url, listener.seen, forms


@contextmanager
def serving(*answers: Callable[[Handler], None]) -> Iterator[Server]:
    forms: list[Form] = []
    waiting = list(answers)

    def answer(handler: Handler) -> None:
        forms.append(Form(handler))
        (waiting.pop(0) if len(waiting) > 1 else waiting[0])(handler)

    with listening(answer) as found:
        yield Server(found, forms)


def says(body: Any, status: int = 200, **headers: str) -> Callable[[Handler], None]:
    data = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return lambda handler: handler.whole(data, "application/json", status, **headers)


def heard_by(server: Server, samples: bytes, language: str | None = None, **settings: Any) -> list[Segment]:
    async def listen(ear: Transcriber) -> list[Segment]:
        return await all_of(ear, samples, language)

    return played(server.url, listen, **settings)


def played(url: str, story: Callable[[Transcriber], Coroutine[Any, Any, Any]], **settings: Any) -> Any:
    wanted = {"url": url, "api_key": KEY, "model": "tiny", **settings}
    configured = Settings.model_validate({"transcribe": wanted})

    async def play() -> Any:
        async with AsyncExitStack() as stack, asyncio.timeout(60):
            ear = await transcriber_of(configured, SystemClock(), stack)
            assert ear is not None
            return await story(ear)

    return asyncio.run(play())


def failure(server: Server, samples: bytes = sounds.silence(1.0), **settings: Any) -> ProviderFault:
    with pytest.raises(ProviderFault) as failed:
        heard_by(server, samples, **settings)
    return failed.value


def test_a_recording_is_sent_as_a_wav_with_the_model_and_the_key() -> None:
    samples = sounds.pcm(sounds.flite(sounds.CITY))

    with serving(says({"text": " How many people\nlive in the city? ", "language": "english"})) as server:
        found = heard_by(server, samples, language="en")

    (form,) = server.forms
    assert server.seen == [PATH]
    assert form.authorization == f"Bearer {KEY}"
    assert form.fields == {"model": "tiny", "response_format": "verbose_json", "language": "en"}
    assert form.filename == "audio.wav"
    assert form.samples == samples
    assert found == [Segment(0.0, round(len(samples) / SECOND, 2), "How many people live in the city?", "en")]


def test_the_times_of_a_server_that_knows_them_count_from_the_beginning_of_the_recording() -> None:
    def answer(text: str) -> Callable[[Handler], None]:
        parts = [{"id": 0, "start": 0.5, "end": 1.0, "text": f" {text}"}, {"start": 1.0, "end": 900.0, "text": "more"}]
        return says({"text": f"{text} more", "language": "de", "duration": 2.0, "segments": parts})

    with serving(answer("one"), answer("two"), answer("three")) as server:
        found = heard_by(server, sounds.silence(4.0), stretch=2.0)

    sent = [len(form.samples) / SECOND for form in server.forms]
    assert sum(sent) == 4.0
    assert all(seconds <= 2.0 for seconds in sent)
    assert [segment.text for segment in found][::2] == ["one", "two", "three"]
    assert [segment.start for segment in found][::2] == pytest.approx(
        [0.5, sent[0] + 0.5, sent[0] + sent[1] + 0.5], abs=0.01
    )
    assert all(one.end <= other.start for one, other in pairwise(found))
    assert {segment.language for segment in found} == {"de"}


def test_a_long_recording_is_cut_where_nobody_speaks_and_nothing_of_it_is_lost() -> None:
    samples = sounds.pcm(sounds.said(*sounds.SENTENCES[:5], pause=1.0))
    with serving(says({"text": "words"})) as server:
        heard_by(server, samples, stretch=9.0)

    sent = [form.samples for form in server.forms]
    assert b"".join(sent) == samples
    assert len(sent) >= 2
    ends = [max(map(abs, memoryview(piece[-320:]).cast("h"))) for piece in sent[:-1]]
    assert max(ends) < 1500


def test_a_server_that_knows_no_verbose_json_is_asked_for_plain_json_from_then_on() -> None:
    refusal = says({"error": {"message": "response_format 'verbose_json' is not compatible with model"}}, 400)
    with serving(refusal, says({"text": "words"})) as server:
        found = heard_by(server, sounds.silence(4.0), stretch=2.0)

    asked = [form.fields["response_format"] for form in server.forms]
    assert asked[:2] == ["verbose_json", "json"]
    assert set(asked[2:]) == {"json"}
    assert [segment.text for segment in found] == ["words"] * len(found)


def test_what_was_understood_of_the_first_stretch_comes_before_the_second_is_asked() -> None:
    with serving(says({"text": "first"}), says({}, 500)) as server:

        async def story(ear: Transcriber) -> str:
            found = ear.transcribe(pieces(sounds.silence(4.0)), None)
            first = await anext(found)
            await found.aclose()
            return first.text

        assert played(server.url, story, stretch=2.0) == "first"
    assert len(server.forms) == 1


@pytest.mark.parametrize(
    "body", [{"text": ""}, {"text": "  \n"}, {"text": "", "segments": []}, {"text": " ", "segments": [{"text": ""}]}]
)
def test_an_empty_text_is_no_segment(body: Any) -> None:
    with serving(says(body)) as server:
        assert heard_by(server, sounds.silence(1.0)) == []


def test_an_empty_recording_is_sent_nowhere() -> None:
    with serving(says({"text": "you"})) as server:
        assert heard_by(server, b"") == heard_by(server, sounds.silence(0.05)) == []
    assert server.seen == []


def test_a_wrong_key_is_told_without_a_second_try_and_without_the_key() -> None:
    with serving(says({"error": {"message": f"Incorrect API key provided: {KEY}"}}, 401)) as server:
        fault = failure(server)

    assert isinstance(fault, ProviderRefused)
    assert "transcription server" in fault.message
    assert "401" in fault.message
    assert KEY not in fault.message
    assert server.seen == [PATH]


def test_what_both_formats_are_refused_for_is_told() -> None:
    with serving(says({"error": "file too large"}, 400)) as server:
        assert failure(server, sounds.silence(1.0)).message.endswith("(it answered 400)")
    assert [form.fields["response_format"] for form in server.forms] == ["verbose_json", "json"]


def test_an_overloaded_server_is_asked_again_when_it_says() -> None:
    with serving(says({}, 429, Retry_After="1"), says({}, 503), says({"text": "words"})) as server:
        found = heard_by(server, sounds.silence(1.0))

    assert [segment.text for segment in found] == ["words"]
    assert len(server.seen) == 3


def test_a_long_retry_after_is_handed_on_at_once() -> None:
    with serving(says({}, 429, Retry_After="120")) as server:
        fault = failure(server)

    assert isinstance(fault, ProviderOverloaded)
    assert fault.retry_after == 120.0
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"<html>It works!</html>",
        b"",
        b'"words"',
        b'{"texts": "words"}',
        b'{"text": 7}',
        b'{"text": "\xff"}',
        msgspec.json.encode({"text": "w" * 5000}),
    ],
    ids=["html", "nothing", "a string", "another field", "a number", "bytes", "a tale"],
)  # fmt: skip
def test_garbage_is_told_as_such_after_three_tries(body: bytes) -> None:
    with serving(says(body)) as server:
        fault = failure(server)

    assert isinstance(fault, ProviderBroken)
    assert "transcription server" in fault.message
    assert len(server.seen) == 3


def test_a_connection_that_is_cut_is_tried_again() -> None:
    def cut(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        handler.wfile.write(b'{"text": "wor')
        handler.wfile.flush()
        handler.connection.shutdown(2)
        handler.close_connection = True

    with serving(cut, says({"text": "words"})) as server:
        found = heard_by(server, sounds.silence(1.0))
    with serving(cut) as server:
        fault = failure(server)

    assert [segment.text for segment in found] == ["words"]
    assert isinstance(fault, ProviderBroken)


def test_a_silent_server_is_given_up() -> None:
    over = threading.Event()

    def wait(_: Handler) -> None:
        over.wait(30)

    with serving(wait) as server:
        try:
            fault = failure(server, timeout=0.3)
        finally:
            over.set()

    assert isinstance(fault, ProviderSilent)
    assert "transcription server" in fault.message


def test_where_nobody_listens_that_is_said() -> None:
    with serving(says({})) as server:
        pass

    fault = failure(server)

    assert isinstance(fault, ProviderUnreachable)
    assert "transcription server" in fault.message


def test_who_is_cancelled_leaves_no_request_behind() -> None:
    asked, gone = threading.Event(), threading.Event()

    def wait(handler: Handler) -> None:
        asked.set()
        handler.connection.settimeout(30)
        if not handler.connection.recv(1):
            gone.set()

    with serving(wait) as server:

        async def story(ear: Transcriber) -> None:
            listening_to = asyncio.create_task(all_of(ear, sounds.silence(1.0)))
            assert await asyncio.to_thread(asked.wait, 10)
            listening_to.cancel()
            await asyncio.wait([listening_to])

        played(server.url, story)
        assert gone.wait(10)


def test_no_more_recordings_than_allowed_are_asked_for_at_a_time() -> None:
    lock, now, most = threading.Lock(), 0, 0

    def count(handler: Handler) -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.1)
        with lock:
            now -= 1
        handler.json({"text": "words"})

    with serving(count) as server:

        async def story(ear: Transcriber) -> None:
            await asyncio.gather(*(all_of(ear, sounds.silence(0.5)) for _ in range(8)))

        played(server.url, story, parallel=3)

    assert most == 3


def test_the_check_sends_a_moment_of_silence() -> None:
    with serving(says({"text": ""})) as server:
        said = played(server.url, lambda ear: ear.check())

    assert said == f"tiny at {server.url} answers"
    assert len(server.forms[0].samples) == SECOND // 2


def test_the_words_arrive_as_the_server_understood_them() -> None:
    texts = [*sounds.SENTENCES[:3]]
    waiting = iter(texts)

    with serving(lambda handler: handler.json({"text": next(waiting)})) as server:

        async def story(ear: Transcriber) -> float:
            heard = await all_of(ear, sounds.silence(4.0))
            wrong, words = sounds.errors(" ".join(texts), " ".join(one.text for one in heard))
            return wrong / words

        assert played(server.url, story, stretch=2.0) == 0.0


def test_an_address_is_needed() -> None:
    async def story() -> None:
        await open_transcriber(Settings.model_validate({"transcribe": {"backend": "openai"}}), None)

    with pytest.raises(SettingsError, match=r"transcribe\.url"):
        asyncio.run(story())
