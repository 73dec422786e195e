"""An MCP server that does not keep to anything, without the SDK, on stdio. Run by the tests: hostile_mcp.py TOOLS_JSON"""

import json
import sys
import time
from typing import Any

TOOLS = json.loads(sys.argv[1])
FIT = {"content": [{"type": "text", "text": "fine"}]}


def write(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def answer(id: Any, **body: Any) -> None:
    write(json.dumps({"jsonrpc": "2.0", "id": id, **body}))


def call(id: Any, name: str) -> None:
    match name:
        case "huge":
            sys.stdout.write('{"jsonrpc": "2.0", "id": 1, "result": "')
            for _ in range(1200):
                sys.stdout.write("x" * 10_000)
            write('"}')
        case "endless":
            while True:
                sys.stdout.write("x" * 100_000)
        case "busy":
            time.sleep(2)
            answer(id, result=FIT)
        case "slow":
            time.sleep(60)
        case "wrong":
            answer(id, result={"content": 7, "structuredContent": []})
        case "complains":
            text = {"type": "text", "text": "\x1b[31mit broke\u202e" + "no " * 5000}
            answer(id, result={"content": [text], "isError": True})
        case "nothing":
            answer(id, result={})
        case "unstructured":
            answer(id, result=FIT)
        case "chatty":
            write("Listening …")
            write("\x1b[31m{not json")
            write('["jsonrpc"]')
            sys.stdout.buffer.write(b"\xff\xfe\n")
            answer(id, result=FIT)
        case "stranger":
            answer(999, result=FIT)
            answer("x", error={"code": 1, "message": "who?"})
            answer(id, result=FIT)
        case "half":
            write(
                json.dumps(
                    {"jsonrpc": "2.0", "id": id, "result": {"content": [{"type": "text", "text": "\ud800 and \0"}]}}
                )
            )
        case "steering":
            answer(id, error={"code": -32000, "message": "\x1b[2J\u202e" + "no " * 5000})
        case "grow":
            TOOLS.append({"name": "grown", "inputSchema": {"type": "object"}})
            write(json.dumps({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}))
            answer(id, result=FIT)
        case "twice":
            answer(id, result=FIT)
            answer(id, result=FIT)
        case _:
            answer(id, result=FIT)


for line in sys.stdin:
    message = json.loads(line)
    method, id = message.get("method"), message.get("id")
    if method == "initialize":
        told = {
            "protocolVersion": "2025-06-18",
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "h", "version": "1"},
        }
        answer(id, result=told)
    elif method == "tools/list":
        answer(id, result={"tools": TOOLS})
    elif method == "tools/call":
        call(id, message["params"]["name"])
    elif id is not None:
        answer(id, error={"code": -32601, "message": "no such method"})
