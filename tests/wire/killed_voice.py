"""A server that listens to somebody, as a process of its own: `python -m tests.wire.killed_voice DATA_DIR TRANSCRIBE_URL`.

It prints its address, and serves until it is killed. Without the second argument pocketsphinx listens.
"""

import sys
import threading
from pathlib import Path

from rivermouth.providers.scripted import ScriptedProvider, Text
from tests.running import running

if __name__ == "__main__":
    transcribe = {"url": sys.argv[2]} if len(sys.argv) > 2 else {}
    with running(Path(sys.argv[1]), ScriptedProvider([Text("Yes.")]), transcribe=transcribe) as server:
        print(server.url, flush=True)
        threading.Event().wait()
