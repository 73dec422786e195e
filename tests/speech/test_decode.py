"""Any recording becomes 16 kHz mono, and what is none is refused with a reason, whatever it does to the library."""

import asyncio
import struct
import tempfile
from contextlib import aclosing, suppress
from pathlib import Path

import pytest

from rivermouth.documents import Unreadable
from rivermouth.speech import SECOND
from rivermouth.speech._decode import Limits, decoded
from tests import sounds
from tests.model_server import Handler, listening
from tests.speech.ears import TEN_MINUTES, heard


def refusal(data: bytes, limits: Limits = TEN_MINUTES) -> Unreadable:
    with pytest.raises(Unreadable) as refused:
        heard(data, limits)
    return refused.value


def seconds(samples: bytes) -> float:
    return len(samples) / SECOND


def loudest(samples: bytes) -> int:
    return max(map(abs, struct.unpack(f"<{len(samples) // 2}h", samples)))


@pytest.mark.parametrize("container", sounds.CONTAINERS)
def test_a_recording_of_any_kind_is_decoded_to_16_khz_mono(container: str) -> None:
    wanted = seconds(sounds.pcm(sounds.flite(sounds.WEATHER)))

    found = heard(sounds.recorded(container))

    assert seconds(found) == pytest.approx(wanted, abs=0.2)
    assert loudest(found) > 3000


