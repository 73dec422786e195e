"""Bytes of an answer in, sink calls out: the same calls for any split."""

import json
from collections.abc import MutableMapping
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rivermouth.errors import ProviderBroken, ProviderFault, ProviderOverloaded
from rivermouth.providers import Finish
from rivermouth.providers._deltas import MAX_LINE, Deltas
from rivermouth.testing.lying import answer, delta
from rivermouth.testing.providers import Heard


def event(**members: Any) -> bytes:
    return b"data: " + json.dumps(members).encode() + b"\n\n"


def choice(finish: str | None = None, **added: Any) -> bytes:
    return event(choices=[{"index": 0, "delta": added, "finish_reason": finish}])


END = choice("stop") + b"data: [DONE]\n\n"


def read(*pieces: bytes) -> tuple[list[tuple[object, ...]], Finish]:
    heard = Heard()
    deltas = Deltas(heard)
    for piece in pieces:
        if deltas.feed(piece):
            break
    return heard.calls, deltas.finish()


def test_the_models_name_is_told_once_and_before_anything_that_it_says() -> None:
    heard = Heard()
    deltas = Deltas(heard)
    named: list[tuple[str, str]] = []
    heard.named = lambda model: named.append((model, heard.joined()))  # type: ignore[method-assign]
    for content in "ab":
        deltas.feed(event(model="m\ud800", choices=[{"delta": {"content": content}}]))

    assert named == [("m\ufffd", "")]


EVERYTHING = (
    b": a comment\r\n\r\nevent: message\ndata:" + choice(role="assistant", content=None)[6:]
    + choice(reasoning_content="Hm\u00e9 ")
    + choice(content=" leading, \u2028, emoji \U0001f600 and data: [DONE]\n")
    + b'data: {"choices":[{"delta":{"content":"\xf0\x9f\x8c\x8a raw"}}]}\r\n\r\n'
    + b'data: {"choices":[{"delta":\ndata: {"content":"two lines"}}]}\n\n'
    + choice(content="\ud83d") + choice(content="\ude00 joined \ud83d") + choice(content="orphan")
    + choice(tool_calls=[{"index": 0, "id": "c1", "function": {"name": "f", "arguments": ""}}])
    + choice(tool_calls=[{"index": 0, "function": {"arguments": '{"a":'}}])
    + choice(tool_calls=[{"index": 0, "function": {"arguments": "1}"}}])
    + choice("tool_calls") + event(choices=[], usage={"prompt_tokens": 5, "completion_tokens": 7}, model="late")
    + b"data: [DONE]\n\n"
)  # fmt: skip
CALLS = [
    ("reasoning", "Hmé "),
    ("text", " leading, \u2028, emoji 😀 and data: [DONE]\n"),
    ("text", "🌊 raw"),
    ("text", "two lines"),
    ("text", "😀 joined "),
    ("text", "\ufffdorphan"),
    ("tool_call", 0, "c1", "f", ""),
    ("tool_call", 0, None, None, '{"a":'),
    ("tool_call", 0, None, None, "1}"),
    ("usage", 5, 7),
]


def test_everything_a_server_may_say_is_understood() -> None:
    calls, finish = read(EVERYTHING)

    assert calls == CALLS
    assert finish == Finish("tool_calls", "late")


@given(st.lists(st.integers(0, len(EVERYTHING)), max_size=40))
def test_any_split_gives_the_same_calls(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(EVERYTHING)]
    calls, finish = read(*(EVERYTHING[a:b] for a, b in pairwise(places)))

    assert (calls, finish.reason) == (CALLS, "tool_calls")


def test_single_bytes_give_the_same_calls() -> None:
    calls, _ = read(*(EVERYTHING[at : at + 1] for at in range(len(EVERYTHING))))

    assert calls == CALLS


@given(st.lists(st.text(), min_size=1))
def test_any_text_comes_through_unchanged(pieces: list[str]) -> None:
    calls, _ = read(answer(*pieces))

    assert "".join(str(call[1]) for call in calls if call[0] == "text") == "".join(pieces)


def test_half_a_character_at_the_end_is_a_replacement_character() -> None:
    calls, _ = read(choice(content="x\ud83d") + END)

    assert calls == [("text", "x"), ("text", "\ufffd")]


def test_bytes_that_are_no_utf8_are_replaced() -> None:
    calls, _ = read(b'data: {"choices":[{"delta":{"content":"a\xffb"}}]}\n\n' + END)

    assert calls == [("text", "a\ufffdb")]


@pytest.mark.parametrize(
    "end",
    [
        choice("stop"),
        b"data: [DONE]\n\n",
        b"data: [DONE]",
        b"data:[DONE]\r\n",
        choice("stop")[:-2],
        event(choices=[{"delta": {}, "finish_reason": "eos"}]),
        b"data: \n\n" + END,
    ],
)
def test_a_finish_reason_or_done_is_an_end(end: bytes) -> None:
    calls, finish = read(delta("x") + end)

    assert (calls, finish.reason) == ([("text", "x")], "stop")


