"""Two servers behind one proxy: what the lines in `deploy/` say of a second one, and what they do when one goes."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from rivermouth.providers import ModelRequest
from rivermouth.providers.scripted import Hold, ScriptedProvider, Step, Text
from tests.proxies.conftest import SETTINGS, Fronts
from tests.proxies.shipped import put
from tests.running import Running, running
from tests.sockets.pages import node
from tests.wire.world import PATIENCE, Model, Stream, World, eventually

FURTHER = {
    "nginx, shipped": ("site.conf", "# server "),
    "haproxy, shipped": ("haproxy.cfg", "# server two "),
    "caddy, shipped": ("Caddyfile", "# to "),
    "apache, shipped": ("apache2/sites-enabled/site.conf", "# BalancerMember "),
}
"""The file that has a line for a second server, and how that begins."""


def saying(text: str) -> ScriptedProvider:
    """A model that says no more than that, and waits to be told before it ends where it is asked to."""

    def script(request: ModelRequest) -> list[Step]:
        return [Text(text), *([Hold()] if "Wait" in request.messages[-1].content else [])]

    return ScriptedProvider(script)


class Pair:
    """Two servers behind one proxy."""

    def __init__(self, servers: dict[str, Running], models: dict[str, ScriptedProvider], behind: World) -> None:
        self.servers, self.models, self.behind = servers, models, behind

    def ask(self) -> str:
        """Who answers, or the status."""
        answer = self.behind.http.post("/session/api/chat", json={"message": "Who?"})
        return str(answer.json()["response"]) if answer.status_code == 200 else str(answer.status_code)

    def asked(self) -> set[str]:
        """The same some more times."""
        return {self.ask() for _ in range(6)}

    def let_go_on(self, name: str) -> None:
        """Let that one's model come to its end."""

        async def tell() -> None:
            self.models[name].tell()

        self.servers[name].do(tell())


@pytest.fixture(params=FURTHER)
def pair(request: pytest.FixtureRequest, fronts: Fronts, tmp_path: Path) -> Iterator[Pair]:
    settings = {**SETTINGS, "runs": {**SETTINGS["runs"], "drain": PATIENCE}}
    models = {name: saying(name) for name in ("first", "second")}
    name, line = FURTHER[request.param]

    def add(folder: Path) -> None:
        text = (folder / name).read_text()
        second = ("127.0.0.1:8001", f"127.0.0.1:{servers['second'].port}")
        (folder / name).write_text(put(text, (line, line.removeprefix("# ")), second))

    with ExitStack() as stack:
        servers = {name: stack.enter_context(running(tmp_path / name, models[name], **settings)) for name in models}
        first = World(servers["first"], Model())
        yield Pair(servers, models, stack.enter_context(fronts.before(first, request.param, add)))


def test_a_replica_that_goes_finishes_its_answer_while_the_other_takes_the_questions(
    pair: Pair, request: pytest.FixtureRequest
) -> None:
    with pair.behind.http.stream("POST", "/session/api/chat/stream", json={"message": "Wait!"}) as response:
        stream = Stream(response)
        leaving = "first" if b"first" in stream.until_has(b'"token"') else "second"
        staying = ({*pair.servers} - {leaving}).pop()
        pair.servers[leaving].leave()
        if "nginx" in request.node.name:
            # It asks nobody whether they are ready; whoever is not says so, and when to come again.
            assert pair.asked() <= {staying, "503"}
        else:
            assert eventually(lambda: pair.asked() == {staying})
        pair.let_go_on(leaving)
        body = stream.rest()
    assert eventually(lambda: pair.servers[leaving].over)

    assert b'"done":true' in body
    # Caddy 2.6 sends no body a second time: until it has seen that a replica is gone, within a second, questions get 502.
    assert pair.asked() == {staying} or ("caddy" in request.node.name and eventually(lambda: pair.asked() == {staying}))


def test_the_polls_of_a_socket_come_to_the_replica_that_has_its_session(pair: Pair) -> None:
    with node() as pages:
        for _ in range(3):
            with pages.inside(pair.behind.url, "polling", withCredentials=True, rejectUnauthorized=False) as page:
                for _ in range(3):
                    page.ask("chat_stream", {"message": "Who?"})
                page.until("chat_complete", times=3)

                assert page.all("disconnect", "connect_error") == []
