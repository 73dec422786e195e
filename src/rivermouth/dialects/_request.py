"""Reading a request: the JSON body and its fields, each with an error that names the field and what would fit."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from rivermouth.dialects import Incoming
from rivermouth.errors import BadRequest, UnsupportedMedia

Body = Mapping[str, Any]
ID_CHARS = 255
FLAGS = {"true": True, "1": True, "false": False, "0": False}
UUID = re.compile(r"([0-9a-f]{8})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{12})", re.IGNORECASE)


def json_object(request: Incoming) -> Body:
    """The body as a JSON object; a request without a Content-Type is read as JSON, too.

    Raises: UnsupportedMedia, BadRequest.
    """
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media and media != "application/json" and not media.endswith("+json"):
        raise UnsupportedMedia(f"Content-Type {media[:80]!a} is not taken here; send application/json")
    value = _decoded(request.body)
    if not isinstance(value, dict):
        raise BadRequest("the body must be a JSON object", value_type="dict_type")
    return value


def _decoded(body: bytes) -> Any:
    """Any JSON text. msgspec is strict where it matters here: no lone surrogate and no invalid UTF-8 comes through."""
    if not body.strip():
        raise BadRequest("the body is empty; send a JSON object", value_type="missing")
    try:
        return msgspec.json.decode(body)
    except (ValueError, RecursionError):  # UnicodeDecodeError and msgspec's own are ValueErrors; nested too deep is not
        raise BadRequest("the body is not valid JSON", value_type="json_invalid") from None


def message(body: Body, field: str, most: int) -> str:
    """What the person says, exactly as sent. most: characters. Raises: BadRequest."""
    value = text(body, field, most)
    if value is None:
        raise BadRequest(f"{field} is required", field=field, value_type="missing")
    if not value or value.isspace():
        raise BadRequest(f"{field} is empty", field=field, value_type="string_too_short")
    return value


def text(body: Body, field: str, most: int) -> str | None:
    """A string that may be absent or null. Raises: BadRequest."""
    value = body.get(field)
    if value is None:
        return None
    if not isinstance(value, str):
        raise BadRequest(f"{field} must be a string", field=field, value_type="string_type")
    if len(value) > most:
        problem = f"{field} has {len(value)} characters; at most {most} are allowed"
        raise BadRequest(problem, field=field, value_type="string_too_long")
    return value


def name(body: Body, field: str) -> str | None:
    """An id or a name of 1 to 255 characters that may be absent or null. Raises: BadRequest."""
    value = text(body, field, ID_CHARS)
    if value == "":
        raise BadRequest(
            f"{field} is empty; leave it out or give it a value", field=field, value_type="string_too_short"
        )
    return value


def required_name(body: Body, field: str) -> str:
    """An id or a name of 1 to 255 characters. Raises: BadRequest."""
    value = name(body, field)
    if value is None:
        raise BadRequest(f"{field} is required", field=field, value_type="missing")
    return value


def names(body: Body, field: str) -> tuple[str, ...]:
    """A list of ids that may be absent or null. Raises: BadRequest."""
    value = body.get(field)
    if value is None:
        return ()
    if not isinstance(value, list):
        raise BadRequest(f"{field} must be a list of strings", field=field, value_type="list_type")
    return tuple(required_name({f"{field}[{place}]": entry}, f"{field}[{place}]") for place, entry in enumerate(value))


def uuid(body: Body, field: str) -> str | None:
    """A UUID in its canonical form that may be absent or null. Raises: BadRequest."""
    value = text(body, field, ID_CHARS)
    if value is None:
        return None
    parts = UUID.fullmatch(value)
    if parts is None:
        raise BadRequest(f"{field} must be a UUID", field=field, value_type="uuid_parsing")
    return "-".join(parts.groups()).lower()


def flag(body: Body, field: str) -> bool | None:
    """A real boolean that may be absent or null: neither "true" nor 1 is one. Raises: BadRequest."""
    value = body.get(field)
    if value is None or isinstance(value, bool):
        return value
    raise BadRequest(f"{field} must be true or false", field=field, value_type="bool_type")


def query_flag(query: Mapping[str, str], field: str) -> bool | None:
    """A boolean of the query, which knows only strings: true, false, 1 or 0. Raises: BadRequest."""
    value = query.get(field)
    if value is None:
        return None
    if value.lower() not in FLAGS:
        raise BadRequest(f"{field} must be true or false", field=field, value_type="bool_parsing", place="query")
    return FLAGS[value.lower()]


def asked(query: Mapping[str, str], field: str, option: str) -> dict[str, bool]:
    """`{option: …}` where the query says so, either way: a watcher may undo what the first client asked for."""
    value = query_flag(query, field)
    return {} if value is None else {option: value}


def number(body: Body, field: str, least: float, most: float) -> float | None:
    """A number that may be absent or null. Raises: BadRequest."""
    value = body.get(field)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadRequest(f"{field} must be a number", field=field, value_type="float_type")
    if not least <= value <= most:
        raise BadRequest(f"{field} must be from {least:g} to {most:g}", field=field, value_type="out_of_range")
    return float(value)


def count(body: Body, field: str) -> int | None:
    """A whole number from 1 that may be absent or null. Raises: BadRequest."""
    value = body.get(field)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadRequest(f"{field} must be a whole number", field=field, value_type="int_type")
    if not 1 <= value < 2**31:
        raise BadRequest(f"{field} must be from 1 to {2**31 - 1}", field=field, value_type="out_of_range")
    return value
