"""Speech for tests, made when they run: by espeak-ng, whose voices are computed, and by flite (in Debian's ffmpeg), whose are
people's. Nothing of it is kept beyond the tests."""

import subprocess
import tempfile
from functools import cache
from pathlib import Path

RATE = 16_000
CITY = "how many people live in the city"
WEATHER = "the weather will be cold and windy tomorrow"
SENTENCES = (
    "the water level in the harbor is very low this morning",
    "please tell me when the next train leaves for london",
    "where does a river meet the sea",
    "what is the capital of france",
    CITY,
    "i would like to know what time it is",
    "the quick brown fox jumps over the lazy dog",
    "send a message to my brother and tell him that i will be late",
    "how do i open a file on the computer",
    WEATHER,
)
OPUS, AAC = ("-c:a", "libopus", "-b:a", "32k", "-ar", "48000"), ("-c:a", "aac", "-b:a", "64k", "-ar", "44100")
CONTAINERS: dict[str, tuple[str, tuple[str, ...]]] = {
    # As MediaRecorder writes them: on and on into a stream, without a length, an index or the size of a cluster.
    "webm of Chrome": ("webm", (*OPUS, "-live", "1", "-cluster_time_limit", "1000")),
    "ogg of Firefox": ("ogg", OPUS),
    "mp4 of Safari": ("mp4", (*AAC, "-movflags", "frag_keyframe+empty_moov+default_base_moof", "-frag_duration", "500000")),
    "webm": ("webm", OPUS),
    "mp3": ("mp3", ("-c:a", "libmp3lame", "-b:a", "48k")),
    "wav": ("wav", ()),
    "wav of 8 bits at 11 kHz in stereo": ("wav", ("-c:a", "pcm_u8", "-ar", "11025", "-ac", "2")),
    "wav of 24 bits at 96 kHz": ("wav", ("-c:a", "pcm_s24le", "-ar", "96000")),
    "ogg vorbis": ("ogg", ("-c:a", "libvorbis", "-ar", "22050")),
    "m4a": ("ipod", AAC),
    "flac": ("flac", ("-c:a", "flac")),
    "aac": ("adts", AAC),
    "aiff": ("aiff", ()),
}  # fmt: skip
STREAMED = ("webm of Chrome", "ogg of Firefox", "mp4 of Safari")


def ffmpeg(*arguments: str, given: bytes | None = None) -> bytes:
    """What it writes to its stdout."""
    command = ["ffmpeg", "-hide_banner", "-loglevel", "error", "-nostdin", *arguments]
    return subprocess.run(command, input=given, capture_output=True, check=True).stdout


@cache
def espeak(text: str, voice: str = "en-us+f5", speed: int = 150) -> bytes:
    """A WAV file of a computed voice."""
    command = ["espeak-ng", "-v", voice, "-s", str(speed), "--stdout", text]
    return subprocess.run(command, capture_output=True, check=True).stdout


@cache
def flite(text: str, voice: str = "slt") -> bytes:
    """A WAV file of a person's voice."""
    return ffmpeg("-f", "lavfi", "-i", f"flite=text='{text}':voice={voice}", "-f", "wav", "-")


def pcm(wav: bytes) -> bytes:
    """Its samples, 16 kHz mono, by ffmpeg's own program."""
    return ffmpeg("-i", "-", "-f", "s16le", "-ar", str(RATE), "-ac", "1", "-", given=wav)


def silence(seconds: float) -> bytes:
    """Samples of nothing."""
    return bytes(int(seconds * RATE) * 2)


@cache
def said(*texts: str, pause: float = 1.5) -> bytes:
    """A WAV file of these sentences, each behind a pause."""
    return wav(b"".join(silence(pause) + pcm(flite(text)) for text in texts) + silence(0.5))


def wav(samples: bytes) -> bytes:
    """A WAV file of 16 kHz mono."""
    return ffmpeg("-f", "s16le", "-ar", str(RATE), "-ac", "1", "-i", "-", "-f", "wav", "-", given=samples)


@cache
def recorded(container: str, source: bytes | None = None) -> bytes:
    """A recording in one of `CONTAINERS`, of a sentence unless something else is given."""
    format, how = CONTAINERS[container]
    source = flite(WEATHER) if source is None else source
    if container in STREAMED:
        return ffmpeg("-i", "-", *how, "-f", format, "-", given=source)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "recording"
        ffmpeg("-i", "-", *how, "-f", format, str(path), given=source)
        return path.read_bytes()


def errors(wanted: str, heard: str) -> tuple[int, int]:
    """Words that are wrong, missing or too many, and how many there should be."""
    there, found = wanted.split(), heard.lower().split()
    row = list(range(len(found) + 1))
    for number, word in enumerate(there, 1):
        diagonal, row[0] = row[0], number
        for place, other in enumerate(found, 1):
            diagonal, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, diagonal + (word != other))
    return row[-1], len(there)
