"""A client that wants its whole answer: cut off, it comes back to whichever replica answers, until it is told the end."""

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Literal

from tests.wire.cutting import data_lines, last_id, through_last_id, whole_events

from bench.chaos.forms import HEARTBEAT, Form, read
from bench.chaos.http import Broken, BrokenOff, Response, request
from bench.chaos.model import Question

PATIENCE = 30.0
"""Seconds for which a client that was cut off tries to come back before it says that it never got its end."""
ENOUGH = 3
"""Times it comes back to be sure."""
PAUSE = 0.05
"""Seconds between two tries."""
UNSTORABLE = (
    b"cannot be stored durably",
    b"another server has taken this answer over",
    b"Redis cannot be used at the moment",
)
"""What a watcher is told where the log has failed, here or where the run is; later it can have the rest."""

Ended = Literal["refused", "told", "silent", "nothing more", "unstorable", "lost", "never"]
"""How it went for a client.

    refused       its question was never accepted
    told          it was told the end by a last frame
    silent        in the raw form: the body ended in order, or broke off because the run had failed
    nothing more  it was told that it has everything
    unstorable    it was told that the log has failed
    lost, never   what must not be: its answer is gone, or it never was told an end
"""


class Client:
    """Asks `question`, or watches `run`; then `ended` says how it went and `body` what it has.

    ports: of the replicas, as they are now. key: makes it safe to ask the same again.
    """

    def __init__(
        self,
        form: Form,
        question: Question,
        *,
        ports: Callable[[], list[int]],
        headers: dict[str, str],
        conversation: str,
        chance: random.Random,
        key: str = "",
        run: str = "",
    ) -> None:
        self.form, self.question, self.headers, self.conversation = form, question, headers, conversation
        self.key = key
        self._ports, self._chance = ports, chance
        self.run = run
        self.body = b""
        self.ended: Ended = "never"
        self.ended_at = 0.0
        self.began = asyncio.Event()
        """Set once it knows its run, or never will."""
        self.cuts = 0
        self.notes: list[str] = []
        """What was odd on the way, for whoever looks into a violation."""
        self._read = b""
        self.asked_again = 0
        """Times its question was sent again, with its key."""
        self._sure = 0
        """Times it came back for more of an answer that had failed, and was given nothing."""
        self.persists = chance.random() < 0.5
        """Whether it comes back also where it was told that the log has failed."""

    def __str__(self) -> str:
        have = f"{len(self.body)} bytes, {self.cuts} cuts"
        return f"{self.form.name} {self.run or '-'} {self.ended} with {have} {self.notes[-6:]}"

    async def play(self) -> None:
        """Everything, from the question to the end."""
        try:
            response = await (self._watch() if self.run else self._ask())
        finally:
            self.began.set()
        while response is not None and not await self._ends(response):
            self.cuts += 1
            self._keep()
            response = await self._watch()
        self.body += self._read
        self.ended_at = asyncio.get_running_loop().time()

    async def has_bytes(self, number: int) -> None:
        """Returns once so many have come, or its end."""
        while self.ended == "never" and len(self.body) + len(self._read) < number:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    async def _ask(self) -> Response | None:
        """Ask; who has a key asks again, wherever somebody is, until there is an answer, as that can do no harm."""
        form = self.form
        body = {**form.fields, form.field: self.question.text(), form.conversation: self.conversation}
        path = f"/{form.dialect}{form.path}" + (f"?{form.query}" if form.query else "")
        keyed = {"Idempotency-Key": self.key} if self.key else {}
        clock = asyncio.get_running_loop()
        until = clock.time() + PATIENCE
        while True:
            try:
                response = await request(self._port(), "POST", path, {**self.headers, **keyed}, body)
                self.run = response.headers.get("stream-id", "")
                if response.status == 200:
                    return response
                why = f"asking: {response.status} {(await response.whole())[:200]!r}"
                if response.status < 500:
                    self.ended = "lost"
                    self.notes.append(why)
                    return None
            except Broken as error:
                why = f"asking: {error}"
            if not self.key or clock.time() > until:
                return self._refused(why)
            self._note(why)
            self.asked_again += 1
            await asyncio.sleep(PAUSE)

    def _refused(self, why: str) -> None:
        self.notes.append(why)
        self.ended = "refused"

    async def _ends(self, response: Response) -> bool:
        """Read it; whether that was the end."""
        try:
            async for piece in response.pieces():
                self._read += piece
                self._forget_heartbeats()
        except BrokenOff as error:
            self._note(f"broken off: {error}")
            return self._is_told() or (not self.form.json and await self._has_failed())
        except Broken as error:
            self.notes.append(f"broken: {error}")
            return self._is_told()
        finally:
            response.close()
        if self._is_told():
            return True
        if self.form.json:
            self.notes.append("the body ended in order, without a last frame")
            return False
        self._note(f"ended in order after {len(self._read)} bytes")
        self.ended = "silent"
        return True

    def _is_told(self) -> bool:
        """Whether its last frame has come."""
        events = whole_events(self.body + self._read)
        if not read(self.form, events).ends:
            return False
        place = min((place for words in UNSTORABLE if (place := events.find(words)) >= 0), default=None)
        if place is not None and self.persists:
            # What a server says of itself is no part of the answer, so it is neither kept nor counted.
            self._note("told that the log has failed")
            self.body, self._read = (
                events[: events.rfind(b"\n\n", 0, place) + 2] if b"\n\n" in events[:place] else b"",
                b"",
            )
            return False
        self.ended = "told" if place is None else "unstorable"
        self.body, self._read = events, b""
        return True

    async def _has_failed(self) -> bool:
        """In the raw form a failure is only a body that is broken off, as it is where the log fails for a while. So whoever
        gets nothing more must ask whether the run is over, and come back a few times to be sure that it has everything."""
        if self._read:
            self._sure = 0
            return False
        if self._sure == ENOUGH:
            self.ended = "silent"
            return True
        with suppress(Broken):
            response = await request(self._port(), "HEAD", f"/streams/{self.run}", self.headers, patience=5.0)
            response.close()
            self._sure = self._sure + 1 if response.headers.get("stream-state") in ("failed", "interrupted") else 0
        await asyncio.sleep(PAUSE)
        return False

    def _forget_heartbeats(self) -> None:
        if HEARTBEAT[:3] in self._read:
            self._read = self._read.replace(HEARTBEAT, b"")

    def _keep(self) -> None:
        torn, self._read = self.body + self._read, b""
        self.body = through_last_id(torn) if self.form.ids else whole_events(torn)

    async def _watch(self) -> Response | None:
        """Come back for the rest; None once there is none, or no hope."""
        clock = asyncio.get_running_loop()
        until = clock.time() + PATIENCE
        while clock.time() < until:
            try:
                response = await request(self._port(), "GET", *self._address(), patience=5.0)
            except Broken as error:
                self._note(f"not there: {error}")
            else:
                if response.status == 200:
                    return response
                response.close()
                if response.status < 500:
                    self.ended = "nothing more" if response.status == 204 else "lost"
                    self.notes.append(f"watching: {response.status}")
                    return None
                self._note(f"watching: {response.status}")
            await asyncio.sleep(PAUSE)
        return None

    def _address(self) -> tuple[str, dict[str, str]]:
        """Path and headers with which it says what it has."""
        query = [self.form.query, f"dialect={self.form.dialect}"]
        headers = dict(self.headers)
        if not self.form.ids:
            query.append(f"skip={len(data_lines(self.body))}")
        elif self._chance.random() < 0.5:
            query.append(f"after={last_id(self.body)}")
        elif cursor := last_id(self.body):
            headers["Last-Event-ID"] = str(cursor)
        return f"/streams/{self.run}?{'&'.join(filter(None, query))}", headers

    def _port(self) -> int:
        return self._chance.choice(self._ports())

    def _note(self, what: str) -> None:
        if self.notes[-1:] != [what]:
            self.notes.append(what)
