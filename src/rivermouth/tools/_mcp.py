"""One MCP server: connected in the background, connected again when it dies, its tools kept up to date.

    connecting → connected → (lost | failed) → waiting, longer each time → connecting …

A connection is entered, used and left in one task (`run`), as the SDK's cancel scopes demand; calls come from any task. The
tools stay known while there is no connection, and calls of them say so.
"""

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack, suppress
from typing import Any, TypeVar

import mcp_types
import structlog
from mcp import Client, MCPError
from mcp.client.subscriptions import ListenNotSupportedError, SubscriptionLost
from mcp_types import CONNECTION_CLOSED, INVALID_REQUEST, REQUEST_TIMEOUT
from pydantic import ValidationError

import rivermouth
from rivermouth.tool_settings import McpServer
from rivermouth.tools import Asker, Spec, ToolFailed
from rivermouth.tools import _mcp_data as data
from rivermouth.tools._mcp_http import http
from rivermouth.tools._mcp_sieve import sifted
from rivermouth.tools._mcp_stdio import Stdio

logger = structlog.get_logger("rivermouth.tools")
# What the SDK would log with a traceback for each call that fails, our own line says in one.
logging.getLogger("mcp").setLevel(logging.CRITICAL)

T = TypeVar("T")
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds before the next attempt: doubled each time, from the first again once a connection has lasted for the longest."""
LOOK = 30.0
"""Seconds after which a server is asked for its tools again, which also tells whether it is still there."""
SETTLE = 0.2
"""Seconds from one such look to the next, however often a server says that it has changed."""
HANDSHAKE = 20.0
"""Seconds for each request that is no call."""
PAGES = 20
LEFT_OUT = 200
"""Tools that do not fit, of one server, of which any more is said."""
ENDS = ((CONNECTION_CLOSED, "Connection closed"), (INVALID_REQUEST, "Session terminated"))
"""The SDK's own words for a connection that is no more; servers use the first of these numbers for anything."""
LEAVING = 8.0


class McpTool:
    """One tool of a server."""

    def __init__(self, server: "Server", own_name: str, spec: Spec) -> None:
        self._server, self._own_name, self.spec = server, own_name, spec

    async def call(self, arguments: dict[str, Any], asker: Asker) -> Any:
        """What the server returns: its structured content where there is any, else its text."""
        return await self._server.call(self._own_name, arguments, self.spec.seconds)


