"""What `rivermouth doctor` says of who understands speech, once it has listened."""

import asyncio
from contextlib import AsyncExitStack

from rivermouth.cli.finding import Finding
from rivermouth.clock import SystemClock
from rivermouth.errors import RivermouthError
from rivermouth.parts import transcriber_of
from rivermouth.settings import Settings, SettingsError
from rivermouth.speech._decode import HOW
from rivermouth.speech._opening import NONE, chosen

NAME = "speech"
SECONDS = 60.0
"""For a model to be loaded, and half a second of silence to be listened to."""
MEND = {
    "openai": "start that server, or set TRANSCRIBE_URL, TRANSCRIBE_MODEL and TRANSCRIBE_API_KEY to what it wants",
    "whisper": "set transcribe.folder to the folder of a faster-whisper model, or TRANSCRIBE_URL to a server",
    "pocketsphinx": HOW,
}


def speech_finding(settings: Settings) -> Finding:
    """Which transcriber there is, and whether it works. A server without one is in order: not everybody is spoken to."""
    name = chosen(settings)
    if name == NONE:
        return Finding(NAME, True, "nothing understands speech, as transcribe.backend says")
    try:
        detail = asyncio.run(_checked(settings))
    except TimeoutError:
        return Finding(NAME, False, f"{name} does not answer within {SECONDS:g} s", MEND.get(name, "see its log"))
    except (RivermouthError, SettingsError, OSError) as error:
        return Finding(NAME, False, str(error).splitlines()[0], MEND.get(name, "see what that package needs"))
    return Finding(NAME, True, detail)


async def _checked(settings: Settings) -> str:
    async with AsyncExitStack() as stack, asyncio.timeout(SECONDS):
        found = await transcriber_of(settings, SystemClock(), stack)
        if found is None:
            return f"nothing understands it; set TRANSCRIBE_URL, or {HOW}"
        return await found.check()
