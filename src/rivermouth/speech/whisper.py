"""A Whisper model beside us: faster-whisper with a model directory that somebody has brought here. The extra `whisper`."""

from importlib.util import find_spec

from rivermouth.errors import NoTranscriber
from rivermouth.settings import Settings, SettingsError
from rivermouth.speech import Post, Transcriber
from rivermouth.speech._decode import require_av
from rivermouth.speech._local import Local, Task

MEMORY = 16_000_000_000
"""Bytes of address space for its process: the largest of these models take 6 GB, and libraries reserve as much again."""


async def open(settings: Settings, post: Post | None = None) -> Transcriber:
    """The model in `transcribe.folder`. Raises: SettingsError, NoTranscriber."""
    require_av()
    wanted = settings.transcribe
    if wanted.folder is None or not (wanted.folder / "model.bin").is_file():
        where = "is not set" if wanted.folder is None else f"{wanted.folder} has no model.bin"
        raise SettingsError(f"transcribe.folder {where}; it takes the folder of a faster-whisper (CTranslate2) model")
    if find_spec("faster_whisper") is None:
        raise NoTranscriber("faster-whisper is missing; install it with: pip install 'rivermouth[whisper]'")
    task = Task(wanted.language, str(wanted.folder.absolute()), MEMORY)
    detail = f"faster-whisper with {wanted.folder.name}"
    return Local("faster-whisper", "rivermouth.speech._whisper", task, at_once=wanted.parallel, detail=detail)
