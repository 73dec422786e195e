"""Audio files in `knowbase`: transcribed as they go, found by what is said in them, cited by the time at which it is said."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from rivermouth.framing import Decoder
from rivermouth.providers.scripted import ScriptedProvider, Text
from tests import sounds
from tests.model_server import Handler, listening
from tests.running import Running, running
from tests.wire.world import eventually

FILES = "/api/v1/files"
PATIENCE = 60.0
TOPICS = ("The harbour opens at noon.", "Lanterns are lit at dusk.", "The ferry leaves from pier nine.")


class Ear:
    """A transcription server that understands stretch after stretch what it is told to."""

    def __init__(self) -> None:
        self.answer: Callable[[Handler], None] = lambda handler: handler.json({"text": ""})
        self.seen: list[str] = []

    def __call__(self, handler: Handler) -> None:
        self.answer(handler)

    def hears(self, *texts: str) -> None:
        waiting = iter(texts)
        self.answer = lambda handler: handler.json({"text": next(waiting, "")})


@pytest.fixture(scope="module")
def ear() -> Ear:
    return Ear()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, ear: Ear) -> Iterator[Running]:
    with listening(ear) as found:
        ear.seen = found.seen
        settings: dict[str, Any] = {
            "transcribe": {"url": found.url, "stretch": 80.0},
            "limits": {"enabled": False, "file_audio": 300.0},
        }
        with running(tmp_path_factory.mktemp("heard"), answering(), **settings) as server:
            yield server


def answering() -> ScriptedProvider:
    return ScriptedProvider([Text("From pier nine [1].")])


@pytest.fixture
def ann(server: Running, request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    with person(server, f"ann of {request.node.name}") as found:
        yield found


def person(server: Running, name: str) -> httpx.Client:
    token = server.credential("knowbase", "token", name)
    return httpx.Client(base_url=server.url, timeout=PATIENCE, headers={"Authorization": f"Bearer {token}"})


def give(who: httpx.Client, data: bytes, name: str = "talk.ogg") -> str:
    answer = who.post(FILES, files={"file": (name, data)})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["file_id"])


def until(who: httpx.Client, id: str, there: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    end = time.monotonic() + PATIENCE
    while not there(found := who.get(f"{FILES}/{id}").json()):
        assert time.monotonic() < end, found
        time.sleep(0.02)
    return dict(found)


def finished(who: httpx.Client, id: str) -> dict[str, Any]:
    return until(who, id, lambda found: found["status"] in ("success", "failure"))


def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits is soon tried again."""
    for name in ("DEAF_SECONDS", "LONGEST_ASIDE", "LOOK_SECONDS"):
        monkeypatch.setattr(f"rivermouth.engine.indexing.{name}", 0.1)


def minutes(number: float) -> bytes:
    """A recording of that length, of no words."""
    return sounds.recorded("ogg of Firefox", sounds.wav(sounds.silence(60 * number)))


def test_what_is_said_is_found_and_cited_by_its_time(ann: httpx.Client, ear: Ear) -> None:
    ear.hears(*TOPICS)
    id = give(ann, minutes(3.5))
    done = finished(ann, id)

    asked = {"question": "Where does the ferry leave?", "file_ids": [id]}
    body = ann.post("/api/v1/chat/stream", json=asked).content
    events = [(event.event, json.loads(event.data)) for event in Decoder().feed(body)]

    sources = events[0][1]["sources"]
    assert (done["status"], done["type"], done["errors"]) == ("success", "audio", [])
    assert done["summary"].startswith("The harbour opens at noon.")
    assert events[0][0] == "sources"
    assert sources[0]["content"] == TOPICS[2]
    assert (sources[0]["filename"], sources[0]["documentType"]) == ("talk.ogg", "audio")
    assert "00:01:46" <= sources[0]["source"] <= "00:02:40"
    assert events[-1][0] == "done"


def test_files_are_counted_by_what_became_of_them(server: Running, ann: httpx.Client, ear: Ear) -> None:
    def told() -> list[float]:
        lines = [line.rpartition(" ") for line in ann.get("/metrics").text.splitlines()]
        counted = {name: float(value) for name, _, value in lines if name.startswith("rivermouth_files")}
        of = 'rivermouth_files_total{{outcome="{}",type="audio"}}'
        return [counted.get(of.format(outcome), 0.0) for outcome in ("taken", "success", "failure")]

    before = told()
    ear.hears(TOPICS[0])
    heard = minutes(0.4)
    for data in (heard, heard, b"ID3\x04 no music"):
        finished(ann, give(ann, data))

    assert eventually(lambda: [now - then for now, then in zip(told(), before, strict=True)] == [2.0, 1.0, 1.0])


