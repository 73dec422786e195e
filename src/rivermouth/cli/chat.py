"""`rivermouth chat`: ask in the terminal, of a running server or without one."""

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import click
import msgspec

from rivermouth.cli import client
from rivermouth.cli.background import in_background
from rivermouth.cli.failures import Unreachable
from rivermouth.cli.flags import settings_flags, settings_of
from rivermouth.cli.local import kept
from rivermouth.cli.program import called
from rivermouth.framing import Received
from rivermouth.server import Held
from rivermouth.settings import Settings, SettingsError

DEFAULT_URL = "http://127.0.0.1:8000"
PATIENCE = 300.0
"""Seconds without a byte after which a server is given up; its heartbeat comes every 15 s."""


UNTOLD = "Failed to send message"
"""All that `wisqu` says of a failure of the model or the server, by its contract."""
MEANT = {
    502: "the model's server cannot be reached, or did not do its part",
    503: "the model's server is overloaded, or this one takes no questions",
    504: "the model's server said nothing for too long",
}
"""What it is by its status, in the words of docs/errors.md."""


class Check(msgspec.Struct):
    """One of the things that a server needs."""

    ok: bool
    detail: str


class Readiness(msgspec.Struct):
    """What `/ready` answers."""

    checks: dict[str, Check]


class Question(NamedTuple):
    """What is asked, and how."""

    text: str
    agent: str | None
    conversation: str | None
    system_prompt: str | None


@click.command("chat")
@click.argument("question")
@click.option("--url", metavar="URL", help=f"The server to ask [{DEFAULT_URL} where one is running, else none].")
@click.option("--agent", metavar="NAME", help="The agent that answers.")
@click.option("--conversation", metavar="NAME", help="Go on with this conversation; made where there is none.")
@click.option("--system", "system_prompt", metavar="TEXT", help="Instructions for this answer.")
@settings_flags("data_dir", "model.url", "model.name")
def command(
    question: str,
    url: str | None,
    agent: str | None,
    conversation: str | None,
    system_prompt: str | None,
    config: Path | None,
    **values: Any,
) -> int:
    """Ask QUESTION and print the answer as it comes. Ctrl-C stops it.

    Asks the server at --url, or the one that runs on this machine, or starts its own for as long as the answer takes. The
    credentials are those that `rivermouth serve` keeps in the data directory.

    \b
    Examples:
      rivermouth chat "What is a river mouth?"
      rivermouth chat --conversation trip "And how long is it?"
      rivermouth chat --agent research "Do eels spawn in rivers?"
      rivermouth chat --model-url http://127.0.0.1:11434 --model llama3.2 "Hello"
    """
    if not question.strip():
        raise click.UsageError("the question is empty")
    if agent and system_prompt:
        raise click.UsageError("--agent has its own instructions: give --agent or --system, not both")
    settings = settings_of(values, config)
    asked = Question(question, agent, conversation, system_prompt)
    configured = values.get("model__url") or values.get("model__name")
    with _server(settings, url, own=bool(configured)) as base:
        return _ask(base, asked, settings)


@contextmanager
def _server(settings: Settings, url: str | None, *, own: bool) -> Iterator[str]:
    if url is not None:
        base = base_of(url)
        if not _runs(base):
            raise Unreachable(_nobody_at(base))
        yield base
    elif not own and _runs(DEFAULT_URL):
        yield DEFAULT_URL
    else:
        try:
            with in_background(settings) as base:
                yield base
        except Held:
            raise SettingsError(
                f"another server uses the data directory {settings.data_dir}; ask that one with --url, or choose another "
                f"directory with --data-dir"
            ) from None


def base_of(url: str) -> str:
    """A server's address as requests begin with it; one without a scheme is of http. Raises: UsageError where it is none."""
    base = url.rstrip("/") if "://" in url else f"http://{url.rstrip('/')}"
    try:
        parts = urlsplit(base)
        fits = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        fits = False
    if not fits:
        raise click.UsageError(f"--url {url!r} is no address of a server, such as {DEFAULT_URL}")
    return base


def _nobody_at(base: str) -> str:
    parts = urlsplit(base)
    if parts.path or parts.query or parts.fragment:
        address = f"{parts.scheme}://{parts.netloc}"
        return f"no server answers at {base}; --url is its address alone: try {address}"
    return f"nothing answers at {base}; start a server there with: {called()} serve"


def _runs(base: str) -> bool:
    try:
        answer = client.ask(f"{base}/health", timeout=2.0)
    except (OSError, HTTPException, UnicodeError):  # the last is of a name that is none
        return False
    return answer.status == 200 and answer.body.strip() == b"OK"


