"""An agent as a tool of another: `ask_NAME`.

So it is bounded, run beside others and shown as any tool is. What happens inside is not shown, and its own tools that need
approval are left out, as nobody could give it.
"""

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from msgspec.structs import replace

from rivermouth.engine.aside import aside
from rivermouth.engine.turn import Turn
from rivermouth.errors import RivermouthError
from rivermouth.events import UsageCounted
from rivermouth.messages import Message, ToolCall
from rivermouth.providers import Finish, ModelRequest
from rivermouth.settings import Agent
from rivermouth.tools import Asker, Spec, ToolFailed

SECONDS = 120.0
MOST_CHARS = 8000
QUESTION = {
    "type": "object",
    "properties": {"question": {"type": "string", "description": "All that they need to know; they see nothing else."}},
    "required": ["question"],
}

Asking = Callable[[ModelRequest, Turn, Agent, Asker], Awaitable[Finish]]
"""Has an agent answer a request into a sink, with its own tools."""


class Colleague:
    """One agent. request: the one that another is answering, whose model and owner are the same here."""

    def __init__(
        self,
        name: str,
        agent: Agent,
        request: ModelRequest,
        *,
        ask: Asking,
        spend: Callable[[UsageCounted], None],
        now: Callable[[], float],
    ) -> None:
        self.name = name
        self.agent = agent
        self._ask, self._spend, self._now = ask, spend, now
        self._request = replace(
            request, model=agent.model or request.model, temperature=agent.temperature, max_tokens=agent.max_tokens
        )
        self.spec = Spec(
            name=f"ask_{name}",
            description=f"Ask {agent.name or name}. {agent.description}",
            parameters=QUESTION,
            seconds=SECONDS,
            output_chars=MOST_CHARS,
        )

    async def call(self, arguments: dict[str, Any], asker: Asker) -> Any:
        """Its answer to that question. Raises: ToolFailed."""
        head = [Message("system", self.agent.instructions)] if self.agent.instructions else []
        messages = [*head, Message("user", str(arguments["question"]))]
        request = replace(self._request, messages=messages)
        try:
            answer = await aside(
                lambda turn: self._ask(request, turn, self.agent, asker), messages, self._spend, self._now
            )
        except RivermouthError as error:
            raise ToolFailed(error.message) from error
        return answer or "no answer"


def calls_of(names: Sequence[str], request: ModelRequest) -> list[ToolCall]:
    """Calls that put the question of `request` as it is to each of them."""
    arguments = json.dumps({"question": request.messages[-1].content})
    return [ToolCall(f"ask_{number}", f"ask_{name}", arguments) for number, name in enumerate(names, 1)]


def joined(request: ModelRequest, names: Sequence[str], answers: Sequence[Message]) -> ModelRequest:
    """The same request with what they said, for a model that cannot ask them itself."""
    said = "\n\n".join(
        f"<answer from={json.dumps(name)}>\n{answer.content}\n</answer>"
        for name, answer in zip(names, answers, strict=True)
    )
    *before, question = request.messages
    told = f"{question.content}\n\nColleagues have been asked. Make one answer out of what they said:\n\n{said}"
    return replace(request, messages=[*before, Message("user", told)])
