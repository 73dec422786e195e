"""The pump: a run's log as bytes on sockets, for quick clients, slow ones and broken ones."""

import asyncio
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rivermouth import dialects
from rivermouth.clock import SystemClock
from rivermouth.doors.chat import refuse_if_over
from rivermouth.doors.cursor import BATCH, Cursor, View
from rivermouth.doors.pump import Watcher, Watchers
from rivermouth.errors import Unavailable
from rivermouth.events import Delta, Event, PartStarted, RunEnded
from rivermouth.framing import HEARTBEAT, Frame, sse_block
from rivermouth.pulse import Pulse
from rivermouth.stores.event_log import Log
from rivermouth.stores.memory_log import MemoryBackend
from rivermouth.stores.run_log import RunLog
from rivermouth.testing.logs import NASTY, log_of, run_started, sample_logs
from rivermouth.testing.logs_suite import Held
from tests.core.waiting import rounds, until, within

NAMES = ("ares", "knowbase", "session", "smarttalk", "wisqu")


class StillClock:
    """Time that moves when told."""

    def __init__(self) -> None:
        self.at = 1000.0

    def now(self) -> float:
        return self.at

    monotonic = now

    def new_id(self) -> str:
        raise AssertionError

    new_run_id = new_id


class Socket:
    """A client as the pump sees it: like uvicorn's `send`, it waits before it writes, and refuses what follows the end."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.open = asyncio.Event()
        self.open.set()
        self.gone = asyncio.Event()
        self.complete = False
        self.breaks: Exception | None = None

    async def send(self, message: MutableMapping[str, Any]) -> None:
        await self.open.wait()
        if self.breaks is not None:
            raise self.breaks
        if self.complete:
            raise RuntimeError("a body after its end")
        self.writes.append(message["body"])
        self.complete = not message["more_body"]

    async def receive(self) -> MutableMapping[str, Any]:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    @property
    def body(self) -> bytes:
        return b"".join(self.writes)


class Narrow(Socket):
    """A client that takes one write whenever the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.room = asyncio.Semaphore(0)

    async def send(self, message: MutableMapping[str, Any]) -> None:
        await self.room.acquire()
        await super().send(message)


class Scene:
    """One run and whoever watches it; `commit` makes a group of what was said."""

    def __init__(self) -> None:
        self.backend = Held(MemoryBackend())
        self.log = Log(self.backend, Pulse(0.0001))
        self.clock = StillClock()
        self.run = self.log.start(run_started())
        self.watchers = Watchers(self.clock, heartbeat=15.0, send_timeout=60.0)

    async def commit(self, *events: Event) -> None:
        for event in events:
            self.run.append(event)
        await until(lambda: self.backend.waiting)
        self.backend.let_go()

    async def fail(self) -> None:
        self.run.append(Delta(1.0, "never seen"))
        await until(lambda: self.backend.waiting)
        self.backend.let_go(OSError("disk full"))

    def tick(self) -> None:
        for watcher in list(self.watchers.all):
            watcher.tick(self.clock.at, heartbeat=15.0, send_timeout=60.0)

    @contextmanager
    def watched(self, socket: Socket, view: View | None = None) -> "Iterator[asyncio.Task[None]]":
        watcher = Watcher(self.run, view or seen_as("knowbase"), self.clock, self.watchers.outbox)

        async def follow() -> None:
            with self.watchers.add(watcher):
                await watcher.pump(socket.send, socket.receive)

        task = asyncio.create_task(follow())
        try:
            yield task
        finally:
            task.cancel()


def seen_as(name: str, **how: Any) -> View:
    dialect = how.pop("dialect", None) or dialects.load(name)
    return View(dialect, name, how.pop("options", {}), ids=how.pop("ids", False), **how)


def at_once(events: list[Event], name: str, *, ids: bool = False, after: int = 0) -> bytes:
    """The bytes of the whole log, encoded at once; of those past `after` only."""
    encoder = dialects.load(name).Encoder({})
    blocks = [sse_block(encoder.encode(event), place + 1 if ids else None) for place, event in enumerate(events)]
    return b"".join(blocks[after:])


