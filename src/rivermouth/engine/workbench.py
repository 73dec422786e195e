"""How an agent answers that does more than ask its model once: with tools, by asking others, by having another one answer.

For a model that takes no tools there is a way of its own: the answer is made without tools, and the others that an agent may
ask are chosen by one short ask, get the question as it is, and their answers are given to the model with it.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import structlog
from msgspec.structs import replace

from rivermouth.clock import Clock
from rivermouth.engine.aside import aside
from rivermouth.engine.calling import Caller, Told
from rivermouth.engine.choosing import choice_request, named_in
from rivermouth.engine.colleagues import Colleague, calls_of, joined
from rivermouth.engine.grounding import as_shown, grounded
from rivermouth.engine.library import Library
from rivermouth.engine.run import Run, is_anonymous
from rivermouth.engine.tooling import Hands, ToolLoop
from rivermouth.engine.turn import Turn
from rivermouth.providers import Finish, ModelRequest, Provider, ToolsRefused
from rivermouth.settings import Agent, Settings
from rivermouth.tools import Asker, Toolbox

logger = structlog.get_logger("rivermouth.tools")

SEARCH_TOOL = "search_documents"
"""Where a model takes no tools, what an agent with this one would have found is looked up before it is asked."""
MOST_ASKED = 3
"""Agents that are asked where the model cannot call them itself."""


class Workbench:
    """The tools and agents of this process, and the models that take no tools."""

    def __init__(
        self,
        toolbox: Toolbox | None,
        provider: Provider,
        clock: Clock,
        settings: Settings,
        library: Library,
        told: Told,
    ) -> None:
        self._toolbox, self._provider, self._clock = toolbox, provider, clock
        self._settings, self._library = settings, library
        self._caller = Caller(clock.monotonic, told)
        self._toolless: set[str] = set()
        """Models that have refused a request with tools and taken the same one without."""

    async def pick(self, run: Run, turn: Turn, request: ModelRequest, agent: Agent) -> Agent:
        """Who is to answer, of those that `agent` picks from and the caller may use; the default agent where the model names
        none of them. Raises: ProviderFault, NoModel."""
        agents = self._usable(run, agent.picks)
        with turn.step("processing"):
            names = await self._choose(turn, request, agents, most=1) if agents else []
        logger.info("agent_picked", run=run.id, agent=names[0] if names else None)
        if names:
            return agents[names[0]]
        default = self._settings.agents[self._settings.default_agent]
        return agent if default.picks or (is_anonymous(run.log.started) and not default.anonymous) else default

    async def answer(
        self,
        run: Run,
        turn: Turn,
        request: ModelRequest,
        agent: Agent,
        without_tools: Callable[[], Awaitable[ModelRequest]],
        *,
        heard: bool,
    ) -> Finish:
        """An answer in which the agent's tools may be called, and the agents that it asks. A model that takes no tools
        answers `without_tools`. heard: whether somebody follows it who could approve a call."""
        colleagues = [
            Colleague(name, other, request, ask=self._answer_aside, spend=turn.spend, now=self._clock.now)
            for name, other in self._usable(run, agent.asks).items()
        ]
        return await self._answer(turn, request, agent, self._hands(run, heard=heard), colleagues, without_tools)

    async def _answer_aside(self, request: ModelRequest, turn: Turn, agent: Agent, asker: Asker) -> Finish:
        async def without_tools() -> ModelRequest:
            if SEARCH_TOOL not in agent.tools:
                return request
            question = request.messages[-1].content
            found = await asker.search(question, self._settings.search.passages)
            prompt = await grounded(
                agent.instructions, [], question, found, room=self._provider, answer_tokens=request.max_tokens
            )
            return replace(request, messages=prompt.messages) if found else request

        hands = Hands(asker=asker, caller=self._caller, approved=None)
        return await self._answer(turn, request, agent, hands, [], without_tools)

    async def _answer(
        self,
        turn: Turn,
        request: ModelRequest,
        agent: Agent,
        hands: Hands,
        colleagues: Sequence[Colleague],
        without_tools: Callable[[], Awaitable[ModelRequest]],
    ) -> Finish:
        own = self._toolbox.named(agent.tools) if self._toolbox is not None and agent.tools else []
        tools = [*own, *colleagues]
        if tools and request.model not in self._toolless:
            try:
                return await ToolLoop(self._provider, turn, tools, hands).answer(request, agent.steps)
            except ToolsRefused:
                if turn.asks:
                    raise
        asked = await without_tools()
        if colleagues:
            asked = await self._ask_before(turn, request, asked, hands, colleagues)
        finish = await self._provider.stream(asked, turn)
        if tools:
            self._remember(request.model)
        return finish

    async def _ask_before(
        self, turn: Turn, request: ModelRequest, asked: ModelRequest, hands: Hands, colleagues: Sequence[Colleague]
    ) -> ModelRequest:
        """`asked` with the answers of those who suit `request`."""
        agents = {colleague.name: colleague.agent for colleague in colleagues}
        with turn.step("processing"):
            names = await self._choose(turn, request, agents, most=MOST_ASKED)
        if not names:
            return asked
        loop = ToolLoop(self._provider, turn, colleagues, hands)
        return joined(asked, names, await loop.results(calls_of(names, request), asked))

    async def _choose(self, turn: Turn, request: ModelRequest, agents: dict[str, Agent], *, most: int) -> list[str]:
        asked = choice_request(request, agents, most=most)
        said = await aside(lambda own: self._provider.stream(asked, own), asked.messages, turn.spend, self._clock.now)
        return named_in(said, list(agents), most=most)

    def _hands(self, run: Run, *, heard: bool) -> Hands:
        def prompted(tokens: int) -> None:
            run.prompt_estimate = tokens

        library, scope = self._library, run.scope
        asker = Asker(
            owners=scope.owners,
            run=run.id,
            search=lambda words, limit: library.search(scope, words, limit),
            read=lambda file, place: library.read(scope.owners, file, place),
        )
        shown = partial(as_shown, most_chars=self._settings.search.passage_chars)
        approved = run.approvals.wait if heard else None
        return Hands(asker=asker, caller=self._caller, approved=approved, prompted=prompted, shown=shown)

    def _usable(self, run: Run, names: Sequence[str]) -> dict[str, Agent]:
        anonymous = is_anonymous(run.log.started)
        agents = {name: self._settings.agents[name] for name in names}
        return {name: agent for name, agent in agents.items() if agent.anonymous or not anonymous}

    def _remember(self, model: str) -> None:
        if model not in self._toolless:
            self._toolless.add(model)
            logger.warning("model_takes_no_tools", model=model or "the default one")
