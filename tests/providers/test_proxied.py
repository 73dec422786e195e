"""Through a proxy: a real one on the loopback, and which addresses go through it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from rivermouth.clock import SystemClock
from rivermouth.errors import NoModel, ProviderBroken, ProviderSilent, ProviderUnreachable
from rivermouth.providers._listener import Timeouts
from rivermouth.providers._proxied import Proxied, open_sender, proxy_for
from rivermouth.providers._upstream import Upstream, target_of
from rivermouth.providers.openai import OpenAI, base_of
from rivermouth.testing.lying import GOOD, SSE, Close, LyingServer, Move, Read, Send, Stall, chunk, delta
from rivermouth.testing.providers import Heard
from tests.providers.world import ASK, LONG, SHORT, live

MODEL = "http://model.test"


class Proxy:
    """Leads every request to one server, whatever host it names; `asked` are the request lines."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.asked: list[str] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = await reader.readline()
        self.asked.append(line.decode())
        inner_reader, inner = await asyncio.open_connection("127.0.0.1", self._port)
        inner.write(line)
        there = asyncio.create_task(carry(reader, inner))
        await carry(inner_reader, writer)
        there.cancel()


async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
    finally:
        writer.close()


@asynccontextmanager
async def through(
    script: tuple[Move, ...], timeouts: Timeouts = LONG
) -> AsyncIterator[tuple[OpenAI, LyingServer, Proxy]]:
    async with LyingServer(script) as server:
        proxy = Proxy(server.port)
        listening = await asyncio.start_server(proxy, "127.0.0.1", 0)
        address = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        sender = open_sender(MODEL, timeouts, max_idle=5, environ={"HTTP_PROXY": address})
        provider = OpenAI(base_of(MODEL), sender, SystemClock())
        yield provider, server, proxy
        await provider.close()
        listening.close()


@live
async def test_an_answer_comes_through_the_proxy() -> None:
    async with through(GOOD) as (provider, _, proxy):
        heard = Heard()
        finish = await provider.stream(ASK, heard)

        assert (heard.joined(), finish.reason) == ("Hello there", "stop")
        assert proxy.asked[0].startswith(f"POST {MODEL}/v1/chat/completions ")


@live
async def test_an_answer_that_breaks_behind_the_proxy_is_broken() -> None:
    async with through((Read(), Send(SSE + chunk(delta("Hel"))), Close())) as (provider, _, _proxy):
        with pytest.raises(ProviderBroken):
            await provider.stream(ASK, Heard())


@live
async def test_silence_behind_the_proxy_is_noticed() -> None:
    timeouts = Timeouts(connect=SHORT.connect, first_byte=5, idle=0.05)
    async with through((Read(), Send(SSE), Stall()), timeouts) as (provider, server, _):
        with pytest.raises(ProviderSilent):
            await provider.stream(ASK, Heard())
        await server.gone.wait()


@live
async def test_cancelling_hangs_up_behind_the_proxy_too() -> None:
    async with through((Read(), Send(SSE + chunk(delta("x"))), Stall())) as (provider, server, _):
        heard = Heard()
        call = asyncio.create_task(provider.stream(ASK, heard))
        await heard.first.wait()
        call.cancel()
        await asyncio.wait([call])

        await server.gone.wait()


@live
async def test_a_proxy_that_is_not_there_is_unreachable_and_its_password_unsaid() -> None:
    environ = {"http_proxy": "http://user:secret@127.0.0.1:1"}
    provider = OpenAI(base_of(MODEL), open_sender(MODEL, LONG, max_idle=5, environ=environ), SystemClock())
    with pytest.raises(ProviderUnreachable) as caught:
        await provider.stream(ASK, Heard())
    await provider.close()

    assert "secret" not in caught.value.message


def test_without_aiohttp_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "aiohttp", None)

    with pytest.raises(NoModel, match="rivermouth\\[proxy\\]"):
        Proxied("http://p:1", LONG)


def test_without_a_proxy_our_own_reader_is_used() -> None:
    assert isinstance(open_sender(MODEL, LONG, max_idle=5, environ={}), Upstream)


@pytest.mark.parametrize(
    ("url", "environ", "proxy"),
    [
        ("http://m.test/", {"HTTP_PROXY": "http://p:1"}, "http://p:1"),
        ("http://m.test/", {"http_proxy": "p:1"}, "http://p:1"),
        ("https://m.test/", {"HTTP_PROXY": "http://p:1"}, None),
        ("https://m.test/", {"HTTPS_PROXY": "http://p:1"}, "http://p:1"),
        ("http://localhost:1/", {"HTTP_PROXY": "http://p:1"}, None),
        ("http://127.0.0.9/", {"HTTP_PROXY": "http://p:1"}, None),
        ("http://[::1]/", {"HTTP_PROXY": "http://p:1"}, None),
        ("http://m.test/", {"HTTP_PROXY": "http://p:1", "NO_PROXY": "*"}, None),
        ("http://m.test/", {"HTTP_PROXY": "http://p:1", "NO_PROXY": "a.test, m.test"}, None),
        ("http://x.m.test/", {"HTTP_PROXY": "http://p:1", "no_proxy": ".m.test"}, None),
        ("http://xm.test/", {"HTTP_PROXY": "http://p:1", "no_proxy": "m.test"}, "http://p:1"),
        ("http://m.test:81/", {"HTTP_PROXY": "http://p:1", "no_proxy": "m.test:81"}, None),
        ("http://m.test:82/", {"HTTP_PROXY": "http://p:1", "no_proxy": "m.test:81"}, "http://p:1"),
        ("http://10.1.2.3/", {"HTTP_PROXY": "http://p:1", "no_proxy": "10.0.0.0/8"}, None),
        ("http://11.1.2.3/", {"HTTP_PROXY": "http://p:1", "no_proxy": "10.0.0.0/8"}, "http://p:1"),
        ("http://m.test/", {"HTTP_PROXY": ""}, None),
    ],
)
def test_the_environment_says_which_addresses_take_a_proxy(
    url: str, environ: dict[str, str], proxy: str | None
) -> None:
    assert proxy_for(target_of(url), environ) == proxy