class Server:
    """One server of the settings. tools: those it had when it was last asked. problem: why it is not connected; None where
    it is."""

    def __init__(self, name: str, settings: McpServer) -> None:
        self.name, self.tools = name, list[McpTool]()
        self.problem: str | None = "it is being connected"
        self.tried = asyncio.Event()
        """Set once the first attempt has ended, well or badly."""
        self.left_out: dict[str, str] = {}
        """Tools of its latest list that do not fit, and why."""
        self.transport: Stdio | None = None
        self._settings = settings
        self._client: Client | None = None
        self._awake, self._leaving = asyncio.Event(), asyncio.Event()
        self._gone = asyncio.Event()
        self._calls = 0
        self._told: set[str] = set()
        self._told_left_out: set[tuple[str, str]] = set()

    async def run(self) -> None:
        """Be connected until `leave`."""
        pause = FIRST_PAUSE
        while not self._leaving.is_set():
            began = asyncio.get_running_loop().time()
            await self._attempt()
            lasted = asyncio.get_running_loop().time() - began
            pause = FIRST_PAUSE if lasted > LONGEST_PAUSE else pause
            await _either(self._leaving, within=pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def leave(self, task: "asyncio.Task[None]") -> None:
        """End the connection, its child and `task`, which is what `run` runs in. Twice is once."""
        self._leaving.set()
        self._awake.set()
        # What is still connecting looks at nothing; it is cancelled, which its transport survives in order.
        _, still = await asyncio.wait({task}, timeout=LEAVING if self._client is not None else 0)
        if still:
            task.cancel()
            await asyncio.wait({task})

    async def call(self, name: str, arguments: dict[str, Any], seconds: float) -> Any:
        """What the server's own tool of that name returns. Raises: ToolFailed."""
        client, gone = self._client, self._gone
        if client is None or gone.is_set():
            raise ToolFailed(f"the MCP server {self.name} cannot be reached now ({self.problem}); it is tried again")
        asking = client.call_tool(name, data.whole(arguments), read_timeout_seconds=seconds)
        self._calls += 1
        try:
            return data.result(await _unless(gone, asking))
        except MCPError as error:
            if (error.code, error.message) in ENDS:
                self._lost()
                raise ToolFailed(f"the MCP server {self.name} went away during the call; it is tried again") from error
            raise ToolFailed(f"{self.name}: {data.printable(error.message)[: data.ERROR_CHARS]}") from error
        except (RuntimeError, ValidationError, ValueError, TypeError) as error:
            # The SDK's words for a result that does not fit: a RuntimeError, or pydantic's.
            raise ToolFailed(f"the MCP server {self.name} returned what does not fit its own schema") from error
        finally:
            self._calls -= 1

    def _lost(self) -> None:
        self.problem = self.problem or "the connection ended"
        self._gone.set()
        self._awake.set()

    async def _attempt(self) -> None:
        self._gone, self.transport, problem = asyncio.Event(), None, "the connection ended"
        try:
            await self._connected()
        except asyncio.CancelledError:
            # Ours alone: one that the SDK's scopes raise, after a transport of theirs broke, is the end of a connection.
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise
        except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001, a foreign server behind a foreign library: anything
            problem = reason(error)
        finally:
            self._client = None
            self._gone.set()
        if self.transport is not None and self.transport.gone.is_set():
            problem = self.transport.epitaph()
        if not self._leaving.is_set():
            self.problem = problem
            self._tell(problem)
        self.tried.set()

    def _tell(self, problem: str) -> None:
        """Once for each reason until it is connected again: a server may be away for days."""
        if problem not in self._told:
            self._told.add(problem)
            logger.warning("mcp_lost", server=self.name, reason=problem)

    async def _connected(self) -> None:
        """One connection, from its beginning to its end."""
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(self._new_client())
            if self.transport is not None:
                self._background(stack, self._watch_child(self.transport))
            await self._discover(client)
            self._client, self.problem = client, None
            self._told.clear()
            logger.info("mcp_connected", server=self.name, tools=len(self.tools))
            self.tried.set()
            self._background(stack, self._follow(client))
            while not (self._gone.is_set() or self._leaving.is_set()):
                await _either(self._awake, within=LOOK)
                if self._gone.is_set() or self._leaving.is_set():
                    break
                self._awake.clear()
                await self._look(client)
                await _either(self._gone, within=SETTLE)

    def _new_client(self) -> Client:
        own = self._settings
        if own.command is not None:
            env = {key: value.get_secret_value() for key, value in own.env.items()}
            transport: Any = Stdio(self.name, (own.command, *own.args), env, own.cwd)
            self.transport = transport
        else:
            headers = {key: value.get_secret_value() for key, value in own.headers.items()}
            transport = http(own.url or "", headers, own.timeout + HANDSHAKE)
        client = Client(
            sifted(transport, lambda: client.protocol_version, self._leave_out),
            read_timeout_seconds=HANDSHAKE,
            message_handler=self._heard,
            client_info=mcp_types.Implementation(name="rivermouth", version=rivermouth.__version__),
            cache=None,
        )
        return client

    def _background(self, stack: AsyncExitStack, work: Any) -> None:
        task = asyncio.create_task(work)

        async def end() -> None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        stack.push_async_callback(end)

    async def _watch_child(self, child: Stdio) -> None:
        await child.gone.wait()
        self._lost()

    async def _look(self, client: Client) -> None:
        """Ask again. A server that is at work on a call may answer nothing else until that is done, and is left to it."""
        try:
            await self._discover(client)
        except MCPError as error:
            if error.code != REQUEST_TIMEOUT or not self._calls:
                raise

    async def _discover(self, client: Client) -> None:
        """Ask for the tools. Raises what the SDK does where the server is not there any more."""
        found: list[mcp_types.Tool] = []
        self.left_out = {}
        cursor = None
        for _ in range(PAGES):
            page = await client.list_tools(cursor=cursor)
            found += page.tools
            if (cursor := page.next_cursor) is None or len(found) > data.MOST_TOOLS:
                break
        self.tools = self._made(found)

    def _made(self, found: Sequence[mcp_types.Tool]) -> list[McpTool]:
        made = data.specs(self.name, found, self._settings.timeout, self._leave_out)
        return [McpTool(self, name, spec) for name, spec in made]

    def _leave_out(self, tool: str, why: str) -> None:
        """A tool that does not fit; logged once, however often the server lists it."""
        name = data.printable(tool)[:100]
        if len(self.left_out) < LEFT_OUT:
            self.left_out[name] = why
        if (name, why) not in self._told_left_out and len(self._told_left_out) < LEFT_OUT:
            self._told_left_out.add((name, why))
            logger.warning("mcp_tool_left_out", server=self.name, tool=name, reason=why)

    async def _heard(self, message: Any) -> None:
        """A notification: where it says that the tools are others now, they are asked for again."""
        if isinstance(message, mcp_types.ToolListChangedNotification):
            self._awake.set()

    async def _follow(self, client: Client) -> None:
        """Servers since 2026-07 tell of changes in a stream that one asks for."""
        while True:
            with suppress(MCPError, SubscriptionLost, TimeoutError):
                try:
                    async with client.listen(tools_list_changed=True) as changes:
                        self._awake.set()  # for what changed before the stream was open
                        async for _ in changes:
                            self._awake.set()
                except ListenNotSupportedError:
                    return
            self._awake.set()
            await asyncio.sleep(LOOK)


def reason(error: BaseException) -> str:
    """The first error of a group of groups, in one line."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"its {error.title} does not fit: {first['msg']} ({'.'.join(map(str, first['loc']))[:100]})"
    return data.printable(str(error)).partition("\n")[0][:300] or type(error).__name__


async def _unless(gone: asyncio.Event, asking: Coroutine[Any, Any, T]) -> T:
    """What is asked for, unless the connection goes away: the SDK does not tell everybody who waits. Raises: MCPError then."""
    calling, losing = asyncio.ensure_future(asking), asyncio.ensure_future(gone.wait())
    try:
        await asyncio.wait({calling, losing}, return_when=asyncio.FIRST_COMPLETED)
        if calling.done():
            return calling.result()
        raise MCPError(*ENDS[0])
    finally:
        calling.cancel()
        losing.cancel()
        await asyncio.gather(calling, losing, return_exceptions=True)


async def _either(event: asyncio.Event, *, within: float) -> None:
    """Wait for it, at most so many seconds."""
    with suppress(TimeoutError):
        async with asyncio.timeout(within):
            await event.wait()
