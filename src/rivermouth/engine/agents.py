"""Which agent answers, with which model: what a request asks for, held against what is configured."""

from rivermouth.errors import NotFound
from rivermouth.events import RunStarted
from rivermouth.messages import ChatRequest, Message
from rivermouth.providers import ModelRequest
from rivermouth.settings import Agent, Settings


def agent_for(settings: Settings, dialect: str, name: str | None) -> tuple[str, Agent]:
    """The agent of that name, or the default one. Raises: NotFound.

    Smarttalk's published sample names a model that only its author has: while the configuration has no `cm_` agent of its
    own, any such name is the default agent.
    """
    if name is None:
        return settings.default_agent, settings.agents[settings.default_agent]
    if name in settings.agents:
        return name, settings.agents[name]
    if dialect == "smarttalk" and not any(key.startswith("cm_") and key != "cm_default" for key in settings.agents):
        return "cm_default", settings.agents["cm_default"]
    raise NotFound(f"there is no agent named {name[:100]!r}", what="agent")


def model_name(settings: Settings, request: ChatRequest, agent: Agent) -> str:
    """The model to ask; '' for the provider's own default. What a client names counts where `model.choices` has it."""
    if request.model is not None and request.model in settings.model.choices:
        return request.model
    return agent.model or settings.model.name or ""


def instructions_for(request: ChatRequest, agent: Agent) -> str:
    """The system prompt: the request's own, else the agent's."""
    return request.system_prompt if request.system_prompt is not None else agent.instructions


def model_request(
    started: RunStarted, request: ChatRequest, agent: Agent, messages: list[Message], model: str
) -> ModelRequest:
    """The call of the model that makes the answer; of two limits the lower one counts."""
    limits = [tokens for tokens in (request.max_tokens, agent.max_tokens) if tokens is not None]
    return ModelRequest(
        messages=messages,
        model=model,
        owner=started.owner,
        temperature=request.temperature if request.temperature is not None else agent.temperature,
        max_tokens=min(limits, default=None),
    )
