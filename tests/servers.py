"""Real Redis and PostgreSQL servers for tests: each on a free port of 127.0.0.1, with a folder of its own, ended by its pid."""

import asyncio
import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import asyncpg

START_SECONDS = 30.0
PAUSE = 0.02
"""Seconds between two tries to connect to a server that is starting."""


def free_port() -> int:
    """A port that nothing listens on now."""
    with closing(socket.socket()) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class ServerProcess:
    """A database server that can be killed and started again on the same port with the same data.

    ready: True once it answers. stop_signal: what ends it in order.
    """

    def __init__(
        self, command: list[str], *, log: Path, ready: Callable[[], bool], stop_signal: int, user: str | None = None
    ) -> None:
        self._command, self._log, self._ready = command, log, ready
        self._stop_signal, self._user = stop_signal, user
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it answers."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=log, user=self._user, start_new_session=True, env=_plain_environment()
            )
        until = time.monotonic() + START_SECONDS
        while not self._ready():
            told = self._log.read_text("utf-8", "replace")[-2000:]
            assert self._process.poll() is None, f"{self._command[0]} ended: {told}"
            assert time.monotonic() < until, f"{self._command[0]} does not answer: {told}"
            time.sleep(PAUSE)

    def kill(self) -> None:
        """End it at once, with all processes it made, as a crash of the machine's service would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it in order; does nothing where it is not running."""
        self._end(self._stop_signal)

    def abandon(self) -> None:
        """End it without keeping anything, which is quicker; does nothing where it is not running."""
        self._end(signal.SIGQUIT)

    def _end(self, number: int) -> None:
        if self._process is None:
            return
        if number == signal.SIGKILL:
            os.killpg(self._process.pid, number)
        else:
            self._process.send_signal(number)
        self._process.wait(START_SECONDS)
        self._process = None


class Redis(ServerProcess):
    """Redis with every write in its append-only file before it is answered, so that a kill loses nothing."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        command = [program("redis-server"), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder)]
        command += ["--appendonly", "yes", "--appendfsync", "everysec", "--save", "", "--daemonize", "no"]
        super().__init__(command, log=folder / "log", ready=self._answers, stop_signal=signal.SIGTERM)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def _answers(self) -> bool:
        try:
            with closing(socket.create_connection(("127.0.0.1", self.port), 1)) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False


class Postgres(ServerProcess):
    """PostgreSQL with a fresh cluster; it refuses to run as root, so then it runs as Debian's user `postgres`."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._names = itertools.count()
        user = "postgres" if os.geteuid() == 0 else None
        # Not in `folder`: every start of pytest closes what is above it to all other users, also that of another checkout.
        self.data = data = Path(tempfile.mkdtemp(prefix="rivermouth-postgres-"))
        if user is not None:
            shutil.chown(data, user)
        init = [program("initdb"), "-D", str(data), "-U", "rivermouth", "--auth=trust", "-E", "UTF8", "--no-locale"]
        subprocess.run([*init, "--no-sync"], check=True, capture_output=True, user=user, env=_plain_environment())
        command = [program("postgres"), "-D", str(data), "-p", str(self.port), "-h", "127.0.0.1", "-k", ""]
        # With fsync off a kill of the process loses nothing, only a power cut would.
        command += ["-c", "fsync=off", "-c", "max_connections=200"]
        super().__init__(command, log=folder / "log", ready=self._answers, stop_signal=signal.SIGINT, user=user)

    def url(self, database: str = "postgres") -> str:
        """The address of one of its databases; `createdb` makes further ones."""
        return f"postgresql://rivermouth@127.0.0.1:{self.port}/{database}"

    def createdb(self, name: str) -> str:
        """A fresh database; its address."""
        self._client("createdb", name)
        return self.url(name)

    def empty(self) -> str:
        """The address of a place for tables, empty and of nobody else's: a schema, made in a tenth of a database's time."""
        name = f"place_{next(self._names)}"

        async def make() -> None:
            connection = await asyncpg.connect(self.url())
            await connection.execute(f"CREATE SCHEMA {name}")
            await connection.close()

        asyncio.run(make())
        return f"{self.url()}?options=-csearch_path%3D{name}"

    def _client(self, name: str, *arguments: str) -> None:
        command = [program(name), "-h", "127.0.0.1", "-p", str(self.port), "-U", "rivermouth", *arguments]
        subprocess.run(command, check=True, capture_output=True, env=_plain_environment())

    def _answers(self) -> bool:
        command = [program("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port), "-U", "rivermouth"]
        return subprocess.run(command, check=False, capture_output=True, env=_plain_environment()).returncode == 0


@contextmanager
def redis(folder: Path) -> Iterator[Redis]:
    """A Redis of its own until the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    server = Redis(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def postgres(folder: Path) -> Iterator[Postgres]:
    """A PostgreSQL of its own until the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    server = Postgres(folder)
    try:
        server.start()
        yield server
    finally:
        server.abandon()
        shutil.rmtree(server.data)


def program(name: str) -> str:
    """Where a program is; Debian keeps PostgreSQL's own out of the PATH."""
    debian = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    found = str(debian[-1]) if debian else shutil.which(name)
    assert found, f"{name} is missing; scripts/test installs it on Debian and Ubuntu as root"
    return found


def _plain_environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8"}
