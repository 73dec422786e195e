"""Tools that do as a test says, and agents that have them."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from rivermouth.agents import AGENTS
from rivermouth.settings import Agent, Settings
from rivermouth.tools import Asker, Spec, Tool

Work = Callable[..., Awaitable[Any]]
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
ANYTHING: dict[str, Any] = {"type": "object"}


class Given:
    """A tool out of a coroutine function, which gets the arguments by name; `calls` are those that came through."""

    def __init__(self, name: str, work: Work, parameters: dict[str, Any] = ANYTHING, **more: Any) -> None:
        self.spec = Spec(name=name, description=f"What {name} does.", parameters=parameters, **more)
        self._work = work
        self.calls: list[dict[str, Any]] = []
        self.askers: list[Asker] = []

    async def call(self, arguments: dict[str, Any], asker: Asker) -> Any:
        self.calls.append(arguments)
        self.askers.append(asker)
        return await self._work(**arguments)


class Box:
    """A `Toolbox` of given tools."""

    def __init__(self, *tools: Tool) -> None:
        self._tools = {tool.spec.name: tool for tool in tools}

    def named(self, names: Sequence[str]) -> list[Tool]:
        return [self._tools[name] for name in names if name in self._tools]

    def all(self) -> list[Tool]:
        return list(self._tools.values())

    async def close(self) -> None:
        pass


def with_tools(*names: str, **more: Any) -> Settings:
    """Settings in which the default agent has these tools."""
    shipped = {key: Agent(**value) for key, value in AGENTS.items()}
    return Settings(agents={**shipped, "assistant": Agent(instructions="Help.", tools=names, **more)})
