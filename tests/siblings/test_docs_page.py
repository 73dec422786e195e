"""The OpenAPI document and the page that shows it: complete, true, and without any request to elsewhere."""

import base64
import hashlib
import re
from typing import Any

import pytest
from jsonschema_rs import Draft202012Validator, meta

from rivermouth import dialects
from rivermouth.doors.siblings import SYSTEMS
from tests.siblings.world import World

METHODS = {"get", "head", "post", "put", "patch", "delete"}


@pytest.fixture(scope="module")
def document(world: World) -> dict[str, Any]:
    with world.client() as client:
        answer = client.get("/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    found: dict[str, Any] = answer.json()
    return found


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [(path, method, one) for path, methods in document["paths"].items() for method, one in methods.items()]


def holds(document: dict[str, Any], schema: dict[str, Any], value: Any) -> bool:
    whole = {**schema, "components": document["components"]}
    return bool(Draft202012Validator(whole).is_valid(value))


def examples(content: dict[str, Any]) -> list[Any]:
    named = [one["value"] for one in content.get("examples", {}).values()]
    return [content["example"], *named] if "example" in content else named


def test_every_path_of_every_system_is_in_it(document: dict[str, Any]) -> None:
    chat = {(f"/{name}{route.path}", route.method) for name in SYSTEMS for route in dialects.load(name).ROUTES}
    siblings = {
        (f"/{name}{one.path.replace(':any', '')}", one.method) for name, rows in SYSTEMS.items() for one in rows
    }
    own = {("/health", "GET"), ("/ready", "GET"), ("/metrics", "GET"), ("/streams/{id}", "HEAD")}

    found = {(path, method.upper()) for path, method, _ in operations(document)}

    assert chat | siblings | own <= found
    assert {method for _, method, _ in operations(document)} <= METHODS


def test_every_operation_has_a_summary_an_id_of_its_own_and_an_answer_with_an_example(document: dict[str, Any]) -> None:
    ids = [one["operationId"] for _, _, one in operations(document)]

    assert len(ids) == len(set(ids))
    for path, method, one in operations(document):
        assert one["summary"], path
        assert one["tags"], path
        good = {status: answer for status, answer in one["responses"].items() if status < "300"}
        assert good, (path, method)
        for status, answer in one["responses"].items():
            if method != "head" and status != "204":
                assert answer["content"], (path, status)
            for content in answer.get("content", {}).values():
                assert "schema" in content, (path, status)
                assert examples(content), (path, status)


def test_every_body_that_an_operation_takes_has_an_example(document: dict[str, Any]) -> None:
    taken = [
        (path, method, content)
        for path, method, one in operations(document)
        for content in one.get("requestBody", {}).get("content", {}).values()
    ]

    assert ("/smarttalk/api/chat/voice", "post") in {(path, method) for path, method, _ in taken}
    assert [(path, method) for path, method, content in taken if not examples(content)] == []


def test_every_example_fits_its_schema(document: dict[str, Any]) -> None:
    for path, method, one in operations(document):
        bodies = [one["requestBody"]] if "requestBody" in one else []
        for part in [*bodies, *one["responses"].values()]:
            for media, content in part.get("content", {}).items():
                for value in examples(content):
                    assert holds(document, content["schema"], value), (path, method, media, value)


def test_every_schema_is_one_and_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    text = str(document)

    for name in re.findall(r"'#/components/schemas/([^']+)'", text):
        assert name in document["components"]["schemas"]
    for schema in document["components"]["schemas"].values():
        assert meta.is_valid(schema)
    assert "ValidationError" not in text
    assert "x-fails" not in text


def test_every_credential_that_is_named_is_described(document: dict[str, Any]) -> None:
    named = {name for _, _, one in operations(document) for option in one["security"] for name in option}

    assert named <= set(document["components"]["securitySchemes"])
    assert {"knowbase_token", "ares_key", "ares_jwt", "wisqu_jwt", "session_jwt", "smarttalk_jwt"} <= named


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_example_of_a_chat_request_is_answered_as_it_says(
    world: World, document: dict[str, Any], system: str
) -> None:
    chat = [
        (path, one)
        for path, method, one in operations(document)
        if path in {f"/{system}{route.path}" for route in dialects.load(system).ROUTES} and method == "post"
    ]

    for path, one in chat:
        own = "ares-key" if path.startswith("/ares/v1/") else system
        with world.person(own, "ada") as ada:
            answer = ada.post(path, json=one["requestBody"]["content"]["application/json"]["example"])
        media = answer.headers["content-type"].partition(";")[0]
        content = one["responses"][str(answer.status_code)]["content"][media]
        assert answer.status_code == 200
        assert media == "text/event-stream" or holds(document, content["schema"], answer.json()), path


def test_the_example_of_a_stream_is_what_the_dialect_writes(document: dict[str, Any]) -> None:
    def example(path: str) -> str:
        content = document["paths"][path]["post"]["responses"]["200"]["content"]["text/event-stream"]
        return str(content["example"])

    assert example("/ares/api/chat/stream") == "data: At its\n\ndata:  mouth.\n\n"
    assert 'event: token\ndata: {"t":" mouth."}\n\n' in example("/knowbase/api/v1/chat/stream")
    assert 'data: {"token":" mouth.","count":2,"partial":"At its mouth."}\n\n' in example("/session/api/chat/stream")
    assert '"type":"stream_end"' in example("/smarttalk/api/chat")
    assert '"type":"metadata"' in example("/wisqu/api/v1/chat/")


def test_the_page_runs_only_its_own_script_and_asks_only_this_server(world: World) -> None:
    with world.client() as client:
        answer = client.get("/docs")
    page, policy = answer.text, answer.headers["content-security-policy"]

    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.findall(r"""(?:https?:)?//[\w.-]+\.\w+""", page)
    assert not re.findall(r"<(?:link|img|iframe|script\s+\w)|\son\w+=|\sstyle=|innerHTML|eval\(", page)
    for tag in ("script", "style"):
        (inside,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
