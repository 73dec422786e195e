"""Rivermouth behind each proxy, in Debian's configuration and in ours."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.proxies import plain, shipped
from tests.proxies.servers import proxying
from tests.running import running
from tests.wire.world import Model, World

NAMES = ("nginx", "haproxy", "caddy", "apache")
SETUPS = {
    f"{name}, {how.__name__.rpartition('.')[2]}": getattr(how, name) for how in (plain, shipped) for name in NAMES
}
SETTINGS: dict[str, Any] = {
    "limits": {"enabled": False},
    "runs": {"drain": 1.0, "heartbeat": 0.1, "status_after": 0.05},
    "trusted_proxies": ["127.0.0.1"],
}


@pytest.fixture(scope="package")
def direct(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The server, reached directly. It says something after 0.1 s of silence."""
    model = Model()
    with running(tmp_path_factory.mktemp("direct"), provider=model, **SETTINGS) as server:
        world = World(server, model)
        with world.http:
            yield world


class Fronts:
    """Starts proxies."""

    def __init__(self) -> None:
        authority = trustme.CA()
        certificate = authority.issue_cert("127.0.0.1", "chat.example.org")
        self._chain = b"".join(pem.bytes() for pem in certificate.cert_chain_pems)
        self._key = certificate.private_key_pem.bytes()

    @contextmanager
    def before(self, world: World, setup: str, change: Callable[[Path], None] = lambda folder: None) -> Iterator[World]:
        """The same world, reached through a proxy. change: what is done to its files."""

        def prepare(folder: Path, port: int) -> Any:
            (folder / "fullchain.pem").write_bytes(self._chain)
            (folder / "key.pem").write_bytes(self._key)
            ready = SETUPS[setup](folder, port, world.server.port)
            change(folder)
            return ready

        scheme = "https" if setup.endswith("shipped") else "http"
        with proxying(prepare, scheme) as proxy:
            behind = World(world.server, world.model, proxy.url)
            if setup.startswith("caddy"):
                behind.http.headers["Connection"] = (
                    "close"  # see docs/deploying.md, "Answers that break off behind Caddy"
                )
            with behind.http:
                yield behind


@pytest.fixture(scope="package")
def fronts() -> Fronts:
    return Fronts()


@pytest.fixture(scope="package", params=SETUPS)
def setup(request: pytest.FixtureRequest) -> str:
    """Which proxy, in which configuration."""
    return str(request.param)


@pytest.fixture(scope="package")
def behind(fronts: Fronts, direct: World, setup: str) -> Iterator[World]:
    """The server, reached through a proxy."""
    with fronts.before(direct, setup) as world:
        yield world
