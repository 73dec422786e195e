"""Golden transcripts: the bytes of each dialect, written out."""

import pytest

from rivermouth import dialects
from rivermouth.errors import Problem
from rivermouth.events import (
    Delta,
    PartEnded,
    PartStarted,
    RunEnded,
    Source,
    SourcesFound,
    StepEnded,
    StepStarted,
    ToolCalled,
    ToolReturned,
    Transcribed,
    UsageCounted,
)
from rivermouth.messages import fold
from rivermouth.testing.dialects import blocks
from rivermouth.testing.logs import BEGAN, SOURCE, ending, log_of, part, run_started

PIECES = (" Wadi\r\n", "\u2028\U0001f30a")
SAID = r" Wadi\r\n\u2028\ud83c\udf0a"
FAILED = RunEnded(BEGAN + 2, "failed", Problem("provider_silent", "the model said nothing for 30 s", 504))
USAGE = '"usage":{"prompt_tokens":11,"completion_tokens":42,"total_tokens":53}'


def stream(name, log, options=None):
    return b"".join(blocks(dialects.load(name), log, options or {})).decode()


def lines(*events):
    return "".join(f"{event}\n\n" for event in events)


def test_knowbase_streams_sources_then_tokens_then_done():
    log = [run_started(), SourcesFound(BEGAN, [SOURCE]), *part(PIECES), *ending()]

    assert stream("knowbase", log) == lines(
        'id: 2\nevent: sources\ndata: {"sources":[{"key":"k1","filename":"handbook.pdf","source":"12",'
        r'"content":"Wake \u201cwell\u201d.\r\n","documentType":"pdf"}],"documentType":"pdf"}',
        r'id: 4' '\nevent: token\n' r'data: {"t":" Wadi\r\n"}',
        'id: 5\nevent: token\n' r'data: {"t":"\u2028\ud83c\udf0a"}',
        f'id: 10\nevent: done\ndata: {{"full_text":"{SAID}","conversation_id":"c-1",{USAGE}}}',
    )  # fmt: skip


def test_knowbase_tells_no_step_that_its_contract_does_not_name():
    log = [
        run_started(),
        SourcesFound(BEGAN, []),
        StepStarted(BEGAN, "processing"),
        StepEnded(BEGAN, "processing", 9.0),
        *ending(),
    ]

    assert "thinking" not in stream("knowbase", log, {"thinking": True})


def test_knowbase_holds_its_steps_until_the_sources_are_out():
    log = [
        run_started(),
        StepStarted(BEGAN, "searching", {"query": "q", "file_count": 3, "t": "x"}),
        StepEnded(BEGAN, "searching", 12.5),
        SourcesFound(BEGAN, []),
        *part(("Hm",), kind="reasoning"),
        StepStarted(BEGAN, "answering"),
        *part(("Yes",)),
        StepEnded(BEGAN, "answering", 9.0),
        *ending("stopped"),
    ]

    assert stream("knowbase", log, {"thinking": True}) == lines(
        'event: sources\ndata: {"sources":[],"documentType":null}',
        'id: 4\nevent: thinking\ndata: {"step":"searching","query":"q","file_count":3,"elapsed_ms":12.5}',
        'id: 6\nevent: thinking\ndata: {"step":"reasoning","text":"Hm"}',
        'id: 8\nevent: thinking\ndata: {"step":"answering"}',
        'id: 10\nevent: token\ndata: {"t":"Yes"}',
        f'id: 16\nevent: done\ndata: {{"full_text":"Yes","conversation_id":"c-1",{USAGE},"stopped":true}}',
    )


def test_knowbase_tells_only_the_error_where_a_run_fails_before_anything():
    assert stream("knowbase", [run_started(), FAILED]) == lines(
        'id: 2\nevent: error\ndata: {"error":{"code":"INTERNAL_ERROR","message":"the model said nothing for 30 s"}}'
    )


def test_ares_streams_raw_text_with_one_data_line_for_each_line():
    assert stream("ares", log_of(PIECES)) == "data:  Wadi\ndata: \n\ndata: \ndata: \U0001f30a\n\n"


