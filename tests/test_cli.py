"""The command line: what it prints, where, and with which exit code."""

import asyncio
import json
import os
import re
import shlex
import socket
import sqlite3
import stat
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import click
import pytest
from click.testing import CliRunner

from rivermouth.cli import cli, nearby, run
from rivermouth.cli.chat import Question, piece_of, reason_of, request_of
from rivermouth.cli.curls import bases, curl, shown
from rivermouth.cli.local import accounts, credentials, kept_file
from rivermouth.framing import Received
from rivermouth.settings import SYSTEMS, Settings
from rivermouth.stores.rows import SqliteRows
from tests.model_server import Handler, listening, model
from tests.servers import free_port

OURS = ("RIVERMOUTH_", "LOCAL_LLM_", "OPENAI_", "REDIS_URL", "DATABASE_URL")


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(OURS)]:
        monkeypatch.delenv(name)


def all_commands(command: click.Command, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    below = command.commands if isinstance(command, click.Group) else {}
    return [path, *(deeper for name, inner in below.items() for deeper in all_commands(inner, (*path, name)))]


@pytest.mark.parametrize("path", all_commands(cli), ids=" ".join)
def test_every_command_explains_itself_with_examples(path: tuple[str, ...], capsys: pytest.CaptureFixture[str]):
    code = run([*path, "--help"])

    assert code == 0
    assert "Examples:" in capsys.readouterr().out


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]):
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("rivermouth, version 0.")


@pytest.mark.parametrize(
    "arguments",
    [
        ["serve", "--nonsense"],
        ["serve", "--port", "99999"],
        ["serve", "--listen", "3000=ares"],
        ["serve", "--log-level", "loud"],
        ["serve", "--config", "nowhere.toml"],
        ["token", "create", "--system", "knowbase", "--kind", "key", "--user", "ann"],
        ["token", "create", "--system", "ares", "--kind", "key", "--user", "ann", "--tier", "golden"],
        ["token", "create", "--system", "ares", "--kind", "key", "--user", "ann", "--expires", "soon"],
        ["token", "create", "--system", "ares", "--kind", "key", "--user", "ann", "--expires", "2020-01-01"],
        ["token", "create", "--system", "ares", "--kind", "key", "--user", "ann", "--expires", "9999999d"],
        ["token", "create", "--system", "ares", "--kind", "key", "--user", "ann", "--expires", "9" * 5000 + "d"],
        ["chat", "--agent", "hr", "--system", "Be brief.", "Hello"],
        ["chat", " "],
    ],
    ids=lambda arguments: " ".join(arguments)[:100],
)
def test_what_does_not_fit_ends_with_2_and_nothing_on_stdout(arguments: list[str], capsys: pytest.CaptureFixture[str]):
    code = run(arguments)

    told = capsys.readouterr()
    assert code == 2
    assert told.out == ""
    assert "Traceback" not in told.err


def test_an_unknown_setting_is_one_line_that_names_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("RIVERMOUTH_PROT", "1")
    code = run(["serve"])

    assert code == 2
    assert capsys.readouterr().err == (
        "rivermouth: there is no setting prot (RIVERMOUTH_PROT in the environment); did you mean port?\n"
    )


def test_a_port_in_use_is_one_line_that_names_it_and_the_fix(capsys: pytest.CaptureFixture[str]):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code = run(["serve", "--port", str(port)])

    line = capsys.readouterr().err
    assert code == 3
    assert f"127.0.0.1:{port}" in line
    assert "--port" in line


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--port", "0", "--listen", "localhost:{port}=ares", "--listen", "127.0.0.1:{port}=session"], "127.0.0.1"),
        (["--host", "localhost", "--port", "{port}", "--listen", "127.0.0.1:{port}=ares"], "127.0.0.1"),
        (["--host", "0.0.0.0", "--port", "{port}", "--listen", "127.0.0.1:{port}=ares"], "127.0.0.1"),
    ],
)
def test_one_address_under_two_names_is_refused(flags: list[str], named: str, capsys: pytest.CaptureFixture[str]):
    port = free_port()
    code = run(["serve", *(flag.format(port=port) for flag in flags)])

    told = capsys.readouterr()
    assert (code, told.out) == (2, "")
    assert f"{named}:{port}: another listener of this server has that address" in told.err


