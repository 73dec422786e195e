"""`rivermouth ingest`: files of every kind, beside a server and without one, on both databases, and killed in the middle."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from rivermouth.cli import run
from rivermouth.providers.scripted import ScriptedProvider
from tests import documents
from tests.documents import TEXT
from tests.running import running

SECONDS = 60
OURS = ("RIVERMOUTH_", "LOCAL_LLM_", "OPENAI_", "REDIS_URL", "DATABASE_URL")
LONG = b"".join(b"Sentence number %d tells of a river and where it ends.\n" % number for number in range(40_000))


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(OURS)]:
        monkeypatch.delenv(name)


@pytest.fixture
def papers(tmp_path: Path) -> Path:
    """A folder of all sorts."""
    folder = tmp_path / "papers"
    (folder / "more").mkdir(parents=True)
    (folder / ".git").mkdir()
    (folder / "a.pdf").write_bytes(documents.pdf([TEXT]))
    (folder / "more" / "b.docx").write_bytes(documents.word({"Mouths": TEXT}))
    (folder / "more" / "c.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 10)
    (folder / ".git" / "config").write_text("hidden")
    (folder / ".hidden.txt").write_text("hidden")
    return folder


def told(capsys: pytest.CaptureFixture[str]) -> list[list[str]]:
    return [line.split("\t") for line in capsys.readouterr().out.splitlines()]


def listed(url: str, token: str) -> dict[str, dict[str, Any]]:
    answer = httpx.get(f"{url}/knowbase/api/v1/files", headers={"Authorization": f"Bearer {token}"}, timeout=10)
    return {file["filename"]: file for file in answer.json()["files"]}


def test_a_folder_is_taken_in_and_what_cannot_be_read_is_passed_over(
    papers: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    codes = [run(["ingest", str(papers), "--user", "ann"]) for _ in range(2)]
    lines = told(capsys)

    assert codes == [0, 0]
    assert [(line[0], Path(line[2]).name) for line in lines[:3]] == [
        ("success", "a.pdf"),
        ("success", "b.docx"),
        ("skipped", "c.png"),
    ]
    assert [line[:3] for line in lines[3:]] == [line[:3] for line in lines[:3]], "the same files are the same files"


def test_one_that_fails_is_told_with_its_reason_and_the_others_go_on(
    papers: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "scan.pdf").write_bytes(documents.pdf([""]))
    (tmp_path / "large.txt").write_bytes(b"x" * 6000)
    (tmp_path / "rivermouth.toml").write_text("[limits]\nfile_bytes = 5000\n")
    names = ["scan.pdf", str(papers / "more" / "c.png"), "large.txt", str(papers / "a.pdf")]
    code = run(["ingest", *names, "--user", "ann"])
    lines = told(capsys)

    assert code == 1
    assert [line[0] for line in lines] == ["failure", "failure", "failure", "success"]
    assert lines[0][3].startswith("no text is on any of its pages")
    assert lines[1][3].startswith("'c.png' is of no kind that can be read here")
    assert lines[2][3] == "the file is larger than the limit of 5000 bytes"


@pytest.mark.parametrize(
    "arguments",
    [
        ["nowhere.pdf", "--user", "ann"],
        ["papers"],
        ["--user", "ann"],
        ["papers", "--user", " "],
        ["papers", "--user", "ann", "--system", "elsewhere"],
        ["papers", "--user", "ann", "--data-dir", "papers/a.pdf"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_what_does_not_fit_is_told_on_stderr(
    papers: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(["ingest", *arguments])

    out, err = capsys.readouterr()
    assert code == 2, err
    assert out == ""
    assert "Traceback" not in err


def test_files_that_are_taken_in_beside_a_server_are_answered_from_by_it(
    papers: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with running(tmp_path / "data", ScriptedProvider()) as server:
        token, other = server.credential("knowbase", "token", "ann"), server.credential("knowbase", "token", "ben")
        code = run(["ingest", str(papers), "--user", "ann", "--data-dir", str(tmp_path / "data")])
        anns, bens = listed(server.url, token), listed(server.url, other)
        answer = httpx.post(
            f"{server.url}/knowbase/api/v1/chat",
            json={"question": "Where does a river end?", "file_ids": [anns["a.pdf"]["id"]]},
            headers={"Authorization": f"Bearer {token}"},
            timeout=SECONDS,
        )

    assert code == 0
    assert {name: file["status"] for name, file in anns.items()} == {"a.pdf": "success", "b.docx": "success"}
    assert bens == {}
    assert answer.json()["sources"][0]["filename"] == "a.pdf"
    assert answer.json()["sources"][0]["source"] == "1"
    assert TEXT in answer.json()["sources"][0]["content"]


def test_files_are_taken_in_with_postgresql(
    papers: Path, tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    codes = [run(["ingest", str(papers), "--user", "ann", "--data-dir", str(tmp_path / "data")]) for _ in range(2)]
    with running(tmp_path / "data", ScriptedProvider(), database_url=database_url) as server:
        token = server.credential("knowbase", "token", "ann")
        found = listed(server.url, token)
        uploaded = httpx.post(
            f"{server.url}/knowbase/api/v1/files",
            files={"file": ("again.pdf", (papers / "a.pdf").read_bytes())},
            headers={"Authorization": f"Bearer {token}"},
            timeout=SECONDS,
        )

    assert codes == [0, 0]
    assert {name: file["status"] for name, file in found.items()} == {"a.pdf": "success", "b.docx": "success"}
    assert uploaded.json()["file_id"] == found["a.pdf"]["id"]


def stored(folder: Path) -> list[int]:
    """Numbers of the passages that are in the index, of the one file there is."""
    try:
        with closing(sqlite3.connect(f"file:{folder / 'rows.db'}?mode=ro", uri=True, timeout=10)) as database:
            return [row[0] for row in database.execute("SELECT number FROM passages ORDER BY number")]
    except sqlite3.OperationalError:
        return []  # it is only just being made


def killed_in_the_middle(folder: Path) -> int:
    """How many passages a process had stored when it was killed."""
    arguments = ["ingest", "long.txt", "--user", "ann", "--data-dir", str(folder)]
    process = subprocess.Popen([sys.executable, "-m", "rivermouth", *arguments], stdout=subprocess.DEVNULL)
    until = time.monotonic() + SECONDS
    while len(stored(folder)) < 64 and time.monotonic() < until and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    return len(stored(folder))


@pytest.fixture
def half(tmp_path: Path) -> Path:
    """A data directory in which a file was being indexed when its process was killed."""
    (tmp_path / "long.txt").write_bytes(LONG)
    found = killed_in_the_middle(tmp_path / "data")
    assert found >= 64, "it was in the middle"
    return tmp_path / "data"


def test_a_server_that_starts_begins_anew_what_a_killed_process_left(half: Path) -> None:
    with running(half, ScriptedProvider()) as server:
        token = server.credential("knowbase", "token", "ann")
        until = time.monotonic() + SECONDS
        while (found := listed(server.url, token)["long.txt"])["status"] != "success" and time.monotonic() < until:
            time.sleep(0.05)

    numbers = stored(half)
    assert found["status"] == "success"
    assert found["progress"] == 1.0
    assert numbers == list(range(len(numbers)))
    assert len(numbers) > 2000


def test_the_command_again_begins_anew_what_a_killed_one_left(half: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["ingest", "long.txt", "--user", "ann", "--data-dir", str(half)])

    numbers = stored(half)
    assert code == 0
    assert told(capsys)[0][0] == "success"
    assert numbers == list(range(len(numbers)))
    assert len(numbers) > 2000
