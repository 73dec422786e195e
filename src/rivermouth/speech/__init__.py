"""Speech into text: one module for each way of transcribing, each with `async def open(settings, post) -> Transcriber`.

    bytes of any container → decode (a process of its own) → 16 kHz mono → Transcriber → Segment · Segment · …

`load(name)` finds a transcriber here or among installed plug-ins. This module stays light: the processes that read what
strangers send import it, too.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from types import ModuleType
from typing import Any, Protocol

import msgspec

from rivermouth import plugins

RATE = 16_000
"""Samples a second."""
SECOND = 2 * RATE
"""Bytes of a second of sound: signed 16-bit samples in the machine's order (little-endian wherever this runs), one channel."""

Post = Callable[[str, str, bytes], Awaitable[Any]]
"""What a server answers to a form: `await post("/audio/transcriptions", "multipart/form-data; boundary=…", body)`. Raises:
ProviderFault."""


class Segment(msgspec.Struct, frozen=True):
    """What was understood of a stretch. start, end: seconds from the beginning. text: never empty, one line.

    language: a code such as `en`, as far as the transcriber knows it.
    """

    start: float
    end: float
    text: str
    language: str = ""


class Transcriber(Protocol):
    """Something that understands speech. Calls may overlap; those beyond what it does at a time wait for their turn."""

    @property
    def name(self) -> str:
        """Which one it is, in a few words for a person."""

    def transcribe(self, pcm: AsyncIterator[bytes], language: str | None) -> AsyncGenerator[Segment, None]:
        """Segments in their order, each as soon as it is understood; none where nothing was.

        pcm: the sound, in pieces of any size. language: what is spoken, where that is known. Closed or cancelled, it lets go
        of everything at once. What `pcm` raises comes out of it. Raises: ProviderFault.
        """

    async def check(self) -> str:
        """One line on what it is and whether it works. Raises: ProviderFault, NoTranscriber."""

    async def close(self) -> None:
        """Let go of everything. Twice is once."""


def names() -> tuple[str, ...]:
    """All transcribers that can be loaded, sorted."""
    return plugins.names("speech")


def load(name: str) -> ModuleType:
    """The module. Raises: LookupError, naming those there are."""
    return plugins.load("speech", name)


def one_line(text: str) -> str:
    """Without line breaks, control characters and runs of blanks: no database and no client has to bear them."""
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())