def test_a_port_that_somebody_else_has_at_another_address_is_not_taken_for_our_own(capsys: pytest.CaptureFixture[str]):
    with socket.create_server(("127.0.0.2", 0)) as other:
        port = other.getsockname()[1]
        code = run(["serve", "--port", str(port), "--listen", f"127.0.0.2:{port}=ares"])

    told = capsys.readouterr()
    assert (code, told.out) == (3, "")
    assert f"127.0.0.2:{port}" in told.err
    assert f"stop what uses port {port}" in told.err


@pytest.mark.parametrize("host", ["300.1.1.1", "192.0.2.1"])
def test_a_host_that_is_no_address_of_this_machine_is_said_to_be_none(host: str, capsys: pytest.CaptureFixture[str]):
    code = run(["serve", "--host", host, "--port", "8000"])

    line = capsys.readouterr().err
    assert code == 3
    assert f"{host} is no address of this machine; choose another one with --host" in line
    assert "stop" not in line


def make_a_credential() -> None:
    assert run(["token", "create", "--system", "ares", "--kind", "key", "--user", "ann"]) == 0


def test_a_new_credential_is_all_that_stdout_gets(capsys: pytest.CaptureFixture[str]):
    code = run(["token", "create", "--system", "ares", "--kind", "key", "--user", "ann"])

    told = capsys.readouterr()
    assert code == 0
    assert told.out.startswith("ares_")
    assert told.out.count("\n") == 1


def test_the_list_tells_all_but_the_secret_and_a_revoked_credential_is_marked(capsys: pytest.CaptureFixture[str]):
    run(["token", "create", "--system", "knowbase", "--kind", "token", "--user", "ann", "--expires", "30d"])
    secret = capsys.readouterr().out.strip()
    run(["token", "list"])
    before = capsys.readouterr().out
    code = run(["token", "revoke", secret])
    run(["token", "list"])
    after = capsys.readouterr().out

    assert code == 0
    assert secret not in before
    assert all(word in before for word in ("knowbase", "token", "ann", "unlimited", "valid"))
    assert "revoked" in after


def test_a_credential_that_was_made_to_outlive_the_calendar_is_listed(capsys: pytest.CaptureFixture[str]):
    run(["token", "create", "--system", "knowbase", "--kind", "token", "--user", "ann", "--expires", "30d"])
    with closing(sqlite3.connect("rivermouth-data/rows.db", isolation_level=None)) as file:
        file.execute("UPDATE credentials SET expires = 1e12")
    code = run(["token", "list"])

    assert code == 0
    assert "9999-12-31 23:59Z  valid" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["list"], ["revoke", "kb_"]], ids=" ".join)
