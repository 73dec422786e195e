"""`knowbase`: files and collections, as their clients use them."""

import http.client
import re
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests import documents
from tests.documents import TEXT
from tests.siblings.world import World, running

SECONDS = 60
FILES, COLLECTIONS = "/api/v1/files", "/api/v1/collections"


@pytest.fixture
def ann(world: World) -> Iterator[httpx.Client]:
    with world.person("knowbase", f"ann-{uuid.uuid4()}") as found:
        yield found


@pytest.fixture
def ben(world: World) -> Iterator[httpx.Client]:
    with world.person("knowbase", f"ben-{uuid.uuid4()}") as found:
        yield found


def give(who: httpx.Client, data: bytes, name: str = "rivers.pdf") -> httpx.Response:
    return who.post(FILES, files={"file": (name, data)})


def finished(who: httpx.Client, id: str) -> dict[str, Any]:
    """The file, once nothing more is done with it."""
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        found: dict[str, Any] = who.get(f"{FILES}/{id}").json()
        if found["status"] in ("success", "failure"):
            return found
        time.sleep(0.02)
    raise AssertionError(f"the file was not finished within {SECONDS} s: {found}")


def indexed(who: httpx.Client, data: bytes, name: str = "rivers.pdf") -> dict[str, Any]:
    return finished(who, give(who, data, name).json()["file_id"])


def some(text: str = TEXT) -> bytes:
    """A PDF that nobody has given yet."""
    return documents.pdf([f"{text} {uuid.uuid4()}"])


