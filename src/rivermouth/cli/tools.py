"""`rivermouth tools`: what agents can use with these settings."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
import msgspec

from rivermouth import logs
from rivermouth.cli.finding import Finding
from rivermouth.cli.flags import settings_flags, settings_of
from rivermouth.clock import SystemClock
from rivermouth.settings import Settings, SettingsError
from rivermouth.tool_settings import McpServer
from rivermouth.tools import Spec
from rivermouth.tools._toolbox import open_toolbox

SECONDS = 20.0
"""For all MCP servers to answer."""


class Seen(msgspec.Struct):
    """What is there. left_out: plug-ins that are broken, and why. servers: MCP servers, the names of their tools, a problem.
    unfit: of each MCP server the tools that do not fit, and why."""

    tools: list[Spec]
    left_out: dict[str, str]
    servers: dict[str, tuple[list[str], str | None]]
    unfit: dict[str, dict[str, str]] = {}


@click.group("tools")
def group() -> None:
    """List what agents can use.

    \b
    Examples:
      rivermouth tools list
    """


@group.command("list")
@settings_flags("data_dir")
def show(config: Path | None, **values: Any) -> int:
    """List all tools by name, those of MCP servers too; ! marks one that waits for approval. Exits with 1 if any is missing.

    \b
    Examples:
      rivermouth tools list
    """
    settings = settings_of(values, config)
    seen = look(settings)
    width = max(len(spec.name) for spec in seen.tools)
    for spec in seen.tools:
        click.echo(f"{spec.name.ljust(width)} {'!' if spec.confirm else ' '} {_first_sentence(spec.description)}")
    for server, tools in seen.unfit.items():
        for tool, why in tools.items():
            click.echo(f"MCP server {server}: {tool} is left out: {why}", err=True)
    problems = [finding for finding in findings(settings, seen) if not finding.good]
    for finding in problems:
        click.echo(f"{finding.name}: {finding.detail}; to mend it: {finding.fix}", err=True)
    return 1 if problems else 0


def _first_sentence(text: str) -> str:
    line = " ".join(text.split())
    sentence = line.partition(". ")[0]
    return f"{sentence[:97]}…" if len(sentence) > 98 else sentence.removesuffix(".")


def look(settings: Settings) -> Seen:
    """All tools there are, once each MCP server has answered or had its time. Raises: SettingsError."""
    logs.configure(settings.model_copy(update={"log_level": "error"}))  # what is wrong is said in words of our own
    return asyncio.run(_look(settings))


async def _look(settings: Settings) -> Seen:
    box = await open_toolbox(settings, SystemClock())
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(SECONDS):
                await box.tried()
        tools = [tool.spec for tool in box.all()]
        servers = {one.name: ([tool.spec.name for tool in one.tools], one.problem) for one in box.servers}
        slow = f"it does not answer within {SECONDS:g} s"
        unfit = {one.name: one.left_out for one in box.servers}
        return Seen(tools, box.left_out, {name: servers.get(name, ([], slow)) for name in settings.mcp}, unfit)
    finally:
        await box.close()


def tool_findings(settings: Settings) -> Iterator[Finding]:
    """What `rivermouth doctor` says of them."""
    try:
        seen = look(settings)
    except SettingsError as error:
        yield Finding("tools", False, str(error), "mend that module, or take it out of tools.functions")
        return
    yield from findings(settings, seen)


def findings(settings: Settings, seen: Seen) -> Iterator[Finding]:
    """One for the server's own tools, one for each that is broken, one for each MCP server."""
    theirs = {name for names, _ in seen.servers.values() for name in names}
    yield Finding("tools", True, ", ".join(spec.name for spec in seen.tools if spec.name not in theirs))
    for name, why in seen.left_out.items():
        yield Finding(f"tool {name}", False, why, "mend or remove the package that has that entry point")
    for name, (names, problem) in seen.servers.items():
        if problem is None:
            without = "".join(f"; {tool} is left out: {why}" for tool, why in seen.unfit.get(name, {}).items())
            yield Finding(f"MCP server {name}", True, f"{len(names)} tools: {', '.join(names)}"[:500] + without[:1000])
        else:
            yield Finding(f"MCP server {name}", False, problem, _mend(name, settings.mcp[name]))


def _mend(name: str, own: McpServer) -> str:
    if own.url is not None:
        return f"start the server at {own.url}, or set mcp.{name}.url and mcp.{name}.headers to what it wants"
    return f"see what `{' '.join((own.command or '', *own.args))[:200]}` says by itself, or set mcp.{name} to what it needs"
