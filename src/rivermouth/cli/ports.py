"""The addresses a server would listen on, and whether it can."""

import socket

from rivermouth.settings import Settings, listener


def addresses(settings: Settings) -> list[tuple[str, int]]:
    """The main address and those of the further listeners."""
    return [(settings.host, settings.port), *(listener(entry)[:2] for entry in settings.listen)]


def port_problem(host: str, port: int) -> str | None:
    """Why that address cannot be listened on; None where it can."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        return (error.strerror or str(error)).lower()
    return None
