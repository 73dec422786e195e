"""A provider that plays a script: for tests, demos and the first minutes without any model.

`model.url` is `scripted:` alone, which says the last message again word by word, or `scripted:<file>` with a JSON list such as
`[{"do": "text", "text": "Hello"}, {"do": "wait", "seconds": 0.1}, {"do": "finish"}]`. In code, a script may be a function of
the request. A `finish` with the reason `tool_calls` in the middle of a list ends one call of the model; what stands behind it
is said once the results of those tools are there.
"""

import asyncio
import re
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import assert_never

import msgspec

from rivermouth.clock import Clock
from rivermouth.errors import Problem, ProviderUnreachable, error_of
from rivermouth.events import FinishReason
from rivermouth.messages import Message
from rivermouth.providers import Finish, ModelRequest, Sink
from rivermouth.pulse import Pulse
from rivermouth.settings import Settings, SettingsError


class Action(msgspec.Struct, frozen=True, tag_field="do"):
    """One thing that a script does."""


class Text(Action, frozen=True, tag="text"):
    """A piece of the answer."""

    text: str


class Reasoning(Action, frozen=True, tag="reasoning"):
    """A piece of thinking."""

    text: str


class Tool(Action, frozen=True, tag="tool_call"):
    """A piece of a tool call."""

    arguments: str = ""
    index: int = 0
    id: str | None = None
    name: str | None = None


class Used(Action, frozen=True, tag="usage"):
    """The provider's count of tokens."""

    prompt_tokens: int
    completion_tokens: int


class Answered(Action, frozen=True, tag="answered"):
    """The call is accepted. A script that never says so accepts before its first piece."""


class Wait(Action, frozen=True, tag="wait"):
    """Nothing, for some seconds."""

    seconds: float


class Hold(Action, frozen=True, tag="hold"):
    """Nothing, until `ScriptedProvider.tell(name)`."""

    name: str = "go"


class Fail(Action, frozen=True, tag="fail"):
    """End with the error of that code."""

    code: str = "provider_broken"
    message: str = "the model's server broke the connection off"
    status: int = 502
    retry_after: float | None = None


class End(Action, frozen=True, tag="finish"):
    """The end; a script without one ends with `stop`."""

    reason: FinishReason = "stop"


Step = Text | Reasoning | Tool | Used | Answered | Wait | Hold | Fail | End
Script = Sequence[Step] | Callable[[ModelRequest], Sequence[Step]]


async def open(settings: Settings, clock: Clock, pulse: Pulse | None = None) -> "ScriptedProvider":
    """The script at `settings.model.url`, or the echo. Raises: SettingsError where the file is no script."""
    file = (settings.model.url or "scripted:").removeprefix("scripted:")
    return ScriptedProvider(read(Path(file)) if file else echo, context_tokens=settings.model.context_tokens)


def read(file: Path) -> list[Step]:
    """The script in a JSON file. Raises: SettingsError."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=list[Step])
    except (OSError, msgspec.DecodeError) as error:
        raise SettingsError(f"model.url: {str(file)!r} is not a script: {error}") from error


def echo(request: ModelRequest) -> list[Step]:
    """The last user message, word by word, and the words as tokens."""
    said = next((message.content for message in reversed(request.messages) if message.role == "user"), "")
    pieces = words(said)
    return [*map(Text, pieces), Used(words_in(request.messages), len(pieces)), End()]


def words(text: str) -> list[str]:
    """`text` in pieces, each a word with the space before it; joined they are `text` again."""
    return re.findall(r"\s*\S+|\s+", text)


def words_in(messages: list[Message]) -> int:
    """All words of all messages."""
    return sum(len(words(message.content)) for message in messages)


def round_of(script: Sequence[Step], messages: list[Message]) -> Sequence[Step]:
    """The part of a script that is played now: the model has been asked again once for each round of tools."""
    asked = 0
    for message in messages:
        asked = 0 if message.role == "user" else asked + bool(message.tool_calls)
    ends = [place + 1 for place, step in enumerate(script) if isinstance(step, End) and step.reason == "tool_calls"]
    begin = ([0, *ends])[min(asked, len(ends))]
    return script[begin:]


class ScriptedProvider:
    """A `Provider` that plays `script` for every call; `requests` keeps the last thousand."""

    def __init__(self, script: Script = echo, *, name: str = "scripted", context_tokens: int | None = None) -> None:
        self._script, self._name = script, name
        self._context_tokens = context_tokens
        self._told: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._closed = False
        self.requests: deque[ModelRequest] = deque(maxlen=1000)
        self.active = 0
        """Calls under way."""
        self.cancelled = 0
        """Calls that were cancelled."""

    @property
    def context_tokens(self) -> int | None:
        """What it was made with."""
        return self._context_tokens

    def tell(self, name: str = "go") -> None:
        """Let every `Hold` of that name go on, now and from now on."""
        self._told[name].set()

    async def stream(self, request: ModelRequest, sink: Sink) -> Finish:
        """See `Provider.stream`: the script, from its first step to its end."""
        if self._closed:
            raise ProviderUnreachable("the scripted provider is closed")
        self.requests.append(request)
        script = self._script(request) if callable(self._script) else round_of(self._script, request.messages)
        self.active += 1
        sink.named(self._name)
        try:
            return Finish(await self._play(script, sink), self._name)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.active -= 1

    async def count(self, messages: list[Message]) -> int | None:
        """Its tokens are words."""
        return words_in(messages)

    async def check(self) -> str:
        """One line."""
        return f"scripted, model {self._name}"

    async def close(self) -> None:
        """Refuse further calls; those under way fail at their next wait. Twice is once."""
        self._closed = True
        for told in self._told.values():
            told.set()

    async def _play(self, script: Sequence[Step], sink: Sink) -> FinishReason:
        for step in script:
            if isinstance(step, Text | Reasoning | Tool | Used):
                sink.answered()
                _say(step, sink)
            elif isinstance(step, End):
                return step.reason
            else:
                await self._do(step, sink)
        return "stop"

    async def _do(self, step: Answered | Wait | Hold | Fail, sink: Sink) -> None:
        match step:
            case Answered():
                sink.answered()
            case Wait(seconds=seconds):
                await asyncio.sleep(seconds)
            case Hold(name=name):
                await self._told[name].wait()
            case Fail(code=code, message=message, status=status, retry_after=retry_after):
                raise error_of(Problem(code, message, status, retry_after))
            case _:
                assert_never(step)
        if self._closed:
            raise ProviderUnreachable("the scripted provider was closed")


def _say(step: Text | Reasoning | Tool | Used, sink: Sink) -> None:
    match step:
        case Text(text=text):
            sink.text(text)
        case Reasoning(text=text):
            sink.reasoning(text)
        case Tool(arguments=arguments, index=index, id=id, name=name):
            sink.tool_call(index, id, name, arguments)
        case Used(prompt_tokens=prompt, completion_tokens=completion):
            sink.usage(prompt, completion)
        case _:
            assert_never(step)
