"""Every dialect that can be loaded passes the suite, and the suite notices what it is there to notice."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from rivermouth import dialects
from rivermouth.dialects import Answer, wisqu
from rivermouth.doors.socketio.nonsense import NoEngineIo
from rivermouth.errors import BadRequest
from rivermouth.events import Delta, Event, RunEnded
from rivermouth.framing import Frame
from rivermouth.testing import check_dialect
from rivermouth.testing.dialects import check_failures


@pytest.mark.parametrize("name", dialects.names())
def test_a_dialect_passes_the_suite(name):
    check_dialect(name)


def test_what_is_wrong_at_one_door_alone_is_not_asked_of_dialects():
    # It stays known to its parent class for as long as the process lives.
    assert NoEngineIo in BadRequest.__subclasses__()

    check_failures(wisqu)


@pytest.mark.parametrize(
    ("name", "query"),
    [
        ("ares", {"format": "json"}),
        ("knowbase", {"thinking_mode": "true"}),
        ("session", {"partial": "0"}),
        ("smarttalk", {"includeTokens": "false"}),
        ("smarttalk", {"includeReasoning": "true"}),
    ],
)
def test_a_dialect_passes_the_suite_in_its_other_form(name, query):
    check_dialect(name, query=query, ascii_only=True)


def broken(**members: Any) -> Any:
    """wisqu with some members replaced."""
    kept = {name: getattr(wisqu, name) for name in dir(wisqu) if not name.startswith("__")}
    return SimpleNamespace(**{**kept, **members})


class Wrapped:
    """wisqu's encoder, with a fault to be put in."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.inner = wisqu.Encoder(options)

    def encode(self, event: Event) -> list[Frame]:
        return self.fault(event, self.inner.encode(event))

    def fault(self, event: Event, frames: list[Frame]) -> list[Frame]:
        raise NotImplementedError


class Shared(Wrapped):
    count = 0

    def fault(self, event, frames):
        Shared.count += 1
        return [Frame(f'{{"n":{Shared.count}}}') for _ in frames]


class Silent(Wrapped):
    def fault(self, event, frames):
        return [] if type(event) is RunEnded else frames


class Twice(Wrapped):
    def fault(self, event, frames):
        return frames * 2 if type(event) is RunEnded else frames


class Unescaped(Wrapped):
    def fault(self, event, frames):
        return [Frame(f'{{"content":"{event.text}"}}') for _ in frames] if type(event) is Delta else frames


class Bare(Wrapped):
    def fault(self, event, frames):
        return [Frame("[DONE]")] if type(event) is RunEnded else frames


class Loose(Wrapped):
    def fault(self, event, frames):
        return [Frame(frame.data.replace('":', '": ')) for frame in frames]


@pytest.mark.parametrize(
    ("members", "complaint"),
    [
        ({"Encoder": Shared}, "different bytes"),
        ({"Encoder": Silent}, "nothing tells the client"),
        ({"Encoder": Twice}, "more than once"),
        ({"Encoder": Loose}, "not compact"),
        ({"headers": lambda started: {"X-Id": started.conversation}}, "X-Id"),
        ({"Encoder": Unescaped}, "a CR is on the wire"),
        ({"Encoder": Bare}, "not JSON"),
        ({"failure": lambda error, path: Answer(200, {}, b"{}")}, "status 200"),
        ({"failure": lambda error, path: Answer(error.status, {}, b"{}")}, "Allow"),
        ({"parse": lambda request, limits: None}, "was taken for a chat request"),
    ],
)
def test_the_suite_refuses_a_dialect_that_breaks_a_rule(members, complaint):
    with pytest.raises(AssertionError, match=complaint):
        check_dialect(broken(**members))
