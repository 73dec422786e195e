"""The disk is full in the middle of answers: everybody is told, nothing goes on silently, and with space again all is well."""

import asyncio
import random
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

import pytest
from bench.chaos.client import Client
from bench.chaos.forms import FORMS, read
from bench.chaos.http import request
from bench.chaos.model import Question
from bench.chaos.site import Single, headers, single
from bench.chaos.verdict import state, verdict

from tests.chaos.playing import PATIENCE, assert_unharmed, played

BY_NAME = {form.name: form for form in FORMS}


class Disk(Protocol):
    """What the server's data lies on."""

    folder: Path

    def fill(self, site: Single) -> None:
        """No byte more fits."""

    def free(self, site: Single) -> None:
        """There is space again."""


class Limited:
    """Any folder: the server's process may write no file further. For this nobody needs any right."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self, site: Single) -> None:
        site.replicas[0].limit_files(0)

    def free(self, site: Single) -> None:
        site.replicas[0].limit_files(None)


class Small:
    """A file system of 4 MB, which another file fills."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self, site: Single) -> None:
        with (self.folder / "filler").open("wb", buffering=0) as filler, suppress(OSError):
            while filler.write(bytes(512)):
                pass

    def free(self, site: Single) -> None:
        (self.folder / "filler").unlink()


@contextmanager
def disk(how: str, folder: Path) -> Iterator[Disk]:
    if how == "limit":
        yield Limited(folder)
        return
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder]
    mount = subprocess.run(command, capture_output=True, text=True, check=False)
    if mount.returncode != 0:
        pytest.skip(f"a small file system can be mounted only with the right to: {mount.stderr.strip()}")
    try:
        yield Small(folder)
    finally:
        subprocess.run(["umount", folder], check=True)


def asking(site: Single, name: str, words: int) -> Client:
    """A client that takes the first end that it is told."""
    form, question = BY_NAME[name], Question(seed=words, words=words, gap=0.01)
    client = Client(
        form,
        question,
        ports=lambda: [site.replicas[0].port],
        headers=headers(site, form),
        conversation="3f1a2f0e-8f0a-4c5e-9b57-0d7f6a1f2b3c",
        chance=random.Random(1),
    )
    client.persists = False
    return client


async def readiness(site: Single) -> tuple[int, str]:
    response = await request(site.replicas[0].port, "GET", "/ready")
    return response.status, (await response.whole()).decode()


async def resumed(site: Single, client: Client) -> str:
    """All that is told from the second event on, in a dialect that has words for a failure."""
    path = f"/streams/{client.run}?after=1&dialect=session"
    response = await request(site.replicas[0].port, "GET", path, client.headers)
    return (await response.whole()).decode()


async def head(site: Single, client: Client) -> tuple[int, str | None]:
    response = await request(site.replicas[0].port, "HEAD", f"/streams/{client.run}", client.headers)
    response.close()
    return response.status, response.headers.get("retry-after")


@pytest.mark.parametrize("how", ["limit", "tmpfs"])
def test_a_full_disk_is_told_to_everybody_and_with_space_again_all_goes_on(tmp_path: Path, how: str) -> None:
    async def story(place: Disk) -> None:
        async with asyncio.timeout(PATIENCE), single(place.folder) as site:
            watching = [
                asking(site, name, 1000 + number) for number, name in enumerate(("knowbase", "session", "smarttalk"))
            ]
            tasks = [asyncio.create_task(client.play()) for client in watching]
            for client in watching:
                await client.has_bytes(500)
            place.fill(site)
            await asyncio.gather(*tasks)
            late = asking(site, "wisqu", 5)
            await late.play()
            full = await readiness(site)
            come_later = [await resumed(site, client) for client in watching]
            looked = [await head(site, client) for client in watching]
            place.free(site)
            breaches = await verdict(site, [*watching, late], set())
            again = asking(site, "wisqu", 5)
            await again.play()

            assert [client.ended for client in watching] == ["unstorable"] * 3
            assert (late.ended, late.notes[0][:11]) == ("refused", "asking: 503")
            assert full[0] == 503
            assert "the disk is full" in full[1]
            assert all("the disk is full" in body for body in come_later), "who comes later is told as well, and let go"
            assert looked == [(503, "1")] * 3, "whether it will have an end, and which, nobody knows yet"
            assert breaches == []
            assert [await state(site, client.run, client.headers) for client in watching] == ["interrupted"] * 3
            assert again.ended == "told"
            assert read(again.form, again.body).text == "".join(again.question.answer())

    with disk(how, tmp_path) as place:
        asyncio.run(story(place))


def test_whatever_clients_do_while_the_disk_is_full_nothing_that_they_saw_is_lost(tmp_path: Path) -> None:
    assert_unharmed(played(single, tmp_path, "full", rounds=3))
