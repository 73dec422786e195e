"""What holds for all tests, and the servers that many of them share."""

from collections.abc import Iterator

import pytest
import structlog

from tests.servers import Postgres, Redis, postgres, redis


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """A test that configures logging does so for itself alone: its stderr is closed when it is over."""
    yield
    structlog.reset_defaults()


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
    with redis(tmp_path_factory.mktemp("redis")) as server:
        yield server
