"""One call of a tool: arguments checked, time and output bounded, and whatever goes wrong told to the model as a result.

arguments → JSON object → fits the schema → Tool.call, for at most `spec.seconds` → JSON, at most `spec.output_chars`
"""

import asyncio
import json
from collections.abc import Callable
from typing import Any, Literal

import msgspec
import structlog

from rivermouth.engine.schema import mismatch
from rivermouth.messages import ToolCall
from rivermouth.tools import Asker, Tool, ToolFailed

logger = structlog.get_logger("rivermouth.tools")

DEAF_SECONDS = 0.5
"""How long a tool may take to end after it was cancelled; then it is left behind."""


CallOutcome = Literal["done", "failed", "cancelled"]
Told = Callable[[str, CallOutcome, float], None]
"""Told the tool's name, how its call ended, and after how many seconds."""


class Result(msgspec.Struct, frozen=True):
    """How a call went: `output` (JSON text) or `error`, the other one is None. content: what the model is shown."""

    output: str | None
    error: str | None
    content: str
    elapsed_ms: float = 0.0


def failure(error: str, elapsed_ms: float = 0.0) -> Result:
    """A call that came to nothing."""
    return Result(None, error, f"Error: {error}", elapsed_ms)


class Caller:
    """Calls tools, and holds those that do not end when they should. told: of each call that has ended."""

    def __init__(self, monotonic: Callable[[], float], told: Told = lambda tool, outcome, seconds: None) -> None:
        self._monotonic, self._told = monotonic, told
        self._left_behind: set[asyncio.Task[Any]] = set()

    async def call(self, tool: Tool, call: ToolCall, asker: Asker, most_chars: int) -> Result:
        """Make the call. most_chars: how much of the output there is room for, if that is less than the tool's own bound.

        Cancelling it cancels the tool. Raises nothing else.
        """
        began = self._monotonic()
        outcome: CallOutcome = "cancelled"
        try:
            result = await self._result(tool, call, asker, most_chars, began)
            outcome = "failed" if result.error is not None else "done"
            return result
        finally:
            self._told(tool.spec.name, outcome, self._monotonic() - began)

    async def _result(self, tool: Tool, call: ToolCall, asker: Asker, most_chars: int, began: float) -> Result:
        try:
            output = await self._within(tool, _arguments(call, tool), asker)
            text, content = _written(output, min(tool.spec.output_chars, most_chars))
        except ToolFailed as error:
            return failure(_cut(_sound(str(error)), 2000) or "it did not work", self._since(began))
        except Exception as error:
            # A tool is somebody else's code: no bug of it fails an answer.
            logger.error("tool_broke", tool=call.name, run=asker.run, exc_info=error)
            return failure("the tool broke; it has been logged", self._since(began))
        return Result(text, None, content, self._since(began))

    def _since(self, began: float) -> float:
        return (self._monotonic() - began) * 1000

    async def _within(self, tool: Tool, arguments: dict[str, Any], asker: Asker) -> Any:
        """What the tool gives within its time. It runs in a task of its own, so that one that takes no notice of being
        cancelled holds nobody up."""
        task = asyncio.create_task(_called(tool, arguments, asker), name=f"tool {tool.spec.name}")
        done: set[asyncio.Task[Any]] = set()
        try:
            done, _ = await asyncio.wait({task}, timeout=tool.spec.seconds)
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task}, timeout=DEAF_SECONDS)
            self._let_go(task, tool)
        if not done:
            raise ToolFailed(f"it took longer than {tool.spec.seconds:g} s")
        if task.cancelled():
            raise ToolFailed("the tool gave up")
        return task.result()

    def _let_go(self, task: "asyncio.Task[Any]", tool: Tool) -> None:
        self._left_behind.add(task)
        task.add_done_callback(self._forget)
        if not task.done():
            logger.error("tool_ignores_cancellation", tool=tool.spec.name, waited=DEAF_SECONDS)

    def _forget(self, task: "asyncio.Task[Any]") -> None:
        self._left_behind.discard(task)
        if not task.cancelled():
            task.exception()  # asked for, so that asyncio does not report it: nobody waits for it any more


async def _called(tool: Tool, arguments: dict[str, Any], asker: Asker) -> Any:
    return await tool.call(arguments, asker)


def _arguments(call: ToolCall, tool: Tool) -> dict[str, Any]:
    try:
        arguments = msgspec.json.decode(call.arguments.strip() or "{}")
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise ToolFailed(f"the arguments are not JSON: {_cut(str(error), 200)}") from error
    if not isinstance(arguments, dict):
        raise ToolFailed("the arguments are not a JSON object")
    if wrong := mismatch(tool.spec.parameters, arguments):
        raise ToolFailed(wrong)
    return arguments


def _written(output: Any, most: int) -> tuple[str, str]:
    """The output as JSON text, and as the model is shown it; cut where it is too long. Raises: ToolFailed."""
    try:
        plain = msgspec.to_builtins(output, str_keys=True)
        text = output if isinstance(output, str) else _json(plain)
    except (TypeError, ValueError, RecursionError) as error:
        raise ToolFailed("what it gave is not JSON") from error
    text = _sound(text)
    if isinstance(output, str) or len(text) > most:
        text = _cut(text, most)
        return _json(text), text
    return text, text


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _sound(text: str) -> str:
    """Without halves of characters, which no log and no model's server takes."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _cut(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    return f"{text[: max(0, most)]}\n[cut: {len(text)} characters in all]"
