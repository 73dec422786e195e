"""Which model answers, asked of the model itself."""

import asyncio
from collections.abc import Callable
from typing import Any

from rivermouth import plugins, providers
from rivermouth.clock import SystemClock
from rivermouth.messages import Message
from rivermouth.providers import ModelRequest, Provider
from rivermouth.providers.embedded import fetch_model
from rivermouth.settings import Settings, SettingsError


def provider_name(settings: Settings) -> str:
    """The configured provider; where none is, `openai` for a server and else the built-in model."""
    return settings.model.provider or ("openai" if settings.model.url else "embedded")


def check_provider(settings: Settings) -> None:
    """Raises: SettingsError, naming those there are, where there is none of that name."""
    name, known = provider_name(settings), plugins.names("providers")
    if name not in known:
        raise SettingsError(
            f"model.provider {name!r} does not fit: there is no such provider; there are {', '.join(known)}"
        )


def fetch(settings: Settings, on_progress: Callable[[str], None]) -> None:
    """Bring the built-in model, where it is to answer and is not there yet. Raises: NoModel."""
    if provider_name(settings) == "embedded" and settings.embedded.file is None:
        fetch_model(settings.data_dir, on_progress)


async def model_line(settings: Settings) -> str:
    """One line on what answers, once it has. Raises: ProviderFault, NoModel, SettingsError."""
    check_provider(settings)
    provider = await providers.load(provider_name(settings)).open(settings, SystemClock())
    try:
        await first_token(provider, settings)
        return str(await provider.check())
    finally:
        await provider.close()


async def first_token(provider: Provider, settings: Settings) -> None:
    """Ask the model something and hang up at its first word. Raises: ProviderFault, NoModel."""
    ear = _Ear()
    request = ModelRequest(messages=[Message("user", "Hello")], model=settings.model.name or "")
    call = asyncio.create_task(provider.stream(request, ear))
    heard = asyncio.create_task(ear.heard.wait())
    try:
        await asyncio.wait([call, heard], return_when=asyncio.FIRST_COMPLETED)
    finally:
        call.cancel()
        heard.cancel()
        await asyncio.wait([call, heard])
    if not call.cancelled():
        call.result()


class _Ear:
    """A `Sink` that only hears whether anything comes."""

    def __init__(self) -> None:
        self.heard = asyncio.Event()

    def answered(self) -> None:
        pass

    def named(self, model: str) -> None:
        pass

    def text(self, delta: str) -> None:
        self.heard.set()

    def reasoning(self, delta: str) -> None:
        self.heard.set()

    def tool_call(self, *_: Any) -> None:
        self.heard.set()

    def usage(self, prompt_tokens: int, completion_tokens: int) -> None:
        pass
