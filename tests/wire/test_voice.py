"""`POST /api/chat/voice`: what a recording becomes, in a stream and whole, and what is refused with which status."""

import http.client
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from rivermouth.events import Event, UsageCounted
from rivermouth.grammar import check
from tests import sounds
from tests.model_server import Handler, listening
from tests.processes import is_alive, processes_below
from tests.running import Running, running
from tests.wire.conftest import Serving
from tests.wire.spoken import VOICE, Ear, audio, events, form, history, kinds, streaming
from tests.wire.world import PATIENCE, Stream, World, eventually

PROCESS = "rivermouth.speech._sphinx"
DECODER = "rivermouth.speech._decoder"


@pytest.fixture(scope="module")
def ear() -> Iterator[Ear]:
    found = Ear()
    with listening(found) as server:
        found.url, found.seen = server.url, server.seen
        yield found


@pytest.fixture(scope="module")
def world(serving: Serving, ear: Ear) -> Iterator[World]:
    with serving(transcribe={"url": ear.url}, limits={"enabled": False, "voice_seconds": 20.0}) as found:
        yield found


def asked(world: World, data: bytes | None = None, conversation: str = "ci_1", **headers: str) -> httpx.Response:
    """The JSON answer."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return world.http.post(VOICE, data=form(conversation), files=audio(data), headers=sent)


def open_recordings(folder: Path) -> int:
    """Files of this process that have no name any more."""
    found = 0
    for link in Path("/proc/self/fd").iterdir():
        try:
            target = str(link.readlink())
            found += str(folder) in target and target.endswith("(deleted)")
        except FileNotFoundError:
            continue
    return found


def test_a_stream_begins_with_what_was_understood(world: World, ear: Ear) -> None:
    question = world.model.question("At its ", "mouth.")
    ear.hears(f" {question}\n")

    with streaming(world, conversation="ci_stream") as stream:
        body = stream.rest()

    told = events(body)
    assert stream.status == 200
    assert stream.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert kinds(body) == ["transcription", "stream_start", "token", "agent_response", "message_saved", "stream_end"]
    assert told[0] == {
        "type": "transcription",
        "text": question,
        "language": "en",
        "duration": pytest.approx(2.6, abs=0.4),
        "chatInstanceId": "ci_stream",
        "timestamp": told[0]["timestamp"],
    }
    assert told[-1]["success"] is True
    assert history(world, "ci_stream") == [("user", question), ("assistant", "At its mouth.")]
    assert [one.content for one in world.model.calls[question].messages][-1] == question


def test_without_a_stream_the_answer_has_the_transcription(world: World, ear: Ear) -> None:
    question = world.model.question("At its mouth.")
    ear.hears(question)

    answer = asked(world, conversation="ci_whole")

    body = answer.json()
    assert answer.status_code == 200
    assert body["message"]["text"] == "At its mouth."
    assert body["transcription"]["text"] == question
    assert set(body["transcription"]) == {"text", "language", "duration"}


def test_what_was_said_before_is_what_the_model_knows(world: World, ear: Ear) -> None:
    first, second = world.model.question("One."), world.model.question("Two.")
    for question in (first, second):
        ear.hears(question)
        assert asked(world, conversation="ci_twice").status_code == 200

    said = [one.content for one in world.model.calls[second].messages if one.role != "system"]

    assert said == [first, "One.", second]


def test_a_conversation_that_is_deleted_meanwhile_is_not_made_again(world: World, ear: Ear) -> None:
    question = world.model.question("Yes.")
    over = threading.Event()

    def late(handler: Handler) -> None:
        over.wait(PATIENCE)
        handler.json({"text": question})

    ear.answer, before = late, len(ear.seen)
    with streaming(world, conversation="ci_deleted") as stream:
        assert eventually(lambda: len(ear.seen) > before)
        started = world.server.do(_log(world.server, stream.run))[0]
        world.server.do(delete(world.server, started.owner))
        over.set()
        body = stream.rest()

    assert kinds(body) == ["transcription", "stream_start", "token", "agent_response", "stream_end"]
    assert history(world, "ci_deleted") == []


async def delete(server: Running, owner: str) -> None:
    await server.app.runs._rows.delete_conversation((owner,), "smarttalk", "ci_deleted")


@pytest.mark.parametrize("container", ["ogg of Firefox", "mp4 of Safari", "mp3", "wav", "m4a", "flac"])
def test_any_container_is_taken_whatever_its_name(world: World, ear: Ear, container: str) -> None:
    ear.hears(world.model.question("Yes."))

    answer = world.http.post(VOICE, data=form(), files=audio(sounds.recorded(container), "../notes.txt"))

    assert answer.status_code == 200


def test_the_fields_may_follow_the_recording(world: World, ear: Ear) -> None:
    ear.hears(world.model.question("Yes."))
    parts = {
        **audio(),
        "chatInstanceId": (None, "ci_late"),
        "chatModelId": (None, "cm_default"),
        "stream": (None, "true"),
    }

    body = world.http.post(VOICE, files=parts).content

    assert kinds(body)[0] == "transcription"


def test_the_page_is_told_whether_it_may_be_spoken_to(world: World, serving: Serving) -> None:
    with serving(transcribe={"backend": "none"}) as deaf:
        told = [one.http.get("/page/config").json()["voice"] for one in (world, deaf)]

    assert told == [20.0, None]


def test_the_askers_files_may_be_searched(world: World, ear: Ear) -> None:
    ear.hears(world.model.question("Yes."))

    body = world.http.post(VOICE, data=form(stream="true", searchFiles="true"), files=audio()).content

    assert "searching" in [event.get("status") for event in events(body)]


def test_tokens_may_be_left_out(world: World, ear: Ear) -> None:
    ear.hears(world.model.question("Yes."))

    body = world.http.post(f"{VOICE}?stream=true", data=form(includeTokens="false"), files=audio()).content

    assert kinds(body) == ["transcription", "stream_start", "agent_response", "message_saved", "stream_end"]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "empty"),
        (b"This is no recording.", "no audio"),
        (b"\x1a\x45\xdf\xa3" + bytes(2000), "no audio"),
    ],
)
def test_what_is_no_recording_is_400(world: World, ear: Ear, data: bytes, said: str) -> None:
    ear.hears("never asked")
    before = len(ear.seen)

    whole, streamed = asked(world, data), world.http.post(VOICE, data=form(stream="true"), files=audio(data))

    assert whole.status_code == streamed.status_code == 400
    assert said in whole.json()["error"]
    assert whole.json()["code"] == "BAD_REQUEST"
    assert len(ear.seen) == before


def test_a_video_without_sound_is_400(world: World) -> None:
    made = ("-f", "lavfi", "-i", "testsrc=size=320x240:rate=25:duration=1")
    video = sounds.ffmpeg(*made, "-c:v", "libvpx", "-f", "webm", "-")

    assert "no sound" in asked(world, video).json()["error"]


@pytest.mark.parametrize("field", ["chatModelId", "chatInstanceId", "audio"])
def test_a_missing_field_is_400_and_named(world: World, field: str) -> None:
    fields, files = form(), audio()
    fields.pop(field, None)
    if field == "audio":
        files = {"file": files["audio"]}

    refused = world.http.post(VOICE, data=fields, files=files)

    assert refused.status_code == 400
    assert field in refused.json()["error"]


def test_a_body_that_is_no_form_is_415_and_another_method_405(world: World) -> None:
    refused = world.http.post(VOICE, json=form())
    other = world.http.get(VOICE)

    assert (refused.status_code, other.status_code, other.headers["allow"]) == (415, 405, "POST")
    assert set(refused.json()) == {"error", "code"}


def test_a_recording_that_is_too_long_is_413(world: World) -> None:
    minutes = sounds.recorded("mp3", sounds.wav(sounds.silence(60)))

    refused = asked(world, minutes)

    assert refused.status_code == 413
    assert "longer than 20 seconds" in refused.json()["error"]


def test_a_recording_that_is_too_large_is_413(serving: Serving, ear: Ear) -> None:
    with serving(transcribe={"url": ear.url}, limits={"voice_bytes": 10_000}) as world:
        declared = asked(world, bytes(300_000))
        chunked = world.http.post(
            VOICE,
            content=iter([b'--b\r\nContent-Disposition: form-data; name="audio"; filename="a"\r\n\r\n', bytes(20_000)]),
            headers={"Content-Type": "multipart/form-data; boundary=b"},
        )

    assert declared.status_code == chunked.status_code == 413
    assert "10000 bytes" in declared.json()["error"]


def test_where_nothing_is_heard_it_is_422(world: World, ear: Ear) -> None:
    ear.hears("  ")

    refused = asked(world, conversation="ci_silent")

    assert refused.status_code == 422
    assert refused.json()["code"] == "NOTHING_HEARD"
    assert "no words" in refused.json()["error"]
    assert history(world, "ci_silent") == []


def test_in_a_stream_where_nothing_is_heard_it_is_an_error_event(world: World, ear: Ear) -> None:
    ear.hears("")

    with streaming(world, conversation="ci_silent_2") as stream:
        body = stream.rest()

    assert stream.status == 200
    assert kinds(body) == ["error", "stream_end"]
    assert events(body)[0]["code"] == "NOTHING_HEARD"
    assert events(body)[-1]["success"] is False
    assert history(world, "ci_silent_2") == []


@pytest.mark.parametrize(
    ("status", "headers", "expected"), [(401, {}, 502), (429, {"Retry_After": "90"}, 503), (400, {}, 502)]
)
def test_what_the_transcription_server_refuses_is_told(
    world: World, ear: Ear, status: int, headers: dict[str, str], expected: int
) -> None:
    ear.fails(status, **headers)

    whole = asked(world)
    with streaming(world) as stream:
        body = stream.rest()

    assert whole.status_code == expected
    assert whole.headers.get("retry-after") == headers.get("Retry_After")
    assert "the transcription server" in whole.json()["error"]
    assert kinds(body) == ["error", "stream_end"]


def test_the_status_goes_out_and_heartbeats_flow_while_it_is_transcribed(serving: Serving, ear: Ear) -> None:
    with serving(transcribe={"url": ear.url}, runs={"heartbeat": 0.1}) as world:
        question = world.model.question("Yes.")
        over = threading.Event()

        def late(handler: Handler) -> None:
            over.wait(PATIENCE)
            handler.json({"text": question})

        ear.answer = late
        with streaming(world) as stream:
            stream.until(lambda read: read.count(b": ping\n\n") >= 2)
            before = stream.read
            over.set()
            body = stream.rest()

    assert b"data:" not in before
    assert kinds(body)[:2] == ["transcription", "stream_start"]


def test_a_stop_ends_the_transcription(world: World, ear: Ear) -> None:
    before = len(ear.seen)
    with ear.waiting() as gone, streaming(world, conversation="ci_stopped") as stream:
        assert eventually(lambda: len(ear.seen) > before)
        stopped = world.http.delete(f"/streams/{stream.run}")
        body = stream.rest()
        assert gone.wait(PATIENCE)

    assert stopped.json()["state"] == "stopped"
    assert kinds(body) == ["stream_start", "agent_response", "stream_end"]
    assert events(body)[1]["finishReason"] == "stopped"
    assert history(world, "ci_stopped") == []


def test_whoever_leaves_for_good_ends_the_transcription(world: World, ear: Ear) -> None:
    with ear.waiting() as gone:
        before = len(ear.seen)
        with streaming(world, conversation="ci_left", X_On_Disconnect="cancel") as stream:
            run = stream.run
            assert eventually(lambda: len(ear.seen) > before)
        assert gone.wait(PATIENCE)

    assert eventually(lambda: world.state(run)["stream-state"] == "stopped")
    assert eventually(lambda: open_recordings(world.server.app.settings.data_dir) == 0)


def test_whoever_comes_back_gets_what_was_understood_meanwhile(world: World, ear: Ear) -> None:
    question = world.model.question("At its mouth.")
    over = threading.Event()

    def late(handler: Handler) -> None:
        over.wait(PATIENCE)
        handler.json({"text": question})

    ear.answer = late
    with streaming(world, conversation="ci_back") as stream:
        run = stream.run
    over.set()

    again = world.follow(run)
    elsewhere = world.follow(run, "?dialect=wisqu")

    assert kinds(again) == ["transcription", "stream_start", "token", "agent_response", "message_saved", "stream_end"]
    assert b"At its mouth." in elsewhere.replace(b'"},', b"")


def long() -> bytes:
    """What takes a moment to decode."""
    return sounds.recorded("mp3", sounds.said(sounds.WEATHER, pause=15))


def leave_while_it_is_decoded(world: World, conversation: str, key: str = "", **fields: str) -> None:
    """Somebody asks, and goes as soon as the recording is being decoded."""
    request = world.http.build_request("POST", VOICE, data=form(conversation, **fields), files=audio(long()))
    connection = http.client.HTTPConnection(request.url.host, request.url.port)
    try:
        once = {"Idempotency-Key": key} if key else {}
        connection.request("POST", VOICE, request.read(), {**request.headers, **once})
        assert eventually(lambda: bool(processes_below(os.getpid(), DECODER)))
    finally:
        connection.close()


@pytest.mark.parametrize("stream", ["true", "false"])
def test_whoever_leaves_while_it_is_decoded_finds_the_answer(world: World, ear: Ear, stream: str) -> None:
    question, conversation = world.model.question("At its ", "mouth."), f"ci_reload_{stream}"
    ear.hears(question)

    leave_while_it_is_decoded(world, conversation, stream=stream)

    assert eventually(lambda: len(history(world, conversation)) == 2)
    assert history(world, conversation) == [("user", question), ("assistant", "At its mouth.")]


def test_the_same_key_again_while_the_first_is_decoded_is_one_question(world: World, ear: Ear) -> None:
    question = world.model.question("Yes.")
    ear.hears(question)

    leave_while_it_is_decoded(world, "ci_impatient", key="impatient", stream="true")
    with streaming(world, long(), conversation="ci_impatient", Idempotency_Key="impatient") as again:
        body = again.rest()

    assert kinds(body)[0] == "transcription"
    assert history(world, "ci_impatient") == [("user", question), ("assistant", "Yes.")]


def test_the_run_of_whoever_left_while_it_was_decoded_is_found_by_its_conversation(world: World, ear: Ear) -> None:
    question, over = world.model.question("Yes."), threading.Event()

    def late(handler: Handler) -> None:
        over.wait(PATIENCE)
        handler.json({"text": question})

    ear.answer = late
    leave_while_it_is_decoded(world, "ci_found", stream="true")
    found = "/conversations/ci_found/stream"
    assert eventually(lambda: world.http.head(found).status_code == 200)
    with world.http.stream("GET", found) as response:
        over.set()
        body = Stream(response).rest()

    assert kinds(body) == ["transcription", "stream_start", "token", "agent_response", "message_saved", "stream_end"]


def test_the_same_key_again_joins_the_answer(world: World, ear: Ear) -> None:
    question = world.model.question("Yes.")
    ear.hears(question)

    with streaming(world, conversation="ci_once", Idempotency_Key="k1") as first:
        first.rest()
    before = len(ear.seen)
    with streaming(world, conversation="ci_once", Idempotency_Key="k1") as second:
        second.rest()
    other = asked(world, sounds.recorded("mp3"), conversation="ci_once", Idempotency_Key="k1")

    assert second.run == first.run
    assert second.read == first.read
    assert len(ear.seen) == before
    assert other.status_code == 409
    assert history(world, "ci_once") == [("user", question), ("assistant", "Yes.")]


def test_a_server_that_is_killed_while_it_listens_ends_the_answer_at_its_next_start(tmp_path: Path, ear: Ear) -> None:
    with ear.waiting(), killed_while_listening(tmp_path, ear.url) as (_, run):
        pass
    left = sorted(path.name for path in tmp_path.iterdir() if "rec" in path.name or "tmp" in path.name)

    with running(tmp_path) as server:
        body = httpx.get(f"{server.url}/streams/{run}", timeout=PATIENCE).content
        said = httpx.get(f"{server.url}/api/chat/history/ci_1", timeout=PATIENCE)
        events_there = server.do(_log(server, run))

    check(events_there)
    assert kinds(body) == ["error", "stream_end"]
    assert events(body)[0]["code"] == "INTERRUPTED"
    assert [one.prompt_tokens for one in events_there if isinstance(one, UsageCounted)] == [0]
    assert said.json()["messages"] == []
    assert left == []


def test_a_server_that_is_killed_takes_the_process_that_listens_with_it(tmp_path: Path) -> None:
    children: set[str] = set()
    with killed_while_listening(tmp_path) as (process, _):
        assert eventually(lambda: bool(children.update(processes_below(process.pid, PROCESS)) or children))

    assert eventually(lambda: not any(is_alive(child) for child in children))


@contextmanager
def killed_while_listening(folder: Path, url: str = "") -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """A server, and the run of a question that a server was listening to; it is killed at the end of the block."""
    command = [sys.executable, "-m", "tests.wire.killed_voice", str(folder), *([url] if url else [])]
    minutes = sounds.recorded("mp3", sounds.said(*sounds.SENTENCES))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        request: dict[str, Any] = {"data": form(stream="true"), "files": audio(minutes), "timeout": 60}
        with httpx.stream("POST", f"{address}{VOICE}", **request) as response:
            run = response.headers["stream-id"]
            yield process, run
            process.send_signal(signal.SIGKILL)
            process.wait(PATIENCE)


async def _log(server: Running, run: str) -> list[Event]:
    return (await server.app.runs.find(run)).events


def test_what_is_not_understood_when_the_server_leaves_is_interrupted(serving: Serving, ear: Ear) -> None:
    with serving(transcribe={"url": ear.url}, runs={"drain": 0.1}) as world, ear.waiting() as gone:
        before = len(ear.seen)
        with streaming(world) as stream:
            assert eventually(lambda: len(ear.seen) > before)
            world.server.leave()
            body = stream.rest()
        assert gone.wait(PATIENCE)

    assert kinds(body) == ["error", "stream_end"]
    assert events(body)[0]["code"] == "INTERRUPTED"


def test_what_was_transcribed_is_counted(serving: Serving, ear: Ear) -> None:
    with serving(transcribe={"url": ear.url}) as world:
        ear.hears(world.model.question("Yes."))
        asked(world)
        ear.hears("")
        asked(world)
        ear.fails(400)
        asked(world)
        before = len(ear.seen)
        with ear.waiting() as gone:
            with streaming(world, X_On_Disconnect="cancel"):
                assert eventually(lambda: len(ear.seen) > before)
            assert gone.wait(PATIENCE)
        assert eventually(lambda: 'outcome="cancelled"' in world.http.get("/metrics").text)
        lines = [line.rpartition(" ") for line in world.http.get("/metrics").text.splitlines()]

    told = {name: float(value) for name, _, value in lines if name.startswith("rivermouth_transcri")}
    outcomes = ("heard", "nothing", "failed", "cancelled")
    of = 'rivermouth_transcriptions_total{{backend="openai",outcome="{}"}}'
    assert [told[of.format(outcome)] for outcome in outcomes] == [1.0] * 4
    assert told['rivermouth_transcription_seconds_count{backend="openai"}'] == 4
    assert told['rivermouth_transcribed_audio_seconds_total{backend="openai"}'] == pytest.approx(4 * 2.6, abs=3.0)


def test_nothing_of_a_recording_is_left_on_the_disk(world: World, ear: Ear) -> None:
    folder = world.server.app.settings.data_dir
    before = {path.name for path in folder.iterdir()}
    ear.hears(world.model.question("Yes."))

    for data in (None, b"no recording", b""):
        asked(world, data)

    assert {path.name for path in folder.iterdir()} == before
    assert eventually(lambda: open_recordings(folder) == 0)


def test_a_prefix_and_a_pinned_listener_are_spoken_to_as_well(serving: Serving, ear: Ear) -> None:
    with serving(transcribe={"url": ear.url}, listen=("127.0.0.1:0=smarttalk", "127.0.0.1:0=session")) as world:
        ear.hears(world.model.question("Yes."))
        addresses = [f"{world.url}/smarttalk{VOICE}", f"{world.server.urls[1]}{VOICE}"]

        answers = [world.http.post(address, data=form(), files=audio()).status_code for address in addresses]
        elsewhere = [f"{world.url}/session{VOICE}", f"{world.server.urls[2]}{VOICE}"]
        refused = [world.http.post(address, data=form(), files=audio()).status_code for address in elsewhere]

    assert answers == [200, 200]
    assert refused == [404, 404]


def test_a_bad_credential_is_refused_before_the_recording_is_read(world: World) -> None:
    refused = asked(world, bytes(3_000_000), Authorization="Bearer nonsense")

    assert refused.status_code == 401


def test_an_account_asks_as_itself(world: World, ear: Ear) -> None:
    question = world.model.question("Yes.")
    ear.hears(question)
    headers = {"Authorization": f"Bearer {world.credential('smarttalk', 'jwt')}"}

    answer = world.http.post(VOICE, data=form("ci_ada"), files=audio(), headers=headers)
    found = world.http.get("/api/chat/history/ci_ada", headers=headers).json()

    assert answer.status_code == 200
    assert [one["text"] for one in found["messages"]] == [question, "Yes."]
    assert history(world, "ci_ada") == []


def test_spoken_questions_are_counted_before_they_are_decoded(serving: Serving, ear: Ear) -> None:
    with serving(transcribe={"url": ear.url}, limits={"smarttalk": "2/minute"}) as world:
        answers = [asked(world, b"no recording").status_code for _ in range(3)]

    assert answers == [400, 400, 429]


def test_without_a_transcriber_it_is_said_what_to_set(serving: Serving) -> None:
    with serving(transcribe={"backend": "none"}) as world:
        refused = asked(world)

    assert refused.status_code == 501
    assert refused.json()["code"] == "NO_TRANSCRIBER"
    assert "TRANSCRIBE_URL" in refused.json()["error"]


def test_with_nothing_configured_pocketsphinx_listens(serving: Serving) -> None:
    with serving() as world:
        world.model.calls.clear()
        started = time.monotonic()
        with world.http.stream(
            "POST",
            VOICE,
            data=form(stream="true"),
            files=audio(sounds.recorded("ogg of Firefox", sounds.said(sounds.CITY))),
            timeout=60,
        ) as response:
            stream = Stream(response)
            stream.until_has(b'"transcription"')
        assert time.monotonic() - started < 60

    heard = events(stream.read)[0]
    wrong, words = sounds.errors(sounds.CITY, heard["text"])
    assert heard["language"] == "en"
    assert wrong / words < 0.4
