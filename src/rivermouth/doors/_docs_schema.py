"""Pieces of an OpenAPI document: a schema that an example has, an example that a schema has, refusals by status."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from rivermouth.dialects import Dialect
from rivermouth.errors import (
    BadRequest,
    Conflict,
    Forbidden,
    Gone,
    NoModel,
    NoRoom,
    NotFound,
    NothingHeard,
    NoTranscriber,
    ProviderSilent,
    ProviderUnreachable,
    RivermouthError,
    TooLarge,
    TooMany,
    Unauthenticated,
    Unavailable,
    UnsupportedMedia,
    WrongLogin,
)

REF = "#/components/schemas/"
SAMPLES: dict[type[RivermouthError], tuple[RivermouthError, ...]] = {
    BadRequest: (BadRequest("message is required", field="message", value_type="missing"),),
    Unauthenticated: (
        Unauthenticated("Missing Authorization header", reason="missing"),
        Unauthenticated("The token is not a JWT", reason="malformed"),
        Unauthenticated("Token has expired", reason="expired"),
    ),
    WrongLogin: (WrongLogin("Wrong login or password"),),
    Forbidden: (Forbidden("registration is closed on this server"),),
    NotFound: (NotFound("no conversation 'x'", what="conversation"),),
    Conflict: (Conflict("'ada@example.org' is taken"),),
    Gone: (Gone("this request was answered, and its events are no longer kept", message_address=""),),
    TooLarge: (TooLarge("the body is larger than the limit of 1000000 bytes"),),
    UnsupportedMedia: (UnsupportedMedia("Content-Type 'text/plain' is not taken here; send application/json"),),
    NoRoom: (NoRoom("there is room for 1000 files, and you have 1000; delete one before you give another"),),
    TooMany: (TooMany("Too many requests: 5 per minute are allowed; try again in 12 s", retry_after=12, limit=5),),
    ProviderUnreachable: (ProviderUnreachable("the model's server cannot be reached"),),
    ProviderSilent: (ProviderSilent("the model's server does not answer"),),
    NothingHeard: (NothingHeard("no words could be made out in the recording"),),
    NoTranscriber: (NoTranscriber("nothing on this server understands speech"),),
    NoModel: (NoModel("no model is configured"),),
    Unavailable: (Unavailable("the server is shutting down", retry_after=1),),
}
TYPES = {bool: "boolean", int: "integer", float: "number", str: "string"}


def failures(dialect: Dialect, path: str, kinds: Iterable[type[RivermouthError]]) -> dict[str, Any]:
    """The responses with which a path refuses, by status: what the dialect really answers, as schema and example."""
    by_status: dict[str, dict[str, Any]] = {}
    for error in (sample for kind in dict.fromkeys(kinds) for sample in SAMPLES[kind]):
        told = dialect.failure(error, path)
        content = by_status.setdefault(str(told.status), {"shapes": [], "bodies": {}, "headers": {}})
        body = msgspec.json.decode(told.body)
        if shape(body) not in content["shapes"]:
            content["shapes"].append(shape(body))
        content["bodies"].setdefault(error.message, {"value": body})
        content["headers"] |= {name: {"schema": {"type": "string"}} for name in told.headers}
    return {status: _failure(**content) for status, content in sorted(by_status.items())}


def shape(value: Any) -> dict[str, Any]:
    """The schema of what looks like `value`: every key required, further ones allowed."""
    if isinstance(value, dict):
        properties = {key: shape(inner) for key, inner in value.items()}
        return {"type": "object", "properties": properties, "required": list(properties)}
    if isinstance(value, list):
        return {"type": "array", "items": shape(value[0]) if value else {}}
    return {"type": TYPES[type(value)]} if value is not None else {}


def example(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Any:
    """A value that `schema` describes, put together from the examples in it."""
    if "$ref" in schema:
        return example(schemas[schema["$ref"].removeprefix(REF)], schemas)
    if "examples" in schema:
        return schema["examples"][0]
    if "anyOf" in schema:
        return example(schema["anyOf"][0], schemas)
    if "default" in schema:
        return schema["default"]
    if "properties" in schema:
        return {name: example(inner, schemas) for name, inner in schema["properties"].items()}
    if schema.get("type") == "array":
        return [example(schema["items"], schemas)]
    return None


def operation_id(system: str, method: str, path: str) -> str:
    """`ares.get.api.conversations.id`; a slash at the end counts, too."""
    return f"{system}.{method.lower()}{re.sub('[{}]', '', path).replace('/', '.')}"


def json_content(schema: Mapping[str, Any], value: Any) -> dict[str, Any]:
    """A body of JSON."""
    return {"application/json": {"schema": schema, "example": value}}


def events_content(value: str) -> dict[str, Any]:
    """A body of server-sent events; `itemSchema` is OpenAPI 3.2's, and describes each of them."""
    text = {"type": "string"}
    event = {"type": "object", "properties": {"event": text, "data": text, "id": text}, "required": ["data"]}
    whole = {"description": "Server-sent events, UTF-8."}
    return {"text/event-stream": {"schema": whole, "itemSchema": event, "example": value}}


def _failure(shapes: list[dict[str, Any]], bodies: dict[str, Any], headers: dict[str, Any]) -> dict[str, Any]:
    schema = shapes[0] if len(shapes) == 1 else {"anyOf": shapes}
    told = {
        "description": "; or: ".join(bodies),
        "content": {"application/json": {"schema": schema, "examples": bodies}},
    }
    return told | {"headers": headers} if headers else told
