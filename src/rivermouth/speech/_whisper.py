"""The process in which faster-whisper listens to one recording: `python -m rivermouth.speech._whisper TASK`.

Source: faster-whisper 1.x, `WhisperModel.__init__` and `WhisperModel.transcribe`. Nothing is fetched: the folder has the model.
"""

import sys
from collections.abc import Iterator
from typing import Any, BinaryIO

from rivermouth.speech import SECOND, Segment, one_line
from rivermouth.speech._cutting import Cutter, Stretch
from rivermouth.speech._listening import NotThere, run
from rivermouth.speech._local import Task

MOST = 120.0
"""Seconds that the model is given at a time; it looks at 30 of them itself, and is told by its own text what came before."""


def listen(stream: BinaryIO, model: Any, language: str | None) -> Iterator[Segment]:
    """What was understood of each stretch. The language of the first in which anything was is that of the others."""
    for stretch in _stretches(stream):
        found, told = model.transcribe(_samples(stretch), language=language, beam_size=5)
        for one in found:
            if text := one_line(one.text):
                language = told.language
                yield Segment(round(stretch.start + one.start, 2), round(stretch.start + one.end, 2), text, language)


def _stretches(stream: BinaryIO) -> Iterator[Stretch]:
    cutter = Cutter(MOST)
    while data := stream.read(SECOND):
        yield from cutter.feed(data)
    yield from cutter.end()


def _samples(stretch: Stretch) -> Any:
    """As the model wants them: float32 from -1 to 1."""
    import numpy  # noqa: PLC0415, comes with faster-whisper

    return numpy.frombuffer(stretch.pcm, dtype=numpy.int16).astype(numpy.float32) / 32768.0


def load(folder: str) -> Any:
    """The model. Raises: whatever CTranslate2 makes of the folder."""
    from faster_whisper import WhisperModel  # noqa: PLC0415, an optional extra

    return WhisperModel(folder, device="auto", compute_type="default", local_files_only=True)


def listening(task: Task) -> Iterator[Segment]:
    """To what comes in."""
    try:
        model = load(task.folder)
    except Exception as error:  # libraries raise what they like at a folder that is no model
        raise NotThere(f"the model in {task.folder} cannot be loaded: {type(error).__name__}: {error}"[:500]) from error
    yield from listen(sys.stdin.buffer, model, task.language)


if __name__ == "__main__":
    run(listening)
