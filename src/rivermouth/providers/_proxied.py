"""The same calls through a proxy, by aiohttp, where HTTP_PROXY or HTTPS_PROXY says so and NO_PROXY does not object."""

import asyncio
import ipaddress
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from rivermouth.errors import NoModel, ProviderBroken, ProviderSilent, ProviderUnreachable
from rivermouth.providers._listener import Listener, Timeouts
from rivermouth.providers._upstream import Call, Target, Upstream, target_of
from rivermouth.pulse import Pulse

if TYPE_CHECKING:
    import aiohttp


class Sender(Protocol):
    """What makes calls: `Upstream`, or `Proxied` in its place."""

    async def send(self, call: Call, listener: Listener, *, fresh: bool = False) -> None:
        """See `Upstream.send`."""

    async def close(self) -> None:
        """Close every connection. Twice is once."""


def open_sender(
    url: str, timeouts: Timeouts, *, max_idle: int, environ: Mapping[str, str], pulse: Pulse | None = None
) -> Sender:
    """The sender that leads to `url`. Raises: NoModel where a proxy is set and aiohttp is not installed."""
    proxy = proxy_for(target_of(url), environ)
    return Upstream(timeouts, max_idle=max_idle, pulse=pulse) if proxy is None else Proxied(proxy, timeouts)


def proxy_for(target: Target, environ: Mapping[str, str]) -> str | None:
    """The proxy that `environ` names for `target`. Never one for this machine itself: a model beside us needs none."""
    name = "https_proxy" if target.secure else "http_proxy"
    proxy = environ.get(name) or environ.get(name.upper())
    if not proxy or is_loopback(target.host):
        return None
    exceptions = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    if any(_matches(target, rule.strip().lower()) for rule in exceptions.split(",")):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine, by its name or its address."""
    address = _address(host)
    return address.is_loopback if address is not None else host == "localhost" or host.endswith(".localhost")


def _matches(target: Target, rule: str) -> bool:
    if rule in ("", "*"):
        return rule == "*"
    address = _address(target.host)
    if address is not None and "/" in rule:
        return _in_network(address, rule)
    if rule.endswith(f":{target.port}"):
        rule = rule.removesuffix(f":{target.port}")
    rule = rule.strip("[]").removeprefix("*").removeprefix(".")
    return target.host == rule or target.host.endswith(f".{rule}")


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _in_network(address: ipaddress.IPv4Address | ipaddress.IPv6Address, rule: str) -> bool:
    try:
        return address in ipaddress.ip_network(rule, strict=False)
    except ValueError:
        return False


class Proxied:
    """Calls through a proxy. The proxy's address may carry a password and is in no message, log or repr."""

    def __init__(self, proxy: str, timeouts: Timeouts) -> None:
        try:
            import aiohttp  # noqa: PLC0415, an optional extra
        except ImportError as error:
            raise NoModel(
                "a proxy is set for the model's server; install it with: pip install rivermouth[proxy]"
            ) from error
        self._aiohttp = aiohttp
        self._proxy, self._timeouts = proxy, timeouts
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    async def send(self, call: Call, listener: Listener, *, fresh: bool = False) -> None:
        """See `Upstream.send`; aiohttp makes new connections where kept ones are stale."""
        http = self._aiohttp
        try:
            await self._exchange(call, listener)
        except (http.ConnectionTimeoutError, http.ClientConnectorError, http.ClientHttpProxyError) as error:
            raise ProviderUnreachable("no connection to the model's server through the proxy") from error
        except TimeoutError as error:
            raise ProviderSilent("the model's server, or the proxy before it, was silent too long") from error
        except (http.ClientError, OSError, ValueError) as error:
            raise ProviderBroken("the model's server broke the connection off") from error

    async def close(self) -> None:
        """Close every connection. Twice is once."""
        self._closed = True
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _exchange(self, call: Call, listener: Listener) -> None:
        loop, limits = asyncio.get_running_loop(), self._timeouts
        request = self._open_session().request(
            call.method,
            call.url,
            headers=call.headers,
            data=call.body or None,
            proxy=self._proxy,
            allow_redirects=False,
        )
        async with asyncio.timeout(limits.connect + limits.first_byte) as clock, request as response:
            clock.reschedule(loop.time() + limits.idle)
            listener.head(response.status, {name.lower(): value for name, value in response.headers.items()})
            async for data in response.content.iter_any():
                clock.reschedule(loop.time() + limits.idle)
                if listener.body(data):
                    return

    def _open_session(self) -> "aiohttp.ClientSession":
        if self._closed:
            raise ProviderUnreachable("the connection to the model's server is closed")
        if self._session is None:
            http = self._aiohttp
            self._session = http.ClientSession(
                connector=http.TCPConnector(limit=0),
                timeout=http.ClientTimeout(total=None, sock_connect=self._timeouts.connect),
                headers={"Accept-Encoding": "identity"},
                skip_auto_headers=("User-Agent",),
            )
        return self._session