class Counted:
    """A dialect that counts how often it encodes, and breaks at a given word."""

    ABORTS = False

    def __init__(self, breaks_at: str = "") -> None:
        self.encoded, self.breaks_at = 0, breaks_at

    def Encoder(self, options: Any) -> "Counted":  # noqa: N802
        return self

    def encode(self, event: Event) -> list[Frame]:
        self.encoded += 1
        if isinstance(event, Delta) and event.text == self.breaks_at:
            raise ZeroDivisionError
        return [Frame(f"{type(event).__name__} {getattr(event, 'text', '')}".replace("\n", " "))]


def events_of(body: bytes) -> list[bytes]:
    return body.split(b"\n\n")


def play(story: Callable[[Scene], Any]) -> None:
    async def scene() -> None:
        await story(Scene())
        await rounds(3)

    within(scene())


@pytest.mark.parametrize("name", NAMES)
def test_every_sample_log_comes_out_as_it_is_encoded_at_once(name: str) -> None:
    async def story() -> None:
        for events in sample_logs().values():
            scene = Scene()
            scene.run = scene.log.start(events[0])  # type: ignore[arg-type]
            socket = Socket()
            with scene.watched(socket, seen_as(name, ids=True)) as task:
                await scene.commit()
                for event in events[1:]:
                    await scene.commit(event)
                await task

            ended = events[-1]
            assert isinstance(ended, RunEnded)
            assert socket.body == at_once(events, name, ids=True)
            assert socket.complete == (name != "ares" or ended.problem is None)
            assert all(write.endswith(b"\n\n") for write in socket.writes if write)

    within(story())


pieces = st.lists(st.sampled_from([*NASTY[:16], "word", " and"]), max_size=12)


@given(pieces, st.sampled_from(NAMES), st.data())
def test_however_commits_fall_and_wherever_one_resumes_the_bytes_are_the_same(
    said: list[str], name: str, data: st.DataObject
) -> None:
    events = log_of(said)
    groups = data.draw(st.lists(st.integers(1, 4), min_size=len(events), max_size=len(events)))
    after = data.draw(st.integers(0, len(events) + 1))

    async def story() -> tuple[bytes, bytes, bytes]:
        scene = Scene()
        early, resumed, late = Socket(), Socket(), Socket()
        await scene.commit()
        with scene.watched(early, seen_as(name, ids=True)) as first:
            rest = events[1:]
            for size in groups:
                if rest:
                    await scene.commit(*rest[:size])
                    rest = rest[size:]
            await first
        with scene.watched(resumed, seen_as(name, ids=True, after=after)) as second:
            await second
        with scene.watched(late, seen_as(name, ids=True)) as third:
            await third
        return early.body, resumed.body, late.body

    early, resumed, late = within(story())

    assert early == late == at_once(events, name, ids=True)
    assert resumed == at_once(events, name, ids=True, after=after)
    assert early.endswith(resumed)


def test_two_watchers_at_the_tail_encode_once() -> None:
    async def story(scene: Scene) -> None:
        counted, events = Counted(), log_of(["a", "b", "c"])
        sockets = [Socket(), Socket(), Socket()]
        await scene.commit()
        with (
            scene.watched(sockets[0], seen_as("x", dialect=counted)) as one,
            scene.watched(sockets[1], seen_as("x", dialect=counted)) as two,
            scene.watched(sockets[2], seen_as("x", dialect=counted, ids=True)) as other,
        ):
            await rounds()
            for event in events[1:]:
                await scene.commit(event)
            await asyncio.gather(one, two, other)

        assert sockets[0].body == sockets[1].body
        assert counted.encoded == 2 * len(events)

    play(story)


