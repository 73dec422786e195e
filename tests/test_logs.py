"""What is logged: one line each, with the numbers, and never a secret."""

import io
import json
import logging

import pytest
import structlog

from rivermouth import logs
from rivermouth.events import RunStarted, UsageCounted
from rivermouth.messages import Reply
from rivermouth.settings import Price, Settings

STARTED = RunStarted(
    at=100.0,
    run="r1",
    dialect="session",
    conversation="c",
    message="m",
    user_message="u",
    owner="o",
    user="ann",
    agent="assistant",
    model="tiny",
)


@pytest.fixture(autouse=True)
def _put_back():
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level


def json_lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_request_is_one_line_without_its_query(capsys: pytest.CaptureFixture[str]):
    logs.configure(Settings(log_format="json"))
    logs.request_line(
        method="GET", path="/streams/r1?ticket=secret", status=200, seconds=0.12345, dialect="ares", principal="o"
    )

    (line,) = json_lines(capsys)
    assert line.pop("time")
    assert line == {
        "event": "request",
        "level": "info",
        "method": "GET",
        "path": "/streams/r1",
        "status": 200,
        "dialect": "ares",
        "bytes": 0,
        "seconds": 0.1235,
        "principal": "o",
    }


def test_a_run_is_one_line_with_its_tokens_its_speed_and_its_cost(capsys: pytest.CaptureFixture[str]):
    logs.configure(Settings(log_format="json"))
    reply = Reply(started=STARTED, first_token_at=100.5, ended_at=102.5, outcome="completed")
    reply.usage = UsageCounted(102.0, 1000, 40, "reported")
    logs.run_line(reply, {"tiny": Price(input=0.0005, output=0.0015)})

    (line,) = json_lines(capsys)
    assert (line["prompt_tokens"], line["completion_tokens"], line["usage"]) == (1000, 40, "reported")
    assert (line["seconds"], line["ttft"], line["tokens_per_second"], line["cost"]) == (2.5, 0.5, 20.0, 0.00056)


def test_a_run_that_said_nothing_has_no_speed():
    facts = logs.run_facts(Reply(started=STARTED, ended_at=100.0, outcome="failed"), {})

    assert (facts["ttft"], facts["tokens_per_second"], facts["usage"], facts["cost"]) == (None, None, None, 0.0)


def test_the_model_that_answered_is_named_and_paid_for_under_either_name():
    reply = Reply(started=STARTED, ended_at=101.0, outcome="completed")
    reply.usage = UsageCounted(101.0, 1000, 0, "reported", "tiny-2026-11")

    facts = logs.run_facts(reply, {"tiny": Price(input=0.5)})

    assert (facts["model"], facts["cost"]) == ("tiny-2026-11", 0.5)


def test_the_default_price_holds_for_a_model_without_one():
    assert logs.cost({"default": Price(input=1.0, output=2.0)}, "tiny", 1000, 500) == 2.0


def test_lines_below_the_level_are_left_out(capsys: pytest.CaptureFixture[str]):
    logs.configure(Settings(log_level="warning"))
    logs.request_line(method="GET", path="/", status=200, seconds=0.1)

    assert capsys.readouterr().err == ""


def test_what_libraries_log_comes_in_the_same_form_but_for_the_expected_line(capsys: pytest.CaptureFixture[str]):
    logs.configure(Settings(log_format="json"))
    logging.getLogger("uvicorn.error").error(logs.EXPECTED)
    logging.getLogger("uvicorn.error").error("something %s", "else")
    logging.getLogger("uvicorn.access").info("GET /?ticket=secret")

    lines = json_lines(capsys)
    assert [(line["event"], line["level"]) for line in lines] == [("something else", "error")]


@pytest.mark.parametrize("form", ["console", "json"])
def test_a_path_cannot_end_its_line_nor_steer_the_terminal(form: str, capsys: pytest.CaptureFixture[str]):
    logs.configure(Settings(log_format=form))
    logs.request_line(method="GET", path="/é\0\x1b[2J\u2028\x85\r\n\u202efake", status=404, seconds=0.1)

    (line,) = capsys.readouterr().err.rstrip("\n").split("\n")
    assert line.isprintable()
    assert all(escape in line for escape in ("x00", "x1b", "u2028", "x85", "r", "n", "u202e"))


def test_a_line_that_cannot_be_written_is_lost_and_breaks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    logs.configure(Settings())
    monkeypatch.setattr("sys.stderr", Full())

    structlog.get_logger().error("too much")
    logging.getLogger("uvicorn").error("too much")

    assert isinstance(logs.Stderr().write("x"), int)


@pytest.mark.parametrize(
    "name", ["Zoë", "half \ud83d", "big", object()], ids=["latin", "surrogate", "number", "object"]
)
def test_a_line_is_json_in_ascii_whatever_is_in_it(capsys: pytest.CaptureFixture[str], name: object):
    logs.configure(Settings(log_format="json"))
    structlog.get_logger().info("said", name=10**30 if name == "big" else name)

    text = capsys.readouterr().err
    (line,) = [json.loads(part) for part in text.splitlines()]
    assert text.isascii()
    assert line["name"] == (10**30 if name == "big" else name if isinstance(name, str) else repr(name))
