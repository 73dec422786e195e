"""Which transcriber there is, by what is set."""

from rivermouth import speech
from rivermouth.errors import NoTranscriber
from rivermouth.settings import Settings, SettingsError
from rivermouth.speech import Post, Transcriber

NONE = "none"


def chosen(settings: Settings) -> str:
    """The name of it."""
    wanted = settings.transcribe
    if wanted.backend is not None:
        return wanted.backend
    return "openai" if wanted.url is not None else "whisper" if wanted.folder is not None else "pocketsphinx"


async def open_transcriber(settings: Settings, post: Post | None) -> Transcriber | None:
    """The transcriber that the settings name; None for none, and where the one that nobody asked for is not installed.

    post: reaches the server at `transcribe.url`. Raises: SettingsError, NoTranscriber with what to install.
    """
    name = chosen(settings)
    if name == NONE:
        return None
    if name not in speech.names():
        known = ", ".join(speech.names())
        raise SettingsError(f"transcribe.backend {name!r} does not fit: there are {known} and {NONE}")
    try:
        opened: Transcriber = await speech.load(name).open(settings, post)
    except NoTranscriber:
        if settings.transcribe.backend is None and name == "pocketsphinx":
            return None
        raise
    return opened