def test_one_that_falls_behind_again_and_again_never_pays_for_the_log_more_than_twice() -> None:
    async def story(scene: Scene) -> None:
        counted, slow, quick = Counted(), Socket(), Socket()
        await scene.commit()
        with (
            scene.watched(quick, seen_as("x", dialect=counted)) as one,
            scene.watched(slow, seen_as("x", dialect=counted)) as two,
        ):
            await rounds()
            await scene.commit(PartStarted(1.0, "text"))
            for number in range(100):
                if number % 4 == 0:
                    slow.open.clear()
                await scene.commit(Delta(1.0, str(number)))
                if number % 4 == 3:
                    slow.open.set()
                    await rounds(4)
            slow.open.set()
            scene.run.append(RunEnded(1.0, "failed"))
            await scene.commit()
            await asyncio.gather(one, two)

        assert slow.body == quick.body
        assert len(slow.writes) < len(quick.writes)
        assert counted.encoded <= 3 * len(scene.run.events) + len(scene.run.events)

    play(story)


@pytest.mark.parametrize("skip", range(8))
def test_a_client_without_ids_leaves_out_the_blocks_it_has_counted(skip: int) -> None:
    async def story(scene: Scene) -> None:
        events, socket = log_of(["a", "b"]), Socket()
        await scene.commit(*events[1:3])
        with scene.watched(socket, seen_as("session", skip=skip)) as task:
            await rounds()
            for event in events[3:]:
                await scene.commit(event)
            await task
        blocks = at_once(events, "session").split(b"\n\n")[:-1]

        assert socket.body == b"".join(block + b"\n\n" for block in blocks[skip:])
        assert socket.complete

    play(story)


@pytest.mark.parametrize("skip", range(8))
def test_in_ares_a_client_counts_lines(skip: int) -> None:
    async def story(scene: Scene) -> None:
        events, socket = log_of(["a\nb", "c", "d\n\ne"]), Socket()
        await scene.commit(*events[1:])
        with scene.watched(socket, seen_as("ares", skip=skip)) as task:
            await task
        lines = [line for line in at_once(events, "ares").split(b"\n") if line]

        assert [line for line in socket.body.split(b"\n") if line] == lines[skip:]

    play(story)


def test_a_full_socket_gathers_everything_into_the_next_write_and_delays_nobody() -> None:
    async def story(scene: Scene) -> None:
        events, slow, quick = log_of([str(number) for number in range(20)]), Socket(), Socket()
        await scene.commit()
        with scene.watched(quick) as one, scene.watched(slow) as two:
            await rounds()
            slow.open.clear()
            before = len(slow.writes)
            for event in events[1:12]:
                await scene.commit(event)
            assert quick.body == at_once(events[:12], "knowbase")
            assert len(slow.writes) == before
            slow.open.set()
            await rounds()
            assert len(slow.writes) <= before + 2
            assert slow.body == quick.body
            for event in events[12:]:
                await scene.commit(event)
            await asyncio.gather(one, two)

        assert slow.body == quick.body == at_once(events, "knowbase")

    play(story)


def test_an_end_that_waits_for_a_full_socket_is_written_once(logged: list[MutableMapping[str, Any]]) -> None:
    async def story(scene: Scene) -> None:
        for blocked_before_the_end in (True, False):
            scene = Scene()
            events, socket = log_of(["a", "b"]), Socket()
            await scene.commit()
            with scene.watched(socket) as task:
                await rounds()
                if blocked_before_the_end:
                    socket.open.clear()
                await scene.commit(*events[1:4])
                socket.open.clear()
                await scene.commit(*events[4:])
                assert not task.done()
                socket.open.set()
                await task

            assert socket.body == at_once(events, "knowbase")
            assert socket.complete

    play(story)

    assert [line["event"] for line in logged] == []


def test_a_client_whose_socket_stays_full_is_dropped_and_the_run_goes_on() -> None:
    async def story(scene: Scene) -> None:
        socket, other = Socket(), Socket()
        await scene.commit()
        with scene.watched(other) as one, scene.watched(socket) as two:
            await rounds()
            socket.open.clear()
            await scene.commit(PartStarted(1.0, "text"), Delta(1.0, "a"))
            scene.clock.at += 59
            scene.tick()
            await rounds()
            assert not two.done()
            scene.clock.at += 2
            scene.tick()
            await two
            assert not one.done()
            assert len(scene.run.listeners) == 1
            await scene.commit(*log_of(["x"])[-1:])
            await one

        assert not scene.watchers.all
        assert not socket.complete

    play(story)


