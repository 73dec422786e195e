"""Which of several agents suits a request: one short ask of the model, whose answer is searched for their names."""

import re
from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from rivermouth.messages import Message
from rivermouth.providers import ModelRequest
from rivermouth.settings import Agent

MOST_CHARS = 2000
"""Characters of each message that the choice is made from."""
MOST_MESSAGES = 4
MOST_TOKENS = 32


def choice_request(request: ModelRequest, agents: Mapping[str, Agent], *, most: int) -> ModelRequest:
    """The question which of `agents` is to answer `request`, or which `most` of them."""
    said = [message for message in request.messages if message.role != "system"][-MOST_MESSAGES:]
    talk = "\n\n".join(f"{message.role}: {message.content[:MOST_CHARS]}" for message in said)
    listed = "\n".join(f"{name}: {agent.description or agent.name or name}" for name, agent in agents.items())
    which = "the one name that suits best" if most == 1 else f"the names that it needs, at most {most}"
    asked = (
        f"Who should answer the last message of this conversation? There are:\n\n{listed}\n\n"
        f"<conversation>\n{talk}\n</conversation>\n\nAnswer with {which}, and nothing else; with none, if none suits."
    )
    system = [message for message in request.messages if message.role == "system"]
    return replace(
        request, messages=[*system, Message("user", asked)], temperature=0.0, max_tokens=MOST_TOKENS, tools=()
    )


def named_in(text: str, names: Sequence[str], *, most: int) -> list[str]:
    """Those of `names` that stand in `text` as words of their own, in the order in which they do."""
    places = {name: re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text, re.IGNORECASE) for name in names}
    found = sorted((place.start(), name) for name, place in places.items() if place is not None)
    return [name for _, name in found[:most]]
