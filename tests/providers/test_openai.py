"""The OpenAI-compatible provider against servers that behave, misbehave and lie."""

import asyncio
import json
import socket
from typing import Any

import pytest
from structlog.testing import capture_logs

from rivermouth.clock import SystemClock
from rivermouth.errors import (
    NoModel,
    ProviderBroken,
    ProviderFault,
    ProviderOverloaded,
    ProviderRefused,
    ProviderSilent,
    ProviderUnreachable,
)
from rivermouth.messages import Message
from rivermouth.providers import Finish, ModelRequest, openai
from rivermouth.providers.openai import base_of, context_of, retry_after_of
from rivermouth.settings import Model, Settings, SettingsError
from rivermouth.testing.lying import (
    END,
    GOOD,
    OK,
    SSE,
    Close,
    Move,
    Read,
    Reset,
    Send,
    Stall,
    answer,
    chunk,
    delta,
    plain,
)
from rivermouth.testing.providers import Heard, check_provider
from tests.providers.world import ASK, asking, live

KEY = "sk-very-secret-key"
HALF = Send(SSE + chunk(delta("Hel")))
NOTHING_YET = Send(SSE)
MODELS = {"object": "list", "data": [{"id": "first", "max_model_len": 8192}, {"id": "second"}]}


def body(request: bytes) -> Any:
    return json.loads(request.partition(b"\r\n\r\n")[2])


def head(request: bytes) -> str:
    return request.partition(b"\r\n\r\n")[0].decode().lower()


def replies(*responses: bytes) -> tuple[Move, ...]:
    return (*(move for response in responses for move in (Read(), Send(response))), Stall())


@live
async def test_an_answer_comes_as_pieces_usage_and_finish() -> None:
    async with asking(GOOD) as (provider, _):
        heard = Heard()
        finish = await provider.stream(ASK, heard)

        assert heard.calls == [("answered",), ("text", "Hello"), ("text", " there"), ("usage", 3, 2)]
        assert finish == Finish("stop")


@live
async def test_the_request_is_what_such_servers_expect() -> None:
    async with asking(GOOD, api_key=KEY) as (provider, server):
        ask = ModelRequest(
            messages=[Message("system", "s"), Message("user", "ü")],
            model="m",
            temperature=0.5,
            max_tokens=9,
            options={"stop": ["x"], "stream": False},
        )
        await provider.stream(ask, Heard())

        assert head(server.requests[0]).startswith("post /v1/chat/completions http/1.1\r\n")
        assert f"authorization: bearer {KEY}" in head(server.requests[0])
        assert body(server.requests[0]) == {
            "model": "m",
            "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "ü"}],
            "temperature": 0.5,
            "max_tokens": 9,
            "stop": ["x"],
            "stream": True,
            "stream_options": {"include_usage": True},
        }


@live
async def test_no_credential_is_sent_where_none_is_set() -> None:
    async with asking(GOOD) as (provider, server):
        await provider.stream(ASK, Heard())

        assert "authorization" not in head(server.requests[0])


@live
async def test_the_connection_is_kept_for_the_next_answer() -> None:
    good = SSE + chunk(answer("x")) + END
    async with asking(replies(good, good)) as (provider, server):
        await provider.stream(ASK, Heard())
        await provider.stream(ASK, Heard())

        assert server.connections == 1


@live
async def test_an_end_that_never_comes_after_done_holds_nobody_up() -> None:
    async with asking((Read(), Send(SSE + chunk(answer("x"))), Stall())) as (provider, server):
        finish = await provider.stream(ASK, Heard())

        assert finish.reason == "stop"
        await server.gone.wait()


