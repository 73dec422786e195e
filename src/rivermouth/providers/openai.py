"""Any server that speaks the OpenAI chat completions protocol: Ollama, vLLM, llama.cpp, LM Studio, OpenAI itself.

One retry, before the first piece of the answer and never after it: at once on a new connection where the server could not
be reached or broke off, and where it was overloaded unless it asked for more than a second of patience.
"""

import asyncio
import os
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import msgspec
import structlog

from rivermouth.clock import Clock
from rivermouth.errors import (
    NoModel,
    ProviderBroken,
    ProviderFault,
    ProviderOverloaded,
    ProviderRefused,
    ProviderUnreachable,
)
from rivermouth.messages import Message
from rivermouth.providers import Finish, ModelRequest, Sink, ToolsRefused, _tools
from rivermouth.providers._deltas import Deltas
from rivermouth.providers._listener import Timeouts
from rivermouth.providers._proxied import Sender, open_sender
from rivermouth.providers._upstream import Call, Collected
from rivermouth.pulse import Pulse
from rivermouth.settings import Settings, SettingsError

logger = structlog.get_logger("rivermouth.providers")

PAUSE = 0.1
"""Seconds before the one retry, where the server names none."""
MOST_PATIENCE = 1.0
"""Seconds of `Retry-After` that are waited out; longer ones are the caller's to wait."""
A_DAY = 86_400.0
TOO_LONG = ("exceed_context_size_error", "context_length_exceeded")
"""How llama.cpp and OpenAI name a prompt that does not fit."""
NO_TOOLS = (400, 404, 422, 501)
"""How servers refuse tools: Ollama and vLLM with 400, OpenRouter with 404; llama.cpp has a 500 that speaks of tools."""


async def open(settings: Settings, clock: Clock, pulse: Pulse | None = None) -> "OpenAI":
    """The server at `settings.model.url`, which is not asked anything yet. Raises: SettingsError, NoModel."""
    model = settings.model
    if not model.url:
        raise SettingsError("model.url: the openai provider needs the address of a server (LOCAL_LLM_URL)")
    key = model.api_key.get_secret_value() if model.api_key is not None else None
    timeouts = Timeouts(model.connect_timeout, model.first_byte_timeout, model.idle_timeout)
    base = base_of(model.url)
    sender = open_sender(base.url(""), timeouts, max_idle=model.max_idle_connections, environ=os.environ, pulse=pulse)
    return OpenAI(base, sender, clock, key=key, name=model.name, context_tokens=model.context_tokens)


class Base(msgspec.Struct, frozen=True):
    """The address under which a server's paths lie, and a query that goes with each."""

    root: str
    query: str = ""

    def url(self, path: str) -> str:
        """The address of `path`, such as `/chat/completions`."""
        return f"{self.root}{path}" + (f"?{self.query}" if self.query else "")


def base_of(url: str) -> Base:
    """`url` ending in exactly one `/v1`; one with another path keeps it. Raises: SettingsError."""
    url = url.strip()
    parts = urlsplit(url if "://" in url else f"http://{url}")
    try:
        port_fits = parts.port is None or parts.port > 0
    except ValueError:
        port_fits = False
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_fits:
        raise SettingsError(f"model.url: {url!r} is not an http:// or https:// address")
    if "@" in parts.netloc:
        raise SettingsError("model.url: must not carry a user or password; use LOCAL_LLM_API_KEY")
    path = parts.path.rstrip("/").removesuffix("/chat/completions").removesuffix("/embeddings")
    path = path.removesuffix("/audio/transcriptions")
    while path.endswith("/v1/v1"):
        path = path.removesuffix("/v1")
    return Base(f"{parts.scheme}://{parts.netloc}{path or '/v1'}", parts.query)


