"""The owner of the built-in model's process: starts it, waits until it answers, starts it again when it has died."""

import asyncio
import os
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import msgspec
import structlog

from rivermouth.errors import NoModel, ProviderUnreachable
from rivermouth.settings import Settings

logger = structlog.get_logger("rivermouth.providers")

LOADING = 120.0
"""Seconds that loading may take. SmolLM2 needs 1.4 s on two cores (2026-11)."""
Progress = Callable[[str], None]


class Parameters(msgspec.Struct, frozen=True, kw_only=True):
    """What to run. context_tokens: for each of the `parallel` answers. key: what callers must show."""

    file: str
    name: str
    key: str
    parallel: int
    context_tokens: int
    threads: int


class Running(Protocol):
    """A process that runs a model, whoever owns it."""

    @property
    def address(self) -> str:
        """Where it answers: `http://127.0.0.1:PORT`."""

    @property
    def pid(self) -> int:
        """Its process id."""

    @property
    def alive(self) -> bool:
        """Whether it still runs."""

    async def ended(self, *, within: float | None) -> bool:
        """Whether it ends within so many seconds; None waits for ever."""

    async def end(self) -> None:
        """End it and wait until it is gone, where it is ours. Twice is once."""


class Loaded(msgspec.Struct, frozen=True):
    """A model that answers. key: what callers must show."""

    process: Running
    key: str
    name: str


def parameters_of(settings: Settings, file: Path, key: str) -> Parameters:
    """What to run, as the settings say."""
    own = settings.embedded
    return Parameters(
        file=str(file.resolve()),
        name=file.stem,
        key=key,
        parallel=own.parallel,
        context_tokens=own.context_tokens,
        threads=own.threads or len(os.sched_getaffinity(0)),
    )


class Process:
    """One child process. Ended by closing its stdin, then by its own id where it does not heed that."""

    def __init__(self, child: asyncio.subprocess.Process, address: str, listening: asyncio.Task[None]) -> None:
        self._address = address
        self._child = child
        self._listening = listening

    @property
    def address(self) -> str:
        """Where it answers."""
        return self._address

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._child.pid

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._child.returncode is None

    async def ended(self, *, within: float | None) -> bool:
        """Whether it ends within so many seconds; None waits for ever."""
        try:
            async with asyncio.timeout(within):
                await self._child.wait()
        except TimeoutError:
            return False
        return True

    async def end(self) -> None:
        """End it and wait until it is gone. Twice is once."""
        await end(self._child)
        await self._listening


async def start(parameters: Parameters, on_progress: Progress) -> Process:
    """The process, when its model is loaded. Raises: NoModel where it cannot be loaded, ProviderUnreachable."""
    on_progress(f"loading the model {parameters.name} …")
    began = asyncio.get_running_loop().time()
    child = await _spawn()
    last_words: deque[str] = deque(maxlen=20)
    listening = asyncio.create_task(_listen(child, last_words))
    try:
        address = await _hand_over(child, parameters)
    except BaseException:
        await end(child)
        await listening
        raise
    if not address:
        await end(child)
        await listening
        logger.error("model_not_loaded", file=parameters.file, words="\n".join(last_words))
        raise NoModel(f"the model {parameters.name} could not be loaded; is its file whole?")
    on_progress(f"the model {parameters.name} is ready ({asyncio.get_running_loop().time() - began:.1f} s)")
    return Process(child, address, listening)


async def _spawn() -> asyncio.subprocess.Process:
    """The process, which nobody loses hold of where this is cancelled half way (uvloop would leave it running)."""
    pipe = asyncio.subprocess.PIPE
    spawning = asyncio.ensure_future(
        asyncio.create_subprocess_exec(
            sys.executable, "-m", "rivermouth.providers._server", stdin=pipe, stdout=pipe, stderr=pipe
        )
    )
    try:
        return await asyncio.shield(spawning)
    except asyncio.CancelledError:
        await end(await spawning)
        raise


async def end(child: asyncio.subprocess.Process) -> None:
    """Close its stdin, which ends it; after two seconds of nothing, kill it by its id."""
    assert child.stdin is not None
    child.stdin.close()
    try:
        async with asyncio.timeout(2):
            await child.wait()
    except TimeoutError:
        child.kill()
        await child.wait()


async def _hand_over(child: asyncio.subprocess.Process, parameters: Parameters) -> str:
    """Tell it what to run; its address, or '' where it ended instead."""
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(msgspec.json.encode(parameters) + b"\n")
    try:
        async with asyncio.timeout(LOADING):
            line = await child.stdout.readline()
    except TimeoutError as error:
        raise ProviderUnreachable(f"the model {parameters.name} was not loaded within {LOADING:g} s") from error
    return line.decode().strip()


async def _listen(child: asyncio.subprocess.Process, last_words: deque[str]) -> None:
    """Keep its stderr from filling up, and its last lines for the log."""
    assert child.stderr is not None
    async for line in child.stderr:
        words = line.decode("utf-8", "replace").rstrip()
        last_words.append(words)
        logger.debug("model_process", words=words)
