"""Pages are fetched from allowed hosts at public addresses and from nowhere else, and whatever they send is bounded."""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import trustme

from rivermouth.clock import SystemClock
from rivermouth.loading import load_settings
from rivermouth.settings import Settings, SettingsError
from rivermouth.testing.lying import END, OK, LyingServer, Move, Read, Reset, Send, Stall, chunk, plain
from rivermouth.tool_settings import Fetch
from rivermouth.tools import ToolFailed, _pages
from rivermouth.tools._addresses import Address, public
from rivermouth.tools._toolbox import open_toolbox
from rivermouth.tools.fetch_url import FetchUrl, target_of
from tests.tools.world import ANN

Names = dict[str, list[str]]


def here(address: Address) -> bool:
    return address == ipaddress.ip_address("127.0.0.1")


def told(**names: Any) -> Callable[..., Any]:
    """A resolver with a list of answers for each name, one for each time it is asked; the last one stays."""
    asked: dict[str, int] = {}

    async def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
        answers = names[host]
        answer = answers[min(asked.get(host, 0), len(answers) - 1)]
        asked[host] = asked.get(host, 0) + 1
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (number, port)) for number in answer]

    getaddrinfo.asked = asked  # type: ignore[attr-defined]
    return getaddrinfo


def fetched(
    *scripts: Sequence[Move],
    path: str = "/",
    host: str = "localhost",
    permitted: Callable[[Address], bool] = here,
    resolver: Callable[..., Any] | None = None,
    hosts: tuple[str, ...] = ("localhost:{port}",),
    **limits: Any,
) -> tuple[Any, LyingServer]:
    """What the tool makes of a server that plays these scripts: its result, or the text of its failure."""

    async def story() -> tuple[Any, LyingServer]:
        async with LyingServer(*scripts) as server:
            loop = asyncio.get_running_loop()
            loop.getaddrinfo = resolver or told(localhost=[["127.0.0.1"]])  # type: ignore[method-assign]
            allowed = tuple(entry.format(port=server.port) for entry in hosts)
            tool = FetchUrl(Fetch(hosts=allowed, **limits), permitted=permitted)
            url = path if "://" in path else f"http://{host}:{server.port}{path}"
            try:
                return await tool.call({"url": url.replace("PORT", str(server.port))}, ANN), server
            except ToolFailed as error:
                return str(error), server

    return asyncio.run(asyncio.wait_for(story(), 20))


def page(
    body: str | bytes, kind: str = "text/html; charset=utf-8", status: str = "200 OK", *headers: str
) -> Sequence[Move]:
    data = body.encode() if isinstance(body, str) else body
    return (Read(), Send(plain(status, data, *headers, kind=kind)))


def leads_to(location: str) -> Sequence[Move]:
    return page("", "text/plain", "302 Found", f"Location: {location}")


HTML = """<!doctype html><html><head><title> Tides
 &amp; rivers </title><style>p {}</style><script>steal()</script></head><body><nav><a href=/>Home</a></nav>
<h1>Mouth</h1><p>Where a <b>river</b>
meets the sea.</p><ul><li>delta<li>estuary</ul><p>Größe: 3&nbsp;km</body></html>"""


def test_a_page_is_its_title_and_what_a_person_would_read():
    found, server = fetched(page(HTML), path="/rivers?q=a b&ü=1#top")

    assert found["title"] == "Tides & rivers"
    assert found["text"] == "Mouth\nWhere a river\nmeets the sea.\ndelta\nestuary\nGröße: 3 km"
    assert found["truncated"] is False
    assert server.requests[0].splitlines()[:2] == [
        b"GET /rivers?q=a%20b&%C3%BC=1 HTTP/1.1",
        f"Host: localhost:{server.port}".encode(),
    ]


