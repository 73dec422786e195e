"""The sibling endpoints in the OpenAPI document: FastAPI's own description, with what its dependencies know added."""

from collections.abc import Iterator
from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.routing import APIRoute

from rivermouth import dialects
from rivermouth.dialects import Scheme
from rivermouth.doors._docs_schema import REF, example, failures, json_content, operation_id
from rivermouth.doors.siblings._asked import Caller, Json
from rivermouth.doors.siblings._endpoint import Endpoint
from rivermouth.doors.siblings._upload import EXAMPLE, SCHEMA, Upload
from rivermouth.errors import (
    BadRequest,
    NoRoom,
    NotFound,
    RivermouthError,
    TooLarge,
    TooMany,
    Unauthenticated,
    Unavailable,
    UnsupportedMedia,
)

TOKENS = {
    "knowbase_token": "A token of knowbase, `kb_…`: `rivermouth token create --system knowbase --kind token --user NAME`.",
    "ares_key": "A key of ares, `ares_…`: `rivermouth token create --system ares --kind key --user NAME`.",
    "ares_jwt": "An access token of ares, from `/ares/api/auth/login`.",
    "wisqu_jwt": "An access token of wisqu, from `/wisqu/api/v1/auth/login`.",
    "session_jwt": "An access token of session, from `/session/api/auth/login`.",
    "smarttalk_jwt": "A token of smarttalk: `rivermouth token create --system smarttalk --kind jwt --user NAME`.",
}
SECURITY = {name: {"type": "http", "scheme": "bearer", "description": text} for name, text in TOKENS.items()}
METHODS = ("get", "post", "put", "patch", "delete")


def described(system: str, app: FastAPI) -> tuple[dict[str, Any], dict[str, Any]]:
    """The app's paths, without prefix, and the schemas that they name."""
    paths, schemas = _renamed(app, system)
    routes = {
        (route.path, method): route
        for route in app.routes
        if isinstance(route, APIRoute)
        for method in route.methods or ()
    }
    for endpoint in app.state.endpoints:
        route = routes[endpoint.path, endpoint.method]
        operation = paths[route.path_format][endpoint.method.lower()]
        _complete(operation, system, endpoint, route, schemas)
    return paths, schemas


def security(system: str, schemes: tuple[Scheme, ...], *, required: bool) -> list[dict[str, Any]]:
    """Which credentials an operation takes."""
    taken: list[dict[str, Any]] = [{f"{system}_{scheme}": []} for scheme in schemes]
    return taken if required else [{}, *taken]


def _complete(
    operation: dict[str, Any], system: str, endpoint: Endpoint, route: APIRoute, schemas: dict[str, Any]
) -> None:
    operation["tags"] = [system]
    operation["operationId"] = operation_id(system, endpoint.method, route.path_format)
    operation["security"] = []
    kinds = list(endpoint.fails)
    for part in _parts(route):
        if isinstance(part, Json):
            operation["requestBody"] = _body(part, f"{system}.{part.model.__name__}", schemas)
            kinds += [BadRequest, TooLarge, UnsupportedMedia]
        elif isinstance(part, Upload):
            operation["requestBody"] = {
                "required": True,
                "content": {"multipart/form-data": {"schema": SCHEMA, "example": EXAMPLE}},
            }
            kinds += [BadRequest, NoRoom, TooLarge, UnsupportedMedia, Unavailable]
        else:
            operation["security"] = security(system, part.schemes, required=part.required)
            kinds.append(Unauthenticated)
    kinds += _kinds(system, operation)
    operation["responses"].pop("422", None)
    for answer in operation["responses"].values():
        for content in answer.get("content", {}).values():
            content["example"] = example(content["schema"], schemas)
    operation["responses"] |= failures(dialects.load(system), route.path_format, kinds)


def _kinds(system: str, operation: dict[str, Any]) -> list[type[RivermouthError]]:
    places = {parameter["in"] for parameter in operation.get("parameters", ())}
    kinds: list[type[RivermouthError]] = [TooMany] if system == "ares" else []
    return kinds + [NotFound] * ("path" in places) + [BadRequest] * ("query" in places)


def _parts(route: APIRoute) -> Iterator[Json | Caller | Upload]:
    for dependency in route.dependant.dependencies:
        if isinstance(dependency.call, Json | Caller | Upload):
            yield dependency.call


def _body(part: Json, name: str, schemas: dict[str, Any]) -> dict[str, Any]:
    schemas[name] = part.model.model_json_schema()
    schema = {"$ref": REF + name}
    return {"required": not part.optional, "content": json_content(schema, example(schema, schemas))}


def _renamed(app: FastAPI, system: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """FastAPI's paths and schemas, the schemas named `system.Name`, since two systems may use one name."""
    text = msgspec.json.encode(app.openapi()).decode().replace(REF, f"{REF}{system}.")
    found = msgspec.json.decode(text)
    schemas = found.get("components", {}).get("schemas", {})
    return found["paths"], {
        f"{system}.{name}": schema for name, schema in schemas.items() if not name.endswith("ValidationError")
    }