def test_ares_says_nothing_of_a_failure_as_the_body_is_broken_off():
    assert stream("ares", [run_started(), *part(("Half",)), FAILED]) == "data: Half\n\n"
    assert dialects.load("ares").ABORTS


@pytest.mark.parametrize(
    ("pieces", "frames"),
    [
        (("a\r", "\nb"), ["a\n", "b"]),
        (("a\r", "\n", "b"), ["a\n", "b"]),
        (("a\r", "b"), ["a\n", "b"]),
        (("a\r", "\r", "\n\n"), ["a\n", "\n", "\n"]),
        (("a\r\n", "\nb"), ["a\n", "\nb"]),
        (("a\r",), ["a\n"]),
        (("\r\n\r\n",), ["\n\n"]),
        (("\n",), ["\n"]),
        (("\v\f\x1c\x1d\x1e\x85\u2028\u2029",), ["\n" * 8]),
        (("a\n\r", "\nb"), ["a\n\n", "b"]),
    ],
)
def test_ares_makes_one_newline_of_each_line_break_wherever_it_is_cut(pieces, frames):
    encoder = dialects.load("ares").Encoder({})
    made = [frame.data for event in log_of(pieces) for frame in encoder.encode(event)]

    assert made == frames


def test_ares_keeps_every_line_below_16_kib():
    text = "\U0001f30a" * 30_000
    written = stream("ares", log_of((text,))).encode()

    assert max(map(len, written.split(b"\n"))) < 16 * 1024
    assert written.replace(b"\n\ndata: ", b"") == f"data: {text}\n\n".encode()


def test_ares_has_a_second_form_in_json():
    assert stream("ares", log_of(PIECES[:1]), {"format": "json"}) == lines(
        'data: {"event":"start","agent":"assistant","context_id":"c-1"}',
        r'data: {"event":"token","content":" Wadi\r\n"}',
        'data: {"event":"done","agent":"assistant","context_id":"c-1"}',
    )
    assert stream("ares", [run_started(), FAILED], {"format": "json"}).endswith(
        'data: {"event":"error","error":"the model said nothing for 30 s"}\n\n'
    )


def test_wisqu_streams_content_then_metadata():
    assert stream("wisqu", log_of(PIECES)) == lines(
        r'id: 3' '\n' r'data: {"type":"content","content":" Wadi\r\n"}',
        'id: 4\n' r'data: {"type":"content","content":"\u2028\ud83c\udf0a"}',
        f'id: 9\ndata: {{"type":"metadata","message_id":"m-2",{USAGE},"model":"smollm2","conversation_id":"c-1"}}',
    )  # fmt: skip


def test_wisqu_marks_a_stopped_answer_and_tells_an_error_as_a_string():
    assert stream("wisqu", log_of((), "stopped")) == lines(
        f'id: 5\ndata: {{"type":"metadata","message_id":"m-2",{USAGE},"model":"smollm2","conversation_id":"c-1",'
        '"finish_reason":"stopped"}'
    )
    assert stream("wisqu", [run_started(), FAILED]) == lines(
        'id: 2\ndata: {"type":"error","error":"the model said nothing for 30 s"}'
    )


SESSION_END = '"user":"anonymous","timestamp":"2025-11-20T18:15:33.750000","session_id":"c-1"'


def test_session_streams_each_token_with_its_number_and_the_text_so_far():
    assert stream("session", log_of(PIECES)) == lines(
        'id: 3\n' r'data: {"token":" Wadi\r\n","count":1,"partial":" Wadi\r\n"}',
        'id: 4\n' rf'data: {{"token":"\u2028\ud83c\udf0a","count":2,"partial":"{SAID}"}}',
        'id: 9\ndata: {"done":true,"tokens":42,"duration":3.5,"tokens_per_second":12.0,'
        f'"full_response":"{SAID}",{SESSION_END}}}',
    )  # fmt: skip


