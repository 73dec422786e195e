"""Where a server listens: its sockets, and which of them serve one system alone."""

import socket
from collections.abc import Sequence
from typing import NamedTuple

from rivermouth.settings import Settings, SettingsError, listener

BACKLOG = 4096
"""Connections that may wait to be accepted, on each socket."""


class Listeners(NamedTuple):
    """The sockets of one process, the open one first. pinned: the system of each other one, by the address it is bound to."""

    sockets: Sequence[socket.socket]
    pinned: dict[tuple[str, int], str]

    @property
    def urls(self) -> list[str]:
        """The addresses, such as `http://127.0.0.1:8000`."""
        return [_url(*sock.getsockname()[:2]) for sock in self.sockets]

    def close(self) -> None:
        """Close all of them. Twice is once."""
        for sock in self.sockets:
            sock.close()


def bind(settings: Settings) -> Listeners:
    """All listeners of a server that is one process. Raises: SettingsError naming the address that is taken."""
    return _bound(settings, _addresses(settings), shared=False)


def bind_for(settings: Settings, processes: int) -> list[Listeners]:
    """Listeners for each of several processes, all on the same addresses and listening already. Raises: SettingsError.

    The system spreads connections evenly over sockets that share an address. Rejected: one socket for all processes, from
    which whoever wakes first takes most (of 1000 connections to four, one got 379 and another 78, 2026-11-21).
    """
    # Bound once without sharing: else another server of the same user could share the address with us, unknown to both.
    alone = bind(settings)
    addresses = [sock.getsockname()[:2] for sock in alone.sockets]
    alone.close()
    found = [_bound(settings, addresses, shared=True) for _ in range(processes)]
    for listeners in found:
        for sock in listeners.sockets:
            sock.listen(BACKLOG)
            sock.setblocking(False)
    return found


def inherited(descriptors: Sequence[int], settings: Settings) -> Listeners:
    """Listeners that another process has bound for this one."""
    sockets = [socket.socket(fileno=descriptor) for descriptor in descriptors]
    return Listeners(sockets, _pinned(sockets, settings))


def _pinned(sockets: Sequence[socket.socket], settings: Settings) -> dict[tuple[str, int], str]:
    names = [sock.getsockname()[:2] for sock in sockets[1:]]
    return dict(zip(names, (listener(entry).system for entry in settings.listen), strict=True))


def _addresses(settings: Settings) -> list[tuple[str, int]]:
    return [(settings.host, settings.port), *(listener(entry)[:2] for entry in settings.listen)]


def _bound(settings: Settings, addresses: list[tuple[str, int]], *, shared: bool) -> Listeners:
    sockets: list[socket.socket] = []
    try:
        for host, port in addresses:
            sockets.append(_listener(host, port, settings.runs.send_timeout, shared=shared))
    except SettingsError:
        Listeners(sockets, {}).close()
        raise
    return Listeners(sockets, _pinned(sockets, settings))


def family(host: str) -> socket.AddressFamily:
    """What a socket for that address is of; a name is one of IPv4."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _listener(host: str, port: int, send_timeout: float, *, shared: bool) -> socket.socket:
    """A bound socket whose connections the kernel drops once the other side has taken nothing for `send_timeout` seconds.

    That is true of every answer, and also once all of it is written, when no watcher looks any more.
    """
    # asyncio (not uvloop) leaves Nagle's algorithm on where a socket does not name TCP: 40 ms for each small answer.
    sock = socket.socket(family(host), socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(send_timeout * 1000))
    if shared:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise SettingsError(
            f"cannot listen on {host}:{port}: {error.strerror}; stop what uses it, or choose another with --port"
        ) from error
    return sock