def test_while_it_is_transcribed_it_says_so_and_how_far_it_is(ann: httpx.Client, ear: Ear) -> None:
    over, first = threading.Event(), iter([TOPICS[0], TOPICS[1]])

    def slowly(handler: Handler) -> None:
        text = next(first, None)
        if text is None:
            over.wait(PATIENCE)
        handler.json({"text": text or TOPICS[2]})

    ear.answer = slowly
    id = give(ann, sounds.recorded("m4a", sounds.wav(sounds.silence(230))), "talk.m4a")
    try:
        under_way = until(ann, id, lambda found: found.get("progress", 0) > 0.2)
    finally:
        over.set()
    done = finished(ann, id)

    assert under_way["status"] == "transcribe_file_started"
    assert 0.2 < under_way["progress"] < 1.0
    assert done["status"] == "success"


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"OggS and so on", "it is no audio: nothing in it can be played"),
        (minutes(6), "it is longer than 300 seconds"),
        (minutes(0.2), "no words could be made out in it"),
    ],
    ids=["no audio", "too long", "no words"],
)
def test_what_cannot_be_heard_says_why(ann: httpx.Client, ear: Ear, data: bytes, error: str) -> None:
    ear.hears()

    done = finished(ann, give(ann, data))

    assert (done["status"], done["errors"]) == ("failure", [error])


def test_what_the_transcription_server_does_not_take_fails(ann: httpx.Client, ear: Ear) -> None:
    ear.answer = lambda handler: handler.json({"error": "unsupported"}, 400)

    done = finished(ann, give(ann, minutes(0.3)))

    assert done["errors"] == ["the transcription server does not take it (it answered 400)"]


def test_while_nothing_understands_speech_documents_are_read_all_the_same(
    ann: httpx.Client, ear: Ear, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient(monkeypatch)
    ear.answer = lambda handler: handler.json({"error": "wrong key"}, 401)
    talk = give(ann, minutes(0.4))
    text = give(ann, b"The harbour opens at noon.", "notes.txt")

    read = finished(ann, text)
    waiting = ann.get(f"{FILES}/{talk}").json()
    ear.hears(TOPICS[0])
    heard = finished(ann, talk)

    assert read["status"] == "success"
    assert waiting["status"] == "transcribe_file_started"
    assert heard["status"] == "success"


def test_a_recording_that_breaks_whatever_listens_is_given_up(
    ann: httpx.Client, ear: Ear, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient(monkeypatch)
    ear.answer = lambda handler: handler.whole(b"<html>", "text/html")

    done = finished(ann, give(ann, minutes(0.35)))

    assert done["status"] == "failure"
    assert done["errors"] == ["the transcription server sent what is not JSON; is the address right?"]


def test_a_file_that_is_deleted_meanwhile_is_no_longer_listened_to(ann: httpx.Client, ear: Ear) -> None:
    over, asked = threading.Event(), threading.Event()

    def slowly(handler: Handler) -> None:
        asked.set()
        over.wait(PATIENCE)
        handler.json({"text": TOPICS[0]})

    ear.answer = slowly
    id = give(ann, minutes(4))
    assert asked.wait(PATIENCE)
    deleted = ann.delete(f"{FILES}/{id}")
    before = len(ear.seen)
    over.set()
    ear.answer = lambda handler: handler.json({"text": TOPICS[1]})
    after = finished(ann, give(ann, minutes(0.25)))

    assert deleted.status_code == 200
    assert after["status"] == "success"
    assert len(ear.seen) - before <= 3


def test_whoever_speaks_does_not_wait_for_a_file(tmp_path: Path, ear: Ear) -> None:
    over, asked = threading.Event(), threading.Event()

    def wait_for_files(handler: Handler) -> None:
        if len(handler.body) > 1_000_000:
            asked.set()
            over.wait(PATIENCE)
        handler.json({"text": TOPICS[0]})

    ear.answer = wait_for_files
    with (
        listening(ear) as found,
        running(tmp_path, answering(), transcribe={"url": found.url, "parallel": 1}) as server,
        person(server, "ann") as ann,
    ):
        give(ann, minutes(3))
        assert asked.wait(PATIENCE)
        form = {"chatModelId": "cm_default", "chatInstanceId": "ci_1"}
        address = f"{server.url}/api/chat/voice"
        spoken = httpx.post(address, data=form, files={"audio": minutes(0.1)}, timeout=PATIENCE)
        over.set()

    assert spoken.json()["transcription"]["text"] == TOPICS[0]


def test_without_a_transcriber_a_recording_says_so(tmp_path: Path) -> None:
    with running(tmp_path, answering(), transcribe={"backend": "none"}) as server, person(server, "ann") as ann:
        done = finished(ann, give(ann, minutes(0.1)))

    assert done["errors"] == ["nothing on this server understands speech, so audio cannot be read"]


def test_pocketsphinx_makes_a_recording_searchable(tmp_path: Path) -> None:
    with running(tmp_path, answering()) as server, person(server, "ann") as ann:
        done = finished(ann, give(ann, sounds.recorded("mp3", sounds.said(sounds.CITY)), "talk.mp3"))

    assert done["status"] == "success"
    assert "people" in done["summary"]