def test_session_leaves_the_text_so_far_out_where_it_is_asked_to():
    log = [run_started(), *part(("a", "b")), *ending("stopped")]

    assert stream("session", log, {"partial": False}) == lines(
        'id: 3\ndata: {"token":"a","count":1}',
        'id: 4\ndata: {"token":"b","count":2}',
        'id: 9\ndata: {"done":true,"tokens":42,"duration":3.5,"tokens_per_second":12.0,"full_response":"ab",'
        f'{SESSION_END},"stopped":true}}',
    )


def test_session_divides_by_no_duration_of_zero():
    log = [run_started(), *ending(at=BEGAN)]

    assert '"duration":0.0,"tokens_per_second":0.0,' in stream("session", log)


def test_session_has_no_token_key_in_its_error():
    assert stream("session", [run_started(), FAILED]) == 'id: 2\ndata: {"error":"the model said nothing for 30 s"}\n\n'


def talk(at, body):
    return f'data: {{{body},"chatInstanceId":"c-1","timestamp":"2025-11-20T18:15:{at}Z"}}'


START = f'"type":"stream_start","messageId":"m-2","streamId":"{"5" * 32}","chatModelId":"assistant"'
SAVED = '"type":"message_saved","messageId":"m-2","userMessageId":"m-1"'


def test_smarttalk_streams_the_life_of_an_answer():
    log = [
        run_started(),
        StepStarted(BEGAN, "searching", {}),
        ToolCalled(BEGAN, "call_1", "weather", '{"city": "Z\u00fcrich"}'),
        ToolReturned(BEGAN, "call_1", "weather", "not JSON", None, 81.4),
        *part(PIECES),
        *ending(),
    ]

    assert stream("smarttalk", log) == lines(
        talk("30.250", START),
        talk("30.250", '"type":"thinking","status":"searching","message":"Searching for sources"'),
        talk("30.250", '"type":"tool_start","toolCallId":"call_1","name":"weather",' r'"input":{"city":"Z\u00fcrich"}'),
        talk(
            "30.250",
            '"type":"tool_end","toolCallId":"call_1","name":"weather","output":"not JSON","durationMs":81',
        ),
        talk("30.750", r'"type":"token","token":" Wadi\r\n","index":0'),
        talk("30.760", r'"type":"token","token":"\u2028\ud83c\udf0a","index":1'),
        talk("33.750", f'"type":"agent_response","response":"{SAID}","sources":[],{USAGE},"finishReason":"stop"'),
        talk("33.750", SAVED),
        talk("33.750", '"type":"stream_end","success":true,"durationMs":3500,"firstTokenMs":500,"tokens":42'),
    )


def test_smarttalk_says_which_tool_waits_for_approval_and_when_the_work_on_an_answer_begins_again():
    log = [
        run_started(),
        StepStarted(BEGAN, "answering"),
        *part(("Let me ask.",)),
        StepEnded(BEGAN, "answering", 500.0),
        StepStarted(BEGAN, "processing"),
        ToolCalled(BEGAN, "call_1", "order", "", confirm=True),
        ToolReturned(BEGAN, "call_1", "order", None, "the user refused this call", 0.0),
        StepEnded(BEGAN, "processing", 9.0),
        StepStarted(BEGAN, "answering"),
        *part(("Then not.",)),
        StepEnded(BEGAN, "answering", 500.0),
        *ending(),
    ]

    assert stream("smarttalk", log) == lines(
        talk("30.250", START),
        talk("30.250", '"type":"thinking","status":"answering","message":"Writing the answer"'),
        talk("30.750", '"type":"token","token":"Let me ask.","index":0'),
        talk("30.250", '"type":"thinking","status":"processing","message":"Thinking it over"'),
        talk("30.250", '"type":"tool_start","toolCallId":"call_1","name":"order","input":"","confirm":true'),
        talk(
            "30.250",
            '"type":"tool_end","toolCallId":"call_1","name":"order","error":"the user refused this call","durationMs":0',
        ),
        talk("30.250", '"type":"thinking","status":"answering","message":"Writing the answer"'),
        talk("30.750", '"type":"token","token":"Then not.","index":1'),
        talk(
            "33.750",
            f'"type":"agent_response","response":"Let me ask.Then not.","sources":[],{USAGE},"finishReason":"stop"',
        ),
        talk("33.750", SAVED),
        talk("33.750", '"type":"stream_end","success":true,"durationMs":3500,"firstTokenMs":500,"tokens":42'),
    )


