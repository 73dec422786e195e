"""What is there with nothing configured: pocketsphinx with the English model of its wheel, in a process of its own.

It understands little: docs/voice.md has how little, measured. A server that people talk to wants another one.
"""

from importlib.util import find_spec

from rivermouth.errors import NoTranscriber
from rivermouth.settings import Settings
from rivermouth.speech import Post, Transcriber
from rivermouth.speech._decode import HOW, require_av
from rivermouth.speech._local import Local, Task

WRONG = "8 to 46 % of clearly spoken simple"
"""As measured (2026-11-21), of persons' voices and of a computed one; docs/voice.md."""


async def open(settings: Settings, post: Post | None = None) -> Transcriber:
    """It takes no settings but how many may run at once. Raises: NoTranscriber where it is not installed."""
    require_av()
    if find_spec("pocketsphinx") is None:
        raise NoTranscriber(f"pocketsphinx is missing for understanding speech; {HOW}")
    detail = f"pocketsphinx, English only; it gets {WRONG} words wrong: for people, set TRANSCRIBE_URL (docs/voice.md)"
    return Local(
        "pocketsphinx", "rivermouth.speech._sphinx", Task(), at_once=settings.transcribe.parallel, detail=detail
    )