@pytest.mark.parametrize("view", [{}, {"ids": True}, {"skip": 1}, {"after": 1}])
def test_one_that_reads_slowly_but_always_is_not_dropped_and_holds_no_copy_of_what_waits(view: dict[str, Any]) -> None:
    async def story(scene: Scene) -> None:
        events, socket = log_of([f"{number:03d}" + "x" * 20_000 for number in range(30)]), Narrow()
        await scene.commit(*events[1:])
        with scene.watched(socket, seen_as("session", **view)) as task:
            while not task.done():
                socket.room.release()
                await rounds(5)
                scene.clock.at += 50
                scene.tick()
        with scene.watched(quick := Socket(), seen_as("session", **view)) as task:
            await task

        assert len(socket.writes) > 5
        assert socket.body == quick.body
        assert socket.complete
        assert all(write.endswith(b"\n\n") for write in socket.writes)
        assert max(map(len, socket.writes)) < BATCH + max(map(len, events_of(socket.body)))

    play(story)


def test_a_heartbeat_comes_only_into_silence() -> None:
    async def story(scene: Scene) -> None:
        socket = Socket()
        await scene.commit()
        with scene.watched(socket):
            await rounds()
            scene.tick()
            scene.clock.at += 14
            await scene.commit(PartStarted(1.0, "text"), Delta(1.0, "a"))
            scene.clock.at += 14
            scene.tick()
            assert HEARTBEAT not in socket.body
            scene.clock.at += 1
            scene.tick()
            scene.tick()
            assert socket.body.count(HEARTBEAT) == 1
            assert socket.writes[-1] == HEARTBEAT
            scene.clock.at += 15
            scene.tick()
            assert socket.body.count(HEARTBEAT) == 2

    play(story)


def test_a_client_that_goes_ends_only_its_watcher() -> None:
    async def story(scene: Scene) -> None:
        socket = Socket()
        await scene.commit()
        with scene.watched(socket) as task:
            await rounds()
            socket.gone.set()
            await task

            assert not scene.run.listeners
            assert not scene.watchers.all
            assert scene.run.ended is None

    play(story)


def test_the_cancelled_request_of_a_watcher_leaves_nothing_behind() -> None:
    async def story(scene: Scene) -> None:
        socket, tasks = Socket(), asyncio.all_tasks()
        await scene.commit()
        with scene.watched(socket) as task:
            await rounds()
            socket.open.clear()
            await scene.commit(PartStarted(1.0, "text"), Delta(1.0, "a"))
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await rounds()

            assert not scene.run.listeners
            assert not scene.watchers.all
            assert asyncio.all_tasks() == tasks

    play(story)


@pytest.mark.parametrize("full", [True, False])
def test_a_socket_that_breaks_ends_its_watcher_and_leaves_no_loose_end(
    full: bool,
) -> None:
    async def story(scene: Scene) -> None:
        told: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        socket, other = Socket(), Socket()
        await scene.commit()
        with scene.watched(socket) as task, scene.watched(other) as one:
            await rounds()
            if full:
                socket.open.clear()
            socket.breaks = ConnectionResetError("gone")
            await scene.commit(PartStarted(1.0, "text"), Delta(1.0, "a"))
            socket.open.set()
            await task
            await scene.commit(RunEnded(1.0, "completed"))
            await one
        del task

        assert other.complete
        assert not told

    play(story)


def test_a_heartbeat_that_breaks_does_not_end_the_looks_at_other_watchers() -> None:
    async def story(scene: Scene) -> None:
        broken, other = Socket(), Socket()
        await scene.commit()
        with scene.watched(broken) as one, scene.watched(other):
            await rounds()
            broken.breaks = RuntimeError("a bug in a server")
            scene.clock.at += 20
            scene.tick()
            await one

            assert other.writes[-1] == HEARTBEAT

    play(story)