@pytest.mark.parametrize("there", [True, False], ids=["an empty folder", "no folder"])
def test_looking_for_credentials_where_there_are_none_makes_nothing(
    arguments: list[str], there: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    if there:
        (tmp_path / "typo").mkdir()
    code = run(["token", *arguments, "--data-dir", "typo"])

    told = capsys.readouterr()
    assert (code, told.out) == (2, "")
    assert all(word in told.err for word in ("no data directory", "typo", "--data-dir"))
    assert list(tmp_path.rglob("*")) == ([tmp_path / "typo"] if there else [])


def test_revoking_what_is_not_there_fails_with_1(capsys: pytest.CaptureFixture[str]):
    make_a_credential()
    assert run(["token", "revoke", "nothing"]) == 1
    assert "nothing" in capsys.readouterr().err


def kept_twice(settings: Settings, revoke: str | None = None) -> tuple[dict[str, str], dict[str, str]]:
    async def both() -> tuple[dict[str, str], dict[str, str]]:
        async with accounts(settings) as auth:
            first = await credentials(settings, auth)
            if revoke is not None:
                await auth.revoke(first[revoke])
            return first, await credentials(settings, auth)

    return asyncio.run(both())


def test_the_local_users_credentials_are_made_once_and_kept_for_their_owner_alone(tmp_path: Path):
    settings = Settings(data_dir=tmp_path / "data")
    first, second = kept_twice(settings)

    assert first == second
    assert set(first) == set(SYSTEMS)
    assert stat.S_IMODE(kept_file(settings).stat().st_mode) == 0o600


def test_a_kept_credential_that_was_revoked_is_made_anew_and_the_others_stay(tmp_path: Path):
    first, second = kept_twice(Settings(data_dir=tmp_path / "data"), revoke="ares")

    assert [system for system in SYSTEMS if first[system] != second[system]] == ["ares"]


def test_a_broken_file_of_credentials_is_written_anew(tmp_path: Path):
    settings = Settings(data_dir=tmp_path / "data")
    settings.data_dir.mkdir()
    kept_file(settings).write_text("{")

    assert set(kept_twice(settings)[0]) == set(SYSTEMS)


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_line_to_paste_survives_the_shell(system: str):
    words = shlex.split(curl("http://127.0.0.1:8000", system, "secret"))

    assert words[:2] == ["curl", "-N"]
    assert "Authorization: Bearer secret" in words
    assert json.loads(words[-1])


def test_a_system_with_its_own_listener_is_asked_there():
    where = bases("http://127.0.0.1:8000", ("0.0.0.0:3000=ares",), ["http://0.0.0.0:3000"])

    assert where["ares"] == "http://127.0.0.1:3000"
    assert where["session"] == "http://127.0.0.1:8000"
    assert shown("http://:::8000") == shown("http://[::]:8000") == "http://[::1]:8000"


def test_a_model_server_nearby_is_found_and_said_how_to_use():
    with listening(model) as server:
        found = nearby.look(Settings(), known={"Ollama": server.port})

    assert [one.models for one in found] == [("tiny",)]
    assert f"--model-url {server.url} --model tiny" in found[0].line()


@pytest.mark.parametrize(
    ("path", "beside", "called"),
    [
        ("on", True, "rivermouth"),
        ("off", True, "'{}/an env/rivermouth'"),
        ("off", False, "'{}/an env/python' -m rivermouth"),
    ],
)
def test_a_line_to_paste_names_the_program_as_the_shell_finds_it(
    path: str, beside: bool, called: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for folder in ("on", "off", "an env"):
        (tmp_path / folder).mkdir()
    for file in (tmp_path / "on/rivermouth", *([tmp_path / "an env/rivermouth"] if beside else [])):
        file.touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / path))
    monkeypatch.setattr("sys.executable", str(tmp_path / "an env/python"))

    assert f": {called.format(tmp_path)} serve" in nearby.Found("Ollama", "http://127.0.0.1:11434", ()).line()


def test_something_else_on_a_known_port_is_no_model_server():
    def page(handler: Handler) -> None:
        handler.whole(b"<html>", "text/html")

    with listening(page) as server:
        assert nearby.look(Settings(), known={"llama.cpp": server.port}) == []


def test_nobody_is_looked_for_where_a_model_is_configured():
    with listening(model) as server:
        settings = Settings.model_validate({"model": {"url": "http://127.0.0.1:1"}})

        assert nearby.look(settings, known={"Ollama": server.port}) == []
        assert server.seen == []


def test_chat_with_an_agent_asks_ares_and_else_wisqu():
    with_agent = request_of(Question("Hi", "hr", "trip", None))
    without = request_of(Question("Hi", None, "trip", "Be brief."))

    assert with_agent == (
        "ares",
        "/ares/v1/chat/stream?format=json",
        {"message": "Hi", "agent_type": "hr", "context_id": "trip"},
    )
    assert without[:2] == ("wisqu", "/wisqu/api/v1/chat/")
    assert without[2]["conversation_id"] == request_of(Question("Ho", None, "trip", None))[2]["conversation_id"]


@pytest.mark.parametrize(
    ("data", "piece"),
    [
        ('{"type":"content","content":" a"}', (" a", None, False)),
        ('{"type":"metadata","message_id":"m","usage":{}}', ("", None, True)),
        ('{"type":"error","error":"no"}', ("", "no", False)),
        ('{"event":"token","content":"b"}', ("b", None, False)),
        ('{"event":"done"}', ("", None, True)),
    ],
)
def test_chat_reads_both_forms(data: str, piece: tuple[str, str | None, bool]):
    assert piece_of(Received("message", data, "")) == piece


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"error":"Agent not found","code":"NOT_FOUND"}', "Agent not found"),
        (b'{"error":{"code":"x","message":"gone"}}', "gone"),
        (b'{"detail":"AUTH_INVALID_TOKEN"}', "AUTH_INVALID_TOKEN"),
        (b'{"detail":[{"loc":["body","message"],"msg":"too short"},{"msg":"no"}]}', "too short; no"),
        (b"<html>", "<html>"),
    ],
)
def test_an_error_of_any_shape_is_told_in_its_own_words(body: bytes, words: str):
    assert reason_of(body) == words


