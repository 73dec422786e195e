"""A stop closes the connection to the model: seen by a model's server on a socket of its own."""

import re

import httpx
import pytest

from tests.running import running
from tests.wire.upstream import HEAD, chunk, upstream
from tests.wire.world import PATIENCE, eventually

SAID = {
    "before the model has answered": b"",
    "before the first token": HEAD,
    "midway": HEAD + chunk("Half"),
    "in the middle of a chunk": HEAD + chunk("Half") + chunk(" more")[:-9],
}
SETTINGS = {"limits": {"enabled": False}, "runs": {"status_after": 0.02}}


def cancelled(client):
    """How often a stop has closed a connection, by the meter that times it."""
    text = client.get("/metrics").text
    [count] = re.findall(r"^rivermouth_upstream_cancel_seconds_count (\S+)$", text, re.MULTILINE)
    return float(count)


@pytest.mark.parametrize("said", SAID)
@pytest.mark.parametrize("how", ["DELETE", "POST", "leave", "interrupt"])
def test_the_connection_to_the_model_is_closed(tmp_path, said, how):
    with (
        upstream(SAID[said]) as model,
        running(tmp_path, model={"url": model.url, "name": "tiny"}, **SETTINGS) as server,
        httpx.Client(base_url=server.url, timeout=PATIENCE) as client,
    ):
        ask = {"json": {"message": "Where?"}, "headers": {"X-On-Disconnect": "cancel"}}
        with client.stream("POST", "/session/api/chat/stream", **ask) as stream:
            assert model.asked.acquire(timeout=PATIENCE)
            run = stream.headers["stream-id"]
            match how:
                case "DELETE":
                    state = client.delete(f"/streams/{run}").json()["state"]
                case "POST":
                    state = client.post(f"/streams/{run}/stop").json()["state"]
                case "interrupt":
                    server.do(server.app.runs.drain(0.0))
                    state = "interrupted"
                case _:
                    stream.close()
                    state = "stopped"

        assert model.closed.acquire(timeout=PATIENCE)
        assert eventually(lambda: client.head(f"/streams/{run}").headers["stream-state"] == state)
        assert cancelled(client) == 1
        assert not model.closed.acquire(blocking=False)
