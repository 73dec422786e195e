"""Where a tool may connect to: addresses of the public internet alone, and exactly those that were looked at.

A name is resolved once. Every address it has is checked, and the connection goes to such an address by its number, so that an
answer of the name server which changes between the look and the connection (DNS rebinding) changes nothing.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Callable

from rivermouth.tools import ToolFailed

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Permitted = Callable[[Address], bool]
TRANSLATED = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("64:ff9b:1::/48"))
"""NAT64 (RFC 6052, RFC 8215): an IPv4 address is the last 32 bits."""


def public(address: Address) -> bool:
    """Whether it belongs to the public internet, with whatever IPv4 address is inside it."""
    inner = _inside(address)
    if inner is not None:
        return public(inner)
    site = isinstance(address, ipaddress.IPv6Address) and address.is_site_local
    kept = address.is_private or address.is_loopback or address.is_link_local or address.is_reserved or site
    return address.is_global and not kept and not address.is_multicast and not address.is_unspecified


def _inside(address: Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 one stands for, by mapping, translation or a tunnel."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if any(address in network for network in TRANSLATED):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    tunnel = address.teredo[1] if address.teredo else None
    return address.ipv4_mapped or address.sixtofour or tunnel


async def addresses_of(host: str, port: int, permitted: Permitted) -> list[str]:
    """The addresses of that host, in the system's order. Raises: ToolFailed where it has none, or one that is not permitted."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise ToolFailed(f"there is no host {host}") from None
    numbers = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    if not numbers:
        raise ToolFailed(f"there is no host {host}")
    if not all(permitted(ipaddress.ip_address(number)) for number in numbers):
        raise ToolFailed(f"{host} has an address that is not of the public internet, so it is not fetched")
    return numbers
