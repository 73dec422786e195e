"""The process that decodes one recording: `python -m rivermouth.speech._decoder TASK`, of bounded memory and time.

FFmpeg's libraries (PyAV) take anything, whatever its name says. Only containers that hold sound themselves are opened: a
playlist would have this process fetch what it names.
"""

import os
import sys
from collections.abc import Iterator
from typing import Any

import av
import msgspec
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler

from rivermouth.children import bind_self
from rivermouth.documents import Refused, Unreadable
from rivermouth.speech import RATE, SECOND
from rivermouth.speech._decode import Declared, Task, Whole

CONTAINERS = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,eac3,flac,flv,matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,mp3,mpeg,mpegts,ogg,tta,voc,"
    "w64,wav,wv"
)
"""The names of FFmpeg's demuxers that may look at it."""
OPTIONS = {"format_whitelist": CONTAINERS, "protocol_whitelist": "none"}
NO_AUDIO = "it is no audio: nothing in it can be played"


class Source:
    """The process's stdin, as FFmpeg wants to read it: with its size, and without a name that could tell it anything."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def read(self, size: int) -> bytes:
        """The next bytes."""
        return os.read(self._descriptor, size)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go elsewhere."""
        return os.lseek(self._descriptor, offset, whence)

    def tell(self) -> int:
        """Where we are."""
        return os.lseek(self._descriptor, 0, os.SEEK_CUR)


class Decoding:
    """One recording into samples. container: PyAV's, which has no useful types."""

    def __init__(self, container: Any, most_seconds: float) -> None:
        self._container, self._stream = container, container.streams.best("audio")
        if self._stream is None:
            raise Unreadable("empty", "there is no sound in it")
        self._most = int(most_seconds * RATE)
        self._resampler = _resampler()
        self._samples = 0

    @property
    def declared(self) -> float | None:
        """Seconds that the container speaks of."""
        stream, container = self._stream, self._container
        if stream.duration and stream.time_base:
            return float(stream.duration * stream.time_base)
        return container.duration / av.time_base if container.duration else None

    @property
    def seconds(self) -> float:
        """Decoded so far."""
        return self._samples / RATE

    def pcm(self) -> Iterator[bytes]:
        """All of it that can be decoded: where it breaks off or is damaged, what is good. Raises: Unreadable."""
        for frame in self._frames():
            yield from self._resampled(frame)
        yield from self._resampled(None)
        if not self._samples:
            raise Unreadable("broken", "none of the sound in it can be decoded: it is damaged, or breaks off too early")

    def _frames(self) -> Iterator[AudioFrame]:
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets)
            except (StopIteration, av.FFmpegError):
                return  # its end, or where it was cut
            try:
                yield from packet.decode()
            except av.FFmpegError:
                continue  # one bad packet in the middle of good ones

    def _resampled(self, frame: AudioFrame | None) -> Iterator[bytes]:
        if frame is not None:
            frame.pts = None  # a gap in the clock of a recording is no silence to be made up
        try:
            made = self._resampler.resample(frame)
        except (ValueError, av.FFmpegError):
            # Chained streams change their rate in the middle.
            self._resampler = _resampler()
            made = self._resampler.resample(frame) if frame is not None else []
        for out in made:
            self._samples += out.samples
            if self._samples > self._most:
                raise Unreadable("too_large", f"it is longer than {self._most / RATE:g} seconds")
            yield bytes(out.planes[0])[: out.samples * 2]


def _resampler() -> AudioResampler:
    return AudioResampler(format="s16", layout="mono", rate=RATE)


def decode(task: Task, say: Any) -> None:
    """Write the sound to stdout, and say how it went."""
    try:
        container = av.open(Source(0), options=OPTIONS, metadata_errors="ignore")
    except (av.FFmpegError, ValueError) as error:
        raise Unreadable("broken", NO_AUDIO) from error
    with container:
        decoding = Decoding(container, task.audio_seconds)
        say(Declared(decoding.declared))
        gathered = bytearray()
        for piece in decoding.pcm():
            gathered += piece
            if len(gathered) >= SECOND:
                sys.stdout.buffer.write(gathered)
                gathered.clear()
        sys.stdout.buffer.write(gathered)
        sys.stdout.buffer.flush()
        say(Whole(decoding.seconds))


def main() -> None:
    """Decode what stdin is, as the first argument says."""
    task = msgspec.json.decode(sys.argv[1], type=Task)
    telling = os.fdopen(os.dup(2), "wb", buffering=0)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libraries write there what they like

    def say(line: Declared | Whole | Refused) -> None:
        telling.write(msgspec.json.encode(line) + b"\n")

    bind_self(memory_bytes=task.memory_bytes, seconds=task.work_seconds)
    try:
        decode(task, say)
    except Unreadable as error:
        say(Refused(error.code, error.message, _why(error.__cause__)))
    except MemoryError:
        say(Refused("too_large", "decoding it takes more memory than a recording may take"))
    except BrokenPipeError:
        os._exit(1)  # nobody listens any more
    except Exception as error:  # noqa: BLE001, the end of the process: libraries raise what they like at a broken file
        say(Refused("broken", NO_AUDIO, _why(error)))


def _why(error: BaseException | None) -> str:
    return "" if error is None else f"{type(error).__name__}: {error}"[:500]


if __name__ == "__main__":
    main()
