"""Writing JSON: compact, pure ASCII, one line, and the shapes that several dialects share.

Byte rule 4 of the wire contracts: ASCII survives clients that decode each network read by itself, and line splitters that
take U+0085 or U+2028 for the end of a line.
"""

import json
import math
import re
from collections.abc import Mapping
from json.encoder import encode_basestring_ascii
from typing import Any
from urllib.parse import quote as percent

import msgspec

from rivermouth.dialects import Answer
from rivermouth.errors import MethodNotAllowed, Problem, RivermouthError, Unauthenticated
from rivermouth.events import RunEnded, Source, UsageCounted

quote = encode_basestring_ascii
"""A string as a JSON string, quotes included; in C, and all that a token needs."""

dump = json.JSONEncoder(separators=(",", ":")).encode
"""Any JSON value, compact; made once, as `json.dumps` makes a new encoder for each call with separators."""

VISIBLE = "".join(map(chr, range(0x20, 0x7F)))
NO_USAGE = UsageCounted(0.0, 0, 0, "estimated")
"""What an encoder begins with. The grammar has a `UsageCounted` before every good end, so it never reaches the wire."""


def answer(status: int, value: Any, headers: Mapping[str, str] | None = None) -> Answer:
    """An HTTP answer whose body is `value`."""
    return Answer(status, headers or {}, dump(value).encode("ascii"))


def embedded(text: str) -> Any:
    """The value that `text` is the JSON of; `text` itself where it is none."""
    try:
        value = msgspec.json.decode(text)
        dump(value)
    except (ValueError, RecursionError):
        return text
    return value


def usage(counted: UsageCounted) -> dict[str, int]:
    """The usage object, the same in every dialect that has one."""
    return {
        "prompt_tokens": counted.prompt_tokens,
        "completion_tokens": counted.completion_tokens,
        "total_tokens": counted.total_tokens,
    }


def source(found: Source) -> dict[str, str]:
    """A cited passage with knowbase's field names."""
    return {
        "key": found.key,
        "filename": found.filename,
        "source": found.place,
        "content": found.content,
        "documentType": found.document_type,
    }


def problem(event: RunEnded) -> Problem:
    """Why the run failed, in words for its client, also where the log does not say."""
    if event.problem is not None:
        return event.problem
    if event.outcome == "interrupted":
        return Problem("interrupted", "the answer was interrupted; please ask again", 503)
    return Problem("internal", "the answer could not be completed", 500)


def code(table: Mapping[type[RivermouthError], str], error: RivermouthError) -> str:
    """The word that `table` has for the error's class, or else for the nearest class above it."""
    return next(table[kind] for kind in type(error).__mro__ if kind in table)


def header(value: str) -> str:
    """`value` as it may stand in a header: all but printable ASCII, and a space at either end, percent-encoded.

    Ids come from clients, and a CR or LF in one must not begin a header of its own.
    """
    return re.sub("^ +| +$", lambda found: "%20" * len(found[0]), percent(value, safe=VISIBLE))


def failure_headers(error: RivermouthError) -> dict[str, str]:
    """The headers that belong to an error in every dialect: `Retry-After`, `Allow`, `WWW-Authenticate`."""
    headers: dict[str, str] = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(retry_seconds(error))
    if isinstance(error, MethodNotAllowed):
        headers["Allow"] = ", ".join(error.allow)
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    return headers


def retry_seconds(error: RivermouthError) -> int:
    """Whole seconds, rounded up: who comes back a little early is refused again."""
    return max(1, math.ceil(error.retry_after or 0))
