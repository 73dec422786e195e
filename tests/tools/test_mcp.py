"""MCP servers of both kinds: their tools are found, called and followed; they may die, come back, or send anything at all."""

import asyncio
import contextlib
import itertools
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, MutableMapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from rivermouth.clock import SystemClock
from rivermouth.loading import load_settings
from rivermouth.settings import Settings, SettingsError
from rivermouth.tools import ToolFailed, _mcp_stdio
from rivermouth.tools import _mcp as mcp
from rivermouth.tools._toolbox import Box, open_toolbox
from tests.tools.world import ANN

HARBOUR, HOSTILE = Path(__file__).with_name("mcp_server.py"), Path(__file__).with_name("hostile_mcp.py")
SECONDS = 120
ANYTHING: dict[str, Any] = {"type": "object"}


@pytest.fixture(autouse=True)
def _quickly_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mcp, "FIRST_PAUSE", 0.1)
    monkeypatch.setattr(mcp, "LONGEST_PAUSE", 0.4)
    monkeypatch.setattr(_mcp_stdio, "PATIENCE", 1.0)


@asynccontextmanager
async def toolbox(**servers: dict[str, Any]) -> AsyncIterator[Box]:
    """With every server tried once."""
    box = await open_toolbox(Settings.model_validate({"mcp": servers}), SystemClock())
    try:
        await box.tried()
        yield box
    finally:
        await box.close()


def play(story: Coroutine[Any, Any, Any]) -> Any:
    """In the loop that `rivermouth serve` has; tests/test_cli_tools.py is played in asyncio's own."""
    return uvloop.run(asyncio.wait_for(story, SECONDS))


async def until(holds: Callable[[], Any]) -> None:
    while not holds():  # noqa: ASYNC110, what is waited for has no event
        await asyncio.sleep(0.02)


async def call(box: Box, name: str, /, **arguments: Any) -> Any:
    (tool,) = box.named([name])
    return await tool.call(arguments, ANN)


async def failure(box: Box, name: str, /, **arguments: Any) -> str:
    with pytest.raises(ToolFailed) as caught:
        await call(box, name, **arguments)
    return str(caught.value)


def names(box: Box) -> list[str]:
    return [tool.spec.name for tool in box.all()]


def child(**more: Any) -> dict[str, Any]:
    return {"command": sys.executable, "args": (str(HARBOUR), "stdio"), **more}


def hostile(*tools: str | dict[str, Any], **more: Any) -> dict[str, Any]:
    told = [{"name": tool, "inputSchema": ANYTHING} if isinstance(tool, str) else tool for tool in tools]
    return {"command": sys.executable, "args": ("-S", str(HOSTILE), json.dumps(told)), **more}


