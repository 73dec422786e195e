"""The command line as whole processes: a server that is started, talked to as it says, and ended."""

import os
import re
import selectors
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rivermouth.cli import client
from tests.model_server import WORDS, Handler, Listening, listening, model
from tests.servers import free_port

TEXT = "".join(WORDS)
PATIENCE = 120.0
"""Seconds; starting takes two where nothing else runs, and a minute where much does."""


def environment() -> dict[str, str]:
    ours = ("RIVERMOUTH_", "LOCAL_LLM_", "OPENAI_", "REDIS_URL", "DATABASE_URL")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)} | {"PYTHONUNBUFFERED": "1"}


def _heed_signals() -> None:
    """As a terminal has it: whoever runs the tests in the background may have these ignored."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


class Process:
    """`rivermouth …` as a process of its own; `said` is its stdout so far."""

    def __init__(self, folder: Path, *arguments: str, **env: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "rivermouth", *arguments],
            cwd=folder,
            env=environment() | env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            preexec_fn=_heed_signals,  # noqa: PLW1509, no thread of a test holds a lock that this needs
        )
        self.said, self.complained = "", ""

    def until(self, words: str, patience: float = PATIENCE) -> str:
        """Its stdout up to and with `words`."""
        assert self._process.stdout is not None
        deadline, stdout = time.monotonic() + patience, self._process.stdout
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            while words not in self.said:
                assert selector.select(deadline - time.monotonic()), f"no {words!r} in {self.said!r}"
                piece = os.read(stdout.fileno(), 65536)
                assert piece, f"it ended: {self.said!r} {self.end()}"
                self.said += piece.decode()
        return self.said

    @property
    def pid(self) -> int:
        return self._process.pid

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def stop_reading(self) -> None:
        """Close this side of its stdout."""
        assert self._process.stdout is not None
        self._process.stdout.close()

    def end(self) -> int:
        """Its exit code; what it said until then is in `said` and `complained`."""
        try:
            out, err = self._process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            out, err = self._process.communicate()
        self.said, self.complained = self.said + out.decode(), err.decode()
        return self._process.returncode

    def close(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
            self._process.communicate()


@contextmanager
def started(folder: Path, *arguments: str, **env: str) -> Iterator[Process]:
    process = Process(folder, *arguments, **env)
    try:
        yield process
    finally:
        process.close()


@pytest.fixture(scope="module")
def upstream() -> Iterator[Listening]:
    with listening(model) as server:
        yield server


def serving(folder: Path, upstream: Listening, *more: str):
    return started(folder, "serve", "--port", "0", "--model-url", upstream.url, "--model", "tiny", *more)


def test_every_line_that_serve_says_to_paste_answers_as_it_stands(tmp_path: Path, upstream: Listening):
    with serving(tmp_path, upstream, "--listen", "127.0.0.1:0=ares") as server:
        said = server.until("Ready.")
        lines = re.findall(r"^curl -N .*$", said, re.MULTILINE)
        answers = [
            subprocess.run(line, shell=True, capture_output=True, timeout=20, check=True).stdout for line in lines
        ]
        server.signal(signal.SIGTERM)
        code = server.end()

    assert len(lines) == 5
    assert [b"sea" in answer for answer in answers] == [True] * 5, answers
    assert "for ares alone" in said
    assert (code, "Traceback" in server.complained) == (0, False), server.complained


def test_a_second_start_shows_the_same_credentials_and_ctrl_c_ends_it_with_0(tmp_path: Path, upstream: Listening):
    shown = []
    for _ in range(2):
        with serving(tmp_path, upstream) as server:
            shown.append(re.findall(r"^  (\w+ +\w+ +\S+)$", server.until("Ready."), re.MULTILINE))
            server.signal(signal.SIGINT)
            assert server.end() == 0
            assert "Traceback" not in server.complained

    assert len(shown[0]) == 5
    assert shown[0] == shown[1]


def test_a_terminal_that_hangs_up_ends_it_as_ctrl_c_does(tmp_path: Path, upstream: Listening):
    with serving(tmp_path, upstream) as server:
        server.until("Ready.")
        server.signal(signal.SIGHUP)
        code = server.end()

    assert (code, "Traceback" in server.complained) == (0, False), server.complained


def test_the_data_directory_and_its_lock_are_their_owners_alone_and_the_database_is_ready(
    tmp_path: Path, upstream: Listening
):
    with serving(tmp_path, upstream) as server:
        url = re.findall(r"^Listening on (\S+)$", server.until("Ready."), re.MULTILINE)[0]
        checks = client.ask(f"{url}/ready").json()["checks"]
    folder = tmp_path / "rivermouth-data"

    assert [stat.S_IMODE(one.stat().st_mode) for one in (folder, folder / "lock")] == [0o700, 0o600]
    assert checks["rows"] == {"ok": True, "detail": "SQLite"}


def test_a_request_and_a_run_are_one_line_each_without_a_credential(tmp_path: Path, upstream: Listening):
    with serving(tmp_path, upstream, "--log-format", "json") as server:
        said = server.until("Ready.")
        line = re.findall(r"^curl -N .*wisqu|^curl -N .*/api/v1/chat/ .*$", said, re.MULTILINE)[0]
        subprocess.run(line, shell=True, capture_output=True, timeout=20, check=True)
        server.signal(signal.SIGTERM)
        server.end()

    logged = server.complained
    assert logged.count('"event":"run"') + logged.count('"event": "run"') == 1
    assert logged.count('"event":"request"') + logged.count('"event": "request"') == 1
    assert [secret for secret in re.findall(r"Bearer ([\w.-]+)", said) if secret in logged] == []


def test_a_model_that_does_not_answer_is_said_and_the_server_is_up(tmp_path: Path):
    with (
        listening(lambda handler: handler.json({"error": "loading"}, 503)) as broken,
        started(tmp_path, "serve", "--port", "0", "--model-url", broken.url) as server,
    ):
        said = server.until("Ready.")
        server.signal(signal.SIGTERM)
        server.end()

    assert "The model does not answer yet" in said
    assert "rivermouth doctor" in said


def test_chat_without_a_server_answers_by_itself_and_leaves_nothing_running(tmp_path: Path, upstream: Listening):
    with started(tmp_path, "chat", "--model-url", upstream.url, "--model", "tiny", "Where does it end?") as chat:
        code = chat.end()

    assert (code, chat.said) == (0, f"{TEXT}\n"), chat.complained
    assert chat.complained == ""


def test_chat_without_a_server_says_why_the_model_does_not_answer(tmp_path: Path):
    nowhere = f"http://127.0.0.1:{free_port()}"
    with started(tmp_path, "chat", "--model-url", nowhere, "Where does it end?") as chat:
        code = chat.end()

    assert (code, chat.said, chat.complained.count("\n")) == (3, "", 1), chat.complained
    assert "no connection to the model's server" in chat.complained


def test_chat_by_itself_leaves_a_running_servers_data_alone_and_says_so_in_one_line(
    tmp_path: Path, upstream: Listening
):
    with serving(tmp_path, upstream) as server:
        server.until("Ready.")
        with started(tmp_path, "chat", "--model-url", upstream.url, "Where does it end?") as chat:
            code = chat.end()

    assert (code, chat.complained.count("\n")) == (2, 1), chat.complained
    assert "another server uses the data directory" in chat.complained
    assert "--url" in chat.complained


def test_chat_uses_the_credentials_that_the_server_keeps(tmp_path: Path, upstream: Listening):
    with serving(tmp_path, upstream) as server:
        url = re.findall(r"^Listening on (\S+)$", server.until("Ready."), re.MULTILINE)[0]
        with started(tmp_path, "chat", "--url", url, "--agent", "research", "Where does it end?") as chat:
            code = chat.end()
        server.signal(signal.SIGTERM)
        server.end()

    assert (code, chat.said) == (0, f"{TEXT}\n"), chat.complained


@contextmanager
def telling_slowly(more: threading.Event) -> Iterator[Listening]:
    """A server that says two words, waits for `more` and says another, and then nothing until it is told to stop."""
    stopped = threading.Event()

    def slow(handler: Handler) -> None:
        if handler.command == "POST":
            handler.send_response(200)
            handler.send_header("Content-Type", "text/event-stream")
            handler.send_header("Stream-Id", "r1")
            handler.send_header("Connection", "close")
            handler.end_headers()
            handler.wfile.write(b'data: {"type":"content","content":"Once upon"}\n\n')
            more.wait(PATIENCE)
            handler.wfile.write(b'data: {"type":"content","content":" a"}\n\n')
            stopped.wait(PATIENCE)
        elif handler.command == "DELETE":
            handler.json({"stream_id": "r1", "state": "stopped", "already": False})
            more.set()
            stopped.set()
        else:
            handler.whole(b"OK", "text/plain")

    with listening(slow) as server:
        yield server


def test_ctrl_c_in_chat_stops_the_run_on_the_server(tmp_path: Path):
    with (
        telling_slowly(threading.Event()) as server,
        started(tmp_path, "chat", "--url", server.url, "Tell me") as chat,
    ):
        chat.until("Once upon")
        chat.signal(signal.SIGINT)
        code = chat.end()

    assert (code, "DELETE /streams/r1" in server.seen) == (130, True), chat.complained


def test_chat_whose_output_nobody_reads_any_more_stops_the_run_and_ends_without_a_word(tmp_path: Path):
    more = threading.Event()
    with telling_slowly(more) as server, started(tmp_path, "chat", "--url", server.url, "Tell me") as chat:
        chat.until("Once upon")
        chat.stop_reading()
        more.set()
        code = chat.end()

    assert (code, chat.complained) == (141, "")
    assert "DELETE /streams/r1" in server.seen


def test_ctrl_c_while_the_program_is_read_ends_it_without_a_word(tmp_path: Path):
    (tmp_path / "click.py").write_text("import threading\nprint('reading', flush=True)\nthreading.Event().wait()\n")
    with started(tmp_path, "doctor") as process:
        process.until("reading")
        process.signal(signal.SIGINT)
        code = process.end()

    assert (code, process.complained) == (130, "")
