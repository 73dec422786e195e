"""The embedded default: what it understands of speech that is made here, and how it starts, waits and ends."""

import asyncio
import io
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from itertools import pairwise
from pathlib import Path

import pytest

from rivermouth.documents import Unreadable
from rivermouth.errors import NoTranscriber, ProviderBroken
from rivermouth.settings import Settings
from rivermouth.speech import SECOND, Segment, Transcriber
from rivermouth.speech._local import Local, Task
from rivermouth.speech._opening import open_transcriber
from rivermouth.speech._sphinx import stretches
from tests import sounds
from tests.speech.ears import all_of, error_rate, heard, pieces, understood

PROCESS = "rivermouth.speech._sphinx"


def sphinx(at_once: int = 2) -> Transcriber:
    return Local("pocketsphinx", PROCESS, Task(), at_once=at_once)


def children_of(pid: str = "self") -> set[str]:
    found = Path(f"/proc/{pid}/task").glob("*/children")
    return {child for path in found for child in path.read_text().split()}


@pytest.mark.parametrize(
    ("say", "bound"), [(sounds.flite, 0.25), (sounds.espeak, 0.65)], ids=["a person's voice", "a computed voice"]
)
def test_most_words_of_simple_sentences_are_understood(say: Callable[[str], bytes], bound: float) -> None:
    texts = sounds.SENTENCES[::2]
    samples = b"".join(sounds.silence(1.0) + sounds.pcm(say(text)) for text in texts) + sounds.silence(0.5)

    assert error_rate(sphinx(), " ".join(texts), samples) < bound


@pytest.mark.parametrize(
    "container", ["webm of Chrome", "ogg of Firefox", "mp4 of Safari", "mp3", "m4a", "flac", "wav"]
)
def test_it_is_understood_in_whatever_container_it_comes(container: str) -> None:
    samples = heard(sounds.recorded(container, sounds.said(sounds.CITY)))

    assert error_rate(sphinx(), sounds.CITY, samples) < 0.4


def test_each_stretch_of_speech_is_a_segment_with_its_times() -> None:
    samples = sounds.pcm(sounds.said(sounds.CITY, sounds.WEATHER, pause=2.0))

    first, second = understood(sphinx(), samples)

    assert first.text.startswith("how many people")
    assert "tomorrow" in second.text
    assert {first.language, second.language} == {"en"}
    assert 1.5 <= first.start < first.end < second.start < second.end <= len(samples) / SECOND
    assert second.start - first.end > 1.0


def test_a_segment_comes_while_the_rest_is_still_being_spoken() -> None:
    spoken = sounds.pcm(sounds.said(sounds.CITY, pause=0.5)) + sounds.silence(1.0)

    async def story() -> Segment:
        async def endless() -> AsyncIterator[bytes]:
            async for piece in pieces(spoken):
                yield piece
            await asyncio.Event().wait()

        async with asyncio.timeout(60), aclosing(sphinx().transcribe(endless(), None)) as found:
            return await anext(found)

    assert "people" in asyncio.run(story()).text


@pytest.mark.parametrize("samples", [b"", sounds.silence(3.0), b"\1\0" * 160], ids=["nothing", "silence", "a moment"])
def test_where_nobody_speaks_nothing_is_heard(samples: bytes) -> None:
    assert understood(sphinx(), samples) == []


def test_speech_without_a_pause_is_cut_and_nothing_of_it_lost() -> None:
    samples = b"".join(sounds.pcm(sounds.flite(text)).strip(b"\0") for text in sounds.SENTENCES)
    samples = (samples[: len(samples) // 2 * 2] * 3)[: 40 * SECOND]

    found = list(stretches(io.BytesIO(samples)))

    lengths = [len(pcm) / SECOND for _, pcm in found]
    assert max(lengths) <= 15.1
    assert sum(lengths) > 36
    assert all(start + len(pcm) / SECOND <= after + 0.01 for (start, pcm), (after, _) in pairwise(found))


def test_no_more_processes_than_allowed_listen_at_a_time() -> None:
    samples = sounds.pcm(sounds.said(sounds.CITY))
    most = 0

    async def story() -> None:
        ear, before = sphinx(at_once=2), children_of()

        async def count() -> None:
            nonlocal most
            while True:
                most = max(most, len(children_of() - before))
                await asyncio.sleep(0.02)

        counting = asyncio.create_task(count())
        heard = await asyncio.gather(*(all_of(ear, samples) for _ in range(4)))
        counting.cancel()
        assert all("people" in one[0].text for one in heard)

    asyncio.run(story())

    assert most == 2


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_whoever_is_cancelled_leaves_no_process_behind(loop: str) -> None:
    import uvloop

    async def story() -> set[str]:
        before = children_of()
        ear = sphinx()
        for wait in (0.0, 0.05, 0.6):

            async def endless() -> AsyncIterator[bytes]:
                while True:
                    yield sounds.silence(0.5)
                    await asyncio.sleep(0.01)

            async def listen() -> None:
                async with aclosing(ear.transcribe(endless(), None)) as found:
                    async for _ in found:
                        pass

            listening = asyncio.create_task(listen())
            await asyncio.sleep(wait)
            listening.cancel()
            await asyncio.wait([listening])
        return children_of() - before

    with asyncio.Runner(loop_factory=uvloop.new_event_loop if loop == "uvloop" else None) as runner:
        assert runner.run(story()) == set()


def test_what_breaks_off_the_sound_comes_out_after_what_was_understood() -> None:
    spoken = sounds.pcm(sounds.said(sounds.CITY, pause=0.5)) + sounds.silence(1.0)

    async def story() -> list[str]:
        async def broken() -> AsyncIterator[bytes]:
            async for piece in pieces(spoken):
                yield piece
            raise Unreadable("too_large", "it is too long")

        heard = []

        async def listen() -> None:
            async for segment in sphinx().transcribe(broken(), None):
                heard.append(segment.text)

        with pytest.raises(Unreadable):
            await listen()
        return heard

    assert "people" in asyncio.run(story())[0]


def test_a_process_that_dies_is_told_of() -> None:
    weak = Local("a weak one", PROCESS, Task(memory_bytes=40_000_000), at_once=1)

    with pytest.raises((ProviderBroken, NoTranscriber)):
        understood(weak, sounds.silence(1.0))


def test_it_is_there_with_nothing_configured_and_says_what_it_is_after_a_try() -> None:
    async def story() -> str:
        found = await open_transcriber(Settings(), None)
        assert found is not None
        return await found.check()

    assert "English only; it gets 8 to 46 %" in asyncio.run(story())


def test_where_it_is_not_installed_there_is_no_transcriber(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    asked = Settings.model_validate({"transcribe": {"backend": "pocketsphinx"}})

    assert asyncio.run(open_transcriber(Settings(), None)) is None
    with pytest.raises(NoTranscriber, match=r"pip install 'rivermouth\[voice\]'"):
        asyncio.run(open_transcriber(asked, None))