@live
async def test_a_server_that_does_not_stream_is_one_piece() -> None:
    message = {"role": "assistant", "content": "whole", "reasoning": "why"}
    usage = {"prompt_tokens": 1, "completion_tokens": 2}
    whole = {"model": "big", "choices": [{"index": 0, "message": message, "finish_reason": "length"}], "usage": usage}
    async with asking((Read(), Send(plain("200 OK", json.dumps(whole).encode())))) as (provider, _):
        heard = Heard()
        finish = await provider.stream(ASK, heard)

        assert heard.calls == [("answered",), ("reasoning", "why"), ("text", "whole"), ("usage", 1, 2)]
        assert finish == Finish("length", "big")


@pytest.mark.parametrize("status", ["400 Bad Request", "422 Unprocessable"])
@live
async def test_a_server_that_refuses_stream_options_is_asked_without_from_then_on(status: str) -> None:
    good = SSE + chunk(answer("x")) + END
    async with asking(replies(plain(status, b"{}"), good, good)) as (provider, server):
        await provider.stream(ASK, Heard())
        await provider.stream(ASK, Heard())

        assert ["stream_options" in body(request) for request in server.requests] == [True, False, False]


@live
async def test_a_call_that_is_refused_both_ways_is_refused() -> None:
    async with asking(replies(plain("400 Bad Request"), plain("400 Bad Request"))) as (provider, server):
        with pytest.raises(ProviderRefused, match="400"):
            await provider.stream(ASK, Heard())
        assert len(server.requests) == 2


@pytest.mark.parametrize(
    "failure",
    [
        pytest.param((Reset(),), id="reset"),
        pytest.param((Read(), Close()), id="closed"),
        pytest.param((Read(), NOTHING_YET, Reset()), id="reset after the head"),
        pytest.param((Read(), Send(SSE + chunk(b": hm\n\n") + END)), id="empty answer"),
        pytest.param((Read(), Send(SSE + chunk(b"data: junk\n\n"))), id="junk"),
        pytest.param((Read(), Send(plain("503 Service Unavailable"))), id="503"),
        pytest.param((Read(), Send(plain("429 Too Many", b"", "Retry-After: 0"))), id="429 for a moment"),
    ],
)
@live
async def test_a_failure_before_the_first_piece_is_tried_once_more(failure: tuple[Move, ...]) -> None:
    async with asking(failure, GOOD) as (provider, server):
        heard = Heard()
        await provider.stream(ASK, heard)

        assert (heard.joined(), server.connections) == ("Hello there", 2)


@live
async def test_there_is_no_second_retry() -> None:
    async with asking((Read(), Close())) as (provider, server):
        with pytest.raises(ProviderBroken):
            await provider.stream(ASK, Heard())
        assert server.connections == 2


@pytest.mark.parametrize(
    "moves",
    [
        pytest.param((Read(), HALF, Reset()), id="reset"),
        pytest.param((Read(), HALF, Close()), id="closed"),
        pytest.param((Read(), Send(SSE + chunk(delta("Hel")) + END)), id="ended without saying so"),
        pytest.param((Read(), HALF, Send(b"zz\r\n")), id="no chunk"),
        pytest.param((Read(), HALF, Send(chunk(b'data: {"error":{}}\n\n'))), id="error in mid-stream"),
        pytest.param((Read(), HALF, Send(chunk(b"data: " + b"x" * 1_100_000))), id="huge line"),
        pytest.param(
            (Read(), Send(OK + b"Content-Type: text/event-stream\r\n\r\n" + delta("Hel")), Close()), id="until closed"
        ),
    ],
)
@live
async def test_a_failure_after_the_first_piece_is_broken_and_never_tried_again(moves: tuple[Move, ...]) -> None:
    async with asking(moves, GOOD) as (provider, server):
        heard = Heard()
        with pytest.raises(ProviderBroken):
            await provider.stream(ASK, heard)
        assert (heard.joined(), server.connections) == ("Hel", 1)


