"""Real nginx, HAProxy, Caddy and Apache, each on loopback ports of its own, without privileges, ended by its pid."""

import os
import re
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx

from tests.servers import ServerProcess, free_port, program

USER = "nobody" if os.geteuid() == 0 else None
"""Who runs them."""
TRIES = 3
"""Between the choice of a port and its use somebody else may take it."""


class Setup(NamedTuple):
    """What a proxy is started with."""

    command: list[str]
    environment: dict[str, str] = {}
    stop_signal: int = signal.SIGTERM


class Proxy(ServerProcess):
    """A proxy that runs."""

    def __init__(self, setup: Setup, folder: Path, port: int, scheme: str) -> None:
        self.port, self.url = port, f"{scheme}://127.0.0.1:{port}"
        named = {"HOME": str(folder), **setup.environment}
        command = [program("env"), *(f"{name}={value}" for name, value in named.items())]
        command += [program(setup.command[0]), *setup.command[1:]]
        super().__init__(command, log=folder / "log", ready=self._answers, stop_signal=setup.stop_signal, user=USER)

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health", verify=False).status_code == 200
        except httpx.TransportError:
            return False


@contextmanager
def proxying(prepare: Callable[[Path, int], Setup], scheme: str = "http") -> Iterator[Proxy]:
    """A proxy that listens until the block ends. prepare: given its folder and port, what to start."""
    # Not below pytest's own folder: each start of pytest closes that to all other users, also that of another checkout.
    with tempfile.TemporaryDirectory(prefix="rivermouth-proxy-") as folder:
        Path(folder).chmod(0o711)
        proxy = _started(Path(folder), prepare, scheme)
        try:
            yield proxy
        finally:
            proxy.stop()


def _started(folder: Path, prepare: Callable[[Path, int], Setup], scheme: str) -> Proxy:
    for left in reversed(range(TRIES)):
        own, port = folder / str(left), free_port()
        own.mkdir()
        if USER is not None:
            shutil.chown(own, USER)
        proxy = Proxy(prepare(own, port), own, port, scheme)
        try:
            proxy.start()
        except AssertionError:
            if not left:
                raise
        else:
            return proxy
    raise AssertionError


def debian(path: str) -> Path:
    """A file or folder of a package's own configuration."""
    found = Path("/etc", path)
    assert found.exists(), f"{found} is missing; scripts/test installs its package on Debian and Ubuntu as root"
    return found


def apache_tree(folder: Path, *modules: str) -> None:
    """A copy of Debian's configuration of Apache, without its site, and with further modules, as `a2enmod` adds them."""
    tree = folder / "apache2"
    shutil.copytree(debian("apache2"), tree, symlinks=True)
    for module in modules:
        _enable(tree, module)
    for site in (tree / "sites-enabled").iterdir():
        site.unlink()


def _enable(tree: Path, module: str) -> None:
    for needed in re.findall(r"^# Depends: (.*)", (tree / f"mods-available/{module}.load").read_text(), re.M):
        for name in needed.split():
            _enable(tree, name)
    for file in tree.glob(f"mods-available/{module}.*"):
        link = tree / "mods-enabled" / file.name
        if not link.is_symlink():
            link.symlink_to(f"../mods-available/{file.name}")
