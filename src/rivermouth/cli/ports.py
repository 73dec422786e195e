"""The addresses a server would listen on, and whether it can."""

import errno
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from typing import NamedTuple

from rivermouth.listeners import family
from rivermouth.settings import Settings, listener


class Problem(NamedTuple):
    """Why an address cannot be listened on, and what to do. ours: another listener of the same server has it."""

    why: str
    fix: str
    ours: bool = False


Tried = tuple[str, int, Problem | None]


def addresses(settings: Settings) -> list[tuple[str, int]]:
    """The main address and those of the further listeners."""
    return [(settings.host, settings.port), *(listener(entry)[:2] for entry in settings.listen)]


def problems(settings: Settings) -> list[Tried]:
    """Each of these addresses, and its problem; None where it can be listened on.

    All are tried at once, so that two of them that are one address under two names are found.
    """
    with ExitStack() as probes:
        tried: list[Tried] = []
        for host, port in addresses(settings):
            error = _error(host, port, probes)
            tried.append((host, port, None if error is None else _problem(error, host, port, tried)))
        return tried


def _error(host: str, port: int, probes: ExitStack) -> OSError | None:
    try:
        probe = probes.enter_context(socket.socket(family(host), socket.SOCK_STREAM))
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
        probe.listen()  # of two sockets that may reuse an address, both can be bound to it until one listens
    except OSError as error:
        return error
    return None


def _problem(error: OSError, host: str, port: int, before: Sequence[Tried]) -> Problem:
    host_flag, port_flag = ("--listen", "--listen") if before else ("--host", "--port")
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return Problem(f"{host} is no address of this machine", f"choose another one with {host_flag}")
    why = (error.strerror or str(error)).lower()
    if error.errno != errno.EADDRINUSE:
        return Problem(why, f"choose another one with {port_flag}")
    if any(problem is None and taken == port and _meet(host, other) for other, taken, problem in before):
        return Problem("another listener of this server has that address", "choose another port", ours=True)
    return Problem(why, f"stop what uses port {port}, or choose another one with {port_flag}")


def _meet(host: str, other: str) -> bool:
    """Whether both are one address, or one of them is all addresses."""
    one, another = (str(socket.getaddrinfo(name, None, family(name))[0][4][0]) for name in (host, other))
    return one == another or bool({one, another} & {"0.0.0.0", "::"})  # noqa: S104
