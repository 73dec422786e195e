"""The settings of tools: which functions, which pages, which MCP servers. What they are good for is in docs/tools.md."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from rivermouth.fields import Count, Seconds, Section


def _hosts(entries: tuple[str, ...]) -> tuple[str, ...]:
    for entry in entries:
        if not re.fullmatch(r"(\*\.)?([a-z0-9_-]+\.)*[a-z0-9_-]+(:\d{1,5})?|\[[0-9a-f:.]+\](:\d{1,5})?", entry):
            raise ValueError(
                f"{entry!r} is no host: it is a name in lower case, such as docs.example.org, *.example.org for all names "
                "below one, or with a port, as in docs.example.org:8443"
            )
    return entries


Hosts = Annotated[tuple[str, ...], AfterValidator(_hosts)]


class Fetch(Section):
    """The tool `fetch_url`, which is there only where `hosts` names some."""

    hosts: Hosts = Field(
        (), description="Hosts it may fetch from: `docs.example.org`, or `*.example.org` for all below it."
    )
    timeout: Seconds = Field(15.0, description="Seconds for a page, redirects included.")
    max_bytes: Count = Field(1_000_000, description="The most bytes read of a page.")
    max_chars: Count = Field(12_000, description="The most characters of its text that a model is shown.")


class Tools(Section):
    """What agents may use besides the model."""

    fetch: Fetch = Fetch()