@pytest.mark.parametrize("end", [b"", b"data: {", choice("stop")[:30], choice("error"), delta("y")])
def test_an_end_without_either_is_broken(end: bytes) -> None:
    with pytest.raises(ProviderBroken):
        read(delta("x") + end)


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        ({"error": {"message": "secret", "code": 500}}, ProviderOverloaded),
        ({"error": {"message": "secret", "code": 429}}, ProviderOverloaded),
        ({"error": {"message": "secret", "type": "overloaded_error"}}, ProviderOverloaded),
        ({"error": {"message": "secret", "code": "rate_limit_exceeded"}}, ProviderOverloaded),
        ({"error": {"message": "secret"}}, ProviderBroken),
        ({"error": "secret"}, ProviderBroken),
        ({"object": "error", "message": "secret", "code": 400}, ProviderBroken),
        (
            {"error": {"code": 502}, "choices": [{"delta": {"content": ""}, "finish_reason": "error"}]},
            ProviderOverloaded,
        ),
    ],
)
def test_an_error_in_mid_stream_is_a_fault_without_its_words(told: dict[str, Any], kind: type[ProviderFault]) -> None:
    with pytest.raises(ProviderFault) as caught:
        read(delta("x") + event(**told) + END)

    assert type(caught.value) is kind
    assert "secret" not in caught.value.message


@pytest.mark.parametrize("garbage", [b"data: <html>\n\n", b"data: []\n\n", b'data: {"choices":[{"delta":5}]}\n\n'])
def test_what_is_no_chat_completion_is_broken(garbage: bytes) -> None:
    with pytest.raises(ProviderBroken):
        read(garbage)


def test_nesting_without_end_is_broken() -> None:
    with pytest.raises(ProviderBroken):
        read(b'data: {"error":' + b"[" * 100_000 + b"\n\n")


@pytest.mark.parametrize("start", [b"", b"\n"])
def test_a_line_without_end_is_broken(start: bytes) -> None:
    deltas = Deltas(Heard())
    deltas.feed(start + b"x" * MAX_LINE)

    with pytest.raises(ProviderBroken):
        deltas.feed(b"x")


def test_an_event_of_endless_lines_is_broken() -> None:
    lines = (b"data: " + b"x" * 1000 + b"\n") * (MAX_LINE // 1000 + 1)

    with pytest.raises(ProviderBroken):
        read(lines)


def test_usage_in_the_last_piece_of_content_counts() -> None:
    calls, _ = read(
        event(
            choices=[{"delta": {"content": "x"}, "finish_reason": "length"}],
            usage={"prompt_tokens": 1, "completion_tokens": 2},
        )
    )

    assert calls == [("text", "x"), ("usage", 1, 2)]


def test_usage_without_numbers_is_no_usage() -> None:
    calls, _ = read(event(choices=[], usage={"prompt_tokens": None}) + delta("x") + END)

    assert calls == [("text", "x")]


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": 1.0, "completion_tokens": 2.0},
        {"prompt_tokens": True, "completion_tokens": 2},
        {"prompt_tokens": "1", "completion_tokens": 2},
        [1, 2],
        "3",
        7,
        True,
    ],
)
def test_usage_that_makes_no_sense_is_left_out_and_noted_once(
    usage: Any, logged: list[MutableMapping[str, Any]]
) -> None:
    odd = event(choices=[{"delta": {"content": "x"}, "finish_reason": None}], usage=usage)
    calls, finish = read(odd, odd, event(choices=[], usage=usage), END)

    assert (calls, finish.reason) == ([("text", "x"), ("text", "x")], "stop")
    assert [line["event"] for line in logged] == ["provider_usage_unusable"]


def numbered(*choices: tuple[int | None, str, str | None]) -> bytes:
    """A chunk with choices: index, text, finish reason."""
    told = [
        {"delta": {"content": text}, "finish_reason": finish} | ({} if index is None else {"index": index})
        for index, text, finish in choices
    ]
    return event(model="m", choices=told)


@pytest.mark.parametrize(
    "chunks",
    [
        pytest.param([numbered((0, "A", None)), numbered((1, "W", None)), numbered((0, "B", None))], id="by turns"),
        pytest.param([numbered((1, "W", None), (0, "A", None)), numbered((0, "B", None))], id="in one chunk"),
        pytest.param(
            [numbered((0, "A", None), (1, "W", "stop")), numbered((0, "B", None), (1, "W", None))], id="after"
        ),
        pytest.param(
            [numbered((None, "A", None)), numbered((2, "W", "length")), numbered((None, "B", None))], id="none"
        ),
        pytest.param(
            [numbered((0, "A", None))] + [numbered((1, "W", None))] * 12 + [numbered((0, "B", None))], id="many"
        ),
    ],
)
def test_only_the_first_of_several_answers_is_heard(chunks: list[bytes]) -> None:
    for pieces in (chunks, [b"".join(chunks)]):
        calls, finish = read(*pieces, END)

        assert (calls, finish.reason) == ([("text", "A"), ("text", "B")], "stop")


