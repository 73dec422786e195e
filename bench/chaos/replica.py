"""A server as a process of its own, as `rivermouth serve` starts it, on a port that stays its own."""

import asyncio
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from tests.servers import free_port

from bench.chaos.http import Broken, request

START_SECONDS = 60.0
OURS = ("RIVERMOUTH_", "LOCAL_LLM_", "OPENAI_", "REDIS_URL", "DATABASE_URL")


class Replica:
    """One `rivermouth serve`. settings: environment variables. log: where it says what happens."""

    def __init__(self, folder: Path, model_url: str, settings: Mapping[str, str] = {}) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.port, self.log = folder, free_port(), folder / "log"
        self._model_url = model_url
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(OURS)},
            "RIVERMOUTH_LIMITS__ENABLED": "false",
            **settings,
        }
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Start it and wait until it answers."""
        self.spawn()
        await self.answers()

    def spawn(self) -> None:
        """Start it."""
        command = self._command("serve", "--port", str(self.port), "--model-url", self._model_url, "--model", "tiny")
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--log-format", "json"],
                cwd=self.folder, env=self._environment, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    async def answers(self) -> None:
        """Returns once it does. One that ends by itself is started again, as a service manager would: it cannot start while its
        database is away."""
        clock = asyncio.get_running_loop()
        until = clock.time() + START_SECONDS
        while not await self._is_up():
            assert self._process is not None
            told = self.log.read_text("utf-8", "replace")[-2000:]
            assert clock.time() < until, f"the replica does not answer: {told}"
            if self._process.poll() is not None:
                self.spawn()
            await asyncio.sleep(0.02)

    def kill(self) -> None:
        """`kill -9`, and what its children are with it."""
        self._end(signal.SIGKILL)

    async def stop(self) -> None:
        """SIGTERM; returns once it has ended."""
        await asyncio.to_thread(self._end, signal.SIGTERM)

    def limit_files(self, size: int | None) -> None:
        """Let it write no file past so many bytes, as on a full disk; None lifts the limit. Its own log is bound as well."""
        assert self._process is not None
        soft = resource.RLIM_INFINITY if size is None else size
        resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE, (soft, resource.RLIM_INFINITY))

    async def credentials(self) -> dict[str, str]:
        """The local user's, by system, as the server keeps them soon after its first start."""
        kept = self.folder / "data" / "credentials.json"
        while not kept.exists():  # noqa: ASYNC110, a file tells nobody that it is there
            await asyncio.sleep(0.02)
        return {system: one["credential"] for system, one in json.loads(kept.read_bytes()).items()}

    def _command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "rivermouth", *arguments, "--data-dir", str(self.folder / "data")]

    async def _is_up(self) -> bool:
        with suppress(Broken):
            response = await request(self.port, "GET", "/health", patience=1.0)
            response.close()
            return response.status == 200
        return False

    def _end(self, number: int) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
            self._process.wait(START_SECONDS)
            self._process = None
