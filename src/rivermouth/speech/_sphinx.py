"""The process in which pocketsphinx listens to one recording: `python -m rivermouth.speech._sphinx TASK`.

Sound is cut where somebody pauses (by its voice activity detection, which is WebRTC's), and what nobody pauses in after
`MOST` seconds.
"""

import sys
from collections.abc import Iterator
from typing import Any, BinaryIO

from rivermouth.speech import SECOND, Segment, one_line
from rivermouth.speech._listening import NotThere, run
from rivermouth.speech._local import Task

MOST = 15.0
"""Seconds of one stretch."""
LANGUAGE = "en"


def stretches(stream: BinaryIO) -> Iterator[tuple[float, bytes]]:
    """Where somebody speaks: from which second on, and the sound of it."""
    from pocketsphinx import Endpointer  # noqa: PLC0415, `listening` says why where it is missing

    ear = Endpointer()
    size, heard, start = ear.frame_bytes, bytearray(), 0.0
    speaking = False
    while frame := stream.read(size):
        # What it gives back lies some frames behind what it is given.
        found = ear.process(frame) if len(frame) == size else (ear.end_stream(frame) if ear.in_speech else None)
        if found is not None:
            start = start if speaking else ear.speech_start
            heard += found
            speaking = True
        if speaking and (not ear.in_speech or len(heard) >= MOST * SECOND):
            yield start, bytes(heard)
            start += len(heard) / SECOND
            heard.clear()
            speaking = bool(ear.in_speech)
    if heard:
        yield start, bytes(heard)


def listen(stream: BinaryIO, decoder: Any) -> Iterator[Segment]:
    """What was understood of each stretch."""
    for start, pcm in stretches(stream):
        decoder.start_utt()
        decoder.process_raw(pcm, full_utt=True)
        decoder.end_utt()
        best = decoder.hyp()
        if best is not None and (text := one_line(best.hypstr)):
            yield Segment(round(start, 2), round(start + len(pcm) / SECOND, 2), text, LANGUAGE)


def listening(_: Task) -> Iterator[Segment]:
    """To what comes in."""
    try:
        from pocketsphinx import Decoder  # noqa: PLC0415, so that its absence can be told

        decoder = Decoder(loglevel="FATAL")
    except (ImportError, OSError, RuntimeError, MemoryError) as error:
        raise NotThere(f"pocketsphinx cannot be loaded: {error or type(error).__name__}") from error
    yield from listen(sys.stdin.buffer, decoder)


if __name__ == "__main__":
    run(listening)