def _ask(base: str, asked: Question, settings: Settings) -> int:
    system, path, body = request_of(asked)
    one = kept(settings).get(system)
    headers = {"Authorization": f"Bearer {one.credential}"} if one else {}
    try:
        stream = client.begin(base + path, "POST", headers=headers, body=body, timeout=PATIENCE)
    except (OSError, HTTPException) as error:
        raise Unreachable(f"no answer from {base}: {error}") from None
    try:
        if stream.status != 200:
            raise _refusal(base, stream, settings)
        return _print(stream)
    except KeyboardInterrupt:
        click.echo("\nstopped", err=True)
        _stop(base, stream.headers.get("Stream-Id"), headers)
        return 130
    except BrokenPipeError:  # of our own output, as nothing is sent to the server meanwhile
        _stop(base, stream.headers.get("Stream-Id"), headers)
        raise
    except (OSError, HTTPException) as error:
        raise Unreachable(f"the stream broke off: {error}") from None
    finally:
        stream.close()


def _refusal(base: str, stream: client.Stream, settings: Settings) -> click.ClickException:
    status, reason = stream.status, reason_of(stream.rest())
    if reason == UNTOLD:
        reason = _unready(base) or MEANT.get(status, reason)
    said = f"{base} answered {status}: {reason}"
    if status == 401:
        where = f"(credentials are looked for in {settings.data_dir})"
        return click.ClickException(f"{said}; name that server's data directory with --data-dir {where}")
    if wait := stream.headers.get("Retry-After"):
        said = f"{said}; try again in {wait} s"
    return click.ClickException(said) if status < 500 else Unreachable(f"{said}; `{called()} doctor` says more")


def _unready(base: str) -> str:
    """What a server says is wrong with it; nothing where all is well, or it does not say."""
    try:
        told = msgspec.json.decode(client.ask(f"{base}/ready").body, type=Readiness)
    except (OSError, HTTPException, msgspec.MsgspecError):
        return ""
    return "; ".join(f"{name}: {check.detail}" for name, check in told.checks.items() if not check.ok)


def request_of(asked: Question) -> tuple[str, str, dict[str, Any]]:
    """System, path and body that ask it: `ares` knows agents, `wisqu` instructions; each keeps its own conversations."""
    body: dict[str, Any]
    if asked.agent:
        body = {"message": asked.text, "agent_type": asked.agent, "context_id": asked.conversation}
        return "ares", "/ares/v1/chat/stream?format=json", _without_none(body)
    name = asked.conversation
    conversation = _as_uuid(name) if name else None
    body = {
        "message": asked.text,
        "stream": True,
        "conversation_id": conversation,
        "system_prompt": asked.system_prompt,
    }
    return "wisqu", "/wisqu/api/v1/chat/", _without_none(body)


def _without_none(body: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in body.items() if value is not None}


def _as_uuid(name: str) -> str:
    try:
        return str(uuid.UUID(name))
    except ValueError:
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"rivermouth:conversation:{name}"))


def _print(stream: client.Stream) -> int:
    begun = ended = False
    for event in stream.events():
        text, error, last = piece_of(event)
        if error is not None:
            click.echo()
            raise click.ClickException(error) if begun else Unreachable(error)
        click.echo(text, nl=False)
        begun = begun or bool(text)
        ended = ended or last
    click.echo()
    if not ended:
        raise Unreachable("the stream broke off before the answer was whole")
    return 0


def piece_of(event: Received) -> tuple[str, str | None, bool]:
    """Text, error and whether it is the last event, in either of the two forms that `request_of` asks for."""
    fields = msgspec.json.decode(event.data, type=dict[str, Any])
    kind = fields.get("type") or fields.get("event")
    error = str(fields.get("error", "failed")) if kind == "error" else None
    return str(fields.get("content") or ""), error, kind in ("metadata", "done")


def reason_of(body: bytes) -> str:
    """The words of an error in any system's shape."""
    try:
        fields = msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.MsgspecError:
        return body.decode("utf-8", "replace").strip()[:200]
    reason = fields.get("error") or fields.get("detail") or fields
    if isinstance(reason, list):
        return "; ".join(_words(one) for one in reason)
    return _words(reason)


def _words(reason: Any) -> str:
    words = reason.get("message") or reason.get("msg") or reason if isinstance(reason, dict) else reason
    return words if isinstance(words, str) else json.dumps(words)


def _stop(base: str, run: str | None, headers: dict[str, str]) -> None:
    if run is None:
        return
    try:
        client.ask(f"{base}/streams/{run}", "DELETE", headers=headers, timeout=5.0)
    except (OSError, HTTPException) as error:
        click.echo(f"rivermouth: the server could not be told to stop: {error}", err=True)
