"""All tools of a server: opened once, found by name."""

from collections.abc import Iterator, Sequence

import structlog

from rivermouth import plugins
from rivermouth.clock import Clock
from rivermouth.settings import Settings
from rivermouth.tools import Tool, Toolbox

logger = structlog.get_logger("rivermouth.tools")


async def open_toolbox(settings: Settings, clock: Clock) -> Toolbox:
    """The tools that are there with these settings."""
    return Box([tool for name in plugins.names("tools") for tool in plugins.load("tools", name).open(settings, clock)])


class Box:
    """Tools by their names."""

    def __init__(self, tools: Sequence[Tool]) -> None:
        self._tools = {tool.spec.name: tool for tool in tools}
        self._missed: set[str] = set()

    def all(self) -> list[Tool]:
        """Every tool, by name."""
        return [self._tools[name] for name in sorted(self._tools)]

    def named(self, names: Sequence[str]) -> list[Tool]:
        """Those of these names; what there is not is logged once."""
        chosen: dict[str, Tool] = {}
        for name in names:
            found = {tool.spec.name: tool for tool in self._matching(name)}
            if not found:
                self._miss(name)
            chosen |= {key: tool for key, tool in found.items() if key not in chosen}
        return list(chosen.values())

    def _matching(self, name: str) -> Iterator[Tool]:
        if name.endswith("*"):
            yield from (tool for tool in self.all() if tool.spec.name.startswith(name[:-1]))
        elif name in self._tools:
            yield self._tools[name]

    def _miss(self, name: str) -> None:
        if name not in self._missed:
            self._missed.add(name)
            logger.warning("tool_missing", tool=name)

    async def close(self) -> None:
        """Nothing was started."""
