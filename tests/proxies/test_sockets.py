"""Socket.IO through each proxy, with the file from `deploy/`."""

from collections.abc import Iterator

import pytest

from tests.proxies.conftest import NAMES, Fronts
from tests.sockets.pages import TRANSPORTS, Pages, node
from tests.wire.world import World


@pytest.fixture(scope="module")
def pages() -> Iterator[Pages]:
    with node() as found:
        yield found


@pytest.fixture(scope="module", params=NAMES)
def through(request: pytest.FixtureRequest, fronts: Fronts, direct: World) -> Iterator[World]:
    with fronts.before(direct, f"{request.param}, shipped") as world:
        yield world


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("path", ["/socket.io/", "/session/socket.io/"])
def test_each_token_comes_at_once_over_each_transport(through: World, pages: Pages, transport: str, path: str) -> None:
    gate = through.model.gate()
    question = through.model.question("first", gate, " last")
    with pages.inside(through.url, transport, path=path, rejectUnauthorized=False) as page:
        page.emit("chat_stream", {"message": question})
        page.until("chat_token")
        through.open(gate)
        whole = page.until("chat_complete").value["full_response"]

    assert whole == "first last"


def test_the_server_knows_at_once_that_a_socket_has_gone(through: World, pages: Pages) -> None:
    question = through.model.question("first", through.model.gate(), "never")
    with pages.inside(through.url, rejectUnauthorized=False) as page:
        page.emit("chat_stream", {"message": question, "on_disconnect": "cancel"})
        page.until("chat_token")

    assert through.model.calls[question].cancelled.wait(10)
