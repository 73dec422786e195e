"""What a model is shown of a page: the text of HTML, other text as it is, and nothing of what is no text."""

import asyncio
import re
import sys
from pathlib import Path

import msgspec

from rivermouth.tools import ToolFailed
from rivermouth.tools._http import Answer

SECONDS = 6.0
"""For the process that parses HTML, from its start."""
PROCESS = Path(__file__).with_name("_html_process.py")
HTML = ("text/html", "application/xhtml+xml")
TEXT = re.compile(r"text/.+|application/(.+\+)?(json|xml)|application/(x-)?(ndjson|yaml|javascript|toml)")
CHARSETS = re.compile(
    r"utf-?(8|16|16le|16be)|us-ascii|(iso-?8859|windows|cp)-?\d{1,4}(-\d{1,2})?|latin-?1|koi8-[ru]|gb(k|2312|18030)|big5|"
    r"euc-(jp|kr)|shift_jis|iso-2022-jp"
)
"""Encodings of text. Python knows more under such names, some of which take for ever (`punycode`)."""
DECLARED = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([\w-]{1,40})", re.IGNORECASE)


class Page(msgspec.Struct, frozen=True):
    """What is to be read of it."""

    text: str
    title: str = ""


async def page(answer: Answer) -> Page:
    """The text of an answer. Raises: ToolFailed where it is none."""
    kind, _, rest = answer.headers.get("content-type", "").lower().partition(";")
    kind = kind.strip()
    if answer.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        raise ToolFailed("the page is compressed, although it was asked for as it is")
    if kind not in HTML and not TEXT.fullmatch(kind):
        raise ToolFailed(f"that is no text but {kind[:100]}" if kind else "the server does not say what that is")
    text = _decoded(answer.body, rest, declared=kind in HTML)
    return await _read_html(text) if kind in HTML else Page(text.replace("\0", ""))


def _decoded(body: bytes, parameters: str, *, declared: bool) -> str:
    said = re.search(r"charset\s*=\s*\"?([\w-]{1,40})", parameters)
    name = said[1] if said else ""
    if not name and declared and (found := DECLARED.search(body[:2048])):
        name = found[1].decode("ascii").lower()
    try:
        return body.decode(name if CHARSETS.fullmatch(name) else "utf-8", "replace")
    except LookupError:
        return body.decode("utf-8", "replace")


async def _read_html(source: str) -> Page:
    pipe = asyncio.subprocess.PIPE
    spawning = asyncio.ensure_future(
        # -P: the folder of that file, with modules of ours in it, is no place to import from.
        asyncio.create_subprocess_exec(
            sys.executable, "-P", str(PROCESS), stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.DEVNULL
        )
    )
    try:
        child = await asyncio.shield(spawning)
    except asyncio.CancelledError:
        await _end(await spawning)  # uvloop would leave it running
        raise
    try:
        async with asyncio.timeout(SECONDS):
            out, _ = await child.communicate(source.encode("utf-8", "replace"))
        return msgspec.json.decode(out, type=Page)
    except (TimeoutError, msgspec.MsgspecError):
        raise ToolFailed("the page is built so that its text cannot be had in time") from None
    finally:
        await _end(child)


async def _end(child: asyncio.subprocess.Process) -> None:
    if child.returncode is None:
        child.kill()
    await child.wait()
