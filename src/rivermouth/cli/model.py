"""Which model answers, asked of the model itself."""

from rivermouth import providers
from rivermouth.clock import SystemClock
from rivermouth.settings import Settings


def provider_name(settings: Settings) -> str:
    """The configured provider; where none is, `openai` for a server and else the built-in model."""
    return settings.model.provider or ("openai" if settings.model.url else "embedded")


async def model_line(settings: Settings) -> str:
    """One line on what answers, from a provider opened for this. Raises: ProviderFault, NoModel, LookupError."""
    provider = await providers.load(provider_name(settings)).open(settings, SystemClock())
    try:
        return str(await provider.check())
    finally:
        await provider.close()
