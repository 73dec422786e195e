"""A transcriber whose work is counted: how often, what came of it, how long it took, and how much sound it heard."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Literal

from rivermouth.clock import Clock
from rivermouth.speech import SECOND, Segment, Transcriber

Outcome = Literal["heard", "nothing", "failed", "cancelled"]
"""Words; none; an error, of the recording or of whoever listens; and it was closed before its end."""

Tell = Callable[[Outcome, float, float], None]
"""Is told of each recording: what came of it, the seconds that it took, and the seconds of sound that were taken out of it."""


class Counted:
    """The same transcriber."""

    def __init__(self, transcriber: Transcriber, clock: Clock, tell: Tell) -> None:
        self._transcriber, self._clock, self._tell = transcriber, clock, tell

    @property
    def name(self) -> str:
        """See `Transcriber`."""
        return self._transcriber.name

    async def transcribe(self, pcm: AsyncIterator[bytes], language: str | None) -> AsyncGenerator[Segment, None]:
        """See `Transcriber`."""
        taken, began = 0, self._clock.monotonic()
        outcome: Outcome = "nothing"

        async def pieces() -> AsyncIterator[bytes]:
            nonlocal taken
            async for piece in pcm:
                taken += len(piece)
                yield piece

        try:
            async with aclosing(self._transcriber.transcribe(pieces(), language)) as segments:
                async for segment in segments:
                    outcome = "heard"
                    yield segment
        except Exception:
            outcome = "failed"
            raise
        except BaseException:
            outcome = "cancelled"
            raise
        finally:
            self._tell(outcome, self._clock.monotonic() - began, taken / SECOND)

    async def check(self) -> str:
        """See `Transcriber`."""
        return await self._transcriber.check()

    async def close(self) -> None:
        """See `Transcriber`."""
        await self._transcriber.close()
