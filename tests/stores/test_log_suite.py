"""Every backend of the event log passes the same suite."""

import inspect
from pathlib import Path

import pytest

from rivermouth.stores.memory_log import MemoryBackend
from rivermouth.stores.sqlite_log import SqliteBackend
from rivermouth.testing import check_log, logs_suite
from tests.core.waiting import within


def at(folder: Path, place: str) -> SqliteBackend:
    (folder / place).mkdir(exist_ok=True)
    return SqliteBackend(folder / place)


@pytest.mark.parametrize("check", logs_suite.CHECKS, ids=lambda check: check.__name__)
def test_memory_passes(check: logs_suite.Check) -> None:
    within(check(lambda _: MemoryBackend()))


@pytest.mark.parametrize("check", [*logs_suite.CHECKS, *logs_suite.DURABLE], ids=lambda check: check.__name__)
def test_sqlite_passes(check: logs_suite.Check, tmp_path: Path) -> None:
    within(check(lambda place: at(tmp_path, place)))


def test_the_whole_suite_is_one_call(tmp_path: Path) -> None:
    within(check_log(lambda place: at(tmp_path, place)))
    within(check_log(lambda _: MemoryBackend(), durable=False))


def test_every_check_of_the_suite_is_in_its_list() -> None:
    checks = {
        name
        for name, function in inspect.getmembers(logs_suite, inspect.iscoroutinefunction)
        if list(inspect.signature(function).parameters) == ["make"]
    }

    assert checks == {check.__name__ for check in (*logs_suite.CHECKS, *logs_suite.DURABLE)}
