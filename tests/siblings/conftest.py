"""One server for all tests that count nothing."""

from collections.abc import Iterator

import pytest

from tests.siblings.world import World, running


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running(tmp_path_factory.mktemp("siblings")) as found:
        yield found
