"""Connections that clients keep for their next question."""

import select
import ssl
from contextlib import ExitStack, closing
from http.client import HTTPSConnection

from tests.proxies.conftest import Fronts
from tests.wire.world import World

KEPT = 16
"""More than one process's share: Apache has two when it starts."""
LOOKED_AFTER = 3.0
"""Seconds: Apache looks for threads to spare every second, and keeps an idle connection for five."""


def test_apache_closes_no_connection_that_a_client_keeps(fronts: Fronts, direct: World) -> None:
    with fronts.before(direct, "apache, shipped") as world, ExitStack() as stack:
        host, tls = world.url.removeprefix("https://"), ssl._create_unverified_context()
        kept = [stack.enter_context(closing(HTTPSConnection(host, context=tls))) for _ in range(KEPT)]
        for connection in kept:
            connection.request("GET", "/health")
            assert connection.getresponse().read() == b"OK"
        sockets = [connection.sock for connection in kept]
        closed, _, _ = select.select(sockets, [], [], LOOKED_AFTER)

    assert closed == []
