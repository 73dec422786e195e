"""A server whose model calls a tool that never returns, as a process of its own: `python -m tests.wire.killed DATA_DIR`.

It prints its address, and serves until it is killed.
"""

import asyncio
import sys
import threading
from pathlib import Path

from rivermouth.providers.scripted import End, ScriptedProvider, Text, Tool
from tests.engine.tools import Box, Given
from tests.running import running


async def never() -> str:
    await asyncio.Event().wait()
    return "never"


if __name__ == "__main__":
    script = [Text("One moment."), Tool("{}", id="c1", name="never"), End("tool_calls"), Text("Done.")]
    agents = {name: {"tools": ("never",)} for name in ("assistant", "cm_default")}
    box = Box(Given("never", never))
    with running(Path(sys.argv[1]), ScriptedProvider(script), box, agents=agents) as server:
        print(server.url, flush=True)
        threading.Event().wait()
