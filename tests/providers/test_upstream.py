"""The upstream reader against sockets that lie."""

import asyncio
import socket
import ssl

import pytest
import trustme

from rivermouth.errors import ProviderBroken, ProviderSilent, ProviderUnreachable
from rivermouth.providers._listener import Timeouts
from rivermouth.providers._upstream import Call, Collected, Upstream, request_bytes, target_of
from rivermouth.testing.lying import END, OK, SSE, Await, Close, LyingServer, Read, Reset, Send, Stall, chunk, plain
from tests.providers.world import LONG, SHORT, get, live, upstream

CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "response",
    [
        pytest.param(plain("200 OK", b"river"), id="content-length"),
        pytest.param(CHUNKED + chunk(b"ri") + chunk(b"ver") + END, id="chunked"),
        pytest.param(CHUNKED + b"5;ext=1\r\nriver\r\n0\r\nTrailer: x\r\n\r\n", id="chunked with extension and trailer"),
        pytest.param(OK + b"\r\nriver", id="until closed"),
        pytest.param(b"HTTP/1.0 200 OK\r\n\r\nriver", id="http 1.0"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" + plain("200 OK", b"river"), id="after 100"),
        pytest.param(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + plain("200 OK", b"river"), id="after 103"),
    ],
)
@live
async def test_a_body_comes_whole_however_it_is_delimited(response: bytes) -> None:
    async with LyingServer((Read(), Send(response))) as server, upstream() as sender:
        heard = await get(sender, server)

        assert (heard.status, bytes(heard.content)) == (200, b"river")
        assert "link" not in heard.headers


@pytest.mark.parametrize("response", [plain("200 OK", b"river"), CHUNKED + chunk(b"river") + END])
@live
async def test_a_response_in_single_bytes_is_the_same(response: bytes) -> None:
    script = (Read(), *(Send(response[at : at + 1]) for at in range(len(response))), Stall())
    async with LyingServer(script) as server, upstream() as sender:
        heard = await get(sender, server)

        assert bytes(heard.content) == b"river"


@live
async def test_a_connection_is_used_again() -> None:
    script = (Read(), Send(plain("200 OK", b"one")), Read(), Send(plain("200 OK", b"two")), Stall())
    async with LyingServer(script) as server, upstream() as sender:
        first, second = await get(sender, server), await get(sender, server)

        assert (bytes(first.content), bytes(second.content), server.connections) == (b"one", b"two", 1)