@pytest.mark.parametrize(
    ("response", "kind", "retry_after"),
    [
        (plain("401 Unauthorized"), ProviderRefused, None),
        (plain("404 Not Found"), ProviderRefused, None),
        (plain("302 Found", b"", "Location: http://127.0.0.1:1/"), ProviderRefused, None),
        (plain("429 Too Many", b"", "Retry-After: 17"), ProviderOverloaded, 17.0),
        (plain("500 Oops", b"", "Retry-After: 30"), ProviderOverloaded, 30.0),
    ],
)
@live
async def test_a_status_becomes_our_error(
    response: bytes, kind: type[ProviderFault], retry_after: float | None
) -> None:
    async with asking((Read(), Send(response))) as (provider, server):
        heard = Heard()
        with pytest.raises(kind, match=response[9:12].decode()) as caught:
            await provider.stream(ASK, heard)
        assert (caught.value.retry_after, heard.calls, server.connections) == (retry_after, [], 1)


@live
async def test_the_key_and_the_servers_words_are_in_no_message_and_the_key_in_no_log() -> None:
    words = f"Incorrect API key provided: {KEY}".encode()
    async with asking((Read(), Send(plain("401 Unauthorized", words))), api_key=KEY) as (provider, _):
        with capture_logs() as logs, pytest.raises(ProviderRefused) as caught:
            await provider.stream(ASK, Heard())

        assert "Incorrect" not in caught.value.message
        assert "Incorrect" in str(logs)
        assert KEY not in str(logs) + repr(provider) + str(caught.value)


@live
async def test_a_prompt_that_does_not_fit_is_said_plainly() -> None:
    told = plain("400 Bad Request", b'{"error":{"code":"context_length_exceeded"}}')
    async with asking(replies(told, told)) as (provider, _):
        with pytest.raises(ProviderRefused, match="does not fit the model's context"):
            await provider.stream(ASK, Heard())


@pytest.mark.parametrize("start", [(), (NOTHING_YET,), (HALF,)], ids=["no head", "head", "half"])
@live
async def test_a_silent_server_is_given_up(start: tuple[Move, ...]) -> None:
    async with asking((Read(), *start, Stall()), first_byte_timeout=0.05, idle_timeout=0.05) as (provider, server):
        with pytest.raises(ProviderSilent):
            await provider.stream(ASK, Heard())

        await server.gone.wait()
        assert server.connections == 1


@live
async def test_a_server_that_is_not_there_is_unreachable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        async with asking(url=f"http://127.0.0.1:{taken.getsockname()[1]}") as (provider, _):
            with pytest.raises(ProviderUnreachable):
                await provider.stream(ASK, Heard())


@live
async def test_cancelling_an_answer_hangs_up_and_nothing_more_is_heard() -> None:
    async with asking((Read(), HALF, Stall())) as (provider, server):
        heard = Heard()
        call = asyncio.create_task(provider.stream(ASK, heard))
        await heard.first.wait()
        call.cancel()
        await asyncio.wait([call])

        assert call.cancelled()
        await server.gone.wait()
        assert heard.joined() == "Hel"


@live
async def test_closing_breaks_the_calls_under_way() -> None:
    async with asking((Read(), HALF, Stall())) as (provider, _):
        heard = Heard()
        call = asyncio.create_task(provider.stream(ASK, heard))
        await heard.first.wait()
        await provider.close()

        with pytest.raises(ProviderBroken):
            await call


@live
async def test_the_servers_first_model_is_asked_once_where_none_is_named() -> None:
    good = SSE + chunk(answer("x")) + END
    script = replies(plain("200 OK", json.dumps(MODELS).encode()), good, good)
    async with asking(script) as (provider, server):
        ask = ModelRequest(messages=[Message("user", "hi")], model="")
        await provider.stream(ask, Heard())
        await provider.stream(ask, Heard())

        assert head(server.requests[0]).startswith("get /v1/models ")
        assert [body(request)["model"] for request in server.requests[1:]] == ["first", "first"]
        assert provider.context_tokens == 8192


@live
async def test_the_model_in_the_settings_comes_before_the_servers_first() -> None:
    async with asking(GOOD, name="mine") as (provider, server):
        await provider.stream(ModelRequest(messages=[Message("user", "hi")], model=""), Heard())

        assert body(server.requests[0])["model"] == "mine"


