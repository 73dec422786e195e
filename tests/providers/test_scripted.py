"""The scripted provider."""

import asyncio
from pathlib import Path

import pytest

from rivermouth.clock import SystemClock
from rivermouth.errors import ProviderOverloaded, ProviderUnreachable
from rivermouth.messages import Message, ToolCall
from rivermouth.providers import Finish, ModelRequest, scripted
from rivermouth.providers.scripted import Answered, End, Fail, Hold, Reasoning, ScriptedProvider, Text, Tool, Used
from rivermouth.settings import Model, Settings, SettingsError
from rivermouth.testing.providers import Heard, check_provider
from tests.providers.world import ASK, live


@live
async def test_unscripted_it_says_the_last_user_message_again_word_by_word() -> None:
    provider = await scripted.open(Settings(), SystemClock())
    heard = Heard()
    said = [Message("user", "no"), Message("user", " the  river\n"), Message("assistant", "what?")]
    finish = await provider.stream(ModelRequest(messages=said, model=""), heard)

    assert [call for call in heard.calls if call[0] == "text"] == [
        ("text", " the"),
        ("text", "  river"),
        ("text", "\n"),
    ]
    assert heard.calls[-1] == ("usage", 5, 3)
    assert finish == Finish("stop", "scripted")


@live
async def test_every_step_reaches_the_sink_in_order() -> None:
    steps = [Answered(), Reasoning("hm"), Text("x"), Tool("{}", id="c", name="f"), Used(1, 2), End("tool_calls")]
    heard = Heard()
    finish = await ScriptedProvider(steps).stream(ASK, heard)

    assert [call for call in heard.calls if call[0] != "answered"] == [
        ("reasoning", "hm"),
        ("text", "x"),
        ("tool_call", 0, "c", "f", "{}"),
        ("usage", 1, 2),
    ]
    assert finish.reason == "tool_calls"


@live
async def test_it_waits_until_told() -> None:
    provider, heard = ScriptedProvider([Text("x"), Hold(), Text("y")]), Heard()
    call = asyncio.create_task(provider.stream(ASK, heard))
    await heard.first.wait()
    before = heard.joined()
    provider.tell()
    await call

    assert (before, heard.joined()) == ("x", "xy")


@live
async def test_a_call_that_is_cancelled_is_counted() -> None:
    provider, heard = ScriptedProvider([Text("x"), Hold()]), Heard()
    call = asyncio.create_task(provider.stream(ASK, heard))
    await heard.first.wait()
    call.cancel()
    await asyncio.wait([call])

    assert (provider.cancelled, provider.active) == (1, 0)


@live
async def test_a_fault_is_raised_as_told() -> None:
    provider = ScriptedProvider([Fail("provider_overloaded", "too much", 503, 7.0)])
    with pytest.raises(ProviderOverloaded) as caught:
        await provider.stream(ASK, Heard())

    assert (caught.value.message, caught.value.retry_after) == ("too much", 7.0)


@live
async def test_a_script_may_depend_on_the_request() -> None:
    provider, heard = ScriptedProvider(lambda request: [Text(request.model)]), Heard()
    await provider.stream(ASK, heard)

    assert heard.joined() == "m"
    assert list(provider.requests) == [ASK]


@live
async def test_a_script_is_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "script.json"
    file.write_text('[{"do":"text","text":"Hi"},{"do":"wait","seconds":0},{"do":"finish","reason":"length"}]')
    provider = await scripted.open(Settings(model=Model(url=f"scripted:{file}")), SystemClock())
    heard = Heard()
    finish = await provider.stream(ASK, heard)

    assert (heard.joined(), finish.reason) == ("Hi", "length")


@pytest.mark.parametrize("content", [None, "{", '[{"do":"dance"}]'])
@live
async def test_a_file_that_is_no_script_is_a_settings_error(content: str | None, tmp_path: Path) -> None:
    file = tmp_path / "script.json"
    if content is not None:
        file.write_text(content)

    with pytest.raises(SettingsError, match="not a script"):
        await scripted.open(Settings(model=Model(url=f"scripted:{file}")), SystemClock())


@live
async def test_closing_ends_the_calls_that_wait() -> None:
    provider, heard = ScriptedProvider([Text("x"), Hold()]), Heard()
    call = asyncio.create_task(provider.stream(ASK, heard))
    await heard.first.wait()
    await provider.close()

    with pytest.raises(ProviderUnreachable):
        await call


@live
async def test_the_scripted_provider_passes_the_suite() -> None:
    await check_provider(lambda: scripted.open(Settings(), SystemClock()))


@live
async def test_behind_a_finish_with_tool_calls_it_goes_on_once_the_results_are_there() -> None:
    script = [Text("a"), Tool("{}", name="f"), End("tool_calls"), Text("b"), End("tool_calls"), Text("c")]
    asked = [Message("assistant", "", tool_calls=(ToolCall("c", "f", "{}"),)), Message("tool", "1", tool_call_id="c")]
    said = []
    for rounds in range(4):
        heard = Heard()
        told = [*asked, Message("user", "now"), *asked * rounds]
        await ScriptedProvider(script).stream(ModelRequest(messages=told, model=""), heard)
        said.append(heard.joined())

    assert said == ["a", "b", "c", "c"]
