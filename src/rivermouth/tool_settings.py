"""The settings of tools: which functions, which pages, which MCP servers. What they are good for is in docs/tools.md."""

import re
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from rivermouth.fields import Count, Seconds, Section, Url


def _hosts(entries: tuple[str, ...]) -> tuple[str, ...]:
    for entry in entries:
        if not re.fullmatch(r"(\*\.)?([a-z0-9_-]+\.)*[a-z0-9_-]+(:\d{1,5})?|\[[0-9a-f:.]+\](:\d{1,5})?", entry):
            raise ValueError(
                f"{entry!r} is no host: it is a name in lower case, such as docs.example.org, *.example.org for all names "
                "below one, or with a port, as in docs.example.org:8443"
            )
    return entries


def _servers(servers: dict[str, "McpServer"]) -> dict[str, "McpServer"]:
    for name in servers:
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,32}", name):
            raise ValueError(f"mcp takes no server named {name!r}: a name has letters, digits, - and _, at most 32")
    return servers


def _functions(entries: tuple[str, ...]) -> tuple[str, ...]:
    for entry in entries:
        if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*(:[A-Za-z_]\w*)?", entry):
            raise ValueError(
                f"{entry!r} is no function: it is package.module:function, or package.module for one with `open`"
            )
    return entries


Functions = Annotated[tuple[str, ...], AfterValidator(_functions)]
Hosts = Annotated[tuple[str, ...], AfterValidator(_hosts)]


class Fetch(Section):
    """The tool `fetch_url`, which is there only where `hosts` names some."""

    hosts: Hosts = Field(
        (), description="Hosts it may fetch from: `docs.example.org`, or `*.example.org` for all below it."
    )
    timeout: Seconds = Field(15.0, description="Seconds for a page, redirects included.")
    max_bytes: Count = Field(1_000_000, description="The most bytes read of a page.")
    max_chars: Count = Field(12_000, description="The most characters of its text that a model is shown.")


class Tools(Section):
    """What agents may use besides the model."""

    functions: Functions = Field(
        (),
        description="Python functions, each `package.module:function`; modules may lie in the data directory's `tools`.",
    )
    confirm: tuple[str, ...] = Field(
        (), description="Tools that wait for a person's approval at each call; `files.*` is all whose names begin so."
    )
    fetch: Fetch = Fetch()


class McpServer(Section):
    """A server of the Model Context Protocol: a `command` that is started, or a `url` that is there."""

    command: str | None = Field(None, description="The program to start, which speaks MCP on its stdin and stdout.")
    args: tuple[str, ...] = Field((), description="Its arguments.")
    env: dict[str, SecretStr] = Field(
        {}, description="Its environment, besides PATH, HOME and the like; of ours it gets nothing else."
    )
    cwd: Path | None = Field(None, description="The folder to start it in; the server's own where unset.")
    url: Url | None = Field(None, description="Where a server listens that speaks MCP over streamable HTTP.")
    headers: dict[str, SecretStr] = Field({}, description="Sent with every request to it, such as Authorization.")
    timeout: Seconds = Field(60.0, description="Seconds that one call of its tools may take.")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.command is None) == (self.url is None):
            raise ValueError("mcp servers have a command or a url, one of the two")
        if self.url is not None and (self.args or self.env or self.cwd):
            raise ValueError("mcp servers with a url take no args, env or cwd, which are for those with a command")
        if self.command is not None and self.headers:
            raise ValueError("mcp servers with a command take no headers, which are for those with a url")
        return self


McpServers = Annotated[dict[str, McpServer], AfterValidator(_servers)]