@pytest.mark.parametrize(
    ("kind", "body", "text"),
    [
        ("application/json", b'{"a": 1}', '{"a": 1}'),
        ("application/ld+json; charset=utf-8", b"[]", "[]"),
        ("text/plain", "Größe".encode(), "Größe"),
        ("text/plain; charset=iso-8859-1", "Größe".encode("latin-1"), "Größe"),
        ("text/plain; charset=punycode", b"gre-4ka", "gre-4ka"),
        ("text/plain; charset=hex", b"6869", "6869"),
        ("text/csv", b"a,b\0\xff", "a,b\ufffd"),
        ("text/html", '<meta charset="windows-1252">Größe'.encode("cp1252"), "Größe"),
        ("TEXT/HTML", b"<p>a<p>b", "a\nb"),
        ("application/xml", b"<a>b</a>", "<a>b</a>"),
    ],
)
def test_text_is_read_in_its_encoding(kind: str, body: bytes, text: str):
    found, _ = fetched(page(body, kind))

    assert found["text"] == text


@pytest.mark.parametrize(
    ("kind", "headers", "reason"),
    [
        ("image/png", (), "that is no text but image/png"),
        ("application/octet-stream", (), "that is no text"),
        ("application/pdf", (), "that is no text"),
        ("", (), "does not say what that is"),
        ("text/html", ("Content-Encoding: gzip",), "compressed"),
    ],
)
def test_all_else_is_refused(kind: str, headers: tuple[str, ...], reason: str):
    found, _ = fetched(page(b"x", kind, "200 OK", *headers))

    assert reason in found


def test_another_status_is_said():
    assert fetched(page("gone", status="404 Not Found"))[0] == "the server answers with status 404"
    assert fetched(page("", status="302 Found"))[0] == "the server answers with status 302"


# Where it may connect to


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1 127.8.8.8 10.0.0.1 172.16.5.5 192.168.1.1 169.254.169.254 100.64.0.1 0.0.0.0 224.0.0.1 255.255.255.255",
        "240.0.0.1 192.0.2.1 198.18.0.1 198.51.100.1 203.0.113.1 :: ::1 fe80::1 fe80::1%1 fc00::1 fd12::1 fec0::1 ff02::1",
        "::ffff:127.0.0.1 ::ffff:10.0.0.1 ::127.0.0.1 64:ff9b::7f00:1 64:ff9b:1::a00:1 2002:7f00:1:: 2002:a00:1:: 2001:db8::1",
        "2001:0:4136:e378:8000:63bf:80ff:fffe 100::1",
    ],
)
def test_an_address_that_is_not_public_is_refused(address: str):
    assert [one for one in address.split() if public(ipaddress.ip_address(one))] == []


@pytest.mark.parametrize(
    "address", ["93.184.215.14", "8.8.8.8", "2606:2800:21f:cb07::1", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_a_public_address_is_permitted(address: str):
    assert public(ipaddress.ip_address(address))


@pytest.mark.parametrize("number", ["127.0.0.1", "169.254.169.254", "::ffff:10.0.0.1", "fe80::1%1"])
def test_an_allowed_name_that_leads_to_a_private_address_is_refused(number: str):
    found, server = fetched(page(HTML), permitted=public, resolver=told(localhost=[[number]]))

    assert found == "localhost has an address that is not of the public internet, so it is not fetched"
    assert server.connections == 0


def test_one_private_address_among_public_ones_is_enough_to_refuse():
    found, _ = fetched(page(HTML), permitted=public, resolver=told(localhost=[["93.184.215.14", "127.0.0.1"]]))

    assert "not of the public internet" in found


def test_the_connection_goes_to_the_address_that_was_checked():
    rebinding = told(localhost=[["127.0.0.1"], ["10.0.0.1"]])
    found, _ = fetched(page(HTML), resolver=rebinding)

    assert found["title"] == "Tides & rivers"
    assert rebinding.asked == {"localhost": 1}  # type: ignore[attr-defined]


def test_a_name_that_changes_between_two_requests_is_looked_at_again():
    rebinding = told(localhost=[["127.0.0.1"], ["10.0.0.1"]])
    found, server = fetched(leads_to("/again"), page(HTML), resolver=rebinding)

    assert "not of the public internet" in found
    assert server.connections == 1


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("http://127.0.0.1:1/", "127.0.0.1:1 is not among the hosts"),
        ("http://169.254.169.254/latest/meta-data/", "169.254.169.254 is not among the hosts"),
        ("http://[::1]:80/", "::1 is not among the hosts"),
        ("//elsewhere.example.org/", "elsewhere.example.org is not among the hosts"),
        ("http://localhost:1/", "localhost:1 is not among the hosts"),
        ("https://localhost/", "localhost is not among the hosts"),
        ("file:///etc/passwd", "begins with http"),
        ("gopher://localhost/", "begins with http"),
        ("http://[", "no address"),
        ("http://user:secret@localhost/", "without a user"),
    ],
)
def test_a_redirect_is_looked_at_like_any_address(location: str, reason: str):
    found, server = fetched(leads_to(location), page(HTML))

    assert reason in found
    assert server.connections == 1


