"""`rivermouth ingest`: take files in for somebody, and wait until they can be searched."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NamedTuple

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn

from rivermouth import logs
from rivermouth.cli.flags import settings_flags, settings_of
from rivermouth.cli.local import opened
from rivermouth.clock import SystemClock
from rivermouth.documents import File
from rivermouth.engine.indexing import Indexer, indexer_of
from rivermouth.engine.intake import Intake, intake_of
from rivermouth.errors import ClientFault, NotFound, UnsupportedMedia
from rivermouth.parts import embedder_of, transcriber_of
from rivermouth.settings import SYSTEMS, Settings, SettingsError
from rivermouth.stores import Rows

PIECE = 256 * 1024
LOOK_SECONDS = 0.2
"""How often it is looked how far a file is."""


class Found(NamedTuple):
    """named: whether the command line names it, so that it must be of a kind that can be read."""

    path: Path
    named: bool


@click.command("ingest")
@click.argument(
    "paths", metavar="PATH…", nargs=-1, required=True, type=click.Path(exists=True, readable=True, path_type=Path)
)
@click.option("--user", required=True, metavar="NAME", help="Whose they are; the account is made where there is none.")
@click.option("--system", type=click.Choice(SYSTEMS), default="knowbase", show_default=True, help="The user's system.")
@settings_flags("data_dir")
def command(paths: tuple[Path, ...], user: str, system: str, config: Path | None, **values: Any) -> int:
    """Take files in for a user, and wait until they can be searched. Works beside a running server.

    Of a folder all files are taken in that can be read (PDF, DOCX, HTML, Markdown, CSV, text, audio), but for hidden ones.
    One line a file is printed: how it ended, its id, its path, and why it failed. The same file again is recognised.

    \b
    Examples:
      rivermouth ingest handbook.pdf --user ann
      rivermouth ingest ~/papers notes.md --user ann --data-dir /var/lib/rivermouth
    """
    settings = settings_of(values, config)
    logs.configure(settings.model_copy(update={"log_level": "error"}))
    found = list(dict.fromkeys(one for path in paths for one in _found(path)))
    failures = asyncio.run(_ingest(settings, system, user, found))
    if not found:
        click.echo("there is nothing to take in", err=True)
    return 1 if failures else 0


def _found(path: Path) -> Iterator[Found]:
    if not path.is_dir():
        yield Found(path, named=True)
        return
    for below in sorted(path.rglob("*")):
        hidden = any(part.startswith(".") for part in below.relative_to(path).parts)
        if below.is_file() and not hidden:
            yield Found(below, named=False)


async def _ingest(settings: Settings, system: str, user: str, found: Sequence[Found]) -> int:
    """How many failed."""
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        rows, auth = await stack.enter_async_context(opened(settings))
        owner = (await auth.user_named(system, user)).id
        embedder = await embedder_of(settings, clock, stack)
        if embedder is not None:
            await embedder.embed(["Is it there?"])  # else each file would wait for it, without a word
        transcriber = await transcriber_of(settings, clock, stack)
        try:
            intake = intake_of(settings, rows, clock, lambda: None)
        except OSError as error:
            raise SettingsError(
                f"the folder {settings.files} cannot be used: {error.strerror}; set data_dir"
            ) from error
        with _progress() as progress:
            work = Work(rows, intake, indexer_of(settings, rows, clock, embedder, transcriber), owner, progress)
            return await work.all(found)


def _progress() -> Progress:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), MofNCompleteColumn())
    return Progress(*columns, console=console, disable=not console.is_terminal, transient=True)


class Work:
    """One command's files, one after the other."""

    def __init__(self, rows: Rows, intake: Intake, indexer: Indexer, owner: str, progress: Progress) -> None:
        self._rows, self._intake, self._indexer, self._owner = rows, intake, indexer, owner
        self._progress = progress

    async def all(self, found: Sequence[Found]) -> int:
        """How many failed."""
        whole = self._progress.add_task("all", total=len(found))
        failures = 0
        for one in found:
            failures += not await self._one(one)
            self._progress.advance(whole)
        return failures

    async def _one(self, found: Found) -> bool:
        try:
            file = await self._taken_in(found.path)
            ended = await self._until_finished(file, found.path)
        except (ClientFault, OSError) as error:
            skipped = isinstance(error, UnsupportedMedia) and not found.named
            return self._said("failure", "-", found.path, str(error), skipped=skipped)
        return self._said(ended.status, ended.id, found.path, "; ".join(ended.errors))

    async def _taken_in(self, path: Path) -> File:
        with self._intake.incoming() as incoming, path.open("rb") as file:
            while data := file.read(PIECE):
                await incoming.write(data)
            return (await self._intake.keep(incoming, self._owner, path.name)).file

    async def _until_finished(self, file: File, path: Path) -> File:
        """Read it here, unless a server is at it already."""
        bar = self._progress.add_task(escape(path.name[:40]), total=1.0)
        try:
            while not file.finished:
                reading = asyncio.create_task(self._indexer.index(file))
                while not reading.done():
                    await asyncio.wait([reading], timeout=LOOK_SECONDS)
                    file = await self._rows.file((self._owner,), file.id)
                    self._progress.update(bar, completed=file.progress)
                if not reading.result() and not file.finished:
                    await asyncio.sleep(LOOK_SECONDS)
                    file = await self._rows.file((self._owner,), file.id)
            return file
        except NotFound:
            raise NotFound("it was deleted meanwhile", what="file") from None
        finally:
            self._progress.remove_task(bar)

    def _said(self, status: str, id: str, path: Path, why: str, *, skipped: bool = False) -> bool:
        """Print its line; whether all is well. What a folder holds and cannot be read is no failure."""
        line = f"{'skipped' if skipped else status}\t{id}\t{path}" + (f"\t{why}" if why else "")
        click.echo(line.encode("utf-8", "replace").decode())
        return skipped or status == "success"