def test_a_file_is_taken_in_processed_and_described(ann: httpx.Client) -> None:
    data = documents.pdf(["Rivers rise in the hills.", TEXT])
    given = give(ann, data)
    found = finished(ann, given.json()["file_id"])

    assert given.status_code == 200
    assert given.json() == {
        "message": "The file is being processed.",
        "file_id": found["id"],
        "status": "processing",
    }
    assert re.fullmatch(r"[0-9a-f-]{36}", found["id"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", found.pop("created_at"))
    assert found == {
        "id": found["id"],
        "filename": "rivers.pdf",
        "type": "pdf",
        "status": "success",
        "file_size": len(data),
        "summary": f"Rivers rise in the hills. {TEXT}",
        "errors": [],
        "progress": 1.0,
    }
    assert [one["id"] for one in ann.get(FILES).json()["files"]] == [found["id"]]
    assert ann.get(f"{FILES}/{found['id']}/summary").json() == {
        "file_id": found["id"],
        "summary": f"Rivers rise in the hills. {TEXT}",
        "status": "ready",
    }


def test_files_are_listed_newest_first_a_page_at_a_time(ann: httpx.Client) -> None:
    ids = [give(ann, some(), f"{number}.pdf").json()["file_id"] for number in range(3)]

    assert [one["id"] for one in ann.get(FILES).json()["files"]] == ids[::-1]
    assert [one["id"] for one in ann.get(FILES, params={"limit": 1, "offset": 1}).json()["files"]] == [ids[1]]


def test_the_same_file_again_is_recognised(ann: httpx.Client, ben: httpx.Client) -> None:
    data = some()
    first = indexed(ann, data)
    again = give(ann, data, "another name.pdf").json()
    bens = give(ben, data).json()

    assert again["file_id"] == first["id"]
    assert again["message"] == "The file was there already, as 'rivers.pdf'."
    assert again["status"] == "success"
    assert bens["file_id"] != first["id"], "whether another has it is nobody's business"
    assert bens["status"] == "processing"


def test_a_file_that_failed_is_tried_again_when_it_is_given_again(ann: httpx.Client) -> None:
    data = documents.pdf(["", ""])
    failed = indexed(ann, data)
    summary = ann.get(f"{FILES}/{failed['id']}/summary").json()
    again = give(ann, data).json()

    assert failed["status"] == "failure"
    assert failed["errors"] == ["no text is on any of its pages: it may be a scan, and those are not read here"]
    assert failed["summary"] is None
    assert (summary["summary"], summary["status"]) == ("", "ready")
    assert (again["file_id"], again["status"]) == (failed["id"], "processing")
    assert finished(ann, failed["id"])["status"] == "failure"


@pytest.mark.parametrize(
    ("data", "type", "error"),
    [
        (b"", "txt", "there is no text in it"),
        (documents.encrypted_pdf(), "pdf", "the PDF is encrypted; give it without a password"),
        (documents.pdf(["x"])[:300], "pdf", "the PDF is broken: it cannot be opened"),
        (documents.deep_word(5000), "docx", "it is broken: it cannot be read to its end"),
        (b"ID3\x04 music", "audio", "it is no audio: nothing in it can be played"),
    ],
    ids=["empty", "encrypted", "broken", "deep", "audio"],
)
def test_what_cannot_be_read_says_why(ann: httpx.Client, data: bytes, type: str, error: str) -> None:
    found = indexed(ann, data)

    assert (found["status"], found["type"], found["errors"], found["progress"]) == ("failure", type, [error], 1.0)


def test_audio_is_said_to_wait_for_its_transcription(world: World, ann: httpx.Client) -> None:
    id = give(ann, b"OggS and so on", "talk.ogg").json()["file_id"]
    statuses = {ann.get(f"{FILES}/{id}").json()["status"], finished(ann, id)["status"]}

    assert statuses <= {"transcribe_file_started", "failure"}


def test_what_is_of_no_kind_that_can_be_read_is_refused(ann: httpx.Client) -> None:
    answer = give(ann, b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 30, "photo.pdf")

    assert answer.status_code == 415
    assert answer.json()["error"]["code"] == "UNSUPPORTED_FILE_TYPE"
    assert answer.json()["error"]["message"].startswith("'photo.pdf' is of no kind that can be read here: PDF, ")
    assert ann.get(FILES).json() == {"files": []}


NAMES = {
    "../../etc/passwd.pdf": "passwd.pdf",
    "C:\\secret\\a.pdf": "a.pdf",
    "a\0b\x1b[31m.pdf": "ab[31m.pdf",
    "\u202efdp.exe": "fdp.exe",
    "x" * 300 + ".pdf": "x" * 251 + ".pdf",
    "..": "file",
    "  two   words.pdf ": "two words.pdf",
    "Mündung 河口.pdf": "Mündung 河口.pdf",
}


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_names_lose_what_does_not_belong_into_a_name(ann: httpx.Client, name: str) -> None:
    boundary = "b"
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="%b"\r\n\r\n' % name.encode()
    body = head + some() + b"\r\n--b--\r\n"
    answer = ann.post(FILES, content=body, headers={"Content-Type": f"multipart/form-data; boundary={boundary}"})

    assert answer.status_code == 200, answer.text
    assert ann.get(f"{FILES}/{answer.json()['file_id']}").json()["filename"] == NAMES[name]


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("UTF-8''M%C3%BCndung%20%E6%B2%B3.md", "Mündung 河.md"),
        ("iso-8859-1'de'M%FCndung.md", "Mündung.md"),
        ("x''a.md", "file"),
    ],
)
def test_a_name_may_be_written_as_older_clients_do(ann: httpx.Client, written: str, name: str) -> None:
    head = f'--b\r\nContent-Disposition: form-data; name="file"; filename*={written}\r\n\r\n'.encode()
    body = head + f"# Rivers {uuid.uuid4()}".encode() + b"\r\n--b--\r\n"
    answer = ann.post(FILES, content=body, headers={"Content-Type": "multipart/form-data; boundary=b"})
    found = ann.get(f"{FILES}/{answer.json()['file_id']}").json()

    assert (found["filename"], found["type"]) == (name, "txt" if name == "file" else "md")