@pytest.mark.parametrize(
    "response",
    [
        pytest.param(plain("200 OK", b"x", "Connection: close"), id="connection close"),
        pytest.param(plain("200 OK", b"x") + b"HTTP/1.1 200 OK\r\n", id="bytes after the end"),
        pytest.param(b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", id="http 1.0"),
    ],
)
@live
async def test_a_connection_that_cannot_be_kept_is_not_used_again(response: bytes) -> None:
    async with LyingServer((Read(), Send(response), Stall())) as server, upstream() as sender:
        await get(sender, server)
        await get(sender, server)

        assert server.connections == 2


@live
async def test_no_more_connections_are_kept_than_allowed() -> None:
    script = (Read(), Send(plain("200 OK", b"x")), Read(), Send(plain("200 OK", b"y")), Stall())
    async with LyingServer(script) as server, upstream(max_idle=1) as sender:
        await asyncio.gather(*(get(sender, server) for _ in range(3)))
        await asyncio.gather(get(sender, server), get(sender, server))

        assert server.connections == 4


@pytest.mark.parametrize("farewell", [Close(), Reset()])
@live
async def test_a_kept_connection_that_dies_under_a_request_is_replaced_once(farewell: Close | Reset) -> None:
    first = (Read(), Send(plain("200 OK", b"one")), Read(), farewell)
    async with LyingServer(first, (Read(), Send(plain("200 OK", b"two")))) as server, upstream() as sender:
        await get(sender, server)
        heard = await get(sender, server)

        assert (bytes(heard.content), server.connections, len(server.requests)) == (b"two", 2, 3)


@live
async def test_a_kept_connection_that_the_server_closed_meanwhile_is_not_used() -> None:
    first = (Read(), Send(plain("200 OK", b"one")), Await(), Close())
    async with LyingServer(first, (Read(), Send(plain("200 OK", b"two")))) as server, upstream() as sender:
        await get(sender, server)
        (connection,) = sender._open
        server.tell()
        await connection.gone
        heard = await get(sender, server)

        assert (bytes(heard.content), len(server.requests)) == (b"two", 2)


@live
async def test_a_kept_connection_that_dies_after_the_first_byte_is_broken_not_stale() -> None:
    first = (Read(), Send(plain("200 OK", b"one")), Read(), Send(b"HTTP/1.1 2"), Close())
    async with LyingServer(first) as server, upstream() as sender:
        await get(sender, server)

        with pytest.raises(ProviderBroken):
            await get(sender, server)
        assert len(server.requests) == 2


@pytest.mark.parametrize(
    "moves",
    [
        pytest.param((Reset(),), id="at once"),
        pytest.param((Read(), Reset()), id="after the request"),
        pytest.param((Read(), Close()), id="closed without an answer"),
        pytest.param((Read(), Send(b"HTTP/1.1 200 O"), Reset()), id="in the status line"),
        pytest.param((Read(), Send(OK + b"Content-"), Close()), id="in the headers"),
        pytest.param((Read(), Send(SSE), Reset()), id="after the head"),
        pytest.param((Read(), Send(SSE + b"ff\r\nhalf"), Close()), id="in a chunk"),
        pytest.param((Read(), Send(SSE + chunk(b"x")), Close()), id="between chunks"),
        pytest.param((Read(), Send(OK + b"Content-Length: 9\r\n\r\nhalf"), Close()), id="in a body of known length"),
        pytest.param((Read(), Send(SSE + b"3\r\nlonger than said\r\n")), id="wrong chunk size"),
        pytest.param((Read(), Send(SSE + b"xyz\r\n")), id="no chunk size"),
        pytest.param((Read(), Send(b"\x16\x03\x01 garbage\r\n\r\n")), id="garbage"),
        pytest.param(
            (Read(), Send(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")), id="upgrade"
        ),
        pytest.param((Read(), Send(OK + b"Content-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx")), id="compressed"),
        pytest.param((Read(), Send(OK + b"X: " + b"y" * 70_000)), id="huge header"),
        pytest.param((Read(), Send(OK + b"X: y\r\n" * 15_000)), id="endless headers"),
        pytest.param((Read(), Send(b"HTTP/1.1 103 Early\r\n\r\n" * 5_000)), id="endless hints"),
        pytest.param((Read(), Send(CHUNKED + b"0\r\nT: " + b"y" * 70_000), Stall()), id="endless trailer"),
    ],
)
@live
async def test_a_response_that_breaks_is_a_provider_broken(
    moves: tuple[Read | Send | Reset | Close | Stall, ...],
) -> None:
    async with LyingServer(moves) as server, upstream() as sender:
        with pytest.raises(ProviderBroken):
            await get(sender, server)


@pytest.mark.parametrize(
    "start",
    [b"", b"HTTP/1.1 20", SSE, SSE + chunk(b"data: x\n\n")],
    ids=["nothing", "slow head", "head", "part of a body"],
)
@live
async def test_a_silent_server_is_a_provider_silent_and_hung_up_on(start: bytes) -> None:
    async with LyingServer((Read(), Send(start), Stall())) as server, upstream(SHORT) as sender:
        with pytest.raises(ProviderSilent):
            await get(sender, server)
        await server.gone.wait()


@live
async def test_the_idle_time_counts_from_the_last_read() -> None:
    timeouts = Timeouts(connect=2, first_byte=0.05, idle=0.3)
    async with (
        LyingServer((Read(), Send(SSE), Await(), Send(chunk(b"x") + END))) as server,
        upstream(timeouts) as sender,
    ):
        asyncio.get_running_loop().call_later(0.15, server.tell)
        heard = await get(sender, server)

        assert bytes(heard.content) == b"x"


@live
async def test_cancelling_closes_the_socket() -> None:
    async with LyingServer((Read(), Send(SSE + chunk(b"x")), Stall())) as server, upstream() as sender:
        heard = Collected()
        call = asyncio.create_task(sender.send(Call(method="GET", url=server.url), heard))
        while not heard.content:  # noqa: ASYNC110, the reader's own buffer has no event
            await asyncio.sleep(0)
        call.cancel()
        await asyncio.wait([call])

        assert call.cancelled()
        await server.gone.wait()


@live
async def test_a_refused_connection_is_unreachable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/"
        async with upstream() as sender:
            with pytest.raises(ProviderUnreachable, match="refuses"):
                await sender.send(Call(method="GET", url=url), Collected())


@live
async def test_a_name_that_cannot_be_one_is_unreachable() -> None:
    async with upstream() as sender:
        with pytest.raises(ProviderUnreachable):
            await sender.send(Call(method="GET", url=f"http://{'a' * 64}.invalid/"), Collected())


@live
async def test_tls_to_a_server_that_speaks_none_is_unreachable() -> None:
    async with LyingServer((Send(plain("400 Bad Request")),)) as server, upstream() as sender:
        with pytest.raises(ProviderUnreachable, match="TLS"):
            await sender.send(Call(method="GET", url=server.url.replace("http:", "https:")), Collected())


@live
async def test_tls_works_and_an_untrusted_certificate_does_not() -> None:
    authority = trustme.CA()
    inner, outer = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("localhost").configure_cert(inner)
    authority.configure_trust(outer)

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(plain("200 OK", b"river"))
        await reader.read()
        writer.close()

    server = await asyncio.start_server(play, "127.0.0.1", 0, ssl=inner)
    call = Call(method="GET", url=f"https://localhost:{server.sockets[0].getsockname()[1]}/")
    trusting, heard = Upstream(LONG, max_idle=1, context=outer), Collected()
    await trusting.send(call, heard)
    await trusting.close()

    assert bytes(heard.content) == b"river"
    async with upstream() as sender:
        with pytest.raises(ProviderUnreachable, match="not trusted"):
            await sender.send(call, Collected())
    server.close()


@live
async def test_redirects_are_not_followed() -> None:
    async with (
        LyingServer((Read(), Send(plain("302 Found", b"", "Location: /elsewhere")))) as server,
        upstream() as sender,
    ):
        heard = await get(sender, server)

        assert (heard.status, len(server.requests)) == (302, 1)


@live
async def test_a_closed_reader_closes_its_connections_and_takes_no_calls() -> None:
    async with LyingServer((Read(), Send(plain("200 OK", b"x")), Stall())) as server, upstream() as sender:
        await get(sender, server)
        await sender.close()
        await sender.close()

        await server.gone.wait()
        with pytest.raises(ProviderUnreachable):
            await get(sender, server)


def test_a_request_names_its_host_and_length() -> None:
    call = Call(method="POST", url="http://[::1]:81/v1/x?y=1", headers={"A": "b"}, body=b"{}")

    assert request_bytes(call, target_of(call.url)) == (
        b"POST /v1/x?y=1 HTTP/1.1\r\nHost: [::1]:81\r\nAccept-Encoding: identity\r\nA: b\r\nContent-Length: 2\r\n\r\n{}"
    )
