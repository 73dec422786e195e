"""Arguments held against a tool's schema, in words that a model can act on."""

from typing import Any

import pytest

from rivermouth.engine.schema import mismatch

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "days": {"type": "integer"},
        "share": {"type": "number"},
        "unit": {"enum": ["C", "F"]},
        "exact": {"type": ["boolean", "null"]},
        "places": {"type": "array", "items": {"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"]}},
    },
    "required": ["city"],
    "additionalProperties": False,
}  # fmt: skip


@pytest.mark.parametrize(
    "arguments",
    [
        {"city": ""},
        {"city": "Bern", "days": 3, "share": 0.5, "unit": "C", "exact": None, "places": [{"x": 1, "y": "more"}]},
        {"city": "Bern", "days": 3.0, "share": 1, "exact": True, "places": []},
    ],
)
def test_what_fits_is_taken(arguments: dict[str, Any]) -> None:
    assert mismatch(SCHEMA, arguments) is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "city is required"),
        ({"city": None}, "city must be string, not None"),
        ({"city": "x", "days": 1.5}, "days must be integer, not 1.5"),
        ({"city": "x", "days": True}, "days must be integer, not True"),
        ({"city": "x", "share": "1"}, "share must be number, not '1'"),
        ({"city": "x", "unit": "K"}, "unit must be one of 'C', 'F', not 'K'"),
        ({"city": "x", "exact": 1}, "exact must be boolean or null, not 1"),
        ({"city": "x", "places": [{"x": 1}, {}]}, "places[1].x is required"),
        (
            {"city": "x", "town": 1},
            "there is no town; there are city, days, share, unit, exact, places",
        ),
    ],
)
def test_what_does_not_fit_is_named(arguments: dict[str, Any], words: str) -> None:
    assert mismatch(SCHEMA, arguments) == words


@pytest.mark.parametrize(
    "schema",
    [{}, {"type": "whatever"}, {"type": 7}, {"properties": []}, {"required": "city"}, {"enum": 1}, {"$ref": "#"}],
)
def test_a_schema_that_says_nothing_usable_refuses_nothing(schema: dict[str, Any]) -> None:
    assert mismatch(schema, {"city": [1]}) is None


def test_arguments_nested_without_end_are_no_harm() -> None:
    schema: dict[str, Any] = {"type": "object"}
    schema["properties"] = {"in": schema}
    value: dict[str, Any] = {}
    for _ in range(500):
        value = {"in": value}

    assert mismatch(schema, value) is None
