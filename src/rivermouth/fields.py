"""What a setting may look like: the types of its value, and the words that say what would fit."""

import ipaddress
import re
from collections.abc import Mapping
from typing import Annotated, NamedTuple

import limits
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

SYSTEMS = ("knowbase", "ares", "wisqu", "session", "smarttalk")

SHARED: dict[str, tuple[str, ...]] = {
    "/api/chat": ("ares", "session", "smarttalk"),
    "/api/chat/stream": ("ares", "session"),
    "/api/v1/chat": ("knowbase", "wisqu"),
    "/api/auth/register": ("ares", "session"),
    "/api/auth/login": ("ares", "session"),
    "/api/v1/conversations": ("knowbase", "wisqu"),
}
"""Paths that several systems serve, and which. Source: contracts/README.md, "One host, one port"."""


class Section(BaseModel):
    """A group of settings."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class Listener(NamedTuple):
    """A further address to listen on, that serves one system alone."""

    host: str
    port: int
    system: str


def listener(text: str) -> Listener:
    """`127.0.0.1:3000=ares`, or `[::1]:3000=ares`, in its parts. Raises: ValueError."""
    match = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^\s:=\[\]]+):(\d{1,5})=(\w+)", text)
    if match is None or int(match[2]) > 65535:
        raise ValueError("a listener is HOST:PORT=SYSTEM, such as 127.0.0.1:3000=ares")
    if match[3] not in SYSTEMS:
        raise ValueError(f"there is no system {match[3]!r}; there are {', '.join(SYSTEMS)}")
    return Listener(match[1].strip("[]"), int(match[2]), match[3])


def is_local(host: str) -> bool:
    """Whether that name or address is this machine's, for itself alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost" or host.lower().endswith(".localhost")


def _listeners(entries: tuple[str, ...]) -> tuple[str, ...]:
    taken = [found[:2] for found in map(listener, entries) if found.port]
    for host, port in taken:
        if taken.count((host, port)) > 1:
            raise ValueError(f"{host}:{port} is listed twice")
    return entries


def _networks(entries: tuple[str, ...]) -> tuple[str, ...]:
    for entry in entries:
        ipaddress.ip_network(entry, strict=False)
    return entries


def _system(name: str) -> str:
    if name not in SYSTEMS:
        raise ValueError(f"there is no system {name!r}; there are {', '.join(SYSTEMS)}")
    return name


def _origins(entries: tuple[str, ...]) -> tuple[str, ...]:
    for entry in entries:
        # Browsers send it in lower case and without a slash at the end; anything else would never be met.
        match = re.fullmatch(r"[a-z][a-z0-9+.-]*://(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::(\d{1,5}))?", entry)
        if entry != "null" and (match is None or int(match[1] or 0) > 65535):
            raise ValueError(
                f"{entry!r} is no origin: it is scheme://host or scheme://host:port in lower case, without a path, or null"
            )
    return entries


def _rate(text: str) -> str:
    try:
        items = limits.parse_many(text)
    except ValueError:
        raise ValueError("a rate is a number and a unit, such as 20/minute or 20/minute;200/hour") from None
    if not all(item.amount > 0 and item.multiples > 0 for item in items):
        raise ValueError("a rate should be greater than 0; limits.enabled says whether anything is counted")
    return text


def misdirected(defaults: Mapping[str, str]) -> str | None:
    """What is wrong with a choice of systems by path; None where all is well."""
    for path, system in defaults.items():
        if path not in SHARED:
            return f"default_dialects.{path} is for no path that systems share; these are {', '.join(SHARED)}"
        if system not in SHARED[path]:
            return (
                f"default_dialects.{path} is {system!r}, which does not serve that path; {', '.join(SHARED[path])} do"
            )
    return None


def _on_disconnect(text: str) -> str:
    verb, _, seconds = text.partition("=")
    fits = re.fullmatch(r"\d+(\.\d+)?", seconds) and float(seconds) <= 86_400
    if text not in ("continue", "cancel") and not (verb == "cancel_after" and fits):
        raise ValueError("it is continue, cancel or cancel_after=SECONDS, at most 86400")
    return text


def _secret(value: SecretStr) -> SecretStr:
    if len(value.get_secret_value()) < 32:
        raise ValueError("a secret has at least 32 characters")
    return value


def _redis_url(value: SecretStr) -> SecretStr:
    if not re.match(r"(rediss?|unix)://", value.get_secret_value()):
        raise ValueError("it is redis://HOST:PORT/NUMBER, rediss:// for TLS, or unix://PATH")
    return value


def _database_url(value: SecretStr) -> SecretStr:
    if not re.match(r"postgres(ql)?(\+asyncpg)?://", value.get_secret_value()):
        raise ValueError("it is postgresql://USER:PASSWORD@HOST:PORT/DATABASE; without it, rows are kept in SQLite")
    return value


Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Pause = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(gt=0)]
Rate = Annotated[str, AfterValidator(_rate)]
OnDisconnect = Annotated[str, AfterValidator(_on_disconnect)]
Secret = Annotated[SecretStr, AfterValidator(_secret)]
RedisUrl = Annotated[SecretStr, AfterValidator(_redis_url)]
DatabaseUrl = Annotated[SecretStr, AfterValidator(_database_url)]
System = Annotated[str, AfterValidator(_system)]
Origins = Annotated[tuple[str, ...], AfterValidator(_origins)]
Listeners = Annotated[tuple[str, ...], AfterValidator(_listeners)]
Networks = Annotated[tuple[str, ...], AfterValidator(_networks)]
Url = Annotated[str, Field(pattern=r"^(https?://[^\s/]+|scripted:)")]
