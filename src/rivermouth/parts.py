"""What the settings name, opened: the model, who embeds, who listens, what Redis keeps. `stack` closes what is opened."""

import uuid
from contextlib import AsyncExitStack
from functools import partial

from rivermouth import providers
from rivermouth.clock import Clock
from rivermouth.metrics import Metrics
from rivermouth.providers import Provider, openai
from rivermouth.pulse import Pulse
from rivermouth.retrieval.embed import Embedder, open_embedder
from rivermouth.settings import Model, Settings
from rivermouth.speech import Transcriber
from rivermouth.speech._counted import Counted
from rivermouth.speech._opening import chosen, open_transcriber
from rivermouth.stores.redis_client import connect
from rivermouth.stores.redis_limits import SharedWindows
from rivermouth.stores.redis_log import RedisBackend


async def open_provider(settings: Settings, clock: Clock, pulse: Pulse) -> Provider:
    """The configured one; the built-in model where nothing is configured."""
    model = settings.model
    name = model.provider or ("openai" if model.url else "embedded")
    opened: Provider = await providers.load(name).open(settings, clock, pulse)
    return opened


async def embedder_of(settings: Settings, clock: Clock, stack: AsyncExitStack) -> Embedder | None:
    """The one that the settings name. Its server is called as a model's is: bounded, through the proxy, no redirects."""
    wanted = settings.embeddings
    server = Model(url=wanted.url, api_key=wanted.api_key) if wanted.url is not None else None
    caller = await openai.open(settings.model_copy(update={"model": server}), clock) if server is not None else None
    if caller is not None:
        stack.push_async_callback(caller.close)
    embedder = await open_embedder(settings, caller.post_to if caller is not None else None)
    if embedder is not None:
        stack.push_async_callback(embedder.close)
    return embedder


async def transcriber_of(settings: Settings, clock: Clock, stack: AsyncExitStack) -> Transcriber | None:
    """The one that the settings name, if any; its server is called as a model's is. Raises: SettingsError, NoTranscriber."""
    wanted = settings.transcribe
    caller = None
    if wanted.url is not None:
        server = Model(url=wanted.url, api_key=wanted.api_key, first_byte_timeout=wanted.timeout)
        caller = await openai.open(settings.model_copy(update={"model": server}), clock)
        stack.push_async_callback(caller.close)
    transcriber = await open_transcriber(settings, caller.send_to if caller is not None else None)
    if transcriber is not None:
        stack.push_async_callback(transcriber.close)
    return transcriber


async def counted_transcriber(
    settings: Settings, clock: Clock, stack: AsyncExitStack, metrics: Metrics
) -> Transcriber | None:
    """The same, each recording counted."""
    transcriber = await transcriber_of(settings, clock, stack)
    if transcriber is None:
        return None
    return Counted(transcriber, clock, partial(metrics.transcribed, chosen(settings)))


def redis_log(settings: Settings, metrics: Metrics) -> RedisBackend | None:
    """The log that replicas share, where the settings name its Redis."""
    if settings.redis_url is None:
        return None
    return RedisBackend(
        settings.redis_url.get_secret_value(),
        new_id=lambda: uuid.uuid4().hex,
        lease=settings.runs.lease,
        timeout=settings.runs.commit_timeout,
        retention=settings.runs.retention,
        on_takeover=metrics.taken_over,
    )


def shared_windows(settings: Settings, stack: AsyncExitStack) -> SharedWindows | None:
    """Rate limits that count across replicas, where the settings name their Redis."""
    if settings.redis_url is None:
        return None
    redis = connect(settings.redis_url.get_secret_value(), timeout=settings.runs.commit_timeout, retries=1)
    stack.push_async_callback(redis.aclose)
    return SharedWindows(redis, settings.runs.commit_timeout)
