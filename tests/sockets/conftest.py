"""One server and one process of Node for all tests that need none of their own."""

from collections.abc import Iterator

import pytest

from tests.sockets.pages import Pages, node
from tests.wire.conftest import serving, world

__all__ = ["serving", "world"]


@pytest.fixture(scope="session")
def pages() -> Iterator[Pages]:
    with node() as found:
        yield found