def test_smarttalk_tells_the_transcript_before_the_start():
    heard = Transcribed(BEGAN + 1, "What?", "en", 1.75)
    log = [run_started(awaits_transcript=True), heard, *ending("stopped")]

    assert stream("smarttalk", log) == lines(
        talk("31.250", '"type":"transcription","text":"What?","language":"en","duration":1.75'),
        talk("31.250", START),
        talk("33.750", f'"type":"agent_response","response":"","sources":[],{USAGE},"finishReason":"stopped"'),
        talk("33.750", SAVED),
        talk("33.750", '"type":"stream_end","success":true,"durationMs":3500,"firstTokenMs":null,"tokens":42'),
    )


@pytest.mark.parametrize("before_the_end", [[], ending()[:2], ending()[:3]], ids=["early", "answered", "saved"])
def test_smarttalk_gives_no_agent_response_to_a_run_that_fails_however_late(before_the_end):
    counted = any(isinstance(event, UsageCounted) for event in before_the_end)
    log = [run_started(), *part(("Half",)), *before_the_end, FAILED]

    assert stream("smarttalk", log, {"include_tokens": False}) == lines(
        talk("30.250", START),
        talk(
            "32.250",
            '"type":"error","error":"the model said nothing for 30 s","code":"PROVIDER_SILENT","recoverable":true',
        ),
        talk(
            "32.250",
            f'"type":"stream_end","success":false,"durationMs":2000,"firstTokenMs":500,"tokens":{42 if counted else 1}',
        ),
    )


def test_smarttalk_tells_a_client_the_chat_model_that_it_asked_for():
    log = log_of(("Hi",), options={"chat_model": "cm_mine"})

    assert '"chatModelId":"cm_mine"' in stream("smarttalk", log)


@pytest.mark.parametrize("name", dialects.names())
def test_reasoning_is_never_part_of_the_answer(name):
    thought = [PartStarted(BEGAN, "reasoning"), Delta(BEGAN, "secret"), PartEnded(BEGAN)]
    log = [run_started(), *thought, *part(("open",)), *thought, *ending()]

    assert "secret" not in stream(name, log)
    assert b"secret" not in dialects.load(name).whole(fold(log)).body


@pytest.mark.parametrize(
    ("name", "body", "headers"),
    [
        (
            "knowbase",
            '{"answer":"Hi","sources":[],"conversation_id":"c-1","session_id":"mine"}',
            {},
        ),
        (
            "ares",
            '{"response":"Hi","agent":"assistant","context_id":"c-1","sources":null}',
            {"X-Context-Id": "c-1", "x-input-tokens": "11", "x-output-tokens": "42"},
        ),
        (
            "wisqu",
            f'{{"message_id":"m-2","content":"Hi","model":"smollm2",{USAGE},"total_cost_usd":0.0,"fallback_used":false,'
            '"final_model_used":"smollm2","conversation_id":"c-1"}',
            {},
        ),
        (
            "session",
            '{"message":"Hello?","response":"Hi","features_used":[],"suggestions":[],"mood":"neutral","context_id":"c-1",'
            f"{SESSION_END}}}",
            {"X-Session-Id": "c-1"},
        ),
        (
            "smarttalk",
            '{"message":{"id":"m-2","text":"Hi","chatInstanceId":"c-1","created_at":"2025-11-20T18:15:33.750Z",'
            '"updated_at":"2025-11-20T18:15:33.750Z","user":{"id":"assistant","email":null,"name":"assistant","image":null,'
            f'"role":"assistant"}},"metadata":{{"sources":[],{USAGE},"finishReason":"stop"}}}}}}',
            {},
        ),
    ],
)
def test_the_json_answer_is_the_log_folded(name, body, headers):
    answer = dialects.load(name).whole(fold(log_of(("Hi",), options={"session_id": "mine", "message": "Hello?"})))

    assert (answer.status, answer.body.decode(), dict(answer.headers)) == (200, body, headers)


