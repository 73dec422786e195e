"""The events of a chat completion's stream, as far as they are looked at."""

from typing import Any

import msgspec


class Function(msgspec.Struct, gc=False):
    """The called function, or a piece of it. Some servers write arguments as the object that they are."""

    name: str | None = None
    arguments: str | dict[str, Any] | None = None


class ToolCall(msgspec.Struct, gc=False):
    """A tool call, or a piece of it; a whole answer leaves `index` out."""

    index: int | None = None
    id: str | None = None
    function: Function | None = None


class Delta(msgspec.Struct, gc=False):
    """What a chunk adds. vLLM and DeepSeek say `reasoning_content`, newer vLLM, Ollama and OpenRouter `reasoning`."""

    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[ToolCall] | None = None


class Choice(msgspec.Struct, gc=False):
    """One answer; `message` where the server does not stream. index: which one of several, 0 where it says nothing."""

    delta: Delta | None = None
    finish_reason: str | None = None
    message: Delta | None = None
    index: Any = None


class Usage(msgspec.Struct, gc=False):
    """Tokens, as the server counts them."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class Chunk(msgspec.Struct, gc=False):
    """An event. Only what is needed is decoded. usage: a `Usage`, if it can be one; an answer is worth more than its count."""

    choices: list[Choice] | None = None
    usage: Any = None
    error: Any = None


class FirstChunk(Chunk, gc=False):
    """An event before the model's name is known."""

    model: str | None = None


decode = msgspec.json.Decoder(Chunk).decode
decode_first = msgspec.json.Decoder(FirstChunk).decode
