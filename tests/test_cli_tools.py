"""`rivermouth tools list` and what `doctor` says of tools; a server does not depend on those of others."""

import contextlib
import json
import os
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from rivermouth.cli import nearby, run
from tests.model_server import listening, model
from tests.running import running
from tests.tools.test_mcp import alive

HOSTILE = Path(__file__).parent / "tools" / "hostile_mcp.py"
TOOLS = json.dumps([{"name": "tide", "description": "Tells the tide. Often.", "inputSchema": {"type": "object"}}])
HARBOUR = f"[mcp.harbour]\ncommand = {sys.executable!r}\nargs = ['-S', {str(HOSTILE)!r}, {TOOLS!r}]\n"
LOST = (
    "[mcp.lost]\ncommand = 'no-such-program'\n[mcp.far]\nurl = 'http://127.0.0.1:1/mcp'\nheaders = {Key = 's3cret'}\n"
)


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(nearby, "look", lambda settings: [])


def test_the_list_has_every_tool_and_marks_those_that_wait(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "rivermouth.toml").write_text("[tools]\nconfirm = ['harbour.*']\n" + HARBOUR)
    code = run(["tools", "list"])

    told = capsys.readouterr()
    assert (code, told.err) == (0, "")
    assert "harbour.tide     ! Tells the tide\n" in told.out
    assert "calculator         Calculate" in told.out


def test_the_list_says_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "rivermouth.toml").write_text(HARBOUR + LOST)
    code = run(["tools", "list"])

    told = capsys.readouterr()
    assert code == 1
    assert "harbour.tide" in told.out
    assert told.err.splitlines()[0].startswith("MCP server lost: there is no program no-such-program; to mend it: ")
    assert told.err.count("\n") == 2


def test_doctor_says_of_each_mcp_server_what_it_has_or_how_to_mend_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "rivermouth.toml").write_text(HARBOUR + LOST)
    with listening(model) as server:
        code = run(["doctor", "--port", "0", "--model-url", server.url, "--model", "tiny"])

    told = capsys.readouterr().out
    assert code == 1
    assert "✓ tools: calculator, current_time, " in told
    assert "✓ MCP server harbour: 1 tools: harbour.tide\n" in told
    assert "✗ MCP server lost: there is no program no-such-program\n  to mend it: " in told
    assert "✗ MCP server far: " in told
    assert "s3cret" not in told


def test_doctor_and_list_say_of_a_function_that_cannot_be_had(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "rivermouth.toml").write_text("[tools]\nfunctions = ['no_such_package:x']\n")
    with listening(model) as server:
        code = run(["doctor", "--port", "0", "--model-url", server.url, "--model", "tiny"])
    told = capsys.readouterr().out
    listed = run(["tools", "list"])

    assert (code, listed) == (1, 2)
    assert "✗ tools: tools.functions 'no_such_package:x' cannot be loaded: ModuleNotFoundError" in told
    assert capsys.readouterr().err.count("\n") == 1


def test_a_server_is_ready_whatever_its_mcp_servers_do_and_ends_them_with_itself(tmp_path: Path):
    silent = "import os, time; open('pid', 'w').write(str(os.getpid())); os.rename('pid', 'started'); time.sleep(60)"
    servers = {
        "silent": {"command": sys.executable, "args": ("-S", "-c", silent), "cwd": str(tmp_path)},
        "far": {"url": "http://127.0.0.1:1/mcp"},
    }
    with running(tmp_path / "data", mcp=servers, model={"provider": "scripted"}) as server:
        with urllib.request.urlopen(f"{server.url}/ready", timeout=20) as answer:
            assert answer.status == 200
        until = time.monotonic() + 60
        while not (tmp_path / "started").exists() and time.monotonic() < until:
            os.sched_yield()
        pid = int((tmp_path / "started").read_text())
        assert alive(pid)

    assert not alive(pid)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 9)