BODIES: dict[str, tuple[str, bytes, int]] = {
    "json": ("application/json", b"{}", 415),
    "no boundary": ("multipart/form-data", b"x", 400),
    "a long boundary": (f"multipart/form-data; boundary={'b' * 71}", b"x", 400),
    "nothing": ("multipart/form-data; boundary=b", b"", 400),
    "no form": ("multipart/form-data; boundary=b", b"hello", 400),
    "no file": (
        "multipart/form-data; boundary=b",
        b'--b\r\nContent-Disposition: form-data; name="fil"\r\n\r\nx\r\n--b--\r\n',
        400,
    ),
    "half a form": (
        "multipart/form-data; boundary=b",
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nhello',
        400,
    ),
    "two files": (
        "multipart/form-data; boundary=b",
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nhello\r\n' * 2 + b"--b--\r\n",
        400,
    ),
    "many fields": (
        "multipart/form-data; boundary=b",
        b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\nhello\r\n' * 50 + b"--b--\r\n",
        400,
    ),
    "much beside the file": (
        "multipart/form-data; boundary=b",
        b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\n' + b"x" * 100_000 + b"\r\n--b--\r\n",
        413,
    ),
    "long headers": ("multipart/form-data; boundary=b", b"--b\r\nX: " + b"y" * 100_000, 400),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_is_no_form_with_a_file_is_refused(world: World, ann: httpx.Client, name: str) -> None:
    media, body, status = BODIES[name]
    answer = ann.post(FILES, content=body, headers={"Content-Type": media})

    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error"}
    assert ann.get(FILES).json() == {"files": []}
    assert left_behind(world) == []


def left_behind(world: World) -> list[str]:
    folder = world.app.settings.files
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


def test_nobody_reaches_anothers_file_by_any_endpoint(ann: httpx.Client, ben: httpx.Client) -> None:
    id = indexed(ann, some())["id"]
    made = ann.post(COLLECTIONS, json={"name": "Rivers", "file_ids": [id]}).json()["id"]
    attempts: list[Callable[[], httpx.Response]] = [
        lambda: ben.get(f"{FILES}/{id}"),
        lambda: ben.get(f"{FILES}/{id}/summary"),
        lambda: ben.delete(f"{FILES}/{id}"),
        lambda: ben.get(f"{COLLECTIONS}/{made}"),
        lambda: ben.delete(f"{COLLECTIONS}/{made}"),
        lambda: ben.post(COLLECTIONS, json={"name": "Stolen", "file_ids": [id]}),
    ]
    answers = [attempt() for attempt in attempts]

    assert [answer.status_code for answer in answers] == [404] * len(attempts)
    assert {answer.json()["error"]["code"] for answer in answers} == {"NOT_FOUND"}
    assert ben.get(FILES).json() == {"files": []}
    assert ben.get(COLLECTIONS).json() == {"collections": []}
    assert ann.get(f"{FILES}/{id}").status_code == 200


def test_without_a_token_nothing_is_read_nor_kept(world: World) -> None:
    with world.client() as nobody:
        answers = [nobody.get(FILES), nobody.get(COLLECTIONS), give(nobody, b"x" * 10_000_000)]

    assert [answer.status_code for answer in answers] == [401] * 3
    assert answers[-1].json()["error"]["code"] == "INVALID_TOKEN"
    assert answers[-1].headers["connection"] == "close", "what remains of the body is not read"
    assert left_behind(world) == []


def test_a_client_that_waits_for_leave_is_refused_before_it_sends_anything(world: World) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", int(world.url.rpartition(":")[2]), timeout=10)
    connection.putrequest("POST", FILES)
    connection.putheader("Content-Type", "multipart/form-data; boundary=b")
    connection.putheader("Content-Length", "40000000")
    connection.putheader("Expect", "100-continue")
    connection.endheaders()
    answer = connection.getresponse()
    connection.close()

    assert answer.status == 401


def test_a_client_that_leaves_in_the_middle_leaves_nothing_behind(world: World) -> None:
    token = world.credential("knowbase", "leaver")
    connection = http.client.HTTPConnection("127.0.0.1", int(world.url.rpartition(":")[2]), timeout=10)
    connection.putrequest("POST", FILES)
    connection.putheader("Authorization", f"Bearer {token}")
    connection.putheader("Content-Type", "multipart/form-data; boundary=b")
    connection.putheader("Content-Length", "40000000")
    connection.endheaders()
    connection.send(b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + b"x" * 1_000_000)
    until = time.monotonic() + SECONDS
    while not left_behind(world) and time.monotonic() < until:
        time.sleep(0.01)
    begun = left_behind(world)
    connection.close()
    while left_behind(world) and time.monotonic() < until:
        time.sleep(0.01)

    assert len(begun) == 1
    assert left_behind(world) == []


def test_nobody_has_more_files_than_there_is_room_for(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("full")
    with running(folder, limits__files=2, limits__files_bytes=1000) as world, world.person("knowbase", "ann") as ann:
        first, second = give(ann, b"The first of two.", "a.txt"), give(ann, b"x " * 480, "b.txt")
        third, again = give(ann, b"One too many.", "c.txt"), give(ann, b"The first of two.", "d.txt")
        ann.delete(f"{FILES}/{first.json()['file_id']}")
        wide, narrow = give(ann, b"y " * 30, "e.txt"), give(ann, b"y " * 20, "f.txt")
        with world.person("knowbase", "ben") as ben:
            bens = give(ben, b"x " * 500, "g.txt")

        assert [answer.status_code for answer in (first, second, third, again)] == [200, 200, 400, 200]
        assert third.json() == {
            "error": {
                "code": "QUOTA_EXCEEDED",
                "message": "there is room for 2 files, and you have 2; delete one before you give another",
            }
        }
        assert again.json()["file_id"] == first.json()["file_id"]
        assert (wide.json()["error"]["code"], narrow.status_code, bens.status_code) == ("QUOTA_EXCEEDED", 200, 200)
        assert len(list(world.app.settings.files.iterdir())) == 3


def test_a_file_that_is_too_large_is_refused_however_it_comes(tmp_path_factory: pytest.TempPathFactory) -> None:
    with (
        running(tmp_path_factory.mktemp("small"), limits__file_bytes=1_000_000) as world,
        world.person("knowbase", "ann") as ann,
    ):
        head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n'

        def pieces() -> Iterator[bytes]:
            yield head
            for _ in range(30):
                yield b"river " * 10_000
            yield b"\r\n--b--\r\n"

        media = {"Content-Type": "multipart/form-data; boundary=b"}
        declared, undeclared = give(ann, b"x" * 1_200_000), ann.post(FILES, content=pieces(), headers=media)
        just = give(ann, b"x" * 1_000_000, "a.txt")

        assert [answer.status_code for answer in (declared, undeclared, just)] == [413, 413, 200]
        assert undeclared.json() == declared.json()
        assert declared.json() == {
            "error": {"code": "FILE_TOO_LARGE", "message": "the file is larger than the limit of 1000000 bytes"}
        }
        assert left_behind(world) == []


def test_a_deleted_file_is_gone_with_its_bytes(world: World, ann: httpx.Client) -> None:
    id = indexed(ann, some())["id"]
    kept = world.app.settings.files / id
    mode = kept.stat().st_mode & 0o777
    deleted = ann.delete(f"{FILES}/{id}")

    assert mode == 0o600
    assert deleted.json() == {"message": "The file is deleted."}
    assert not kept.exists()
    assert [ann.get(f"{FILES}/{id}").status_code, ann.delete(f"{FILES}/{id}").status_code] == [404, 404]


def test_a_file_is_deleted_in_the_middle_of_its_processing(world: World, ann: httpx.Client) -> None:
    id = give(ann, b"A sentence about rivers. " * 200_000, "long.txt").json()["file_id"]
    deleted = ann.delete(f"{FILES}/{id}")
    after = indexed(ann, some())

    assert deleted.status_code == 200
    assert after["status"] == "success", "the indexer goes on with others"
    assert [one["id"] for one in ann.get(FILES).json()["files"]] == [after["id"]]


def test_collections_are_made_listed_shown_and_deleted(ann: httpx.Client) -> None:
    ids = [give(ann, some()).json()["file_id"] for _ in range(2)]
    made = ann.post(COLLECTIONS, json={"name": "Rivers", "file_ids": ids})
    empty = ann.post(COLLECTIONS, json={"name": "None"}).json()
    one = ann.get(f"{COLLECTIONS}/{made.json()['id']}").json()
    listed = ann.get(COLLECTIONS).json()["collections"]
    ann.delete(f"{FILES}/{ids[0]}")
    less = ann.get(f"{COLLECTIONS}/{one['id']}").json()
    deleted = ann.delete(f"{COLLECTIONS}/{one['id']}")

    assert made.status_code == 201
    assert made.json() == one
    assert (one["name"], one["file_ids"]) == ("Rivers", ids)
    assert [found["id"] for found in listed] == [empty["id"], one["id"]]
    assert less["file_ids"] == ids[1:]
    assert deleted.json() == {"message": "The collection is deleted."}
    assert ann.get(COLLECTIONS).json() == {"collections": [empty]}
    assert [found["id"] for found in ann.get(FILES).json()["files"]] == ids[1:]


@pytest.mark.parametrize("body", [{}, {"name": ""}, {"name": "x" * 256}, {"name": "x", "file_ids": "y"}])
def test_a_collection_needs_a_name_and_a_list(ann: httpx.Client, body: dict[str, Any]) -> None:
    answer = ann.post(COLLECTIONS, json=body)

    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "INVALID_REQUEST"


def test_several_upload_at_once_while_somebody_chats(ann: httpx.Client, world: World) -> None:
    ids = [give(ann, some()).json()["file_id"] for _ in range(6)]
    answer = ann.post("/api/v1/chat", json={"question": "Where?"})
    found = [finished(ann, id) for id in ids]

    assert answer.status_code == 200
    assert [one["status"] for one in found] == ["success"] * 6
