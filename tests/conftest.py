"""What holds for all tests, and the servers that many of them share."""

import functools
import sys
import threading
from collections import Counter
from collections.abc import Iterator, MutableMapping
from types import ModuleType
from typing import Any, TextIO, cast

import httpx._transports.default as httpx_transports
import pytest
import redis as redis_py
import structlog
from hypothesis import HealthCheck, settings
from structlog.dev import ConsoleRenderer, plain_traceback
from structlog.testing import capture_logs
from structlog.typing import EventDict

from tests.servers import Postgres, Redis, postgres, redis

# No test fails because the machine is busy with others.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")

SHORT = ConsoleRenderer(exception_formatter=plain_traceback)
"""The default one shows every local variable, which holds up the server that logs a traceback for a second and more."""

# Reading all authorities of the world takes 30 ms of CPU; httpx does it anew for each client, also for one without TLS.
httpx_transports.create_ssl_context = functools.cache(httpx_transports.create_ssl_context)


STARTERS = (
    "bench.chaos",
    "playwright",
    "rivermouth.providers.embedded",
    "rivermouth.speech",
    "subprocess",
    "tests.chaos",
)
STARTERS += ("tests.page", "tests.processes", "tests.servers", "tests.several", "tests.test_cli_processes")
"""What starts processes. Tests that use it take seconds each; most others take milliseconds."""


@functools.cache
def starts_processes(module: ModuleType) -> bool:
    """Whether anything in it comes from what does."""
    homes = (getattr(thing, "__module__", None) or getattr(thing, "__name__", "") for thing in vars(module).values())
    return any(str(home).startswith(STARTERS) for home in homes)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that take long come first, then the fullest: whichever is begun last is worked through by one process while the
    others have nothing left to do. `scripts/test` has xdist keep this order."""
    sizes = Counter(item.path for item in items)
    items.sort(key=lambda item: (not starts_processes(item.getparent(pytest.Module).obj), -sizes[item.path]))


def errors_alone(_logger: object, method: str, event: EventDict) -> EventDict:
    """A processor that drops all else."""
    if method not in ("error", "critical", "exception"):
        raise structlog.DropEvent
    return event


def log_to_the_true_stderr() -> None:
    """Errors alone, and to no stream that a test replaces: servers that many tests share log while others read their stdout."""
    structlog.reset_defaults()
    structlog.configure(
        processors=[errors_alone, *structlog.get_config()["processors"][:-1], SHORT],
        logger_factory=structlog.PrintLoggerFactory(cast(TextIO, sys.__stderr__)),
    )


log_to_the_true_stderr()


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """A test that configures logging does so for itself alone: its stderr is closed when it is over."""
    yield
    log_to_the_true_stderr()


@pytest.fixture
def logged() -> Iterator[list[MutableMapping[str, Any]]]:
    """What is logged during the test."""
    with capture_logs() as lines:
        yield lines


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """One PostgreSQL for all tests that leave it running."""
    with postgres(tmp_path_factory.mktemp("postgres")) as server:
        yield server


@pytest.fixture
def database_url(postgres_server: Postgres) -> str:
    """The address of an empty PostgreSQL of this test's own."""
    return postgres_server.empty()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    """One Redis for all tests that leave it running and put nothing of their own into its database 0."""
    with redis(tmp_path_factory.mktemp("redis")) as server, redis_py.Redis(port=server.port) as client:
        # One that has just started takes nobody for dead.
        while client.info("server")["uptime_in_seconds"] < 2:
            threading.Event().wait(0.05)
        yield server