@pytest.mark.parametrize(
    ("name", "mark"),
    [
        ("knowbase", '"stopped":true'),
        ("session", '"stopped":true'),
        ("wisqu", '"finish_reason":"stopped"'),
        ("smarttalk", '"finishReason":"stopped"'),
    ],
)
def test_a_stopped_json_answer_is_marked(name, mark):
    assert mark in dialects.load(name).whole(fold(log_of(("Hi",), "stopped"))).body.decode()


@pytest.mark.parametrize(
    ("given", "written"),
    [("default", "default"), ("two words", "two words"), (" a ", "%20a%20"), ("\u00fc\r\nX: y", "%C3%BC%0D%0AX: y")],
)
def test_a_clients_own_id_cannot_begin_a_header_of_its_own(given, written):
    started = run_started(conversation=given)

    assert dialects.load("session").headers(started) == {"X-Session-Id": written}
    assert dialects.load("ares").headers(started) == {"X-Context-Id": written, "Connection": "close"}


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("session", "alice_1763662530_6f1c1f0e"),
        ("smarttalk", "ci_6f1c1f0e8f0a4c5e9b570d7f6a1f2b3c"),
        ("wisqu", "6f1c1f0e-8f0a-4c5e-9b57-0d7f6a1f2b3c"),
    ],
)
def test_a_conversation_without_a_name_gets_one(name, made):
    unique = "6f1c1f0e-8f0a-4c5e-9b57-0d7f6a1f2b3c"

    assert dialects.load(name).conversation_id("alice", 1_763_662_530, unique) == made


FOUND = [SOURCE, Source("k2", "Tides.md", "Chapter 2", "High \u2028 water", "md", 0.25)]
CITED = (
    '"sources":[{"key":"k1","filename":"handbook.pdf","source":"12","content":"Wake \\u201cwell\\u201d.\\r\\n",'
    '"documentType":"pdf"},{"key":"k2","filename":"Tides.md","source":"Chapter 2","content":"High \\u2028 water",'
    '"documentType":"md"}]'
)


def cited_log():
    """A search before the answer, and one of a tool's that finds one of the same again."""
    return [run_started(), SourcesFound(BEGAN, FOUND), SourcesFound(BEGAN, FOUND[:1]), *part(("Hi",)), *ending()]


def test_knowbase_tells_steps_of_reading_behind_the_sources():
    steps = [
        StepStarted(BEGAN, "searching", {"query": "q", "file_count": 2}),
        StepEnded(BEGAN, "searching", 3.25),
        StepStarted(BEGAN, "reading", {"filename": "handbook.pdf", "source": "12"}),
        StepEnded(BEGAN, "reading", 0.5),
        SourcesFound(BEGAN, FOUND),
    ]

    assert stream("knowbase", [run_started(), *steps], {"thinking": True}) == lines(
        f'event: sources\ndata: {{{CITED},"documentType":"pdf"}}',
        'event: thinking\ndata: {"step":"searching","query":"q","file_count":2,"elapsed_ms":3.25}',
        'id: 6\nevent: thinking\ndata: {"step":"reading","filename":"handbook.pdf","source":"12","elapsed_ms":0.5}',
    )


def test_knowbase_tells_its_sources_once():
    assert stream("knowbase", cited_log()).count("event: sources") == 1


def test_smarttalk_has_each_source_once_in_its_answer():
    assert f'"response":"Hi",{CITED},"usage"' in stream("smarttalk", cited_log())


@pytest.mark.parametrize(
    ("name", "part_of_body"),
    [
        ("knowbase", CITED),
        (
            "ares",
            '"sources":[{"title":"handbook.pdf","url":null,"relevance_score":0.5},'
            '{"title":"Tides.md","url":null,"relevance_score":0.25}]',
        ),
        ("smarttalk", f'"metadata":{{{CITED},"usage"'),
    ],
)
def test_the_json_answer_has_each_source_once(name, part_of_body):
    body = dialects.load(name).whole(fold(cited_log())).body.decode()

    assert part_of_body in body
    assert body.count('"sources"') == 1
