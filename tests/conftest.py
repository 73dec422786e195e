"""What holds for all tests."""

from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """A test that configures logging does so for itself alone: its stderr is closed when it is over."""
    yield
    structlog.reset_defaults()