def answers(sse: bytes, status: int = 200):
    def answer(handler: Handler) -> None:
        if handler.path == "/health":
            handler.whole(b"OK", "text/plain")
        else:
            handler.whole(sse, "text/event-stream", status)

    return answer


def test_chat_prints_the_answer_of_a_running_server(capsys: pytest.CaptureFixture[str]):
    sse = b'data: {"type":"content","content":"Hello"}\n\ndata: {"type":"content","content":" there"}\n\n'
    with listening(answers(sse + b'data: {"type":"metadata","usage":{}}\n\n')) as server:
        code = run(["chat", "--url", server.url, "Hi"])

    assert (code, capsys.readouterr().out) == (0, "Hello there\n")


@pytest.mark.parametrize(
    ("sse", "status", "code", "words"),
    [
        (b'data: {"type":"content","content":"Hel', 200, 3, "broke off"),
        (b'data: {"type":"error","error":"the model is gone"}\n\n', 200, 3, "the model is gone"),
        (b'data: {"type":"content","content":"Hel"}\n\ndata: {"type":"error","error":"gone"}\n\n', 200, 1, "gone"),
        (b'{"detail":"AUTH_INVALID_TOKEN"}', 401, 1, "--data-dir"),
    ],
)
def test_chat_never_takes_half_an_answer_for_a_whole_one(
    sse: bytes, status: int, code: int, words: str, capsys: pytest.CaptureFixture[str]
):
    with listening(answers(sse, status)) as server:
        assert run(["chat", "--url", server.url, "Hi"]) == code
    assert words in capsys.readouterr().err


def test_chat_says_why_the_model_cannot_be_used_also_where_the_dialect_does_not(capsys: pytest.CaptureFixture[str]):
    checks = {"rows": {"ok": True, "detail": "SQLite"}, "model": {"ok": False, "code": "x", "detail": "no connection"}}

    def answer(handler: Handler) -> None:
        if handler.command == "POST":
            handler.json({"detail": "Failed to send message"}, 502)
        elif handler.path == "/ready":
            handler.json({"ready": False, "checks": checks}, 503)
        else:
            handler.whole(b"OK", "text/plain")

    with listening(answer) as server:
        code = run(["chat", "--url", server.url, "Hi"])

    line = capsys.readouterr().err
    assert code == 3
    assert "answered 502: model: no connection; `" in line
    assert "rivermouth doctor" in line


def test_chat_says_when_to_ask_an_overloaded_model_again(capsys: pytest.CaptureFixture[str]):
    def answer(handler: Handler) -> None:
        if handler.command == "POST":
            handler.whole(b'{"detail":"Failed to send message"}', "application/json", 503, Retry_After="17")
        else:
            handler.whole(b"OK", "text/plain")

    with listening(answer) as server:
        code = run(["chat", "--url", server.url, "Hi"])

    line = capsys.readouterr().err
    assert code == 3
    assert "the model's server is overloaded" in line
    assert "try again in 17 s" in line


def test_chat_with_nobody_there_ends_with_3_and_says_how_to_start_one(capsys: pytest.CaptureFixture[str]):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]

    assert run(["chat", "--url", f"http://127.0.0.1:{port}", "Hi"]) == 3
    assert "rivermouth serve" in capsys.readouterr().err


def test_chat_takes_an_address_without_its_scheme(capsys: pytest.CaptureFixture[str]):
    sse = b'data: {"type":"content","content":"Hello"}\n\ndata: {"type":"metadata","usage":{}}\n\n'
    with listening(answers(sse)) as server:
        code = run(["chat", "--url", f"127.0.0.1:{server.port}/", "Hi"])

    assert (code, capsys.readouterr().out) == (0, "Hello\n")


def test_chat_says_of_an_address_with_a_path_that_the_path_is_too_much(capsys: pytest.CaptureFixture[str]):
    with listening(answers(b"")) as server:
        code = run(["chat", "--url", f"{server.url}/session", "Hi"])

    told = capsys.readouterr().err
    assert code == 3
    assert told.endswith(f"--url is its address alone: try {server.url}\n")


@pytest.mark.parametrize("url", ["ftp://127.0.0.1", "http://", "127.0.0.1:http", "[::1", "http://127.0.0.1:99999"])
def test_chat_refuses_what_is_no_address(url: str, capsys: pytest.CaptureFixture[str]):
    assert run(["chat", "--url", url, "Hi"]) == 2
    assert url in capsys.readouterr().err


