"""An answer that is cut at any byte, resumed, cut again …: what is joined is what an undisturbed client has.

Hypothesis makes the answers and the cuts. Its profile is fixed, so that every machine plays the same examples; to play others:
`RIVERMOUTH_EXPLORE=1 pytest tests/wire/test_cut_anywhere.py`, and Hypothesis's own `--hypothesis-seed`.
"""

import os
from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from rivermouth import dialects
from rivermouth.providers.scripted import Answered, Fail, Reasoning, Step, Text, Tool, Used
from rivermouth.providers.scripted import End as Over
from tests.engine.tools import Box, Given
from tests.wire.conftest import Serving
from tests.wire.cutting import Body, Client, End, data_lines
from tests.wire.texts import HAZARDS
from tests.wire.world import WAYS, World

PROFILE = settings(
    derandomize="RIVERMOUTH_EXPLORE" not in os.environ,
    deadline=None,
    database=None,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.too_slow],
)


async def tell_weather() -> str:
    return "fine\r\n\u2028"


@pytest.fixture(scope="module")
def quick(serving: Serving) -> Iterator[World]:
    """A server that hardly gathers events, as nothing here is about the waiting; its agents know the weather."""
    box = Box(Given("weather", tell_weather))
    agents = {name: {"tools": ("weather",), "steps": 100} for name in ("assistant", "cm_default")}
    with serving(toolbox=box, runs={"commit_ms": 0.2}, agents=agents) as found:
        yield found


DIALECT = pytest.mark.parametrize("dialect", dialects.names())

FORMS: dict[str, list[dict[str, str]]] = {
    "knowbase": [{}, {"thinking_mode": "true"}],
    "ares": [{}, {"format": "json"}],
    "session": [{}, {"partial": "0"}],
    "smarttalk": [{}, {"includeTokens": "false"}, {"includeReasoning": "true"}],
}
"""Queries with which a dialect writes differently."""
SPEECHLESS = {"includeTokens": "false"}
"""A form in which nothing of the text is seen before the end, so that no test can wait for it."""


class Cut(NamedTuple):
    """place: the byte, modulo what there is; say: how the client asks for the rest, where it may choose."""

    place: int
    say: Literal["Last-Event-ID", "after", "skip"]


class Act(NamedTuple):
    """A part of the answer, up to where the model holds, and the cuts while it does.

    calls: tools that are called behind it, whose results the model gets before it goes on.
    """

    steps: list[Step]
    cuts: list[Cut]
    calls: list[Tool]


class Play(NamedTuple):
    """An answer and what happens to its client. elsewhere: it is watched in a dialect that it was not asked in."""

    acts: list[Act]
    end: Step | Literal["stopped"]
    cuts: list[Cut]
    lines: bool
    ids: bool
    elsewhere: bool
    form: int


LONG = ["x" * 9_000, "\U0001f30a\u2028" * 4_500, "a\r\n" * 3_000, 'data: {"a":"\\"}\n\n' * 400]
PIECE = st.sampled_from([piece for pieces in HAZARDS.values() for piece in pieces]) | st.text(max_size=12)
TEXT = st.builds(Text, PIECE | PIECE | PIECE | st.sampled_from(LONG))
NAME = st.none() | st.sampled_from(["weather", "w\u00e9ather", ""])
TOOL = st.builds(Tool, PIECE | st.just('{"city":"Z\u00fcrich"}'), index=st.integers(0, 2), id=NAME, name=NAME)
STEP = TEXT | TEXT | TEXT | st.builds(Reasoning, PIECE) | TOOL | st.builds(Used, st.integers(0, 99), st.integers(0, 99))
CUTS = st.lists(st.builds(Cut, st.integers(0, 99_999), st.sampled_from(["Last-Event-ID", "after", "skip"])), max_size=2)
CALL = st.builds(
    Tool, st.sampled_from(["{}", '{"a', "\u2028"]), st.integers(0, 2), NAME, st.sampled_from(["weather", "no"])
)
CALLS = st.just([]) | st.lists(CALL, min_size=1, max_size=2)
ACTS = st.lists(st.builds(Act, st.lists(STEP, max_size=6), CUTS, CALLS), max_size=3)
FAILURE = st.builds(Fail, st.sampled_from(["provider_broken", "provider_silent"]), PIECE)
END = st.sampled_from([Over(), Over("length"), "stopped"]) | FAILURE
FLAG = st.booleans()
PLAYS = st.builds(Play, ACTS, END, CUTS, lines=FLAG, ids=FLAG, elsewhere=FLAG, form=st.integers(0, 1))


