"""All tools of a server: opened once, found by name."""

import asyncio
import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from rivermouth import plugins
from rivermouth.clock import Clock
from rivermouth.settings import Settings
from rivermouth.tool_settings import McpServers
from rivermouth.tools import Asker, Spec, Tool, _functions

if TYPE_CHECKING:
    from rivermouth.tools._mcp import Server

logger = structlog.get_logger("rivermouth.tools")


async def open_toolbox(settings: Settings, clock: Clock) -> "Box":
    """The tools that are there with these settings; those of MCP servers come when their servers answer.

    Raises: SettingsError for a function of the settings that cannot be had. A broken plug-in is left out: it may be nobody's
    who runs this server.
    """
    box = Box(_functions.of_settings(settings, clock), settings.tools.confirm)
    for name in plugins.names("tools"):
        try:
            box.add(_functions.of_plugin(plugins.found("tools", name), settings, clock))
        except Exception as error:  # noqa: BLE001, somebody's package may raise anything while it is imported
            box.left_out[name] = f"{type(error).__name__}: {error}".partition("\n")[0][:300]
            logger.warning("tool_left_out", tool=name, reason=box.left_out[name])
    if settings.mcp:
        box.connect(settings.mcp)
    return box


class Box:
    """Tools by their names. confirm: names of those that wait for a person's approval, as the settings have them."""

    def __init__(self, tools: Sequence[Tool], confirm: Sequence[str] = ()) -> None:
        self._own: dict[str, Tool] = {}
        self._confirm = confirm
        self._missed: set[str] = set()
        self._connecting: asyncio.Task[None] | None = None
        self._running: list[asyncio.Task[None]] = []
        self.servers: list[Server] = []
        self.left_out: dict[str, str] = {}
        """Plug-ins that are broken, by name, and why."""
        self.add(tools)

    def add(self, tools: Sequence[Tool]) -> None:
        """Put them in; of two with one name the first stays."""
        self._own = {tool.spec.name: tool for tool in tools} | self._own

    def all(self) -> list[Tool]:
        """Every tool, by name."""
        return [tool for _, tool in sorted(self._by_name().items())]

    def named(self, names: Sequence[str]) -> list[Tool]:
        """Those of these names; what there is not is logged once."""
        there, chosen = self._by_name(), dict[str, Tool]()
        for name in names:
            found = [key for key in sorted(there) if matches(key, name)]
            if not found and name not in self._missed:
                self._missed.add(name)
                logger.warning("tool_missing", tool=name)
            chosen |= {key: there[key] for key in found if key not in chosen}
        return list(chosen.values())

    def _by_name(self) -> dict[str, Tool]:
        others: dict[str, Tool] = {tool.spec.name: tool for server in self.servers for tool in server.tools}
        return {name: self._marked(tool) for name, tool in (others | self._own).items()}

    def _marked(self, tool: Tool) -> Tool:
        return Confirmed(tool) if any(matches(tool.spec.name, one) for one in self._confirm) else tool

    def connect(self, servers: McpServers) -> None:
        """Begin to connect them, and go on doing so until `close`."""
        self._connecting = asyncio.create_task(self._connect(servers))

    async def _connect(self, servers: McpServers) -> None:
        # In a thread, and only where there is a server: importing the SDK takes longer than all the rest of a start.
        module = await asyncio.to_thread(importlib.import_module, "rivermouth.tools._mcp")
        self.servers = [module.Server(name, own) for name, own in servers.items()]
        self._running = [asyncio.create_task(server.run()) for server in self.servers]

    async def tried(self) -> None:
        """Return when each MCP server has answered, or failed to, once."""
        if self._connecting is not None:
            await asyncio.wait({self._connecting})
        for server in self.servers:
            await server.tried.wait()

    async def close(self) -> None:
        """Leave the MCP servers; those that were started for this have ended then."""
        if self._connecting is not None:
            # Not cancelled: the thread that imports would go on, and find the interpreter gone.
            await asyncio.wait({self._connecting})
        await asyncio.gather(
            *(server.leave(task) for server, task in zip(self.servers, self._running, strict=True)),
        )


class Confirmed:
    """A tool that waits for approval because the settings say so."""

    def __init__(self, tool: Tool) -> None:
        self._tool = tool

    @property
    def spec(self) -> Spec:
        """The tool's own, marked."""
        return msgspec.structs.replace(self._tool.spec, confirm=True)

    async def call(self, arguments: dict[str, Any], asker: Asker) -> Any:
        """What the tool does."""
        return await self._tool.call(arguments, asker)


def matches(name: str, pattern: str) -> bool:
    """Whether it is that name, or begins as one that ends in `*` does."""
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern
