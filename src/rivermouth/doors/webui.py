"""`/`: the page to talk to, as it is built out of `web/`; where it is not built, what is missing.

`GET /` is the page for whoever takes HTML, and the pointers of `ops` for all others. Its files carry a hash in their names, so
that a browser keeps them for good; the page itself is asked for again each time, and is mostly a 304.
"""

import asyncio
import gzip
import hashlib
from pathlib import Path

import msgspec

from rivermouth.dialects import Answer
from rivermouth.doors.http import Request, Send, answer, answering
from rivermouth.errors import MethodNotAllowed

FOLDER = Path(__file__).parent / "_page"
"""Where the build puts it. Nothing in it is committed; a wheel carries it."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "media-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types dompurify"
)
"""What the page may do: run its own files, and ask this server. No string becomes HTML but through DOMPurify."""

HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=(), display-capture=(), payment=(), usb=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
FOR_GOOD, EACH_TIME = "public, max-age=31536000, immutable", "no-cache"

HOW = (
    "start the server with scripts/serve where Node 18 or newer and npm are installed, which builds it out of web/; or "
    "install a wheel that was built where it is"
)
MISSING = f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Rivermouth</title>
<h1>Rivermouth is running</h1>
<p>The page to talk to is not there, because it has not been built: {HOW}.</p>
<p>Everything else is: <a href="docs">all paths</a>, <a href="ready">how the server is</a>.</p>
</html>
"""


def is_built(folder: Path | None = None) -> bool:
    """Whether the page is there."""
    return ((folder or FOLDER) / "index.html").is_file()


class Asset(msgspec.Struct, frozen=True):
    """A file of the page, as it is sent."""

    body: bytes
    small: bytes
    tag: str
    type: str


class WebUi:
    """Serves the page's files. folder: where they are, or not. built: whether they are there."""

    def __init__(self, folder: Path | None = None) -> None:
        folder = folder or FOLDER
        self.built = is_built(folder)
        self._files = {"/": folder / "index.html"} | {
            f"/{path.relative_to(folder).as_posix()}": path
            for path in sorted(folder.rglob("*"))
            if path.suffix in TYPES and path != folder / "index.html"
        }
        self._read: dict[str, Asset] = {}

    @property
    def pointer(self) -> str:
        """Where it is, for a program that asks; or why it is not."""
        return "/" if self.built else f"not built: {HOW}"

    def serves(self, request: Request) -> bool:
        """Whether that is one of its files; `/` is for those that take HTML."""
        return request.path in self._files and (request.path != "/" or "text/html" in request.headers.get("accept", ""))

    async def serve(self, request: Request, send: Send) -> None:
        """Answer with the file."""
        request.seen.kind = "page"
        async with answering(request, send):
            if request.method not in ("GET", "HEAD"):
                raise MethodNotAllowed(f"{request.method} is not for {request.path}", allow=("GET", "HEAD"))
            found = self._read.get(request.path)
            if found is None:
                found = await asyncio.to_thread(self._load, request.path)
            await answer(request, send, _answer_with(found, request))

    def _load(self, path: str) -> Asset:
        try:
            body = self._files[path].read_bytes()
        except FileNotFoundError:
            body = MISSING.encode()
        tag = f'W/"{hashlib.sha256(body).hexdigest()[:32]}"'
        asset = Asset(body, gzip.compress(body, mtime=0), tag, TYPES[self._files[path].suffix])
        self._read[path] = asset
        return asset


def _answer_with(found: Asset, request: Request) -> Answer:
    page = request.path == "/"
    headers = HEADERS | {
        "Cache-Control": EACH_TIME if page else FOR_GOOD,
        "ETag": found.tag,
        "Vary": "Accept, Accept-Encoding" if page else "Accept-Encoding",
    }
    if found.tag in request.headers.get("if-none-match", ""):
        return Answer(304, headers, b"")
    headers["Content-Type"] = found.type
    if "gzip" not in request.headers.get("accept-encoding", ""):
        return Answer(200, headers, found.body)
    return Answer(200, headers | {"Content-Encoding": "gzip"}, found.small)
