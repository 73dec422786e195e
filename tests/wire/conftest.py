"""One server for all tests that need no settings of their own."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest

from rivermouth.tools import Toolbox
from tests.running import running
from tests.wire.world import Model, World

Serving = Callable[..., AbstractContextManager[World]]


@pytest.fixture(scope="session")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Serving:
    @contextmanager
    def serve(toolbox: Toolbox | None = None, **settings: Any) -> Iterator[World]:
        model = Model()
        folder = tmp_path_factory.mktemp("wire")
        settings["runs"] = {"drain": 1.0, **settings.get("runs", {})}
        with running(folder, provider=model, toolbox=toolbox, **{"limits": {"enabled": False}, **settings}) as server:
            world = World(server, model)
            with world.http:
                yield world

    return serve


@pytest.fixture(scope="session")
def world(serving: Serving) -> Iterator[World]:
    with serving() as found:
        yield found
