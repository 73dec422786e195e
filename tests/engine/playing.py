"""An engine with a scripted provider, the memory log and real rows, for tests of runs."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from rivermouth.clock import SystemClock
from rivermouth.engine.auth import Principal
from rivermouth.engine.grace import Grace
from rivermouth.engine.run import Run
from rivermouth.engine.runs import Runs
from rivermouth.events import Event, RunStarted
from rivermouth.grammar import check
from rivermouth.messages import ChatRequest, Reply, fold
from rivermouth.providers import Provider
from rivermouth.providers.scripted import Script, ScriptedProvider, Text
from rivermouth.pulse import Pulse
from rivermouth.settings import Settings
from rivermouth.stores import Conversation, Rows, StoredMessage
from rivermouth.stores.backend import Backend
from rivermouth.stores.event_log import Log
from rivermouth.stores.memory_log import MemoryBackend
from rivermouth.stores.rows import SqliteRows
from rivermouth.tools import Toolbox

ANN = Principal(
    id="ann",
    owners=("ann",),
    system="session",
    kind="token",
    name="Ann",
    email=None,
    tier="unlimited",
    credential="c-1",
    address="127.0.0.1",
)
HELLO = (Text("Hello"), Text(", "), Text("Ann"))


class Notes:
    """An observer that writes down what it is told."""

    def __init__(self) -> None:
        self.began: list[RunStarted] = []
        self.ended: list[Reply] = []
        self.cancelled: list[float] = []
        self.waiting: list[int] = []
        self.tools: list[tuple[str, str, float]] = []
        self.questions: list[tuple[str, str]] = []
        self.calls: list[str] = []

    def run_began(self, started: RunStarted) -> None:
        self.began.append(started)

    def question_stored(
        self, started: RunStarted, who: Principal, conversation: Conversation, question: StoredMessage
    ) -> None:
        self.questions.append((conversation.key, question.text))

    def tool_began(self, started: RunStarted, name: str) -> None:
        self.calls.append(name)

    def run_ended(self, reply: Reply) -> None:
        self.ended.append(reply)

    def answers_wait(self, number: int) -> None:
        self.waiting.append(number)

    def upstream_cancelled(self, seconds: float) -> None:
        self.cancelled.append(seconds)

    def tool_called(self, tool: str, outcome: str, seconds: float) -> None:
        self.tools.append((tool, outcome, seconds))


class Engine:
    """Runs and all that they stand on."""

    def __init__(self, runs: Runs, log: Log, rows: Rows, provider: Any, notes: Notes) -> None:
        self.runs, self.log, self.rows, self.provider, self.notes = runs, log, rows, provider, notes

    async def begin(self, message: str = "hello", *, dialect: str = "session", **more: Any) -> Run:
        """Start an answer for Ann in `default`. grace: seconds, or None for ever."""
        grace, place = Grace(more.pop("grace", None)), more.pop("place", None)
        request = ChatRequest(**{"message": message, "stream": True, "conversation": "default", **more})
        return await self.runs.start(
            request, ANN, dialect=dialect, name_conversation=lambda user, at, unique: unique, grace=grace, place=place
        )

    async def messages(self, key: str = "default") -> list[StoredMessage]:
        """All messages of Ann's conversation."""
        return await self.rows.messages(("ann",), "session", key)


def engine(
    folder: Path,
    *,
    log: Log,
    rows: Rows,
    provider: Provider | None = None,
    settings: Settings | None = None,
    toolbox: Toolbox | None = None,
) -> Engine:
    """An engine over a log and rows that are open."""
    notes = Notes()
    provider = provider or ScriptedProvider(HELLO)
    runs = Runs(
        settings=settings or Settings(data_dir=folder),
        log=log,
        rows=rows,
        provider=provider,
        clock=SystemClock(),
        observer=notes,
        toolbox=toolbox,
    )
    log.on_failure = runs.log_failed
    return Engine(runs, log, rows, provider, notes)


@asynccontextmanager
async def playing(
    folder: Path,
    script: Script | Provider = HELLO,
    *,
    backend: Backend | None = None,
    rows: Callable[[SqliteRows], Rows] = lambda rows: rows,
    settings: Settings | None = None,
    toolbox: Toolbox | None = None,
    **more: Any,
) -> AsyncIterator[Engine]:
    """An engine that is shut down as the server's is; afterwards nothing may be left of any run."""
    provider = script if not isinstance(script, Sequence) and not callable(script) else ScriptedProvider(script, **more)
    real = SqliteRows(folder / "rows.db", SystemClock())
    log = Log(backend or MemoryBackend(), Pulse(0.001))
    await log.open()
    world = engine(folder, log=log, rows=rows(real), provider=provider, settings=settings, toolbox=toolbox)
    try:
        yield world
        await world.runs.drain(0.0)
        assert not world.runs.live
        left = {
            task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith(("run ", "call ", "tool "))
        }
        assert not left
    finally:
        await log.close()
        await real.close()


async def ended(run: Run) -> Reply:
    """The run's reply, once it is over; its log keeps the grammar."""
    events = [event async for batch in run.log.watch() for event in batch]
    check(events)
    assert run.task is not None
    await run.task
    return fold(events)


async def finished(log: Log, run: str) -> list[Event]:
    """The whole log of a run that is over."""
    found = await log.find(run)
    assert found is not None
    assert found.ended is not None
    return found.events
