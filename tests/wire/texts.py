"""Answers full of what breaks clients, and what each kind of client must make of them."""

import re

HAZARDS: dict[str, list[str]] = {
    "leading spaces": ["  Two", "   three", " ", "    ", "four "],
    "newlines": ["a\n", "\n", "\nb\n\nc", "\n", "\n\n\n", "d\n"],
    "carriage returns": ["a\r\n", "b\r", "\nc\r", "d\n\r", "\r\n\r\n", "\r", "\r", "e"],
    "other line separators": ["a\u0085b", "\u2028", "c\u2029d", "\v\f\x1c\x1d\x1e", "\u2028\n", "e\u0085"],
    "what lies outside ASCII": [
        "\U0001f30a", "\U0001f469\u200d\U0001f469\u200d\U0001f467", "e\u0301", "\u6f22\u5b57", "\u202e", "\ufeff",
    ],
    "the words of the protocol": [
        "data: ", "[DONE]", "data: [DONE]\n\n", "event: done\n", ": ping\n\n", "id: 7\nretry: 1\n", "data:",
    ],
    "quotes and backslashes": ['"', "\\", "\\n", '\\\\"', "{}", '","t":"', "</script>", "\x00\x01\x7f", "\\u0041", "'"],
}  # fmt: skip
LONG = [f'{number:03d} \u00fcber \U0001f30a \u2028 data: \\ "\r\n' + "x" * 772 for number in range(128)]
"""More than 100 KB in 128 pieces."""
assert len("".join(LONG)) > 100_000


def as_rule_7_says(text: str) -> str:
    """What a spec parser has of an ares stream: LF for every line break."""
    return re.sub("\r\n|[\r\v\f\x1c-\x1e\x85\u2028\u2029]", "\n", text)


def as_ares_samples_have_it(text: str) -> str:
    """What is left where each `data: ` line is appended to the last: all but the line breaks."""
    return as_rule_7_says(text).replace("\n", "")


def expected(system: str, text: str) -> str:
    """What a documented sample client of that system must end up with."""
    return as_ares_samples_have_it(text) if system == "ares" else text
