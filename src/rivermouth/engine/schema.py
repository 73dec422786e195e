"""Arguments held against a tool's JSON Schema: types, what is required, what may be chosen. The rest is the tool's to check."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "integer": lambda value: not isinstance(value, bool) and (isinstance(value, int) or _is_whole(value)),
}
MOST_DEPTH = 32


def mismatch(schema: Mapping[str, Any], value: Any) -> str | None:
    """What of `value` does not fit, in words for the model that wrote it; None where all does."""
    return next(_mismatches(schema, value, "", MOST_DEPTH), None)


def _mismatches(schema: Any, value: Any, place: str, depth: int) -> Iterator[str]:
    if not isinstance(schema, Mapping) or not depth:
        return
    if wrong := _wrong(schema, value):
        yield f"{place or 'the arguments'} {wrong}"
        return
    if isinstance(value, dict):
        yield from _in_object(schema, value, place, depth - 1)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _mismatches(schema.get("items"), item, f"{place}[{number}]", depth - 1)


def _wrong(schema: Mapping[str, Any], value: Any) -> str | None:
    named = schema.get("type")
    kinds = [named] if isinstance(named, str) else named if isinstance(named, list) else []
    known = [kind for kind in kinds if kind in TYPES]
    if known and not any(TYPES[kind](value) for kind in known):
        return f"must be {' or '.join(known)}, not {_shown(value)}"
    choices = schema.get("enum")
    if isinstance(choices, list) and value not in choices:
        return f"must be one of {', '.join(map(_shown, choices[:20]))}, not {_shown(value)}"
    return None


def _in_object(schema: Mapping[str, Any], value: dict[str, Any], place: str, depth: int) -> Iterator[str]:
    required, properties = schema.get("required"), schema.get("properties")
    properties = properties if isinstance(properties, Mapping) else {}
    for name in required if isinstance(required, list) else ():
        if name not in value:
            yield f"{_below(place, name)} is required"
    for name, item in value.items():
        if name in properties:
            yield from _mismatches(properties[name], item, _below(place, name), depth)
        elif schema.get("additionalProperties") is False:
            yield f"there is no {_below(place, name)}; there are {', '.join(map(str, properties)) or 'none'}"


def _below(place: str, name: object) -> str:
    return f"{place}.{str(name)[:100]}" if place else str(name)[:100]


def _is_whole(value: Any) -> bool:
    return isinstance(value, float) and value.is_integer()


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