class OpenAI:
    """A `Provider` over HTTP."""

    def __init__(
        self,
        base: Base,
        sender: Sender,
        clock: Clock,
        *,
        key: str | None = None,
        name: str | None = None,
        context_tokens: int | None = None,
    ) -> None:
        if key is not None and not (key.isascii() and key.isprintable()):
            raise SettingsError("model.api_key: has characters that no HTTP header may carry")
        self._base, self._sender, self._clock = base, sender, clock
        self._secret = key
        self._headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
        self._name = name or None
        self._context_tokens = context_tokens
        self._usage_asked: bool | None = None  # None: not known yet whether it takes stream_options

    def __repr__(self) -> str:
        return f"OpenAI({self._base.root!r})"

    @property
    def context_tokens(self) -> int | None:
        """From the settings, or from the server's list of models once it has been asked."""
        return self._context_tokens

    async def stream(self, request: ModelRequest, sink: Sink) -> Finish:
        """See `Provider.stream`."""
        model = request.model or self._name or await self._first_model()
        names = _tools.Names(request)
        answer = Answer(sink, names.own)
        sink.named(model)
        try:
            return await self._ask(request, model, answer, names)
        except (ProviderUnreachable, ProviderBroken, ProviderOverloaded) as fault:
            patience = fault.retry_after if fault.retry_after is not None else PAUSE
            if answer.spoke or patience > MOST_PATIENCE:
                raise
            logger.info("provider_retry", code=fault.code)
        await asyncio.sleep(patience)
        return await self._ask(request, model, answer, names, fresh=True)

    async def count(self, messages: list[Message]) -> int | None:
        """None: there is no common way to ask."""
        return None

    async def check(self) -> str:
        """One line on what answers there. Raises: ProviderFault, NoModel."""
        listed = await self._models()
        names = [str(model.get("id")) for model in listed]
        name = self._name or (names[0] if names else None)
        if name is None:
            raise NoModel("the model's server lists no models; load one there, or name one (LOCAL_LLM_MODEL)")
        note = "" if not names or name in names else f" (not among the {len(names)} that the server lists)"
        return f"{self._base.root}, model {name}{note}"

    async def close(self) -> None:
        """Close every connection. Twice is once."""
        await self._sender.close()

    async def post(self, url: str, body: Any) -> Any:
        """What a JSON endpoint answers. Raises: ProviderFault."""
        return await self._whole(Call(method="POST", url=url, headers=self._headers, body=msgspec.json.encode(body)))

    async def post_to(self, path: str, body: Any) -> Any:
        """The same, by a path under the server's root, such as `/embeddings`."""
        return await self.post(self._base.url(path), body)

    async def send_to(self, path: str, media: str, body: bytes) -> Any:
        """The same for a body of another media type, such as a form."""
        headers = self._headers | {"Content-Type": media}
        return await self._whole(Call(method="POST", url=self._base.url(path), headers=headers, body=body))

    async def _ask(
        self, request: ModelRequest, model: str, answer: "Answer", names: _tools.Names, *, fresh: bool = False
    ) -> Finish:
        """One try. Older servers refuse `stream_options`; until one has taken them, a refusal is tried without."""
        known = self._usage_asked
        for include_usage in (True, False) if known is None else (known,):
            body = msgspec.json.encode(body_of(request, model, names, include_usage=include_usage))
            call = Call(method="POST", url=self._base.url("/chat/completions"), headers=self._headers, body=body)
            await self._sender.send(call, answer, fresh=fresh)
            if answer.accepted:
                self._usage_asked = include_usage
                return answer.finish()
            if answer.status not in (400, 422):
                break
        raise self._fault(answer.status, answer.headers, bytes(answer.content), tools=bool(request.tools))

    async def _first_model(self) -> str:
        listed = await self._models()
        if not listed:
            raise NoModel("the model's server lists no models; load one there, or name one (LOCAL_LLM_MODEL)")
        self._name = str(listed[0].get("id"))
        return self._name

    async def _models(self) -> list[dict[str, Any]]:
        answer = await self._whole(Call(method="GET", url=self._base.url("/models"), headers=self._headers))
        told = answer.get("data") if isinstance(answer, dict) else None
        listed = (
            [model for model in told if isinstance(model, dict) and model.get("id")] if isinstance(told, list) else []
        )
        if self._context_tokens is None:
            chosen = [model for model in listed if self._name in (None, model["id"])]
            self._context_tokens = context_of(chosen[0]) if chosen else None
        return listed

    async def _whole(self, call: Call) -> Any:
        heard = Collected()
        await self._sender.send(call, heard)
        if not 200 <= heard.status < 300:
            raise self._fault(heard.status, heard.headers, bytes(heard.content))
        try:
            return msgspec.json.decode(heard.content)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ProviderBroken("the model's server sent what is not JSON; is the address right?") from error

    def _fault(self, status: int, headers: Mapping[str, str], content: bytes, *, tools: bool = False) -> ProviderFault:
        """What a status that is not 2xx means. The server's own words go to the log alone, the key not even there."""
        words = content.decode("utf-8", "replace")
        if self._secret:
            words = words.replace(self._secret, "***")  # before the cut: half a key is one too many
        words = words[:500]
        logger.warning("provider_refused", status=status, words=words)
        too_long = any(name in words for name in TOO_LONG)
        if tools and not too_long and (status in NO_TOOLS or (status == 500 and "tool" in words.lower())):
            return ToolsRefused(f"the model's server refused a call with tools (it answered {status})")
        if status == 429 or status >= 500:
            wait = retry_after_of(headers.get("retry-after"), self._clock)
            return ProviderOverloaded(f"the model's server is overloaded (it answered {status})", retry_after=wait)
        if too_long:
            words = f"the conversation does not fit the model's context (its server answered {status})"
            return ProviderRefused(words, answered=status)
        return ProviderRefused(f"the model's server refused the call (it answered {status})", answered=status)


