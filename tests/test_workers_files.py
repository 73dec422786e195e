"""Files with `rivermouth serve --workers N`: given to one worker, searched and deleted at another, read on where one dies."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.servers import redis
from tests.several import PATIENCE, Several, Story, eventually, holds_open, serving

FILES = "/knowbase/api/v1/files"
SENTENCE = "The river flows on to the great grey sea, and the boats wait at the lock for high water. "


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Several]:
    with redis(tmp_path) as server, serving(tmp_path, server.url, Story().answer) as several:
        yield several


def of_the_local_user(several: Several) -> dict[str, str]:
    kept = json.loads(next(several.folder.rglob("credentials.json")).read_text())
    return {"Authorization": f"Bearer {kept['knowbase']['credential']}"}


def give(who: httpx.Client, text: str) -> str:
    answer = who.post(FILES, files={"file": ("harbour.txt", text.encode())})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["file_id"])


def finished(who: httpx.Client, id: str) -> bool:
    return who.get(f"{FILES}/{id}").json()["status"] in ("success", "failure")


def found(who: httpx.Client, question: str) -> list[str]:
    answer = who.post("/knowbase/api/v1/chat", json={"question": question})
    assert answer.status_code == 200, answer.text
    return [source["content"] for source in answer.json()["sources"]]


def test_a_file_is_of_all_workers_and_outlives_the_one_that_reads_it(two: Several) -> None:
    first, second = two.workers
    with two.client(first) as one, two.client(second) as other:
        one.headers.update(of_the_local_user(two))
        other.headers.update(of_the_local_user(two))
        short = give(one, "The pilot of the harbour is called Quillfeather.")
        same = give(other, "The pilot of the harbour is called Quillfeather.")
        assert eventually(lambda: finished(other, short), PATIENCE)
        [pilot] = found(other, "What is the pilot called?")

        long = give(one, SENTENCE * 45_000 + "The last lock keeper is called Ottersby.")
        [bytes_of_it] = two.folder.rglob(f"files/{long}")
        assert eventually(lambda: other.get(f"{FILES}/{long}").json()["progress"] > 0)
        reader = next(pid for pid in two.workers if holds_open(pid, bytes_of_it))
        two.kill(reader)

    assert eventually(lambda: len(two.workers) == 2, PATIENCE)
    with httpx.Client(base_url=two.url, headers=of_the_local_user(two), timeout=PATIENCE, trust_env=False) as who:
        assert eventually(lambda: finished(who, long), 4 * PATIENCE)
        told = who.get(f"{FILES}/{long}").json()
        keeper = found(who, "What is the last lock keeper called?")
        who.delete(f"{FILES}/{long}").raise_for_status()
        left = found(who, "What is the last lock keeper called?")

    assert same == short
    assert "Quillfeather" in pilot
    assert (told["status"], told["progress"], told["errors"]) == ("success", 1.0, [])
    assert sum("Ottersby" in text for text in keeper) == 1
    assert not any("Ottersby" in text for text in left)
    assert not bytes_of_it.exists()