@live
async def test_a_server_without_models_is_no_model() -> None:
    async with asking(replies(plain("200 OK", b'{"data":[]}'))) as (provider, _):
        with pytest.raises(NoModel, match="LOCAL_LLM_MODEL"):
            await provider.stream(ModelRequest(messages=[Message("user", "hi")], model=""), Heard())


@live
async def test_check_names_the_model_and_whether_the_server_has_it() -> None:
    script = replies(plain("200 OK", json.dumps(MODELS).encode()))
    async with asking(script, name="third") as (provider, _):
        line = await provider.check()

        assert "model third (not among the 2 that the server lists)" in line


@live
async def test_check_of_what_is_no_model_server_is_broken() -> None:
    async with asking(replies(plain("200 OK", b"<html>"))) as (provider, _):
        with pytest.raises(ProviderBroken, match="is the address right"):
            await provider.check()


@live
async def test_the_provider_passes_the_suite() -> None:
    models = Send(plain("200 OK", json.dumps(MODELS).encode(), "Connection: close"))
    good = Send(SSE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") + chunk(answer("Hello")) + END)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.readuntil(b"\r\n\r\n")
        writer.write((models if asked.startswith(b"GET") else good).data)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    await check_provider(lambda: openai.open(Settings(model=Model(url=url)), SystemClock()))
    server.close()


@pytest.mark.parametrize(
    ("given", "root", "query"),
    [
        ("http://h:1", "http://h:1/v1", ""),
        ("http://h:1/", "http://h:1/v1", ""),
        ("http://h:1/v1", "http://h:1/v1", ""),
        ("http://h:1/v1/", "http://h:1/v1", ""),
        ("http://h:1/v1/v1", "http://h:1/v1", ""),
        ("http://h/v1/chat/completions", "http://h/v1", ""),
        ("localhost:11434", "http://localhost:11434/v1", ""),
        ("https://h/api/v1", "https://h/api/v1", ""),
        ("https://h/v1beta/openai/", "https://h/v1beta/openai", ""),
        ("https://h/deployments/x?api-version=1", "https://h/deployments/x", "api-version=1"),
        ("http://[::1]:8080", "http://[::1]:8080/v1", ""),
    ],
)
def test_an_address_ends_in_one_v1(given: str, root: str, query: str) -> None:
    base = base_of(given)

    assert (base.root, base.query) == (root, query)


@pytest.mark.parametrize("given", ["ftp://h", "http://", "http://h:x", "http://user:pw@h"])
def test_an_address_that_cannot_be_is_a_settings_error(given: str) -> None:
    with pytest.raises(SettingsError, match=r"model\.url"):
        base_of(given)


@live
async def test_a_key_that_no_header_can_carry_is_a_settings_error_without_it() -> None:
    with pytest.raises(SettingsError) as caught:
        async with asking(api_key="a\r\nb-secret"):
            pass
    assert "secret" not in str(caught.value)


class Noon(SystemClock):
    now = staticmethod(lambda: 1_763_640_000.0)  # 2025-11-20 12:00:00 UTC


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("Thu, 20 Nov 2025 12:00:30 GMT", 30.0),
        ("Thu, 20 Nov 2025 11:00:00 GMT", 0.0),
        ("soon", None),
        (None, None),
        ("9" * 400, 86_400.0),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, seconds: float | None) -> None:
    assert retry_after_of(value, Noon()) == seconds


@pytest.mark.parametrize(
    ("model", "tokens"),
    [
        ({"meta": {"n_ctx": 4096, "n_ctx_train": 8192}}, 4096),
        ({"meta": {"n_ctx_train": 8192}}, 8192),
        ({"max_model_len": 10}, 10),
        ({"context_length": 11}, 11),
        ({"meta": None}, None),
    ],
)
def test_a_models_context_is_read_in_every_servers_words(model: dict[str, Any], tokens: int | None) -> None:
    assert context_of(model) == tokens