class Answer(Collected):
    """Hears one response, or those of several tries one after another: deltas where it is a good one, words where not."""

    def __init__(self, sink: Sink, own_names: Mapping[str, str] = {}) -> None:
        super().__init__()
        self._sink, self._own_names = sink, own_names
        self._deltas = Deltas(sink, own_names)
        self._streams = False
        self.accepted = False

    @property
    def spoke(self) -> bool:
        """Whether any of the answer has gone into the sink."""
        return self._deltas.spoke

    @property
    def steady(self) -> bool:
        """The same: what follows the first piece may be read once a beat."""
        return self._deltas.spoke

    def head(self, status: int, headers: dict[str, str]) -> None:
        """Tell the sink of a good status. A server that ignores `stream` answers with one JSON object."""
        super().head(status, headers)
        self._deltas = Deltas(self._sink, self._own_names)
        self.accepted = 200 <= status < 300
        self._streams = self.accepted and "application/json" not in headers.get("content-type", "")
        # Bound here, so that a token passes one call less.
        self.body = self._deltas.feed if self._streams else super().body  # type: ignore[method-assign]
        if self.accepted:
            self._sink.answered()

    def finish(self) -> Finish:
        """How it ended. Raises: ProviderFault where it is not complete."""
        return self._deltas.finish() if self._streams else self._deltas.whole(bytes(self.content))


def body_of(request: ModelRequest, model: str, names: _tools.Names, *, include_usage: bool) -> dict[str, Any]:
    """The request's body. `request.options` add to it, but cannot make it anything but a stream."""
    body: dict[str, Any] = {"model": model, "messages": request.messages, **_tools.members(request, names)}
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if request.max_tokens is not None:
        body["max_tokens"] = request.max_tokens
    body |= request.options
    body["stream"] = True
    if include_usage:
        body["stream_options"] = {"include_usage": True}
    return body


def context_of(model: Mapping[str, Any]) -> int | None:
    """Tokens that a model of `/v1/models` takes: llama.cpp, vLLM and others each have their own word for it."""
    meta = model.get("meta")
    told = [meta.get("n_ctx"), meta.get("n_ctx_train")] if isinstance(meta, dict) else []
    told += [model.get("max_model_len"), model.get("context_length"), model.get("context_window")]
    return next((count for count in told if isinstance(count, int) and count > 0), None)


def retry_after_of(value: str | None, clock: Clock) -> float | None:
    """Seconds that a Retry-After asks for, as a number or an HTTP date; None where it says nothing one can read."""
    if not value:
        return None
    if value.strip().isdecimal():
        return min(float(value), A_DAY)
    try:
        return min(max(0.0, parsedate_to_datetime(value).timestamp() - clock.now()), A_DAY)
    except ValueError:
        return None
