"""`smarttalk`: conversations ("instances"), models and histories. Source: contracts/smarttalk.md."""

from typing import Annotated, Any

from fastapi import Depends, Query
from pydantic import Field

from rivermouth.clock import iso_z
from rivermouth.dialects import load
from rivermouth.dialects._json import source
from rivermouth.doors.siblings._asked import Caller, Given, Id, Json, Taken, Use
from rivermouth.doors.siblings._endpoint import Endpoint
from rivermouth.engine.agents import agent_for
from rivermouth.engine.auth import Principal
from rivermouth.errors import NotFound, Unauthenticated
from rivermouth.stores import Conversation, StoredMessage

MODEL, INSTANCE = "cm_default", "ci_6f1c1f0e8f0a4c5e9b570d7f6a1f2b3c"
FINISHED = {"completed": "stop", "stopped": "stopped"}


class NewInstance(Taken):
    """A conversation to begin, with which model; who talks, as its page knows them."""

    chatModelId: Annotated[str, Field(min_length=1, max_length=255, examples=[MODEL])]  # noqa: N815, published names
    lang: Annotated[str | None, Field(max_length=35, examples=["en"])] = None
    userEmail: Annotated[str | None, Field(max_length=254, examples=["ada@example.org"])] = None  # noqa: N815
    userName: Annotated[str | None, Field(max_length=255, examples=["Ada"])] = None  # noqa: N815


class Instance(Given):
    """The conversation's id."""

    chatInstanceId: Annotated[str, Field(examples=[INSTANCE])]  # noqa: N815


class Model(Given):
    """A configured agent. anonymous: whether one may talk to it without signing in."""

    id: Annotated[str, Field(examples=[MODEL])]
    name: Annotated[str, Field(examples=["Default"])]
    description: Annotated[str, Field(examples=["Answers general questions."])]
    anonymous: Annotated[bool, Field(examples=[True])]


class Speaker(Given):
    """Who said it: the person or the model."""

    id: Annotated[str, Field(examples=["6f1c1f0e-8f0a-4c5e-9b57-0d7f6a1f2b3c"])]
    email: Annotated[str | None, Field(examples=["ada@example.org"])]
    name: Annotated[str, Field(examples=["Ada"])]
    image: Annotated[str | None, Field(examples=[None])] = None
    role: Annotated[str, Field(examples=["user"])]


class Message(Given):
    """What was said; metadata (sources, usage, finishReason) is an answer's, and null in a question."""

    id: Annotated[str, Field(examples=["0b8c5f0e-1d4b-4c5e-9b57-0d7f6a1f2b3c"])]
    text: Annotated[str, Field(examples=["Where does a river meet the sea?"])]
    chatInstanceId: Annotated[str, Field(examples=[INSTANCE])]  # noqa: N815
    created_at: Annotated[str, Field(examples=["2025-11-20T18:15:30.123Z"])]
    updated_at: Annotated[str, Field(examples=["2025-11-20T18:15:30.123Z"])]
    user: Speaker
    metadata: Annotated[dict[str, Any] | None, Field(examples=[None])]


class History(Given):
    """What was said, oldest first. A question that has no answer yet stands alone."""

    messages: list[Message]
    title: Annotated[str | None, Field(examples=["Where a river meets the sea"])]


Anyone = Annotated[Principal, Depends(Caller("smarttalk", "jwt", required=False))]
ModelId = Annotated[str, Query(alias="id", min_length=1, max_length=255, description="`cm_…`", examples=[MODEL])]


async def create_instance(use: Use, who: Anyone, body: Annotated[NewInstance, Depends(Json(NewInstance))]) -> Instance:
    """Begin a conversation with a model."""
    _, agent = agent_for(use.settings, "smarttalk", body.chatModelId)
    if who.kind == "anonymous" and not agent.anonymous:
        raise Unauthenticated("this model is not open to anonymous callers; sign in", reason="missing")
    now, unique = int(use.clock.now()), use.clock.new_id()
    key = load("smarttalk").conversation_id(who.name, now, unique)
    meta = body.model_dump(exclude_none=True)
    made = await use.rows.create_conversation(who.owners, "smarttalk", key, None, meta)
    return Instance(chatInstanceId=made.key)


async def get_model(use: Use, id: ModelId) -> Model:
    """What a model is called and good for."""
    _, agent = agent_for(use.settings, "smarttalk", id)
    return Model(id=id, name=agent.name or id, description=agent.description, anonymous=agent.anonymous)


async def history(use: Use, who: Anyone, id: Id) -> History:
    """A conversation's messages."""
    messages = await use.rows.messages(who.owners, "smarttalk", id)
    found = await use.rows.conversation(who.owners, "smarttalk", id)
    model = found.meta.get("chatModelId", use.settings.default_agent)
    return History(
        messages=[message_of(one, found, _speaker(one, found, who, model)) for one in messages], title=found.title
    )


def _speaker(message: StoredMessage, found: Conversation, who: Principal, model: str) -> Speaker:
    if message.role != "user":
        return Speaker(id=model, email=None, name=model, role="assistant")
    return person_of(found, who)


def person_of(found: Conversation, who: Principal) -> Speaker:
    """Who asks, as the conversation's page knows them."""
    name, email = found.meta.get("userName", who.name), found.meta.get("userEmail", who.email)
    return Speaker(id=who.name if who.kind == "anonymous" else who.id, email=email, name=name, role="user")


def message_of(message: StoredMessage, found: Conversation, speaker: Speaker) -> Message:
    """A stored message as clients see it."""
    at = iso_z(message.created)
    return Message(
        id=message.id,
        text=message.text,
        chatInstanceId=found.key,
        created_at=at,
        updated_at=at,
        user=speaker,
        metadata=None if message.role == "user" else _metadata(message),
    )


def _metadata(message: StoredMessage) -> dict[str, Any]:
    prompt, completion = message.prompt_tokens or 0, message.completion_tokens or 0
    return {
        "sources": [source(found) for found in message.sources],
        "usage": {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion},
        "finishReason": FINISHED.get(message.outcome or "", "error"),
    }


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("POST", "/api/chat/createInstance", create_instance, 200, (Unauthenticated, NotFound)),
    Endpoint("GET", "/api/chat/getModel", get_model, 200, (NotFound,)),
    Endpoint("GET", "/api/chat/history/{id:any}", history),
)
