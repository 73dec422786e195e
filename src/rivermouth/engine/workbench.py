"""Which tools an answer has: what its agent names, what there is, and what its model takes."""

from collections.abc import Awaitable, Callable

import structlog

from rivermouth.clock import Clock
from rivermouth.engine.calling import Caller
from rivermouth.engine.library import Library
from rivermouth.engine.run import Run
from rivermouth.engine.tooling import Hands, ToolLoop
from rivermouth.engine.turn import Turn
from rivermouth.providers import Finish, ModelRequest, Provider, ToolsRefused
from rivermouth.settings import Agent
from rivermouth.tools import Asker, Tool, Toolbox

logger = structlog.get_logger("rivermouth.tools")


class Workbench:
    """The tools of this process, and the models that take none."""

    def __init__(self, toolbox: Toolbox | None, provider: Provider, clock: Clock, library: Library) -> None:
        self._toolbox, self._provider, self._library = toolbox, provider, library
        self._caller = Caller(clock.monotonic)
        self._toolless: set[str] = set()
        """Models that have refused a request with tools and taken the same one without."""

    async def answer(
        self,
        run: Run,
        turn: Turn,
        request: ModelRequest,
        agent: Agent,
        without_tools: Callable[[], Awaitable[ModelRequest]],
    ) -> Finish:
        """An answer in which the agent's tools may be called. A model that takes none answers `without_tools`."""
        tools = self._tools_of(agent, request.model)
        if tools:
            try:
                return await ToolLoop(self._provider, turn, tools, self._hands(run)).answer(request, agent.steps)
            except ToolsRefused:
                if turn.asks:
                    raise
        finish = await self._provider.stream(await without_tools(), turn)
        if tools:
            self._remember(request.model)
        return finish

    def _tools_of(self, agent: Agent, model: str) -> list[Tool]:
        if self._toolbox is None or model in self._toolless:
            return []
        return self._toolbox.named(agent.tools)

    def _hands(self, run: Run) -> Hands:
        def prompted(tokens: int) -> None:
            run.prompt_estimate = tokens

        library, scope = self._library, run.scope
        asker = Asker(
            owners=scope.owners,
            run=run.id,
            search=lambda words, limit: library.search(scope, words, limit),
            read=lambda file, place: library.read(scope.owners, file, place),
        )
        return Hands(asker=asker, caller=self._caller, approved=run.approvals.wait, prompted=prompted)

    def _remember(self, model: str) -> None:
        if model not in self._toolless:
            self._toolless.add(model)
            logger.warning("model_takes_no_tools", model=model or "the default one")