@pytest.mark.parametrize("container", [name for name in sounds.CONTAINERS if name != "m4a"])
def test_a_recording_that_breaks_off_is_heard_as_far_as_it_goes(container: str) -> None:
    whole = sounds.recorded(container)

    found = heard(whole[: len(whole) * 2 // 3])

    assert 0.8 < seconds(found) < 0.95 * seconds(heard(whole))


def test_an_m4a_whose_index_is_cut_off_is_refused() -> None:
    whole = sounds.recorded("m4a")

    refused = refusal(whole[: len(whole) // 2])

    assert refused.code == "broken"


@pytest.mark.parametrize("container", ["mp3", "webm of Chrome", "ogg of Firefox", "flac"])
def test_damage_in_the_middle_costs_what_is_damaged(container: str) -> None:
    whole = bytearray(sounds.recorded(container))
    middle = len(whole) // 2
    whole[middle : middle + 200] = bytes(200)

    assert seconds(heard(bytes(whole))) > 1.5


def test_a_recording_that_changes_its_rate_in_the_middle_is_one_recording() -> None:
    first = sounds.recorded("mp3")
    second = sounds.ffmpeg("-i", "-", "-ac", "2", "-ar", "44100", "-f", "mp3", "-", given=sounds.espeak(sounds.CITY))

    assert seconds(heard(first + second)) > seconds(heard(first)) + 1.0


def test_only_the_sound_of_a_video_is_decoded() -> None:
    made = ("-f", "lavfi", "-i", "testsrc=size=160x120:rate=10:duration=2", "-f", "lavfi", "-i", "sine=duration=2")

    video = sounds.ffmpeg(*made, "-c:v", "libvpx", "-c:a", "libopus", "-f", "webm", "-")

    assert seconds(heard(video)) == pytest.approx(2.0, abs=0.1)


def test_a_video_without_a_sound_track_is_refused() -> None:
    made = ("-f", "lavfi", "-i", "testsrc=size=320x240:rate=25:duration=1")

    refused = refusal(sounds.ffmpeg(*made, "-c:v", "libvpx", "-f", "webm", "-"))

    assert refused.code == "empty"
    assert "no sound" in refused.message


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        b"How deep is the harbour? " * 1000,
        b"\x1a\x45\xdf\xa3",
        b"RIFF\xff\xff\xff\xffWAVE",
        b"OggS" + bytes(4000),
        b"ID3\x04\0\0\x7f\x7f\x7f\x7f" + bytes(4000),
        bytes(range(256)) * 4000,
        b"%PDF-1.7\n%\xe2\xe3",
        b"\x89PNG\r\n\x1a\n" + bytes(2000),
    ],
    ids=["nothing", "a zero", "text", "webm's head", "an empty wav", "ogg of zeros", "mp3 of zeros", "bytes", "PDF", "PNG"],
)  # fmt: skip
def test_what_is_no_audio_is_refused(data: bytes) -> None:
    assert refusal(data).code in ("broken", "empty")


def test_random_changes_never_break_more_than_the_recording() -> None:
    whole = sounds.recorded("webm of Chrome")

    for number in range(8):
        changed = bytearray(whole)
        for place in range(number * 7, len(changed), 97 + number):
            changed[place] ^= (place * 31 + number) % 256
        found = b""
        with suppress(Unreadable):
            found = heard(bytes(changed))
        assert seconds(found) < 60


def test_what_is_longer_than_the_limit_is_refused_without_decoding_the_rest() -> None:
    refused = refusal(sounds.recorded("mp3"), Limits(audio_seconds=1.0))

    assert refused.code == "too_large"
    assert "1 second" in refused.message


def test_hours_of_silence_in_a_small_file_are_not_unpacked() -> None:
    bomb = sounds.ffmpeg(
        "-f", "lavfi", "-i", "anullsrc=r=8000:cl=mono", "-t", "7200", "-c:a", "flac", "-f", "flac", "-"
    )
    assert len(bomb) < 1_500_000 < 7200 * SECOND / 100

    assert refusal(bomb).code == "too_large"


def test_decoding_that_takes_too_much_processor_time_is_ended() -> None:
    made = ("-f", "lavfi", "-i", "anoisesrc=r=192000:d=120", "-ac", "8", "-c:a", "flac", "-compression_level", "0")

    refused = refusal(sounds.ffmpeg(*made, "-f", "flac", "-"), Limits(audio_seconds=6000.0, work_seconds=1.0))

    assert refused.code == "too_slow"


def test_a_process_that_needs_too_much_memory_is_refused() -> None:
    assert refusal(sounds.recorded("flac"), Limits(audio_seconds=600.0, memory_bytes=60_000_000)).code != "empty"


def test_a_playlist_has_nobody_fetch_anything(tmp_path: Path) -> None:
    secret = tmp_path / "secret.wav"
    secret.write_bytes(sounds.recorded("wav"))

    def anything(handler: Handler) -> None:
        handler.whole(sounds.recorded("mp3"), "audio/mpeg")

    with listening(anything) as server:
        lists = [
            f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{server.url}/a.mp3\n#EXT-X-ENDLIST\n",
            f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile://{secret}\n#EXT-X-ENDLIST\n",
            f"ffconcat version 1.0\nfile {secret}\n",
            f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=audio {server.port} RTP/AVP 0\n",
            f"<MPD><Period><AdaptationSet><BaseURL>{server.url}/a.mp3</BaseURL></AdaptationSet></Period></MPD>",
        ]

        assert [refusal(one.encode()).code for one in lists] == ["broken"] * 5

    assert server.seen == []


def test_whoever_stops_listening_ends_the_process() -> None:
    async def story() -> int | None:
        with tempfile.TemporaryFile() as file:
            file.write(sounds.recorded("wav", sounds.wav(sounds.silence(300))))
            found = await decoded(file, TEN_MINUTES)
            async with aclosing(found.pcm()) as pieces:
                await anext(pieces)
            await found.close()
            return found._child.returncode

    assert asyncio.run(story()) is not None


def test_the_length_that_the_container_tells_is_known_at_once() -> None:
    async def story(data: bytes) -> float | None:
        with tempfile.TemporaryFile() as file:
            file.write(data)
            found = await decoded(file, TEN_MINUTES)
            await found.close()
            return found.declared

    assert asyncio.run(story(sounds.recorded("m4a"))) == pytest.approx(
        seconds(sounds.pcm(sounds.flite(sounds.WEATHER))), abs=0.2
    )
    assert asyncio.run(story(sounds.recorded("webm of Chrome"))) is None


def test_nothing_of_the_environment_is_where_a_recording_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRANSCRIBE_API_KEY", "a secret")

    async def story() -> bytes:
        with tempfile.TemporaryFile() as file:
            file.write(sounds.recorded("wav", sounds.wav(sounds.silence(300))))
            found = await decoded(file, TEN_MINUTES)
            try:
                return environment_of(found._child.pid)
            finally:
                await found.close()

    assert b"a secret" not in asyncio.run(story())


def environment_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()
