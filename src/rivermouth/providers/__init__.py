"""Reaching a model: one module for each way, push instead of pull.

A provider calls its `Sink` as bytes arrive, synchronously, so a token passes no generator, queue or task on its way into
the log; the coroutine only waits for the end. A provider is a module with an `open` of the shape of `Opener`.
"""

from typing import Any, Protocol, cast

import msgspec

from rivermouth import plugins
from rivermouth.errors import ProviderRefused
from rivermouth.events import FinishReason
from rivermouth.messages import Message, ToolOffer


class ToolsRefused(ProviderRefused):
    """The model takes no tools. Only ever raised for a request that offers some, before anything of an answer has come."""


class ModelRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a model. owner: whose it is, for a fair queue. options: extra members of the provider's own body.

    tools: what the model may call. `messages` may hold calls and their results although nothing is offered any more.
    """

    messages: list[Message]
    model: str
    owner: str = ""
    temperature: float | None = None
    max_tokens: int | None = None
    options: dict[str, Any] = {}
    tools: tuple[ToolOffer, ...] = ()


class Finish(msgspec.Struct, frozen=True):
    """How the call ended. model: the name the provider gave itself, where it did."""

    reason: FinishReason
    model: str | None = None


class Sink(Protocol):
    """Where a provider puts what it hears. Every method returns at once and never raises."""

    def answered(self) -> None:
        """The provider has accepted the call (its status is good); nothing of the answer is there yet. May come twice."""

    def named(self, model: str) -> None:
        """Which model answers: as soon as that is known, and again where it is known better; the last name counts."""

    def text(self, delta: str) -> None:
        """A piece of the answer; '' is ignored."""

    def reasoning(self, delta: str) -> None:
        """A piece of the model's thinking; '' is ignored."""

    def tool_call(self, index: int, id: str | None, name: str | None, arguments: str) -> None:
        """A piece of the tool call of that index: the first has `id` and `name`, the rest only `arguments`.

        Pieces of several calls may take turns. `name` is one that the request offered, unless the model made one up; an `id`
        or a `name` that differs from that of the index begins another call. Where no id ever comes, the sink gives one.
        """

    def usage(self, prompt_tokens: int, completion_tokens: int) -> None:
        """The provider's own count for this call; the last one counts."""


class Provider(Protocol):
    """An open connection to models."""

    async def stream(self, request: ModelRequest, sink: Sink) -> Finish:
        """Make one call and push the answer into `sink`; return when the provider says it is complete.

        A request with `tools` for a model that takes none is ToolsRefused, with nothing pushed; the caller then asks without.
        Raises: ProviderFault or NoModel. Cancelling it closes the upstream connection before it returns. At most one
        retry, and only before the first piece. Calls may overlap; each has its own sink.
        """

    async def count(self, messages: list[Message]) -> int | None:
        """Tokens that `messages` take with the model's own chat template; None where the provider cannot tell."""

    async def check(self) -> str:
        """One line on what answers there, such as `llama.cpp, model smollm2`. Raises: ProviderFault, NoModel."""

    @property
    def context_tokens(self) -> int | None:
        """Tokens that prompt and answer may take together; None where the provider does not say."""

    async def close(self) -> None:
        """Close every connection and end what was started. Calling it twice is the same as once."""


def load(name: str) -> Any:
    """The provider module. Raises: LookupError, naming those there are."""
    return cast(Any, plugins.load("providers", name))