def test_three_redirects_are_followed_and_a_fourth_is_not():
    three, _ = fetched(leads_to("/1"), leads_to("2"), leads_to("?3"), page(HTML))
    four, server = fetched(leads_to("/1"), leads_to("2"), leads_to("?3"), leads_to("/4"), page(HTML))

    assert three["url"].endswith("/2?3")
    assert four == "that leads on and on: more than 3 redirects"
    assert server.connections == 4


@pytest.mark.parametrize(
    ("url", "hosts", "fits"),
    [
        ("https://docs.example.org/a", ("docs.example.org",), True),
        ("https://DOCS.example.org./a", ("docs.example.org",), True),
        ("https://docs.example.org:443/", ("docs.example.org",), True),
        ("https://docs.example.org:8443/", ("docs.example.org",), False),
        ("https://docs.example.org:8443/", ("docs.example.org:8443",), True),
        ("https://docs.example.org/", ("docs.example.org:8443",), False),
        ("https://example.org/", ("*.example.org",), False),
        ("https://a.b.example.org/", ("*.example.org",), True),
        ("https://badexample.org/", ("*.example.org",), False),
        ("https://example.org.evil.com/", ("example.org", "*.example.org"), False),
        ("https://example.org@evil.com/", ("example.org",), False),
        ("https://evil.com#example.org", ("example.org",), False),
        ("https://evil.com\\@example.org/", ("example.org",), False),
        ("https://bücher.example/", ("xn--bcher-kva.example",), True),
        ("https://[2606:2800::1]/", ("[2606:2800::1]",), True),
        ("https:///etc/passwd", ("example.org",), False),
        ("//example.org/", ("example.org",), False),
        ("https://a\ud800.example.org/", ("*.example.org",), False),
        ("https://example.org/\ud800", ("example.org",), False),
        ("https://a b.example.org/", ("*.example.org",), False),
        ("https://example.org:99999/", ("example.org",), False),
        ("https://example.org/" + "a" * 3000, ("example.org",), False),
        ("", ("example.org",), False),
        ("https://" + "a." * 500 + "example.org/", ("*.example.org",), False),
    ],
)
def test_only_what_is_allowed_is_asked_for(url: str, hosts: tuple[str, ...], fits: bool):
    if fits:
        assert target_of(url, hosts).host in [host.partition(":8")[0].strip("[]") for host in hosts] or "*" in hosts[0]
    else:
        with pytest.raises(ToolFailed):
            target_of(url, hosts)


def test_nothing_of_an_address_ends_the_request_line():
    target = target_of("http://example.org/a\r\nX: y\x00 b?c\r\n\r\nd", ("example.org",))

    assert target.path == "/aX:%20y%00%20b?cd"


def test_without_hosts_there_is_no_such_tool():
    def names(fetch: dict[str, Any]) -> list[str]:
        settings = Settings.model_validate({"tools": {"fetch": fetch}})
        return [tool.spec.name for tool in asyncio.run(open_toolbox(settings, SystemClock())).all()]

    assert "fetch_url" not in names({})
    assert "fetch_url" in names({"hosts": ("example.org",)})


@pytest.mark.parametrize("entry", ["https://example.org", "Example.org", "*", "*.*.org", "a b", "example.org/x", ""])
def test_a_host_that_is_none_stops_the_start(entry: str):
    with pytest.raises(SettingsError, match="is no host"):
        load_settings({}, env={"RIVERMOUTH_TOOLS__FETCH__HOSTS": f'["{entry}"]'})


# What it takes


