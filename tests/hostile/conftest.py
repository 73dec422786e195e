"""One server for all tests that need no settings of their own; no line in its log may ever be an error of ours."""

from collections.abc import Iterator

import pytest

from tests.hostile.log import Log, listening
from tests.hostile.world import Model, World, world_of


@pytest.fixture(scope="session")
def model() -> Model:
    return Model()


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory, model: Model) -> Iterator[World]:
    with world_of(tmp_path_factory.mktemp("hostile"), model) as found:
        yield found


@pytest.fixture(autouse=True)
def log() -> Iterator[Log]:
    """What the server says while the test runs; a traceback in it fails the test."""
    with listening() as heard:
        yield heard
    assert heard.faults == []
