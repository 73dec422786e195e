"""Every backend of the event log passes the same suite."""

import inspect
import uuid
from pathlib import Path

import pytest

from rivermouth.stores.memory_log import MemoryBackend
from rivermouth.stores.redis_log import RedisBackend
from rivermouth.stores.sqlite_log import SqliteBackend
from rivermouth.testing import check_log, check_shared_log, logs_shared, logs_suite
from tests.core.waiting import within
from tests.servers import Redis


def at(folder: Path, place: str) -> SqliteBackend:
    (folder / place).mkdir(exist_ok=True)
    return SqliteBackend(folder / place)


@pytest.mark.parametrize("check", [*logs_suite.CHECKS, *logs_suite.SWEPT], ids=lambda check: check.__name__)
def test_memory_passes(check: logs_suite.Check) -> None:
    within(check(lambda _: MemoryBackend()))


@pytest.mark.parametrize(
    "check", [*logs_suite.CHECKS, *logs_suite.SWEPT, *logs_suite.DURABLE], ids=lambda check: check.__name__
)
def test_sqlite_passes(check: logs_suite.Check, tmp_path: Path) -> None:
    within(check(lambda place: at(tmp_path, place)))


@pytest.fixture
def shared(redis_server: Redis) -> logs_suite.Make:
    """Backends on the one Redis, in places of this test's own."""
    test = uuid.uuid4().hex

    def make(place: str) -> RedisBackend:
        prefix = f"{test}:{place}"
        return RedisBackend(
            redis_server.url, new_id=lambda: uuid.uuid4().hex, lease=logs_shared.DEAD_AFTER, prefix=prefix
        )

    return make


@pytest.mark.parametrize("check", [*logs_suite.CHECKS, *logs_suite.DURABLE], ids=lambda check: check.__name__)
def test_redis_passes(check: logs_suite.Check, shared: logs_suite.Make) -> None:
    within(check(shared))


@pytest.mark.parametrize("check", logs_shared.SHARED, ids=lambda check: check.__name__)
def test_replicas_on_redis_pass(check: logs_suite.Check, shared: logs_suite.Make) -> None:
    within(check(shared))


def test_the_whole_suite_is_one_call(tmp_path: Path, shared: logs_suite.Make) -> None:
    within(check_log(lambda place: at(tmp_path, place)))
    within(check_log(lambda _: MemoryBackend(), durable=False))
    within(check_log(shared, swept=False))
    within(check_shared_log(shared))


def test_every_check_of_the_suite_is_in_its_list() -> None:
    checks = {
        name
        for name, function in inspect.getmembers(logs_suite, inspect.iscoroutinefunction)
        if list(inspect.signature(function).parameters) == ["make"]
    }

    assert checks == {check.__name__ for check in (*logs_suite.CHECKS, *logs_suite.SWEPT, *logs_suite.DURABLE)}