def test_a_large_page_is_cut():
    body = b"".join(b"%07d " % n for n in range(100_000))
    found, _ = fetched((Read(), Send(plain("200 OK", body, kind="text/plain"))), max_bytes=10_000, max_chars=50_000)

    assert (found["text"], found["truncated"]) == (body[:10_000].decode(), True)


def test_a_long_text_is_cut():
    found, _ = fetched(page("river " * 1000, "text/plain"), max_chars=60)

    assert (found["text"], found["truncated"]) == ("river " * 10, True)


def test_an_endless_page_is_left_in_the_middle():
    endless = (
        Read(),
        Send(OK + b"Content-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"),
        *[Send(chunk(b"x" * 4096))] * 8,
    )
    found, _ = fetched((*endless, Stall()), max_bytes=20_000)

    assert (len(found["text"]), found["truncated"]) == (12_000, True)


@pytest.mark.parametrize(
    ("moves", "reason"),
    [
        ((Stall(),), "takes longer than 0.3 s"),
        ((Send(OK), Stall()), "takes longer than 0.3 s"),
        ((Send(OK + b"Content-Type: text/plain\r\nContent-Length: 9\r\n\r\nx"), Stall()), "takes longer than 0.3 s"),
        ((Send(OK + b"Content-Type: text/plain\r\nContent-Length: 9\r\n\r\nx"),), "broke the connection off"),
        ((Reset(),), "broke the connection off"),
        ((), "broke the connection off"),
        ((Send(b"SSH-2.0-OpenSSH_9.2\r\n"), Stall()), "what is not HTTP"),
        ((Send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"), Stall()), "not HTTP"),
        ((Send(OK + b"X: " + b"y" * 200_000),), "bytes of headers"),
        ((Send(b"HTTP/1.1 100 Continue\r\n\r\n" * 4000), Stall()), "bytes of headers"),
    ],
)
def test_a_server_that_does_not_answer_well_is_left(moves: Sequence[Move], reason: str):
    found, _ = fetched((Read(), *moves), timeout=0.3)

    assert reason in found


def test_a_body_is_whole_in_chunks_or_until_the_end():
    kind = b"Content-Type: text/plain\r\n"
    chunked, _ = fetched(
        (Read(), Send(OK + kind + b"Transfer-Encoding: chunked\r\n\r\n" + chunk(b"ri") + chunk(b"ver") + END))
    )
    closed, _ = fetched((Read(), Send(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK + kind + b"\r\nriver")))

    assert chunked["text"] == closed["text"] == "river"


def test_a_page_that_is_made_to_keep_the_parser_busy_costs_its_process(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(_pages, "SECONDS", 0.5)
    found, _ = fetched(page("<div>" * 150_000))

    assert found == "the page is built so that its text cannot be had in time"


def test_a_host_that_is_not_there_is_said():
    async def nobody(host: str, port: int, **_: Any) -> list[Any]:
        raise socket.gaierror(8, "unknown")

    assert fetched(page(HTML), resolver=nobody)[0] == "there is no host localhost"


def test_nobody_listening_is_said():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        found, _ = fetched(path=f"http://localhost:{port}/", hosts=(f"localhost:{port}",))

    assert found == "localhost cannot be reached"


# TLS


@pytest.mark.parametrize(("name", "holds"), [("localhost", True), ("elsewhere.example.org", False)])
def test_the_certificate_is_held_against_the_name(name: str, holds: bool):
    authority, asked = trustme.CA(), []
    ours, theirs = ssl.create_default_context(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.configure_trust(ours)
    authority.issue_cert(name).configure_cert(theirs)
    theirs.sni_callback = lambda socket, server_name, context: asked.append(server_name)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(plain("200 OK", b"river", kind="text/plain"))
        writer.close()

    async def story() -> Any:
        async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=theirs) as server:
            port = server.sockets[0].getsockname()[1]
            tool = FetchUrl(Fetch(hosts=(f"localhost:{port}",)), permitted=here, tls=ours)
            try:
                return (await tool.call({"url": f"https://localhost:{port}/"}, ANN))["text"]
            except ToolFailed as error:
                return str(error)

    found = asyncio.run(story())

    assert asked == ["localhost"]
    assert found == ("river" if holds else "the certificate of localhost does not hold: CERTIFICATE_VERIFY_FAILED")
