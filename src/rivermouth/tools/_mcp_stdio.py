"""The transport to an MCP server that is a child process: a message a line on its stdin and stdout.

The SDK has one too. It puts no bound on a line, gathers a long one by copying it again for every piece, and gives the child's
stderr to ours; this one ends a child whose line is too long, and keeps the last words of its stderr to say why it went.
"""

import asyncio
import contextlib
import json
import os
import signal
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import anyio
import mcp_types
import structlog
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage

from rivermouth.tools._mcp_data import mended

logger = structlog.get_logger("rivermouth.tools")

MAX_MESSAGE = 8_000_000
"""Bytes of one line."""
PATIENCE = 2.0
"""Seconds for a child to end by itself when its stdin is closed, and once more when it is told to."""
INHERITED = ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "TZ", "TMPDIR")
"""All that a child has of our environment: where programs are, and whose they are. No credential is in these."""
Streams = tuple[MemoryObjectReceiveStream[SessionMessage | Exception], MemoryObjectSendStream[SessionMessage]]


class Stdio:
    """One child, from `async with` to its end. words: the last lines of its stderr."""

    def __init__(self, name: str, command: Sequence[str], env: Mapping[str, str], cwd: Path | None) -> None:
        self._name, self._command, self._cwd = name, command, cwd
        self._env = {key: os.environ[key] for key in INHERITED if key in os.environ} | dict(env)
        self.words: deque[str] = deque(maxlen=20)
        self.gone = asyncio.Event()
        """Set when the child has said its last by itself."""
        self._ending = False

    async def __aenter__(self) -> Streams:
        """Start it. Raises: OSError, whose text says what is wrong."""
        try:
            self._child = await self._spawn()
        except FileNotFoundError:  # uvloop does not say of what
            there = self._cwd is None or self._cwd.is_dir()
            why = f"there is no program {self._command[0]}" if there else f"there is no folder {self._cwd}"
            raise OSError(why) from None
        except PermissionError:
            raise OSError(f"{self._command[0]} is no program that may be started") from None
        self._to_us, read = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        write, self._from_us = anyio.create_memory_object_stream[SessionMessage](0)
        self._streams = (self._to_us, read, write, self._from_us)
        self._work = [asyncio.create_task(work) for work in (self._read(), self._write(), self._listen())]
        return read, write

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it, whatever happens meanwhile."""
        await asyncio.shield(asyncio.ensure_future(self._end()))

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._child.pid

    def epitaph(self) -> str:
        """How it ended, in words, as far as that is known."""
        code = self._child.returncode
        ended = "it ended" if code is None else f"it ended with exit code {code}"
        return f"{ended}: {self.words[-1]}" if self.words else ended

    async def _spawn(self) -> asyncio.subprocess.Process:
        """The child, which nobody loses hold of where this is cancelled half way (uvloop would leave it running)."""
        pipe = asyncio.subprocess.PIPE
        spawning = asyncio.ensure_future(
            asyncio.create_subprocess_exec(
                *self._command,
                stdin=pipe,
                stdout=pipe,
                stderr=pipe,
                env=self._env,
                cwd=self._cwd,
                limit=MAX_MESSAGE,
                start_new_session=True,  # so that what it starts itself can be ended with it
            )
        )
        try:
            return await asyncio.shield(spawning)
        except asyncio.CancelledError:
            with contextlib.suppress(OSError):
                await _end(await spawning)
            raise

    async def _read(self) -> None:
        assert self._child.stdout is not None
        async with self._to_us:
            try:
                while True:
                    line = await self._child.stdout.readuntil(b"\n")
                    if (message := parsed(line)) is not None:
                        await self._to_us.send(SessionMessage(message))
            except asyncio.LimitOverrunError:
                self.words.append(f"it sent a message of more than {MAX_MESSAGE} bytes")
                self._ended()
            except (asyncio.IncompleteReadError, OSError):
                self._ended()
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                pass  # nobody listens any more

    def _ended(self) -> None:
        """It has said its last, and not because we end it. Noted before the session sees the end of its stream."""
        if not self._ending:
            self.gone.set()

    async def _write(self) -> None:
        assert self._child.stdin is not None
        async with self._from_us:
            try:
                async for one in self._from_us:
                    text = one.message.model_dump_json(by_alias=True, exclude_unset=True)
                    self._child.stdin.write(text.encode() + b"\n")
                    await self._child.stdin.drain()
            except (OSError, ValueError):  # gone, or what cannot be written down
                self._to_us.close()

    async def _listen(self) -> None:
        """Keep its stderr from filling up, and the last lines."""
        assert self._child.stderr is not None
        with contextlib.suppress(OSError):
            while data := await self._child.stderr.read(4096):
                for line in data.decode("utf-8", "replace").splitlines():
                    if words := "".join(char if char.isprintable() else " " for char in line).strip():
                        self.words.append(words[:300])
                        logger.debug("mcp_stderr", server=self._name, words=words[:300])

    async def _end(self) -> None:
        self._ending = True
        for stream in self._streams:
            stream.close()
        await _end(self._child)
        await asyncio.wait(self._work[2:], timeout=PATIENCE)  # for its last words
        for task in self._work:
            task.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)
        await self._drain()

    async def _drain(self) -> None:
        """Take what is left in its stdout: a pipe that is not read to its end stays open."""
        assert self._child.stdout is not None
        with contextlib.suppress(TimeoutError, OSError):
            async with asyncio.timeout(PATIENCE):
                while await self._child.stdout.read(1_000_000):
                    pass


async def _end(child: asyncio.subprocess.Process) -> None:
    """Close its stdin, then tell it to go, then kill it, and what it started with it; each by its id."""
    assert child.stdin is not None
    child.stdin.close()
    for number in (None, signal.SIGTERM, signal.SIGKILL):
        if number is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, number)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                await child.wait()
            break
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)  # whatever of its group outlived it


def parsed(line: bytes) -> Any:
    """The message, or None for a line that is none: some servers print their own words there."""
    with contextlib.suppress(ValueError):
        return mcp_types.jsonrpc_message_adapter.validate_json(line, by_name=False)
    with contextlib.suppress(ValueError, RecursionError):
        # Half of a character (`\ud800`), which JSON may have and text may not.
        whole = mended(json.dumps(json.loads(line), ensure_ascii=False))
        return mcp_types.jsonrpc_message_adapter.validate_json(whole, by_name=False)
    return None
