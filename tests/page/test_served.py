"""How the page is served: to whom, with which headers, and what is said where it is not there."""

import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from rivermouth.doors import webui
from rivermouth.providers.scripted import ScriptedProvider
from tests.page.building import ROOT
from tests.running import Running, running

HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.fixture(scope="module")
def server(page_files: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("served"), ScriptedProvider()) as one:
        yield one


@pytest.fixture
def client(server: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url) as one:
        yield one


def test_a_browser_gets_the_page_and_a_program_the_pointers(client: httpx.Client) -> None:
    page, pointers = client.get("/", headers=HTML), client.get("/")

    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "<title>Rivermouth</title>" in page.text
    assert pointers.json()["docs"] == "/docs"
    assert "Accept" in pointers.headers["vary"]
    assert "Accept" in page.headers["vary"]


def test_the_page_may_run_its_own_files_alone(client: httpx.Client) -> None:
    page = client.get("/", headers=HTML)
    policy = page.headers["content-security-policy"]

    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert "require-trusted-types-for 'script'" in policy
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["x-frame-options"] == "DENY"
    assert page.headers["referrer-policy"] == "no-referrer"
    assert not re.findall(r"""(?:src|href)="(?!\./page/)""", page.text)
    assert not re.findall(r"<script(?![^>]+src=)|<style|\son\w+=|\sstyle=", page.text)


def test_files_are_kept_for_good_and_the_page_is_asked_for_again(client: httpx.Client) -> None:
    page = client.get("/", headers=HTML)
    again = client.get("/", headers={**HTML, "If-None-Match": page.headers["etag"]})
    files = re.findall(r'(?:src|href)="\.(/page/[^"]+)"', page.text)

    assert page.headers["cache-control"] == "no-cache"
    assert (again.status_code, again.content) == (304, b"")
    assert len(files) == 3
    for path in files:
        file = client.get(path)
        assert file.status_code == 200
        assert "immutable" in file.headers["cache-control"]
        assert file.headers["content-encoding"] == "gzip"
        assert client.get(path, headers={"Accept-Encoding": "identity"}).content == file.content
        assert file.headers["x-content-type-options"] == "nosniff"


def test_a_file_is_only_read(client: httpx.Client) -> None:
    head, post = client.head("/", headers=HTML), client.post("/", headers=HTML)

    assert (head.status_code, head.content) == (200, b"")
    assert int(head.headers["content-length"]) > 0
    assert (post.status_code, post.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("path", ["/", "/health", "/ready", "/metrics", "/docs", "/openapi.json"])
def test_what_is_only_read_refuses_all_else_in_json(client: httpx.Client, path: str) -> None:
    refused = client.post(path)

    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")
    assert refused.json() == {"error": {"code": "method_not_allowed", "message": f"POST is not for {path}"}}


@pytest.mark.parametrize(
    "path", ["/page/", "/page/nothing", "/page/../app.py", "/page/%2e%2e/webui.py", "/page//etc/passwd"]
)
def test_nothing_else_of_the_folder_is_served(client: httpx.Client, path: str) -> None:
    answer = client.get(path, headers=HTML)

    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "not_found"


def test_a_visitor_is_given_a_cookie_once(client: httpx.Client) -> None:
    first = client.get("/page/config")
    second = client.get("/page/config")

    assert "HttpOnly" in first.headers["set-cookie"]
    assert "set-cookie" not in second.headers
    assert first.headers["cache-control"] == "no-store"
    assert first.json()["agents"][0]["id"] == "assistant"
    assert "cm_default" not in [agent["id"] for agent in first.json()["agents"]]
    assert set(first.json()["dialects"]) == {"ares", "knowbase", "session", "smarttalk", "wisqu"}


def test_agents_that_are_not_open_to_visitors_are_not_named(tmp_path: Path) -> None:
    agents = {"assistant": {"anonymous": False}, "harbour": {"name": "Harbour"}}
    with running(tmp_path / "data", ScriptedProvider(), agents=agents) as server:
        told = httpx.get(server.url + "/page/config").json()

    assert [agent["name"] for agent in told["agents"]] == ["Harbour"]


def test_where_it_is_not_built_it_says_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webui, "FOLDER", tmp_path / "nothing")
    with running(tmp_path / "data", ScriptedProvider()) as server:
        page, pointers = httpx.get(server.url, headers=HTML), httpx.get(server.url)

    assert page.status_code == 200
    assert "scripts/serve" in page.text
    assert "Node 18" in page.text
    assert "scripts/serve" in pointers.json()["page"]


def test_a_wheel_carries_it(page_files: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path], cwd=ROOT, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    inside = zipfile.ZipFile(wheel).namelist()

    assert {path.name for path in page_files.rglob("*") if path.is_file()} <= {Path(name).name for name in inside}
    assert "rivermouth/doors/_page/index.html" in inside


def test_it_can_be_turned_off(tmp_path: Path) -> None:
    with running(tmp_path / "data", ScriptedProvider(), page={"enabled": False}) as server:
        page, config = httpx.get(server.url, headers=HTML), httpx.get(server.url + "/page/config")

    assert page.json()["name"] == "rivermouth"
    assert "page" not in page.json()
    assert config.status_code == 404