def test_a_name_that_is_no_text_is_refused_in_one_line(capsys: pytest.CaptureFixture[str]):
    code = run(["token", "create", "--system", "ares", "--kind", "key", "--user", os.fsdecode(b"\xff")])

    line = capsys.readouterr().err
    assert (code, line.count("\n")) == (2, 1)
    assert "half of a character" in line


def test_doctor_finds_all_well_and_hides_secrets(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setenv("LOCAL_LLM_API_KEY", "hunter2")
    with listening(model) as server:
        code = run(["doctor", "--port", "0", "--model-url", server.url, "--model", "tiny"])

    told = capsys.readouterr().out
    assert (code, "✗" in told) == (0, False), told
    assert "model.api_key = (secret) (LOCAL_LLM_API_KEY in the environment)" in told
    assert "hunter2" not in told


def test_doctor_says_what_is_wrong_and_how_to_mend_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "file").write_text("")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
    code = run(["doctor", "--data-dir", "file/data", "--port", "0", "--model-url", f"http://127.0.0.1:{port}"])

    told = capsys.readouterr().out
    assert code == 1
    assert "✗ data directory" in told
    assert "✗ model" in told
    assert told.count("to mend it:") == 2


@pytest.mark.parametrize("arguments", [["serve", "--port", "0"], ["chat", "--model", "tiny", "Hello"]], ids=" ".join)
def test_an_unknown_provider_is_one_line_that_names_those_there_are(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("RIVERMOUTH_MODEL__PROVIDER", "zzz")
    code = run(arguments)

    line = capsys.readouterr().err
    assert (code, line.count("\n")) == (2, 1)
    assert all(word in line for word in ("model.provider 'zzz'", "embedded", "openai"))


def doctor(*arguments: str) -> tuple[int, dict[str, str]]:
    """Its exit code, and each finding with its fix by name."""
    with listening(model) as server:
        told = CliRunner().invoke(cli, ["doctor", "--port", "0", "--model-url", server.url, *arguments])
    found = re.findall(r"^([✓✗] [^:\n]+): (.*(?:\n  to mend it: .*)?)$", told.stdout, re.MULTILINE)
    return told.return_value if told.exit_code == 0 else told.exit_code, dict(found)


def test_doctor_and_token_say_of_a_damaged_database_how_to_mend_it_and_what_moving_it_away_costs(
    capsys: pytest.CaptureFixture[str],
):
    Path("rivermouth-data").mkdir()
    Path("rivermouth-data/rows.db").write_bytes(b"no database" * 1000)
    _, found = doctor()
    code = run(["token", "list"])

    line = capsys.readouterr().err
    assert (code, line.count("\n")) == (3, 1)
    for told in (found["✗ database and secret"], line):
        assert all(word in told for word in ("rows.db", "damaged", "copy", "no accounts and no conversations"))


def test_doctor_says_of_a_locked_database_that_nothing_is_lost(monkeypatch: pytest.MonkeyPatch):
    make_a_credential()
    monkeypatch.setattr(SqliteRows.__init__, "__defaults__", (0.01,))
    with closing(sqlite3.connect("rivermouth-data/rows.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        told = doctor()[1]["✗ database and secret"]

    assert "holds it locked" in told
    assert "nothing is lost" in told
    assert "away" not in told


def test_doctor_says_of_a_newer_database_to_update():
    make_a_credential()
    with closing(sqlite3.connect("rivermouth-data/rows.db", isolation_level=None)) as file:
        file.execute("UPDATE alembic_version SET version_num = '0999'")
    told = doctor()[1]["✗ database and secret"]

    assert "revision 0999" in told
    assert "update the server" in told


def test_doctor_finds_a_disk_with_hardly_any_space_and_never_says_to_move_the_database(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=19_000_000))
    _, found = doctor()

    assert found["✗ disk space"].startswith("19 MB free\n  to mend it: free some space")
    assert "away" not in found["✗ disk space"]


def test_doctor_and_token_say_where_no_data_directory_can_be_made(capsys: pytest.CaptureFixture[str]):
    told = doctor("--data-dir", "/proc/x")[1]["✗ data directory"]
    code = run(["token", "create", "--system", "ares", "--kind", "key", "--user", "ann", "--data-dir", "/proc/x"])

    assert "/proc/x cannot be written to" in told
    assert code == 2
    assert capsys.readouterr().err.startswith("rivermouth: the data directory /proc/x cannot be used: ")