class Stage:
    """Where a play is played: how the run is asked for and followed, and what holds the model."""

    def __init__(self, world: World, dialect: str, play: Play, *, live: bool) -> None:
        self._world, self._dialect, self._play = world, dialect, play
        self.gates = [world.model.gate() for _ in range(len(play.acts) + 1)]
        """One behind the acceptance of the call, and one behind each act."""
        self._way = WAYS["session" if play.elsewhere or dialect not in WAYS else dialect]
        forms = [form for form in FORMS.get(dialect, [{}]) if not (live and form == SPEECHLESS)]
        self._query = dict(forms[play.form % len(forms)])
        self.ids = dialects.load(dialect).IDS or play.ids
        if self.ids and not dialects.load(dialect).IDS:
            self._query["ids"] = "1"

    @property
    def _at_home(self) -> bool:
        return self._way.system == self._dialect

    def ask(self) -> Body:
        """The response to the request that begins the run."""
        ask = self._world.ask(self._way, self._world.model.question(*self._script()))
        path = ask.url.removeprefix(self._world.url)
        if self._at_home and self._query:
            path += ("&" if "?" in path else "?") + urlencode(self._query)
        body = Body(self._world.server.port, "POST", path, ask.headers, ask.body)
        self.run = body.run
        return body

    def follow(self, say: Mapping[str, int] = {}) -> Body:
        """`GET /streams/{id}`. say: the cursor of the client, by the name of its header or query."""
        query = {**self._query, **({} if self._at_home else {"dialect": self._dialect})}
        headers = self._world.headers(self._way)
        for name, value in say.items():
            (headers if name == "Last-Event-ID" else query)[name] = str(value)
        return Body(self._world.server.port, "GET", f"/streams/{self.run}?{urlencode(query)}", headers)

    def first(self) -> Body:
        """The first response that the play's client has."""
        asked = self.ask()
        assert asked.status == 200
        if self._at_home:
            return asked
        asked.cut()
        return self.follow()

    def open(self, number: int) -> None:
        """Let the model go on; behind the last gate is the end."""
        if number == len(self.gates) - 1 and self._play.end == "stopped":
            address = f"/streams/{self.run}"
            assert self._world.http.delete(address, headers=self._world.headers(self._way)).status_code == 200
        else:
            self._world.open(self.gates[number])

    def _script(self) -> list[Step]:
        steps: list[Step] = [Answered(), self.gates[0]]
        for number, act in enumerate(self._play.acts):
            called = [*act.calls, Over("tool_calls")] if act.calls else []
            steps += [*act.steps, Text(mark(number).decode()), self.gates[number + 1], *called]
        return steps if self._play.end == "stopped" else [*steps, self._play.end]


def mark(number: int) -> bytes:
    """The last piece of an act, which no other piece is like."""
    return b"(act %d)" % number


def assert_joined(client: Client, last: End, whole: End, stage: Stage) -> None:
    """What the client has is what the undisturbed one has, and it knows as well as that one how the answer ended."""
    if client.lines:
        assert data_lines(client.kept) == data_lines(whole.body)
    else:
        assert client.kept == whole.body
    assert last.broken == whole.broken or client.told_nothing_more
    assert stage.follow().rest() == whole


@DIALECT
@settings(PROFILE, max_examples=50)
@given(play=PLAYS)
def test_a_live_answer_that_is_cut_anywhere(quick: World, dialect: str, play: Play) -> None:
    stage = Stage(quick, dialect, play, live=True)
    client = Client(stage.first(), stage.follow, lines=play.lines, ids=stage.ids)
    undisturbed, so_far = stage.follow(), b""
    stage.open(0)
    for number, act in enumerate(play.acts):
        so_far = undisturbed.until_has(mark(number), so_far)
        for cut in act.cuts:
            client.cut(cut.place, cut.say, so_far)
        stage.open(number + 1)
    whole = undisturbed.rest(so_far)
    for cut in play.cuts:
        client.cut(cut.place, cut.say, whole.body)
    last = client.rest()

    assert_joined(client, last, whole, stage)


@DIALECT
@settings(PROFILE, max_examples=50)
@given(play=PLAYS)
def test_a_finished_answer_that_is_cut_anywhere(quick: World, dialect: str, play: Play) -> None:
    stage = Stage(quick, dialect, play, live=False)
    first = stage.first()
    for number in range(len(stage.gates)):
        stage.open(number)
    whole = first.rest()
    client = Client(stage.follow(), stage.follow, lines=play.lines, ids=stage.ids)
    for cut in [*(cut for act in play.acts for cut in act.cuts), *play.cuts]:
        client.cut(cut.place, cut.say, whole.body)
    last = client.rest()

    assert_joined(client, last, whole, stage)
