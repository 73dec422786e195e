"""A real PDF, the built-in model, and the seed's own request: sources first, with the page that answers, then the answer."""

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from rivermouth.framing import Decoder
from tests import documents
from tests.running import Running, running

PAGES = [
    "The yard was founded in 1904 by two brothers who mended herring boats.",
    "Annual leave. Full-time employees have twenty-eight days of leave in a year.",
    "Hard hats are worn below the crane at all times.",
]
QUESTION = "How many days of annual leave do full-time employees have?"
PATIENCE = 120.0


def told(body: bytes) -> list[tuple[str | None, Any]]:
    return [(event.event, json.loads(event.data)) for event in Decoder().feed(body)]


def person(server: Running, name: str) -> httpx.Client:
    token = server.credential("knowbase", "token", name)
    return httpx.Client(base_url=server.url, timeout=PATIENCE, headers={"Authorization": f"Bearer {token}"})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with running(tmp_path_factory.mktemp("data"), embedded={"max_tokens": 16}) as found:
        yield found


@pytest.fixture(scope="module")
def ann(server: Running) -> Iterator[httpx.Client]:
    with person(server, "ann") as client:
        yield client


@pytest.fixture
def ben(server: Running) -> Iterator[httpx.Client]:
    with person(server, "ben") as client:
        yield client


@pytest.fixture(scope="module")
def handbook(ann: httpx.Client) -> str:
    """Ann's, once it can be searched."""
    given = ann.post("/api/v1/files", files={"file": ("handbook.pdf", documents.pdf(PAGES))}).json()
    until = time.monotonic() + PATIENCE
    while ann.get(f"/api/v1/files/{given['file_id']}").json()["status"] != "success":
        assert time.monotonic() < until, "the file is not indexed"
        time.sleep(0.05)
    return str(given["file_id"])


def test_the_built_in_model_answers_from_a_pdf_and_its_page_is_the_first_source(
    ann: httpx.Client, handbook: str
) -> None:
    body = {"question": QUESTION, "file_ids": [handbook], "thinking_mode": True}
    response = ann.post("/api/v1/chat/stream", json=body)
    events = told(response.content)
    name, first = events[0]

    assert response.status_code == 200
    assert name == "sources"
    assert first["sources"][0]["source"] == "2"
    assert first["sources"][0]["filename"] == "handbook.pdf"
    assert first["documentType"] == first["sources"][0]["documentType"] == "pdf"
    assert "twenty-eight days" in first["sources"][0]["content"]
    assert [name for name, _ in events].count("sources") == 1
    assert [data["step"] for name, data in events if name == "thinking"][:2] == ["searching", "reading"]
    assert events[1][1]["query"] == QUESTION
    assert events[1][1]["file_count"] == 1
    assert events[-1][0] == "done"
    assert events[-1][1]["full_text"]

    kept = ann.get(f"/api/v1/conversations/{events[-1][1]['conversation_id']}").json()["messages"]
    assert kept[0]["question"] == QUESTION
    assert kept[0]["sources"] == first["sources"]


def test_the_json_answer_has_the_same_sources(ann: httpx.Client, handbook: str) -> None:
    answer = ann.post("/api/v1/chat", json={"question": QUESTION}).json()

    assert answer["sources"][0]["source"] == "2"


def test_another_person_finds_neither_the_file_nor_what_it_says(ben: httpx.Client, handbook: str) -> None:
    for path in ("/api/v1/chat/stream", "/api/v1/chat"):
        for named in ({"file_ids": [handbook]}, {"file_ids": ["f"]}, {"collection_id": "c"}):
            refused = ben.post(path, json={"question": QUESTION, **named})

            assert (refused.status_code, refused.json()["error"]["code"]) == (404, "NOT_FOUND")
    assert ben.get("/api/v1/conversations").json()["conversations"] == [], "what was refused began nothing"
    assert ben.post("/api/v1/chat", json={"question": QUESTION}).json()["sources"] == []