def alive(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@asynccontextmanager
async def listening(port: int) -> AsyncIterator[subprocess.Popen[bytes]]:
    """The harbour over HTTP, when it listens."""
    with subprocess.Popen(  # noqa: ASYNC220, 1 ms
        [sys.executable, str(HARBOUR), "http", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            while True:
                with contextlib.suppress(OSError):
                    (await asyncio.open_connection("127.0.0.1", port))[1].close()
                    break
                await asyncio.sleep(0.05)
            yield process
        finally:
            process.kill()


# A child process


def test_a_child_serves_its_tools_sees_little_and_ends_with_us(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RIVERMOUTH_AUTH__JWT_SECRET", "a secret that no child may see, ever")

    async def story() -> int:
        async with toolbox(harbour=child(env={"BERTH": "7"})) as box:
            assert "harbour.tide" in names(box)
            assert box.named(["harbour.tide"])[0].spec.description == "When the tide is high."
            assert box.named(["harbour.tide"])[0].spec.parameters["required"] == ["place"]
            tide = await call(box, "harbour.tide", place="Ærø")
            assert tide["place"] == "Ærø"
            assert (
                await call(box, "harbour.say", text="\U0001f6a2 \ud83d\ude00 \ud800 \0", times=2)
                == "🚢 😀 \ufffd \0" * 2
            )
            assert await call(box, "harbour.picture") == "a boat\n[image of type image/png, not shown]"
            seen = (await call(box, "harbour.environment"))["result"]
            assert "BERTH" in seen
            assert set(seen) <= {
                "BERTH",
                "LC_CTYPE",
                "PATH",
                "HOME",
                "USER",
                "LOGNAME",
                "SHELL",
                "LANG",
                "LC_ALL",
                "TZ",
                "TMPDIR",
            }
            assert "Error executing tool wreck" in await failure(box, "harbour.wreck")
            assert "place" in await failure(box, "harbour.tide", berth=1)
            return int(tide["pid"])

    pid = play(story())

    assert not alive(pid)


def test_a_child_that_dies_in_the_middle_is_started_again_and_says_why(
    tmp_path: Path, logged: list[MutableMapping[str, Any]]
):
    begun = tmp_path / "begun"

    async def story() -> None:
        async with toolbox(harbour=child()) as box:
            (server,) = box.servers
            first = (await call(box, "harbour.tide", place="x"))["pid"]
            waiting = asyncio.create_task(failure(box, "harbour.wait", seconds=30, begun=str(begun)))
            await until(begun.exists)
            assert "went away during the call" in await failure(box, "harbour.die")
            assert "went away during the call" in await waiting
            assert "cannot be reached now" in await failure(box, "harbour.tide", place="x")
            assert "harbour.tide" in names(box)

            await until(lambda: server.problem is None)
            assert (await call(box, "harbour.tide", place="x"))["pid"] != first

    play(story())

    (lost,) = [line["reason"] for line in logged if line["event"] == "mcp_lost"]
    assert lost == "it ended with exit code 3: the harbour is closed"


def test_a_tool_that_a_child_makes_later_is_found():
    async def story() -> None:
        async with toolbox(harbour=child()) as box:
            await call(box, "harbour.build", name="crane")
            await until(lambda: "harbour.crane" in names(box))
            assert await call(box, "harbour.crane") == {"result": "new"}

    play(story())


def test_a_server_of_the_older_protocol_says_that_its_tools_are_others_now():
    async def story() -> None:
        async with toolbox(h=hostile("grow")) as box:
            await call(box, "h.grow")
            await until(lambda: "h.grown" in names(box))

    play(story())


def test_a_server_that_is_at_work_on_a_call_is_not_taken_for_dead(monkeypatch: pytest.MonkeyPatch):
    async def story() -> None:
        async with toolbox(h=hostile("busy")) as box:
            await until(lambda: box.servers[0].problem is None)
            monkeypatch.setattr(mcp, "LOOK", 0.1)
            box.servers[0]._awake.set()
            assert await call(box, "h.busy") == "fine"

    # Of every request but a call: so many times shorter than the call, and longer than a child takes to answer.
    monkeypatch.setattr(mcp, "HANDSHAKE", 1.0)
    play(story())


def test_a_call_that_is_cancelled_leaves_the_connection_as_it_was(tmp_path: Path):
    begun = tmp_path / "begun"

    async def story() -> None:
        async with toolbox(harbour=child()) as box:
            calling = asyncio.create_task(call(box, "harbour.wait", seconds=30, begun=str(begun)))
            await until(begun.exists)
            before = (await call(box, "harbour.tide", place="x"))["pid"]
            calling.cancel()
            await asyncio.wait({calling})
            assert (await call(box, "harbour.tide", place="x"))["pid"] == before

    play(story())


@pytest.mark.parametrize(
    ("own", "reason"),
    [
        ({"command": "/no/such/program"}, "there is no program /no/such/program"),
        ({"command": sys.executable, "cwd": "/no/such/folder"}, "there is no folder /no/such/folder"),
        ({"command": str(HARBOUR)}, "is no program that may be started"),
        (
            {"command": sys.executable, "args": ("-S", "-c", "import no_such_module")},
            "No module named 'no_such_module'",
        ),
        ({"command": sys.executable, "args": ("-S", "-c", "")}, "it ended with exit code 0"),
        ({"command": sys.executable, "args": ("-S", "-c", "print(input())")}, "it ended with exit code 0"),
        ({"url": "http://127.0.0.1:1/mcp"}, "onnect"),
    ],
)
def test_a_server_that_cannot_be_had_is_said_and_hinders_nothing(own: dict[str, Any], reason: str):
    async def story() -> None:
        async with toolbox(lost=own) as box:
            assert reason in (box.servers[0].problem or "")
            assert "calculator" in names(box)

    play(story())


def test_a_server_that_is_away_for_long_is_logged_once(
    monkeypatch: pytest.MonkeyPatch, logged: list[MutableMapping[str, Any]]
):
    attempts, attempt = [], mcp.Server._attempt

    async def counted(server: mcp.Server) -> None:
        await attempt(server)
        attempts.append(server.name)

    monkeypatch.setattr(mcp.Server, "_attempt", counted)

    async def story() -> None:
        async with toolbox(lost={"command": "/no/such/program"}):
            await until(lambda: len(attempts) > 2)

    play(story())

    assert [line["event"] for line in logged] == ["mcp_lost"]


def test_opening_waits_for_no_server():
    async def story() -> None:
        silent = {"command": sys.executable, "args": ("-S", "-c", "import time; time.sleep(60)")}
        box = await open_toolbox(Settings.model_validate({"mcp": {"silent": silent}}), SystemClock())
        assert "calculator" in names(box)
        await until(lambda: box.servers and box.servers[0].transport)
        transport = box.servers[0].transport
        assert transport is not None
        await until(lambda: hasattr(transport, "_child"))
        await box.close()
        assert not alive(transport.pid)

    play(story())


# Over HTTP


def test_a_server_over_http_serves_its_tools_dies_and_comes_back(tmp_path: Path):
    begun = tmp_path / "begun"

    async def story() -> None:
        port = free_port()
        async with listening(port) as first, toolbox(harbour={"url": f"http://127.0.0.1:{port}/mcp"}) as box:
            (server,) = box.servers
            assert (await call(box, "harbour.tide", place="Ærø"))["place"] == "Ærø"
            await call(box, "harbour.build", name="crane")
            await until(lambda: "harbour.crane" in names(box))
            waiting = asyncio.create_task(failure(box, "harbour.wait", seconds=30, begun=str(begun)))
            await until(begun.exists)
            first.kill()
            first.wait()
            assert "harbour" in await waiting
            await until(lambda: server.problem)
            assert "cannot be reached now" in await failure(box, "harbour.tide", place="x")

            async with listening(port) as second:
                await until(lambda: server.problem is None)
                assert (await call(box, "harbour.tide", place="x"))["pid"] == second.pid
                assert "harbour.crane" not in names(box)

    play(story())


Answer = Callable[[dict[str, Any]], Awaitable[Response]]
Changed = Callable[[Request, Response], Awaitable[Response]]


@asynccontextmanager
async def answering(tools_call: Answer, changed: Changed | None = None) -> AsyncIterator[tuple[str, list[Request]]]:
    """A server of the older protocol, whose calls are answered like that; its address, and what came."""
    came: list[Request] = []

    async def answer(request: Request) -> Response:
        came.append(request)
        if request.method != "POST":
            return Response(status_code=405)
        told = await said(await request.json())
        return await changed(request, told) if changed is not None else told

    async def said(message: dict[str, Any]) -> Response:
        head = {"jsonrpc": "2.0", "id": message.get("id")}
        match message["method"]:
            case "initialize":
                info = {"serverInfo": {"name": "h", "version": "1"}, "capabilities": {"tools": {}}}
                return JSONResponse(head | {"result": {"protocolVersion": "2025-06-18", **info}})
            case "tools/list":
                return JSONResponse(head | {"result": {"tools": [{"name": "x", "inputSchema": ANYTHING}]}})
            case "tools/call":
                return await tools_call(head)
            case "server/discover":
                return JSONResponse(head | {"error": {"code": -32601, "message": "no"}}, 400)
        return Response(status_code=202)

    app = Starlette(routes=[Route("/mcp", answer, methods=["GET", "POST", "DELETE"])])
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off"))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/mcp", came
        finally:
            server.should_exit = server.force_exit = True
            await serving


async def fine(head: dict[str, Any]) -> Response:
    return JSONResponse(head | {"result": {"content": [{"type": "text", "text": "fine"}]}})


async def huge(head: dict[str, Any]) -> Response:
    return JSONResponse(head | {"result": {"content": [{"type": "text", "text": "x" * 9_000_000}]}})


async def huge_event(head: dict[str, Any]) -> Response:
    return Response("data: " + "x" * 9_000_000 + "\n\n", media_type="text/event-stream")


async def html(head: dict[str, Any]) -> Response:
    return Response("<h1>Welcome</h1>", media_type="text/html")


async def broken(head: dict[str, Any]) -> Response:
    return Response("<h1>500</h1>", 500, media_type="text/html")


async def wrong(head: dict[str, Any]) -> Response:
    return JSONResponse(head | {"result": {"content": "text"}})


async def no_json(head: dict[str, Any]) -> Response:
    return Response("{", media_type="application/json")


async def half(head: dict[str, Any]) -> Response:
    return Response('{"jsonrpc": "2.0", "id": 1, "result": "\\ud800"}', media_type="application/json")


async def elsewhere(head: dict[str, Any]) -> Response:
    return RedirectResponse("http://127.0.0.1:1/mcp", 307)


async def slow(head: dict[str, Any]) -> Response:
    await asyncio.sleep(30)
    return await fine(head)


@pytest.mark.parametrize("answer", [huge, huge_event, html, broken, wrong, no_json, half, elsewhere, slow])
def test_whatever_a_server_answers_over_http_it_is_a_failure_and_no_more(answer: Answer):
    answers = [answer, fine]

    async def in_turn(head: dict[str, Any]) -> Response:
        return await answers.pop(0)(head)

    async def story() -> str:
        async with answering(in_turn) as (url, _), toolbox(h={"url": url, "timeout": 1.0}) as box:
            failed = await failure(box, "h.x")
            await until(lambda: box.servers[0].problem is None)
            assert await call(box, "h.x") == "fine"
            return failed

    failed = play(story())

    assert len(failed) < 1500


def test_a_session_that_the_server_has_forgotten_is_begun_anew():
    forgotten: set[str] = set()
    sessions = itertools.count(1)

    async def in_turn(request: Request, answer: Response) -> Response:
        if (message := await request.json())["method"] == "initialize":
            answer.headers["Mcp-Session-Id"] = f"s{next(sessions)}"
        elif message["method"] != "server/discover" and request.headers.get("mcp-session-id") in forgotten:
            return Response(status_code=404)
        return answer

    async def story() -> None:
        async with answering(fine, in_turn) as (url, _), toolbox(h={"url": url}) as box:
            assert await call(box, "h.x") == "fine"
            forgotten.add("s1")
            assert "went away during the call" in await failure(box, "h.x")
            await until(lambda: box.servers[0].problem is None)
            assert await call(box, "h.x") == "fine"

    play(story())


def test_headers_go_to_the_server_and_nowhere_else(logged: list[MutableMapping[str, Any]]):
    async def story() -> list[Request]:
        async with answering(fine) as (url, came):
            async with toolbox(h={"url": url, "headers": {"Authorization": "Bearer s3cret"}}) as box:
                assert await call(box, "h.x") == "fine"
                assert "s3cret" not in repr(box.servers[0]._settings)
            return came

    came = play(story())

    assert {request.headers["authorization"] for request in came} == {"Bearer s3cret"}
    assert "s3cret" not in str(logged)


# Whatever a child says


@pytest.mark.parametrize("tool", ["unstructured", "chatty", "stranger", "twice"])
def test_what_is_no_answer_is_passed_over(tool: str):
    async def story() -> Any:
        async with toolbox(h=hostile(tool)) as box:
            return await call(box, f"h.{tool}")

    assert play(story()) == "fine"


def test_half_a_character_is_shown_as_missing():
    async def story() -> Any:
        async with toolbox(h=hostile("half")) as box:
            return await call(box, "h.half")

    assert play(story()) == "\ufffd and \0"


@pytest.mark.parametrize(
    ("tool", "reason"),
    [
        ("huge", "went away during the call"),
        ("endless", "went away during the call"),
        ("slow", "h: "),
        ("wrong", "does not fit"),
        ("steering", "h: "),
        ("complains", "it broke"),
    ],
)
def test_an_answer_that_nobody_can_use_is_a_failure(tool: str, reason: str):
    async def story() -> str:
        async with toolbox(h=hostile(tool, timeout=1.0)) as box:
            return await failure(box, f"h.{tool}")

    failed = play(story())

    assert reason in failed
    assert failed.isprintable()
    assert len(failed) < 1500


def test_a_tool_with_a_schema_is_held_to_it():
    promising = {"name": "nothing", "inputSchema": ANYTHING, "outputSchema": {"type": "object", "required": ["depth"]}}

    async def story() -> str:
        async with toolbox(h=hostile(promising)) as box:
            return await failure(box, "h.nothing")

    assert "does not fit its own schema" in play(story())


def test_names_and_descriptions_are_data_with_bounds(logged: list[MutableMapping[str, Any]]):
    tools = [
        {"name": "fine.and/dandy", "description": "\x1b[31mred\u202e" + "x" * 9000, "inputSchema": ANYTHING},
        {"name": "fine_and_dandy", "inputSchema": ANYTHING},
        {"name": "n" * 70, "inputSchema": ANYTHING},
        {"name": "", "inputSchema": ANYTHING},
        {"name": "large", "inputSchema": {"type": "object", "description": "x" * 30_000}},
        *({"name": f"t{number}", "inputSchema": ANYTHING} for number in range(200)),
    ]

    async def story() -> Box:
        async with toolbox(h=hostile(*tools)) as box:
            return box

    box = play(story())
    (first,) = box.named(["h.fine_and_dandy"])
    mine = [name for name in names(box) if name.startswith("h.")]

    assert (len(first.spec.description), first.spec.description[:8]) == (1500, "[31mred ")
    assert len(mine) == 128 - 4
    left_out = {line["reason"] for line in logged if line["event"] == "mcp_tool_left_out"}
    assert len(left_out) == 4


UNFIT: list[Any] = [
    {"name": "bare", "description": "has no schema"},
    {"name": "null", "inputSchema": None},
    {"name": "text", "inputSchema": "object"},
    {"inputSchema": ANYTHING},
    {"name": 5, "inputSchema": ANYTHING},
    {"name": "told", "description": ["x"], "inputSchema": ANYTHING},
    {"name": "noted", "annotations": "x", "inputSchema": ANYTHING},
    {"name": "string", "inputSchema": {"type": "string"}},
    "word",
    None,
]


def test_a_tool_that_does_not_fit_hides_no_other(logged: list[MutableMapping[str, Any]]):
    told = [{"name": "first", "inputSchema": ANYTHING}, *UNFIT, {"name": "last", "inputSchema": ANYTHING}]

    async def story() -> tuple[list[str], Any, str | None, dict[str, str]]:
        async with toolbox(h={"command": sys.executable, "args": ("-S", str(HOSTILE), json.dumps(told))}) as box:
            mine = [name for name in names(box) if name.startswith("h.")]
            return mine, await call(box, "h.last"), box.servers[0].problem, dict(box.servers[0].left_out)

    mine, answer, problem, left_out = play(story())

    assert (mine, answer, problem) == (["h.first", "h.last"], "fine", None)
    assert left_out["bare"] == "its inputSchema does not fit: Field required"
    assert set(left_out) == {"bare", "null", "text", "without a name", "told", "noted", "string"}
    lines = [(line["tool"], line["reason"]) for line in logged if line["event"] == "mcp_tool_left_out"]
    assert len(lines) == len(set(lines)) >= 7


def test_a_tool_that_does_not_fit_hides_no_other_over_http_either():
    told = [{"name": "x", "inputSchema": ANYTHING}, {"name": "bare"}]

    async def listed(request: Request, response: Response) -> Response:
        message = await request.json()
        if message.get("method") != "tools/list":
            return response
        return JSONResponse({"jsonrpc": "2.0", "id": message["id"], "result": {"tools": told}})

    async def fine(message: dict[str, Any]) -> Response:
        return JSONResponse(message | {"result": {"content": [{"type": "text", "text": "fine"}]}})

    async def story() -> list[str]:
        async with answering(fine, listed) as (url, _), toolbox(h={"url": url}) as box:
            assert await call(box, "h.x") == "fine"
            return [name for name in names(box) if name.startswith("h.")]

    assert play(story()) == ["h.x"]


def test_of_a_list_without_an_end_only_its_beginning_is_looked_at():
    told = [{"name": f"t{number}"} for number in range(499)]

    async def listed(request: Request, response: Response) -> Response:
        message = await request.json()
        if message.get("method") != "tools/list":
            return response
        tools = [*told, {"name": "x", "inputSchema": ANYTHING}, *({"name": f"u{number}"} for number in range(20_000))]
        return JSONResponse({"jsonrpc": "2.0", "id": message["id"], "result": {"tools": tools}})

    async def fine(message: dict[str, Any]) -> Response:
        return JSONResponse(message | {"result": {"content": [{"type": "text", "text": "fine"}]}})

    async def story() -> tuple[list[str], dict[str, str]]:
        async with answering(fine, listed) as (url, _), toolbox(h={"url": url}) as box:
            return [name for name in names(box) if name.startswith("h.")], box.servers[0].left_out

    mine, left_out = play(story())

    assert mine == ["h.x"]
    assert left_out["20000 more"] == "of one list 500 tools are looked at"
    assert len(left_out) == 200


def test_a_tool_that_does_not_fit_is_logged_once_however_often_it_is_listed(
    logged: list[MutableMapping[str, Any]], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(mcp, "SETTLE", 0.0)
    told = [{"name": "bare"}, {"name": "n" * 70, "inputSchema": ANYTHING}, {"name": "grow", "inputSchema": ANYTHING}]

    async def story() -> None:
        async with toolbox(h={"command": sys.executable, "args": ("-S", str(HOSTILE), json.dumps(told))}) as box:
            await call(box, "h.grow")
            await until(lambda: "h.grown" in names(box))

    play(story())

    assert [line["tool"] for line in logged if line["event"] == "mcp_tool_left_out"] == ["bare", "n" * 70]


def test_without_servers_the_sdk_is_not_even_loaded():
    heavy = ("mcp", "httpx2", "selectolax")
    code = f"import sys, rivermouth.app, rivermouth.tools._toolbox; print([m for m in {heavy} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)

    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("toml", "reason"),
    [
        ("[mcp.x]\nargs = ['a']", "have a command or a url"),
        ("[mcp.x]\ncommand = 'a'\nurl = 'http://h'", "have a command or a url"),
        ("[mcp.x]\nurl = 'http://h'\nenv = {A = 'b'}", "take no args, env or cwd"),
        ("[mcp.x]\ncommand = 'a'\nheaders = {A = 'b'}", "take no headers"),
        ("[mcp.'x.y']\ncommand = 'a'", "takes no server named"),
        ("[mcp.x]\ncomand = 'a'", "did you mean mcp.x.command"),
        ("[mcp.x]\nurl = 'ftp://h'", "does not fit"),
    ],
)
def test_a_server_that_is_set_up_wrongly_stops_the_start(tmp_path: Path, toml: str, reason: str):
    (tmp_path / "rivermouth.toml").write_text(toml)

    with pytest.raises(SettingsError, match=reason):
        load_settings({}, env={}, cwd=tmp_path)


def test_a_server_may_be_set_up_in_the_environment(tmp_path: Path):
    given = '{"command": "npx", "args": ["-y", "x"], "env": {"API_KEY": "s3cret"}}'
    settings = load_settings({}, env={"RIVERMOUTH_MCP__FILES": given}, cwd=tmp_path)

    assert settings.mcp["files"].args == ("-y", "x")
    assert settings.mcp["files"].env["API_KEY"].get_secret_value() == "s3cret"
    assert "s3cret" not in repr(settings)
