"""The files of visitors: whose they are, how many, from where, and that no other site's page can give or take any."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from rivermouth.providers.scripted import ScriptedProvider
from tests.running import Running, running

OWN = {"X-Rivermouth-Page": "1"}
TEXT = b"The tide at Kollmar is 3.2 metres high."


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    limits = {"page_files": "1000/minute"}
    with running(tmp_path_factory.mktemp("visitors"), ScriptedProvider(), limits=limits) as one:
        yield one


@contextmanager
def visitor(server: Running) -> Iterator[httpx.Client]:
    """Somebody with a cookie."""
    with httpx.Client(base_url=server.url, timeout=30) as client:
        client.get("/page/config")
        yield client


def read(client: httpx.Client) -> None:
    """Return when its files are."""
    until = time.monotonic() + 20
    while any(file["status"] != "success" for file in client.get("/page/files").json()["files"]):
        assert time.monotonic() < until, "the files are not read"
        time.sleep(0.05)


def give(client: httpx.Client, data: bytes = TEXT, name: str = "tide.txt", **headers: str) -> httpx.Response:
    return client.post("/page/files", files={"file": (name, data)}, headers={**OWN, **headers})


def names(client: httpx.Client) -> list[str]:
    return [file["filename"] for file in client.get("/page/files").json()["files"]]


def test_a_file_is_its_givers_alone(server: Running) -> None:
    with visitor(server) as ada, visitor(server) as bob:
        given = give(ada)

        assert given.status_code == 200
        assert given.json()["filename"] == "tide.txt"
        assert names(ada) == ["tide.txt"]
        assert names(bob) == []
        assert bob.delete(f"/page/files/{given.json()['id']}", headers=OWN).status_code == 404
        assert ada.delete(f"/page/files/{given.json()['id']}", headers=OWN).status_code == 200
        assert names(ada) == []


def test_its_giver_gets_answers_from_it(server: Running) -> None:
    question = {"message": "How high is the tide at Kollmar?", "chatInstanceId": "ci_1", "chatModelId": "assistant"}
    with visitor(server) as ada, visitor(server) as bob:
        give(ada)
        read(ada)
        told, untold, other = (
            one.post("/smarttalk/api/chat", json={**question, "chatInstanceId": str(number), **more}).json()["message"]
            for number, (one, more) in enumerate(
                [(ada, {"searchFiles": True}), (ada, {}), (bob, {"searchFiles": True})]
            )
        )

    assert [source["filename"] for source in told["metadata"]["sources"]] == ["tide.txt"]
    assert untold["metadata"]["sources"] == []
    assert other["metadata"]["sources"] == []


def test_without_a_cookie_nothing_is_kept(server: Running) -> None:
    answer = httpx.post(server.url + "/page/files", files={"file": ("a.txt", TEXT)}, headers=OWN)
    forged = httpx.post(
        server.url + "/page/files", files={"file": ("a.txt", TEXT)}, headers={**OWN, "Cookie": "rivermouth_client=a.b"}
    )

    assert answer.status_code == forged.status_code == 403
    assert "cookie" in answer.json()["error"]["message"]


def test_another_sites_page_can_neither_give_nor_take(server: Running) -> None:
    with visitor(server) as ada:
        kept = give(ada).json()["id"]
        given = ada.post("/page/files", files={"file": ("b.txt", b"b")}, headers={"Origin": "http://evil.example"})
        taken = ada.delete(f"/page/files/{kept}")
        asked = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
        may = ada.options("/page/files", headers={**asked, "Access-Control-Request-Headers": "x-rivermouth-page"})

        assert given.status_code == taken.status_code == 403
        assert may.status_code == 400
        assert names(ada) == ["tide.txt"]


def test_a_visitor_has_so_many_files_and_no_more(tmp_path: Path) -> None:
    with (
        running(tmp_path / "data", ScriptedProvider(), page={"files": 3, "files_bytes": 1000}) as server,
        visitor(server) as ada,
    ):
        with ThreadPoolExecutor(8) as pool:
            given = list(pool.map(lambda number: give(ada, b"%d" % number * 5, f"{number}.txt"), range(8)))
        assert sorted(one.status_code for one in given) == [200] * 3 + [400] * 5
        assert {one.json()["error"]["code"] for one in given if one.status_code != 200} == {"quota_exceeded"}
        for file in ada.get("/page/files").json()["files"]:
            ada.delete(f"/page/files/{file['id']}", headers=OWN)

        assert give(ada, b"a" * 600, "a.txt").status_code == 200
        assert give(ada, b"b" * 600, "b.txt").status_code == 400
        assert names(ada) == ["a.txt"]
        assert len(list((tmp_path / "data" / "files").iterdir())) == 1


def test_an_address_gives_so_many_files_in_an_hour(tmp_path: Path) -> None:
    with running(tmp_path / "data", ScriptedProvider(), limits={"page_files": "2/hour"}) as server:
        given = []
        for number in range(3):
            with visitor(server) as somebody:
                given.append(give(somebody, b"%d" % number, f"{number}.txt"))

    assert [one.status_code for one in given] == [200, 200, 429]
    assert int(given[2].headers["retry-after"]) > 0


def test_what_is_no_document_is_refused(server: Running) -> None:
    with visitor(server) as ada:
        answer = give(ada, b"\x00\x01\x02\xff" * 100, "what.bin")

        assert answer.status_code == 415
        assert names(ada) == []


@pytest.mark.parametrize(
    ("settings", "headers", "open_"),
    [
        ({}, {}, True),
        ({}, {"Host": "localhost"}, True),
        ({}, {"Host": "[::1]:80"}, True),
        ({}, {"Host": "chat.example.org"}, False),
        ({}, {"Host": "127.0.0.1.evil.example"}, False),
        ({}, {"X-Forwarded-For": "198.51.100.7"}, False),
        ({}, {"Via": "1.1 proxy"}, False),
        ({"host": "0.0.0.0"}, {}, False),
        ({"listen": ("0.0.0.0:0=ares",)}, {}, False),
        ({"host": "0.0.0.0", "page": {"uploads": True}}, {"Host": "chat.example.org"}, True),
        ({"page": {"uploads": False}}, {}, False),
    ],
)
def test_files_are_taken_on_this_machine_alone_unless_it_is_said(
    tmp_path: Path, settings: dict[str, Any], headers: dict[str, str], open_: bool
) -> None:
    with running(tmp_path / "data", ScriptedProvider(), **settings) as server, visitor(server) as client:
        closed = client.get("/page/config", headers=headers).json()["uploads"]["closed"]
        given = give(client, **headers)

    assert (closed is None) == open_
    assert given.status_code == (200 if open_ else 403)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("PUT", "files", 405),
        ("POST", "config", 405),
        ("GET", "files/1", 405),
        ("DELETE", "files/1", 404),
        ("DELETE", "files/..", 404),
    ],
)
def test_what_makes_no_sense_is_refused(server: Running, method: str, path: str, status: int) -> None:
    with visitor(server) as ada:
        answer = ada.request(method, f"/page/{path}", headers=OWN)

    assert answer.status_code == status
    assert answer.json()["error"]["message"]