@pytest.mark.parametrize(("name", "complete"), [("ares", False), ("knowbase", True)])
def test_a_failed_run_leaves_the_body_without_its_end_where_no_frame_could_say_so(name: str, complete: bool) -> None:
    async def story(scene: Scene) -> None:
        events, socket = sample_logs()["failed after a token"], Socket()
        await scene.commit(*events[1:])
        with scene.watched(socket, seen_as(name)) as task:
            await task

        assert socket.complete is complete
        assert socket.body == at_once(events, name)

    play(story)


@pytest.mark.parametrize("name", NAMES)
def test_when_the_log_fails_every_client_has_its_dialects_last_word(name: str) -> None:
    async def story(scene: Scene) -> None:
        socket = Socket()
        await scene.commit(PartStarted(1.0, "text"), Delta(1.0, "a"))
        with scene.watched(socket, seen_as(name)) as task:
            await rounds()
            shown = socket.body
            await scene.fail()
            await task
        last = socket.body.removeprefix(shown)

        assert b"never seen" not in socket.body
        assert socket.complete is (name != "ares")
        assert last == b"" if name == "ares" else b"error" in last

    play(story)


def test_an_encoder_that_raises_hurts_only_its_own_dialects_watchers(logged: list[MutableMapping[str, Any]]) -> None:
    async def story(scene: Scene) -> None:
        events = log_of(["fine", "bad", "fine again"])
        broken, also, healthy, resumed = Socket(), Socket(), Socket(), Socket()
        await scene.commit()
        bad = seen_as("bad", dialect=Counted("bad"))
        with (
            scene.watched(broken, bad) as one,
            scene.watched(also, bad) as two,
            scene.watched(healthy) as three,
        ):
            await rounds()
            for event in events[1:]:
                await scene.commit(event)
            await asyncio.gather(one, two, three)
        with scene.watched(resumed) as four:
            await four

        assert healthy.body == resumed.body == at_once(events, "knowbase")
        assert not broken.complete
        assert b"fine again" not in broken.body
        for body in (broken.body, also.body):
            assert body.count(b"data: PartStarted") == 1
            assert body.count(b"data: Delta fine\n") == 1

    play(story)

    assert {line["event"] for line in logged} == {"watcher_broke"}


def test_nothing_is_written_of_events_that_a_dialect_does_not_speak_of() -> None:
    async def story(scene: Scene) -> None:
        events, left, later = log_of(["At its mouth."]), Socket(), Socket()
        await scene.commit()
        with scene.watched(left) as one:
            await rounds()
            left.gone.set()
            await one
        await scene.commit(*events[1:5])
        with scene.watched(later) as two:
            await rounds()
            await scene.commit(*events[5:])
            await two

        assert later.body == at_once(events, "knowbase")
        assert b"" not in [*left.writes, *later.writes[:-1]]

    play(story)


def test_a_cursor_past_the_end_of_what_is_committed_waits_there() -> None:
    async def story(scene: Scene) -> None:
        await scene.commit()
        run: RunLog = scene.run

        assert Cursor(run, seen_as("knowbase", after=50)).position == 1

    play(story)


def test_the_watchers_clock_sends_heartbeats_by_itself() -> None:
    async def story(scene: Scene) -> None:
        watchers, socket = Watchers(SystemClock(), heartbeat=0.004, send_timeout=60.0), Socket()
        await scene.commit()
        watcher = Watcher(scene.run, seen_as("ares"), SystemClock(), watchers.outbox)
        looking = asyncio.create_task(watchers.run())
        with watchers.add(watcher):
            pumping = asyncio.create_task(watcher.pump(socket.send, socket.receive))
            await until(lambda: socket.body.count(HEARTBEAT) >= 2)
            socket.gone.set()
            await pumping
        looking.cancel()

        assert not watchers.all
        assert socket.body.replace(HEARTBEAT, b"") == b""

    play(story)


def test_a_log_that_fails_before_the_status_is_out_is_a_true_http_error() -> None:
    async def story(scene: Scene) -> None:
        await until(lambda: scene.backend.waiting)
        scene.backend.let_go(OSError("disk full"))

        with pytest.raises(Unavailable) as refused:
            refuse_if_over(scene.run)
        assert refused.value.status == 503

    play(story)
