"""What must hold after a round, whatever was done in it. Each breach is one line of text."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from functools import partial

from bench.chaos.client import Client
from bench.chaos.forms import as_read, read
from bench.chaos.http import Broken, request
from bench.chaos.site import Site, Stored

PATIENCE = 15.0
"""Seconds for what may take a while: a lease that runs out, an answer that is saved later."""


async def verdict(site: Site, clients: list[Client], known: set[str]) -> list[str]:
    """All breaches. known: the runs of earlier rounds; those of this one are added."""
    breaches = [breach for client in clients for breach in _of_client(client)]
    breaches += await _settled(lambda: _unready(site))
    breaches += await _settled(lambda: _unfinished(site, clients, known))
    for client in clients:
        if client.run and client.ended not in ("refused", "lost", "never"):
            breaches += await _settled(partial(_against_the_log, site, client))
    breaches += await _settled(lambda: _against_the_conversation(site, clients))
    breaches += _paid_twice(site, clients)
    breaches += await _settled(lambda: _still_speaking(site))
    known |= set(await site.messages())
    return breaches


def _of_client(client: Client) -> list[str]:
    """What can be said by looking at the client alone."""
    breaches = []
    if client.ended in ("lost", "never"):
        breaches.append(f"{client}: its answer is {client.ended} ended or found")
    reading = read(client.form, client.body)
    truth = as_read(client.form, "".join(client.question.answer()))
    if not truth.startswith(reading.text):
        breaches.append(f"{client}: a gap or a repeat: {_where(truth, reading.text)}")
    if len(reading.ends) != (client.ended in ("told", "unstorable") and client.form.json):
        breaches.append(f"{client}: {len(reading.ends)} ends")
    return breaches


def _where(truth: str | bytes, found: str | bytes) -> str:
    """The first place at which they differ."""
    place = next((i for i, pair in enumerate(zip(truth, found, strict=False)) if pair[0] != pair[1]), len(found))
    part = slice(max(0, place - 20), place + 80)
    return f"at {place} of {len(truth)} ({len(found)} found): {truth[part]!r} became {found[part]!r}"


async def _settled(look: Callable[[], Awaitable[list[str]]]) -> list[str]:
    """What `look` finds, once it finds nothing or has had time enough."""
    until = asyncio.get_running_loop().time() + PATIENCE
    while found := await look():
        if asyncio.get_running_loop().time() > until:
            return found
        await asyncio.sleep(0.05)
    return []


async def _unready(site: Site) -> list[str]:
    found = []
    for replica in site.replicas:
        try:
            response = await request(replica.port, "GET", "/ready", patience=8.0)
            told = await response.whole()
        except Broken as error:
            found.append(f"replica {replica.port} is not there: {error}")
        else:
            found += [f"replica {replica.port} is not ready: {told!r}"] if response.status != 200 else []
    return found


async def _unfinished(site: Site, clients: Iterable[Client], known: set[str]) -> list[str]:
    """Runs that are not over, also those of which no client ever heard."""
    owners = {client.run: client.headers for client in clients}
    anyone = [*{tuple(client.headers.items()) for client in clients}]
    found = []
    for run in {*await site.messages(), *owners} - known - {""}:
        states = [
            await state(site, run, headers)
            for headers in ([owners[run]] if run in owners else [dict(items) for items in anyone])
        ]
        found += [f"run {run} is {told}" for told in states if told in ("running", "unknown")]
    return found


async def state(site: Site, run: str, headers: dict[str, str]) -> str:
    """`running` or the outcome; `gone` where there is none; `unknown` where a replica does not say."""
    for replica in site.replicas:
        try:
            response = await request(replica.port, "HEAD", f"/streams/{run}", headers, patience=8.0)
        except Broken:
            return "unknown"
        response.close()
        if response.status != 200:
            return "gone" if response.status in (401, 404) else "unknown"
        if response.headers["stream-state"] == "running":
            return "running"
    return response.headers["stream-state"]


async def _against_the_log(site: Site, client: Client) -> list[str]:
    """Compare what the client has with what one is told who asks for all of it now, on each replica."""
    breaches = []
    for replica in site.replicas:
        query = "&".join(filter(None, [client.form.query, f"dialect={client.form.dialect}"]))
        response = await request(replica.port, "GET", f"/streams/{client.run}?{query}", client.headers)
        whole = b""
        # A failed run's raw body breaks off; that it is whole is seen from what it holds.
        with suppress(Broken):
            async for piece in response.pieces():
                whole += piece
        response.close()
        if response.status != 200:
            breaches.append(f"{client}: {response.status} {whole!r}")
        else:
            told = await state(site, client.run, client.headers)
            breaches += [f"{client}: {what}" for what in _compared(client, whole, told)]
    return breaches


def _compared(client: Client, whole: bytes, state: str) -> list[str]:
    form, reading = client.form, read(client.form, whole)
    truth, breaches = as_read(form, "".join(client.question.answer())), []
    if len(reading.ends) != form.json:
        breaches.append(f"the log tells {len(reading.ends)} ends")
    if client.ended == "unstorable":
        if not reading.text.startswith(read(form, client.body).text):
            breaches.append("what it saw before the log failed is not in the log")
    elif client.body != whole:
        breaches.append(f"not what an undisturbed client has: {_where(whole, client.body)}")
    if not truth.startswith(reading.text) or (state == "completed" and reading.text != truth):
        breaches.append(f"the log of a {state} run says {reading.text[-60:]!r}")
    return breaches


async def _against_the_conversation(site: Site, clients: Iterable[Client]) -> list[str]:
    found = await site.messages()
    stored = Counter(message.text for messages in found.values() for message in messages if message.role == "user")
    twice = [f"{client}: its question is stored twice" for client in clients if stored[client.question.text()] > 1]
    return twice + [
        f"{client}: {what}"
        for client in clients
        if client.run
        for what in _compared_with_messages(client, found.get(client.run, []))
    ]


def _compared_with_messages(client: Client, messages: list[Stored]) -> list[str]:
    questions = [message for message in messages if message.role == "user"]
    answers = [message for message in messages if message.role == "assistant"]
    seen, truth = read(client.form, client.body).text, "".join(client.question.answer())
    breaches = []
    if [message.text for message in questions] != [client.question.text()]:
        breaches.append(f"{len(questions)} questions are stored")
    if len(answers) > 1 or (seen and not answers):
        breaches.append(f"{len(answers)} answers are stored")
    for answer in answers:
        if not truth.startswith(answer.text):
            breaches.append(f"the stored answer is not the model's: {_where(truth, answer.text)}")
        if not as_read(client.form, answer.text).startswith(seen):
            breaches.append(f"{len(seen)} characters were seen, {len(answer.text)} are stored")
        if answer.outcome == "completed" and answer.text != truth:
            breaches.append("the stored answer counts as completed, and is not whole")
    return breaches


def _paid_twice(site: Site, clients: Iterable[Client]) -> list[str]:
    """The provider may ask again where the first call failed before its first word, so those do not count. A question that was
    sent again with its key may be asked once more: an answer that was cut off before its first word gives way."""
    allowed = Counter[str]()
    for client in clients:
        if client.question.words or not client.question.breaks:
            said = client.question.text()
            allowed[said] = max(allowed[said], 1 + bool(client.asked_again))
    return [
        f"the model was asked {site.model.asked[said]} times: {said}"
        for said, times in allowed.items()
        if site.model.asked[said] > times
    ]


async def _still_speaking(site: Site) -> list[str]:
    return [f"{site.model.speaking} calls are still open at the model"] if site.model.speaking else []
