"""What an agent can do besides answering: one module for each tool, or for each kind of tools.

A tool says what it is (`Spec`) and does it (`call`). Whoever runs the tools bounds their time and their output, checks the
arguments against the schema and gives a `ToolFailed` to the model as the result; a tool need only do its work.

A module of this folder, or of the entry-point group `rivermouth.tools`, has an `open` of the shape of `Opener`. An entry point
may also be a plain function with type hints and a docstring.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

import msgspec

from rivermouth.clock import Clock
from rivermouth.events import Source
from rivermouth.settings import Settings


class Spec(msgspec.Struct, frozen=True, kw_only=True):
    """What a model is told of a tool, and what bounds it.

    parameters: the JSON Schema of an object. confirm: a person says yes to each call before it is made.
    seconds: the longest a call may take. output_chars: the most of its result that a model is shown.
    """

    name: str
    description: str
    parameters: dict[str, Any]
    confirm: bool = False
    seconds: float = 20.0
    output_chars: int = 16_000


class Asker(msgspec.Struct, frozen=True, kw_only=True):
    """On whose behalf a tool is called, and where it may look.

    search: the passages that suit some words, best first, at most so many. read: the text of a file, or of one place in it.
    Both see what the asker may see in this run and nothing else; for a file that is not there they raise NotFound.
    """

    owners: tuple[str, ...]
    run: str
    search: Callable[[str, int], Awaitable[list[Source]]]
    read: Callable[[str, str | None], Awaitable[str]]


class ToolFailed(Exception):
    """It did not work; the message is for the model, which may try otherwise."""


class Tool(Protocol):
    """One thing that can be done."""

    @property
    def spec(self) -> Spec:
        """What it is; the same at every look."""

    async def call(self, arguments: dict[str, Any], asker: Asker) -> Any:
        """Do it, and return anything that JSON has. Raises: ToolFailed.

        Calls may overlap. A cancelled one leaves nothing running and nothing open; what it has changed stays changed.
        """


class Toolbox(Protocol):
    """All tools of this server."""

    def named(self, names: Sequence[str]) -> list[Tool]:
        """The tools of these names, in this order, each once; `files.*` is all whose names begin with `files.`.

        A name that no tool has is left out, and logged the first time.
        """

    def all(self) -> list[Tool]:
        """Every tool there is at this moment, by name."""

    async def close(self) -> None:
        """End what was started for the tools. Calling it twice is the same as once."""


Opener = Callable[[Settings, Clock], Sequence[Tool]]
"""`open(settings, clock)` of a module: its tools, none where it is not configured. It must not wait for anything."""
