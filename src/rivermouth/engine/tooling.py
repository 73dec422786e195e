"""An answer with tools: ask the model, run what it calls, show it the results, and ask again.

    ask · (calls side by side · ask)* · answer

Up to an agent's `steps` asks offer tools; one more, without any, makes the answer out of what there is. Nothing that goes
wrong with a tool fails the answer: the model gets it as that call's result. Calls that the model makes at once run side by
side, at most `MOST_AT_ONCE`, but are told of in pairs, in the order of asking, as the grammar has it: each is told when those
before it have returned. One that needs somebody's approval is told, and waits; those behind it are told afterwards.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from rivermouth.engine.calling import Caller, Result, failure
from rivermouth.engine.context import estimate
from rivermouth.engine.turn import Turn
from rivermouth.events import Source
from rivermouth.messages import Message, ToolCall, ToolOffer
from rivermouth.providers import Finish, ModelRequest, Provider
from rivermouth.tools import Asker, Spec, Tool

MOST_AT_ONCE = 8
MOST_TOLD = 40
"""Names of tools that a model is told which has called one that there is not."""
CHARS_A_TOKEN = 3
LEAST_ROOM = 200
"""Tokens; where there is less left for results, the model answers with what it has."""
ANSWER_SHARE = 4
STEPS = {"search_documents": ("searching", "query"), "read_document": ("reading", "place")}
"""What calls of these tools are called on the way, and which argument says more; all others are `processing`."""


class Hands(msgspec.Struct, frozen=True, kw_only=True):
    """What the tools of one answer work with.

    approved: waits until somebody has said yes or no to the call of that id; None where nobody can be asked.
    prompted: told the estimated tokens of each prompt before it goes out. shown: passages as the client is told of them.
    """

    asker: Asker
    caller: Caller
    approved: Callable[[str], Awaitable[bool]] | None
    prompted: Callable[[int], None] = lambda _: None
    shown: Callable[[list[Source]], list[Source]] = list


class ToolLoop:
    """Makes one answer, in which the model may call `tools`."""

    def __init__(self, provider: Provider, turn: Turn, tools: Sequence[Tool], hands: Hands) -> None:
        self._provider, self._turn, self._hands = provider, turn, hands
        self._tools = {tool.spec.name: tool for tool in tools if hands.approved is not None or not tool.spec.confirm}
        self._offers = tuple(map(offer, [tool.spec for tool in self._tools.values()]))
        self._told_of: set[str] = set()
        self._places = asyncio.Semaphore(MOST_AT_ONCE)

    async def answer(self, request: ModelRequest, steps: int) -> Finish:
        """Ask until the model has answered. Raises: ToolsRefused, before anything is said, where it takes no tools;
        ProviderFault, NoModel."""
        request = replace(request, messages=list(request.messages), tools=self._offers)
        for _ in range(steps):
            finish, calls = await self._ask(request)
            if not calls:
                return finish
            said = self._turn.said()
            request.messages.append(Message("assistant", said, tool_calls=tuple(calls)))
            request.messages.extend(await self.results(calls, request))
            if (left := self._room(request)) is not None and left < LEAST_ROOM:
                break
        finish, _ = await self._ask(replace(request, tools=()))
        return finish

    async def _ask(self, request: ModelRequest) -> tuple[Finish, list[ToolCall]]:
        prompt = estimate(request.messages) + estimate_offers(request.tools)
        self._hands.prompted(prompt)
        finish = await self._provider.stream(request, self._turn)
        offered = bool(request.tools)
        return finish, self._turn.take_calls(prompt) if offered else []

    def _room(self, request: ModelRequest) -> int | None:
        """Tokens that results may still take; None where the model's context is not known."""
        context = self._provider.context_tokens
        if context is None:
            return None
        answer = min(request.max_tokens or context // ANSWER_SHARE, context // 2)
        return context - answer - estimate(request.messages) - estimate_offers(request.tools)

    async def results(self, calls: list[ToolCall], request: ModelRequest) -> list[Message]:
        """What each call came to, as messages for the model. Everything has ended when this returns or raises."""
        room = self._room(request)
        most_chars = 10**9 if room is None else max(0, room * CHARS_A_TOKEN // len(calls))
        found: list[list[Source]] = [[] for _ in calls]
        tasks = [
            asyncio.create_task(self._run(call, sources, most_chars), name=f"call of {call.name}")
            if not self._waits(call)
            else None
            for call, sources in zip(calls, found, strict=True)
        ]
        try:
            with self._turn.step(*step_of(calls[0])):
                told = zip(calls, tasks, found, strict=True)
                return [await self._tell(call, task, sources, most_chars) for call, task, sources in told]
        finally:
            await _end([task for task in tasks if task is not None])

    async def _tell(
        self, call: ToolCall, task: "asyncio.Task[Result] | None", sources: list[Source], most_chars: int
    ) -> Message:
        self._turn.called(call, confirm=task is None)
        result = await (task or self._run_if_approved(call, sources, most_chars))
        self._turn.returned(result.output, result.error, result.elapsed_ms)
        self._tell_of_sources(sources)
        return Message("tool", result.content, tool_call_id=call.id)

    def _tell_of_sources(self, sources: list[Source]) -> None:
        """Each passage once in an answer, however often it was found."""
        new = {source.key: source for source in sources if source.key not in self._told_of}
        if new:
            self._told_of.update(new)
            self._turn.found(self._hands.shown(list(new.values())))

    def _waits(self, call: ToolCall) -> bool:
        return call.name in self._tools and self._tools[call.name].spec.confirm

    async def _run_if_approved(self, call: ToolCall, sources: list[Source], most_chars: int) -> Result:
        assert self._hands.approved is not None, "tools that need approval are not offered where nobody can give it"
        if not await self._hands.approved(call.id):
            return failure("the user refused this call; do not try it again")
        return await self._run(call, sources, most_chars)

    async def _run(self, call: ToolCall, sources: list[Source], most_chars: int) -> Result:
        tool = self._tools.get(call.name)
        if tool is None:
            names = list(self._tools)
            more = f" and {len(names) - MOST_TOLD} more" if len(names) > MOST_TOLD else ""
            return failure(f"there is no tool named {call.name!r}; there are {', '.join(names[:MOST_TOLD])}{more}")
        async with self._places:
            return await self._hands.caller.call(tool, call, noting(self._hands.asker, sources), most_chars)


async def _end(tasks: "list[asyncio.Task[Result]]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def step_of(call: ToolCall) -> tuple[str, dict[str, Any]]:
    """What the work that begins with this call is called, and what there is to say of it."""
    name, field = STEPS.get(call.name, ("processing", ""))
    try:
        told = msgspec.json.decode(call.arguments) if field else None
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        told = None
    return name, {field: told[field]} if isinstance(told, dict) and isinstance(told.get(field), str) else {}


def offer(spec: Spec) -> ToolOffer:
    """What the model is told of a tool."""
    return ToolOffer(spec.name, spec.description, spec.parameters)


def estimate_offers(offers: Sequence[ToolOffer]) -> int:
    """Tokens that the descriptions of tools take, about as `context.estimate`."""
    return len(msgspec.json.encode(offers)) // CHARS_A_TOKEN if offers else 0


def noting(asker: Asker, sources: list[Source]) -> Asker:
    """The same asker; what a search finds for it is also put into `sources`, for the answer to cite."""

    async def search(words: str, limit: int) -> list[Source]:
        found = await asker.search(words, limit)
        sources.extend(found)
        return found

    return replace(asker, search=search)
