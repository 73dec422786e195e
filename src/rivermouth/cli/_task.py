"""What a parent and its workers say to each other, a line of JSON each."""

from typing import Any

import msgspec
from pydantic import SecretStr

from rivermouth.providers._lending import Lent, NotLent
from rivermouth.settings import Settings

READY = b"ready\n"
"""All that a worker ever says."""


class Task(msgspec.Struct, frozen=True):
    """What a worker is to do. seats: the file descriptors of every worker's listeners; seat: which are its own.

    folder, number: where meters are kept, and under which number.
    """

    settings: dict[str, Any]
    seats: list[list[int]]
    seat: int
    folder: str
    number: int


class Leave(msgspec.Struct, frozen=True, tag=True):
    """Drain, then end. listening: go on answering whoever comes; False where another worker has taken the seat.

    at_once: said after another one; what is going on is cut short.
    """

    listening: bool
    at_once: bool = False


News = Lent | NotLent | Leave


def plain(settings: Settings) -> dict[str, Any]:
    """All settings as JSON has them, secrets too: for a pipe to a child, and nothing else."""
    tree: dict[str, Any] = msgspec.to_builtins(settings.model_dump(by_alias=True), enc_hook=_plain)
    return tree


def _plain(value: object) -> object:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)
