"""`check_provider`: what every provider keeps, run by its author against a model that answers short questions."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import get_args

from msgspec.structs import replace

from rivermouth.events import FinishReason
from rivermouth.messages import Message, ToolCall, ToolOffer
from rivermouth.providers import ModelRequest, Provider, ToolsRefused

QUESTION = ModelRequest(messages=[Message("user", "Say hello to the river.")], model="", max_tokens=16)
TOOL = ToolOffer("river.level", "How high the river stands.", {"type": "object", "properties": {}})
CALL = ToolCall("call_1", TOOL.name, '{"at": "the bridge')
WITH_A_RESULT = replace(
    QUESTION,
    messages=[
        *QUESTION.messages,
        Message("assistant", "", tool_calls=(CALL,)),
        Message("tool", "the arguments are not JSON", tool_call_id=CALL.id),
    ],
)


class Heard:
    """A sink that remembers: `calls` in their order, and the pieces of each kind. `first`: set at the first piece.

    model: the name that was told last.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []
        self.first = asyncio.Event()
        self.model = ""

    def answered(self) -> None:
        """Remembered."""
        self.calls.append(("answered",))

    def named(self, model: str) -> None:
        """Remembered, but no call: who answers is not part of the answer."""
        self.model = model

    def text(self, delta: str) -> None:
        """Remembered."""
        self.calls.append(("text", delta))
        self.first.set()

    def reasoning(self, delta: str) -> None:
        """Remembered."""
        self.calls.append(("reasoning", delta))
        self.first.set()

    def tool_call(self, index: int, id: str | None, name: str | None, arguments: str) -> None:
        """Remembered."""
        self.calls.append(("tool_call", index, id, name, arguments))
        self.first.set()

    def usage(self, prompt_tokens: int, completion_tokens: int) -> None:
        """Remembered."""
        self.calls.append(("usage", prompt_tokens, completion_tokens))

    def joined(self, kind: str = "text") -> str:
        """All pieces of that kind."""
        return "".join(str(call[1]) for call in self.calls if call[0] == kind)


async def check_provider(make: Callable[[], Awaitable[Provider]]) -> None:
    """Check what `Provider` promises with fresh providers from `make`. Raises: AssertionError that says what is broken."""
    for check in (_answers, _overlaps, _tells, _takes_tools, _is_cancelled, _closes_twice):
        provider = await make()
        try:
            await check(provider)
        finally:
            await provider.close()


async def _answers(provider: Provider) -> None:
    heard = Heard()
    finish = await provider.stream(QUESTION, heard)

    assert finish.reason in get_args(FinishReason), f"an unknown finish reason: {finish.reason!r}"
    assert heard.joined() + heard.joined("reasoning"), "a plain question got no text at all"
    _check_calls(heard)


def _check_calls(heard: Heard) -> None:
    kinds = [call[0] for call in heard.calls]
    assert "answered" in kinds, "sink.answered() was never called"
    pieces = [place for place, kind in enumerate(kinds) if kind in ("text", "reasoning", "tool_call")]
    assert kinds.index("answered") < min(pieces), "sink.answered() came after the first piece"
    for call in heard.calls:
        if call[0] == "usage":
            assert all(isinstance(count, int) and count >= 0 for count in call[1:]), f"usage is no count: {call[1:]}"
        if call[0] in ("text", "reasoning"):
            assert isinstance(call[1], str), f"{call[0]} is no string"
            assert call[1].isascii() or call[1].encode("utf-8", "strict"), "half a character"


async def _overlaps(provider: Provider) -> None:
    sinks = [Heard() for _ in range(3)]
    await asyncio.gather(*(provider.stream(QUESTION, sink) for sink in sinks))

    for sink in sinks:
        _check_calls(sink)


async def _tells(provider: Provider) -> None:
    count = await provider.count(QUESTION.messages)
    line = await provider.check()

    assert count is None or count > 0, f"count() of a message is {count}"
    assert line, "check() says nothing"
    assert "\n" not in line, "check() says more than one line"
    assert provider.context_tokens is None or provider.context_tokens > 0, "context_tokens is no count"


async def _takes_tools(provider: Provider) -> None:
    """Or refuses them, before it has said anything; in either case it reads on where somebody else's tools were called."""
    for request in (QUESTION, WITH_A_RESULT):
        heard = Heard()
        try:
            await provider.stream(replace(request, tools=(TOOL,)), heard)
        except ToolsRefused:
            assert not heard.calls, "a call with tools was refused after its answer had begun"
            return
        called = [call for call in heard.calls if call[0] == "tool_call"]
        assert all(isinstance(call[1], int) and isinstance(call[4], str) for call in called), f"not calls: {called}"
    await provider.stream(WITH_A_RESULT, Heard())


async def _is_cancelled(provider: Provider) -> None:
    heard = Heard()
    call = asyncio.ensure_future(provider.stream(QUESTION, heard))
    begun = asyncio.ensure_future(heard.first.wait())
    await asyncio.wait([call, begun], return_when=asyncio.FIRST_COMPLETED)
    begun.cancel()
    call.cancel()
    await asyncio.wait([call], timeout=10)
    assert call.done(), "a cancelled call did not end within 10 s"
    before = len(heard.calls)
    await provider.stream(QUESTION, Heard())

    assert len(heard.calls) == before, "something came into the sink of a cancelled call"


async def _closes_twice(provider: Provider) -> None:
    await provider.stream(QUESTION, Heard())
    await provider.close()
    await provider.close()
