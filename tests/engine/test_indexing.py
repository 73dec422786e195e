"""Taking files in and indexing them: by one at a time, to an end, whatever happens in between."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from rivermouth.clock import SystemClock
from rivermouth.documents import File, Room, Vectors
from rivermouth.engine.indexing import BUG, LOST, Indexer, held
from rivermouth.engine.intake import LEFT_BEHIND, Intake
from rivermouth.errors import NotFound, ProviderRefused, ProviderUnreachable, TooLarge, Unavailable, UnsupportedMedia
from rivermouth.retrieval import parse
from rivermouth.stores.rows import SqliteRows
from tests import documents

SECONDS = 60
ANN = ("ann",)
TEXT = b"".join(b"Sentence number %d tells of a river and where it ends.\n" % number for number in range(600))


class World:
    """One data directory. wakes: how often somebody was told of a new file."""

    def __init__(self, folder: Path) -> None:
        self.rows, self.folder, self.wakes = SqliteRows(folder / "rows.db", SystemClock()), folder / "files", 0
        self.intake = Intake(self.rows, self.folder, SystemClock(), 1_000_000, self._wake)

    def _wake(self) -> None:
        self.wakes += 1

    def indexer(self, **more: Any) -> Indexer:
        return Indexer(self.rows, self.folder, SystemClock(), parse.Limits(), **more)

    async def give(self, data: bytes = TEXT, name: str = "rivers.txt") -> File:
        with self.intake.incoming() as one:
            for start in range(0, len(data), 10_000):
                await one.write(data[start : start + 10_000])
            return (await self.intake.keep(one, "ann", name)).file

    async def passages(self, id: str) -> list[str]:
        return [one.text for one in await self.rows.passages(ANN, id, limit=1000)]


@asynccontextmanager
async def world(folder: Path) -> AsyncIterator[World]:
    found = World(folder)
    try:
        yield found
    finally:
        await found.rows.close()


def played(story: Callable[[World], Coroutine[Any, Any, Any]], folder: Path) -> Any:
    async def play() -> Any:
        async with asyncio.timeout(SECONDS), world(folder) as found:
            return await story(found)

    return asyncio.run(play())


class Sayer:
    """An embedder that does something at each call, and gives every text the same vector."""

    name = "sayer"

    def __init__(self, do: Callable[[int], Coroutine[Any, Any, None]]) -> None:
        self._do, self._calls = do, 0

    async def embed(self, texts: Sequence[str]) -> Vectors:
        self._calls += 1
        await self._do(self._calls)
        return Vectors(self.name, 1, b"\0\0\x80?" * len(texts))

    async def close(self) -> None:
        return None


def test_a_file_is_indexed_with_its_vectors(tmp_path: Path) -> None:
    async def story(world: World) -> tuple[bool, File, int, int]:
        async def nothing(_: int) -> None:
            return None

        file = await world.give()
        done = await world.indexer(embedder=Sayer(nothing)).index(file)
        found = await world.rows.file(ANN, file.id)
        return (
            done,
            found,
            len(await world.passages(file.id)),
            len((await world.rows.vectors(ANN, file.id, "sayer")).numbers),
        )

    done, file, passages, vectors = played(story, tmp_path)

    assert done
    assert (file.status, file.passages, file.progress) == ("success", passages, 1.0)
    assert file.summary is not None
    assert file.summary.startswith("Sentence number 0 tells of a river")
    assert passages == vectors > 30


def test_of_several_at_one_file_one_does_it(tmp_path: Path) -> None:
    async def story(world: World) -> tuple[list[bool], File, list[str]]:
        file = await world.give()
        done = await asyncio.gather(*(world.indexer().index(file) for _ in range(4)))
        return done, await world.rows.file(ANN, file.id), await world.passages(file.id)

    done, file, passages = played(story, tmp_path)

    assert sorted(done) == [False, False, False, True]
    assert file.status == "success"
    assert len(passages) == len(set(passages)) == file.passages


def test_what_was_broken_off_is_begun_anew_by_whoever_comes_next(tmp_path: Path) -> None:
    async def story(world: World) -> tuple[int, File, list[str]]:
        halfway = asyncio.Event()

        async def wait_at_the_second(call: int) -> None:
            if call == 2:
                halfway.set()
                await asyncio.Event().wait()

        file = await world.give()
        first = asyncio.create_task(world.indexer(embedder=Sayer(wait_at_the_second)).index(file))
        await halfway.wait()
        assert not await world.indexer().index(file), "the first one is at it"
        first.cancel()
        await asyncio.wait([first])
        left = len(await world.passages(file.id))
        assert await world.indexer().index(file)
        return left, await world.rows.file(ANN, file.id), await world.passages(file.id)

    left, file, passages = played(story, tmp_path)

    assert left == 32, "one batch was there"
    assert file.status == "success"
    assert len(passages) == len(set(passages)) == file.passages > left


def test_a_file_that_is_deleted_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    async def story(world: World) -> tuple[bool, list[Path], int]:
        file = await world.give()

        async def delete(call: int) -> None:
            if call == 2:
                await world.intake.delete(ANN, file.id)

        done = await world.indexer(embedder=Sayer(delete)).index(file)
        hits = await world.rows.find_words(ANN, None, "river", 10)
        return done, list(world.folder.iterdir()), len(hits)

    assert played(story, tmp_path) == (True, [], 0)


def test_a_file_waits_for_an_embedder_that_is_away(tmp_path: Path) -> None:
    async def story(world: World) -> tuple[str, bool, str]:
        async def away(_: int) -> None:
            raise ProviderUnreachable("the embeddings server cannot be reached")

        file = await world.give()
        with pytest.raises(Unavailable, match="the embeddings server cannot be reached"):
            await world.indexer(embedder=Sayer(away)).index(file)
        between = await world.rows.file(ANN, file.id)
        done = await world.indexer().index(file)
        after = await world.rows.file(ANN, file.id)
        return between.status, done, after.status

    assert played(story, tmp_path) == ("embed_file_started", True, "success")


class Picky(Sayer):
    """An embedder that takes no text with `poison` in it."""

    async def embed(self, texts: Sequence[str]) -> Vectors:
        if any("poison" in text for text in texts):
            raise ProviderRefused("the embeddings server answers with status 400")
        return await super().embed(texts)


def test_files_that_an_embedder_refuses_hold_up_no_others(tmp_path: Path) -> None:
    async def story(world: World) -> tuple[list[str], str]:
        async def nothing(_: int) -> None:
            return None

        refused = [await world.give(b"A river of poison %d." % number) for number in range(4)]
        good = await world.give(b"A river.")
        running = asyncio.create_task(world.indexer(embedder=Picky(nothing)).run())
        found = await world.rows.file(ANN, good.id)
        while not found.finished:
            await asyncio.sleep(0.01)
            found = await world.rows.file(ANN, good.id)
        running.cancel()
        await asyncio.wait([running])
        return [(await world.rows.file(ANN, file.id)).status for file in refused], found.status

    assert played(story, tmp_path) == (["embed_file_started"] * 4, "success")


def test_a_file_that_finds_a_bug_of_ours_is_not_tried_for_ever(tmp_path: Path, logged: list[dict[str, Any]]) -> None:
    async def story(world: World) -> File:
        async def bug(_: int) -> None:
            raise ValueError("a bug")

        file = await world.give()
        await world.indexer(embedder=Sayer(bug)).index(file)
        return await world.rows.file(ANN, file.id)

    found = played(story, tmp_path)

    assert (found.status, found.errors) == ("failure", [BUG])
    assert "indexing_broke" in [line["event"] for line in logged]


def test_a_file_whose_bytes_are_gone_fails_unless_another_may_have_them(tmp_path: Path) -> None:
    async def story(world: World) -> tuple[bool, bool, File, File]:
        file = await world.give()
        (world.folder / file.id).unlink()
        elsewhere = await world.indexer(missing_after=3600.0).index(file)
        here = await world.indexer().index(file)
        failed = await world.rows.file(ANN, file.id)
        again = await world.give()
        await world.indexer().index(again)
        return elsewhere, here, failed, await world.rows.file(ANN, again.id)

    elsewhere, here, failed, again = played(story, tmp_path)

    assert (elsewhere, here, failed.status, failed.errors) == (False, True, "failure", [LOST])
    assert (again.id, again.status) == (failed.id, "success"), "given again, it is whole again"


def test_the_background_indexes_what_is_there_and_what_comes(tmp_path: Path) -> None:
    async def story(world: World) -> list[str]:
        files = [await world.give(b"River %d. " % number) for number in range(3)]
        indexer = world.indexer()
        running = asyncio.create_task(indexer.run())
        files.append(await world.give(b"The last river."))
        indexer.wake()
        found = [await world.rows.file(ANN, file.id) for file in files]
        while not all(file.finished for file in found):
            await asyncio.sleep(0.01)
            found = [await world.rows.file(ANN, file.id) for file in files]
        running.cancel()
        await asyncio.wait([running])
        return [file.status for file in found]

    assert played(story, tmp_path) == ["success"] * 4


def test_the_background_outlives_what_goes_wrong_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(world: World) -> str:
        indexer, calls = world.indexer(), 0
        true_files = world.rows.unfinished_files

        async def odd() -> list[File]:
            nonlocal calls
            calls += 1
            if calls <= 2:
                indexer.wake()
                raise Unavailable("away") if calls == 1 else ZeroDivisionError
            return await true_files()

        monkeypatch.setattr(world.rows, "unfinished_files", odd)
        file = await world.give(b"A river.")
        running = asyncio.create_task(indexer.run())
        found = await world.rows.file(ANN, file.id)
        while not found.finished:
            await asyncio.sleep(0.01)
            found = await world.rows.file(ANN, file.id)
        running.cancel()
        await asyncio.wait([running])
        return found.status

    assert played(story, tmp_path) == "success"


def test_the_lock_on_a_file_is_for_one_and_ends(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with held(tmp_path / "file") as first, held(tmp_path / "file") as second:
        assert first is not None
        assert second is None
    with held(tmp_path / "file") as third, held(tmp_path / "nothing") as nothing:
        assert third is not None
        assert nothing is None


def test_what_is_not_kept_is_gone(tmp_path: Path) -> None:
    async def story(world: World) -> list[Path]:
        with pytest.raises(TooLarge, match="larger than the limit of 1000000 bytes"):
            await world.give(b"x" * 1_000_001)
        with pytest.raises(UnsupportedMedia):
            await world.give(bytes(range(256)) * 10)
        with world.intake.incoming() as one:
            await one.write(b"x" * 400_000)
        return list(world.folder.iterdir())

    assert played(story, tmp_path) == []


def test_a_database_that_is_away_keeps_no_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(world: World) -> list[Path]:
        async def away(_: File, __: Room | None) -> File:
            raise Unavailable("away")

        monkeypatch.setattr(world.rows, "add_file", away)
        with pytest.raises(Unavailable):
            await world.give()
        return list(world.folder.iterdir())

    assert played(story, tmp_path) == []


def test_only_bytes_that_nobody_knows_and_that_are_old_are_swept(tmp_path: Path) -> None:
    async def story(world: World) -> list[str]:
        file = await world.give()
        for name in (".incoming-1", ".incoming-2", "lost-1", "lost-2"):
            (world.folder / name).write_bytes(b"x")
        old = SystemClock().now() - 2 * LEFT_BEHIND
        for name in (".incoming-1", "lost-1", file.id):
            os.utime(world.folder / name, (old, old))
        await world.intake.sweep()
        return [path.name for path in world.folder.iterdir() if path.name != file.id or not path.read_bytes()]

    assert sorted(played(story, tmp_path)) == [".incoming-2", "lost-2"]


def test_a_deletion_that_was_broken_off_is_ended_by_the_sweep(tmp_path: Path) -> None:
    async def story(world: World) -> tuple[list[str], list[str], list[Path]]:
        file = await world.give()
        await world.indexer().index(file)
        await world.rows.withdraw_file(ANN, file.id)
        left = await world.rows.withdrawn_files()
        await world.intake.sweep()
        return left, await world.rows.withdrawn_files(), list(world.folder.iterdir())

    left, after, files = played(story, tmp_path)

    assert len(left) == 1
    assert after == []
    assert files == []


def test_a_file_that_nobody_may_have_is_told_as_one_that_is_not_there(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        file = await world.give(documents.pdf(["x"]))
        with pytest.raises(NotFound):
            await world.intake.delete(("ben",), file.id)
        assert (world.folder / file.id).exists()

    played(story, tmp_path)
