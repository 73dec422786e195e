"""The built-in model: SmolLM2-135M-Instruct, run by llama.cpp in a process of its own.

    open → the process loads in the background → ready → died? → started again at the next request

`providers/openai` does the talking. At most `embedded.parallel` answers are decoded at a time; more wait their turn, fairly
by `request.owner`.
"""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import structlog

from rivermouth.clock import Clock
from rivermouth.errors import ProviderBroken, ProviderUnreachable, RivermouthError
from rivermouth.messages import Message
from rivermouth.providers import Finish, ModelRequest, Sink, ToolsRefused, _process
from rivermouth.providers._control import as_text, control_tokens
from rivermouth.providers._listener import Timeouts
from rivermouth.providers._model import fetch_model, model_file
from rivermouth.providers._process import Loaded, Progress, parameters_of, start
from rivermouth.providers._queue import FairQueue
from rivermouth.providers._upstream import Upstream
from rivermouth.providers.openai import Base, OpenAI
from rivermouth.pulse import Pulse
from rivermouth.settings import Settings

__all__ = ["Embedded", "fetch_model", "open"]

logger = structlog.get_logger("rivermouth.providers")

DYING = 1.0
"""Seconds between a process's last connection and its end, at most."""


async def open(
    settings: Settings,
    clock: Clock,
    pulse: Pulse | None = None,
    on_progress: Progress | None = None,
    *,
    load: Callable[[], Awaitable[Loaded]] | None = None,
) -> "Embedded":
    """The built-in model, which begins to load now; a request waits for it. `on_progress` gets a line for people.

    load: gives out a model of somebody else's, instead of one of our own.
    """
    embedded = Embedded(settings, clock, pulse, on_progress or (lambda line: None), load)
    embedded.load()
    return embedded


class Running(msgspec.Struct, frozen=True):
    """A process that is up, and the way to talk to it. control: what must not stand in any message as it is."""

    process: _process.Running
    talk: OpenAI
    name: str
    control: tuple[str, ...]


class Embedded:
    """A `Provider` that owns its model's process, or borrows one."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        pulse: Pulse | None,
        on_progress: Progress,
        load: Callable[[], Awaitable[Loaded]] | None,
    ) -> None:
        self._settings, self._clock, self._pulse, self._on_progress = settings, clock, pulse, on_progress
        self._load = load or self._own
        self._queue = FairQueue(settings.embedded.parallel)
        self._start: asyncio.Task[Running] | None = None
        self._closed = False

    @property
    def context_tokens(self) -> int | None:
        """Tokens of prompt and answer together."""
        return self._settings.embedded.context_tokens

    @property
    def waiting(self) -> int:
        """Calls that wait for their turn."""
        return self._queue.waiting

    @property
    def pid(self) -> int | None:
        """The process that runs the model; None where there is none now."""
        running = self._running()
        return running.process.pid if running is not None else None

    def load(self) -> None:
        """Begin to load, where nothing is loading or loaded."""
        task = self._start
        if task is None or (task.done() and self._running() is None):
            self._start = asyncio.create_task(self._launch(task))
            self._start.add_done_callback(_look)

    async def stream(self, request: ModelRequest, sink: Sink) -> Finish:
        """See `Provider.stream`. Waits for its turn and for the model; the model named in the request is this one.

        A model this small makes up calls where it should answer, so it is offered no tools.
        """
        if request.tools:
            raise ToolsRefused("the built-in model takes no tools")
        async with self._queue.place(request.owner):
            try:
                return await self._ask(request, sink)
            except ProviderUnreachable:
                if self._closed:
                    raise
            return await self._ask(request, sink)  # it had died between two answers: this starts it again

    async def count(self, messages: list[Message]) -> int | None:
        """The exact number: the model's own template and tokenizer are asked."""
        running = await self._ready()
        root = running.process.address
        said = as_text(messages, running.control)
        prompt = (await running.talk.post(f"{root}/apply-template", {"messages": said}))["prompt"]
        question = {"content": prompt, "add_special": True, "parse_special": True}
        return len((await running.talk.post(f"{root}/tokenize", question))["tokens"])

    async def check(self) -> str:
        """One line, at once: loading or ready. Raises: NoModel, ProviderFault where loading failed."""
        self.load()
        assert self._start is not None
        name = model_file(self._settings).stem
        if not self._start.done():
            return f"built in, model {name}, loading"
        running = self._start.result()
        own = self._settings.embedded
        return f"built in, model {running.name}, ready: {own.parallel} at a time, {own.context_tokens} tokens each"

    async def close(self) -> None:
        """End the process and every call. Twice is once."""
        self._closed = True
        task, self._start = self._start, None
        if task is None:
            return
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled() and task.exception() is None:
            await _end(task.result())

    async def _ask(self, request: ModelRequest, sink: Sink) -> Finish:
        running = await self._ready()
        most = self._settings.embedded.max_tokens  # a small model may never stop by itself: 129 s for one answer
        asked = msgspec.structs.replace(
            request,
            messages=as_text(request.messages, running.control),
            model=running.name,
            max_tokens=min(request.max_tokens or most, most),
        )
        try:
            return await running.talk.stream(asked, sink)
        except (ProviderBroken, ProviderUnreachable):
            await running.process.ended(within=DYING)  # its sockets close a moment before it counts as dead
            raise

    async def _ready(self) -> Running:
        if self._closed:
            raise ProviderUnreachable("the built-in model is closed")
        self.load()
        assert self._start is not None
        return await asyncio.shield(self._start)

    def _running(self) -> Running | None:
        task = self._start
        if task is None or not task.done() or task.cancelled() or task.exception() is not None:
            return None
        return task.result() if task.result().process.alive else None

    async def _launch(self, before: asyncio.Task[Running] | None) -> Running:
        if before is not None and not before.cancelled() and before.exception() is None:
            logger.warning("model_process_died", pid=before.result().process.pid)
            await _end(before.result())
        loaded = await self._load()
        try:
            control = await asyncio.to_thread(control_tokens, model_file(self._settings))
        except BaseException:
            await loaded.process.end()
            raise
        return Running(loaded.process, self._talk_to(loaded), loaded.name, control)

    async def _own(self) -> Loaded:
        file, key = model_file(self._settings), self._clock.new_run_id()
        process = await start(parameters_of(self._settings, file, key), self._on_progress)
        return Loaded(process, key, file.stem)

    def _talk_to(self, loaded: Loaded) -> OpenAI:
        model = self._settings.model
        # The calls of other workers may stand in front of ours, in the model's own queue.
        first_byte = model.first_byte_timeout * self._settings.workers
        timeouts = Timeouts(model.connect_timeout, first_byte, model.idle_timeout)
        sender = Upstream(timeouts, max_idle=model.max_idle_connections, pulse=self._pulse)
        return OpenAI(Base(f"{loaded.process.address}/v1"), sender, self._clock, key=loaded.key, name=loaded.name)


async def _end(running: Running) -> None:
    await running.talk.close()
    await running.process.end()


def _look(task: asyncio.Task[Running]) -> None:
    """Log why a model did not load, also where no request waited for it."""
    if not task.cancelled() and isinstance(error := task.exception(), RivermouthError):
        logger.warning("model_not_ready", code=error.code, why=error.message)
