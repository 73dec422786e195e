"""A server of one's own, for as long as a block lasts."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future, InvalidStateError
from contextlib import contextmanager, suppress

import click

from rivermouth import logs
from rivermouth.app import App
from rivermouth.cli.local import credentials
from rivermouth.cli.model import check_provider, fetch
from rivermouth.server import serve
from rivermouth.settings import Settings

START_TIMEOUT = 120.0
"""Seconds in which the built-in model must have been read from the disk."""


@contextmanager
def in_background(settings: Settings) -> Iterator[str]:
    """The address of a server on a free port of this machine, which ends with the block.

    Raises: what `serve` raises, TimeoutError.
    """
    quiet = settings.model_copy(update={"host": "127.0.0.1", "port": 0, "listen": (), "log_level": "error"})
    logs.configure(quiet)
    check_provider(quiet)
    fetch(quiet, lambda line: click.echo(line, err=True))
    started: Future[str] = Future()
    stopping: Future[None] = Future()
    thread = threading.Thread(target=_run, args=(quiet, started, stopping), name="server")
    thread.start()
    try:
        yield started.result(START_TIMEOUT)
    finally:
        with suppress(InvalidStateError):  # it has ended by itself
            stopping.set_result(None)
        thread.join()


def _run(settings: Settings, started: "Future[str]", stopping: "Future[None]") -> None:
    try:
        asyncio.run(_serve_until(settings, started, stopping))
    except BaseException as error:  # noqa: BLE001, a thread's end: whoever waits for it is told
        if not started.done():
            started.set_exception(error)


async def _serve_until(settings: Settings, started: "Future[str]", stopping: "Future[None]") -> None:
    async def on_ready(app: App, addresses: list[str]) -> None:
        await credentials(settings, app.auth)
        started.set_result(addresses[0])

    serving = asyncio.create_task(serve(settings, on_ready))
    asked_to_stop = asyncio.ensure_future(asyncio.wrap_future(stopping))
    await asyncio.wait([serving, asked_to_stop], return_when=asyncio.FIRST_COMPLETED)
    serving.cancel()
    asked_to_stop.cancel()
    outcome = (await asyncio.gather(serving, asked_to_stop, return_exceptions=True))[0]
    if isinstance(outcome, BaseException) and not isinstance(outcome, asyncio.CancelledError):
        raise outcome