def test_the_end_of_another_answer_is_none_of_this_one() -> None:
    with pytest.raises(ProviderBroken):
        read(numbered((0, "A", None)), numbered((1, "", "stop")))


def test_an_index_that_is_no_number_is_none() -> None:
    calls, _ = read(event(choices=[{"index": "0", "delta": {"content": "x"}}]) + END)

    assert calls == [("text", "x")]


CHUNKS = [numbered((0, text, None)) for text in "abc"]


@pytest.mark.parametrize("line_end", [b"\r", b"\r\n", b"\n"])
def test_lines_end_with_any_of_the_three_ends_however_their_reads_are_cut(line_end: bytes) -> None:
    written = (b": hi\n\n" + b"".join(CHUNKS) + END).replace(b"\n", line_end)
    said = [("text", text) for text in "abc"]

    assert read(written)[0] == said
    assert read(*(written[at : at + 1] for at in range(len(written))))[0] == said
    for cut in range(len(written)):
        assert read(written[:cut], written[cut:])[0] == said


ENDS = [first + second for first in (b"\r", b"\r\n", b"\n") for second in (b"\r", b"\r\n", b"\n")]
ENDS.remove(b"\r\n")  # that is one end, not two


@given(st.lists(st.sampled_from(ENDS), min_size=5, max_size=5), st.data())
def test_line_ends_may_be_mixed(ends: list[bytes], data: st.DataObject) -> None:
    events = (b"".join(CHUNKS) + END).split(b"\n\n")
    written = b"".join(event + end for event, end in zip(events, ends, strict=False))
    cuts = sorted(data.draw(st.sets(st.integers(0, len(written)), max_size=8)))
    calls, _ = read(*(written[a:b] for a, b in pairwise([0, *cuts, len(written)])))

    assert calls == [("text", text) for text in "abc"]


def test_tool_calls_that_end_with_stop_end_with_tool_calls() -> None:
    calls, finish = read(choice(tool_calls=[{"id": "c", "function": {"name": "f", "arguments": "{}"}}]) + END)

    assert (calls, finish.reason) == ([("tool_call", 0, "c", "f", "{}")], "tool_calls")


def piece(content: str, *, raw: bool, said: str, seed: str) -> bytes:
    """A chunk as servers write them: escaped or raw, with an id that is sometimes a word of the answer itself."""
    added: dict[str, Any] = {"content": content}
    if said == "reasoning":
        added = {"reasoning_content": content}
    elif said == "both":
        added["reasoning"] = seed
    told: dict[str, Any] = {"id": seed, "model": "m", "choices": [{"index": 0, "delta": added, "finish_reason": None}]}
    if said == "usage":
        told["usage"] = {"prompt_tokens": 1, "completion_tokens": 2}
    written = json.dumps(told, ensure_ascii=not raw, separators=(",", ":") if raw else None)
    return b"data: " + written.encode("utf-8", "surrogatepass") + b"\n\n"


WORDS = st.one_of(st.sampled_from(["a", "m", " word", "content", 'say "no"', "back\\slash", "\ud83d", "é"]), st.text())
PIECES = st.builds(
    piece,
    WORDS,
    raw=st.booleans(),
    said=st.sampled_from(["text"] * 8 + ["reasoning", "both", "usage"]),
    seed=st.sampled_from(["m", "a", "chatcmpl-1"]),
)


@given(st.lists(PIECES, min_size=3, max_size=20))
def test_a_chunk_that_is_not_parsed_says_what_parsing_it_would_have_said(chunks: list[bytes]) -> None:
    # In one piece nothing of it takes the short way.
    parsed = read(b"".join(chunks) + END)

    assert read(*chunks, END) == parsed


def test_chunks_that_differ_in_their_text_alone_are_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    chunks = [piece(f" w{n}", raw=True, said="text", seed="c") for n in range(20)]
    heard = Heard()
    deltas = Deltas(heard)
    for chunk in chunks[:2]:
        deltas.feed(chunk)
    monkeypatch.setattr("rivermouth.providers._deltas.decode", None)
    for chunk in chunks[2:]:
        deltas.feed(chunk)

    assert heard.calls == [("text", f" w{n}") for n in range(20)]


@pytest.mark.parametrize("torn", [b"\xff", b"\x01", b"\xed\xa0\xbd"])
def test_bytes_that_are_no_json_are_noticed_in_the_middle_of_an_answer_too(torn: bytes) -> None:
    chunks = [piece(f" w{n}", raw=True, said="text", seed="c") for n in range(5)]
    chunks.append(chunks[-1].replace(b" w4", torn))

    def played(*pieces: bytes) -> Any:
        try:
            return read(*pieces)
        except ProviderBroken as error:
            return error.message

    assert played(*chunks, END) == played(b"".join(chunks) + END)
