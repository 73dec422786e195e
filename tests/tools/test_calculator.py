"""The calculator is right where it answers, says why where it does not, and no expression keeps it busy."""

import json
import math
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rivermouth.clock import SystemClock
from rivermouth.settings import Settings
from rivermouth.tools import ToolFailed
from rivermouth.tools.calculator import LONGEST, evaluate, open
from tests.tools.world import call, failure

(CALCULATOR,) = open(Settings(), SystemClock())


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("1 + 2 * 3", 7),
        (" 1.19 * (250 + 30) ", 333.2),
        ("0.1 + 0.2", 0.3),
        ("2^10", 1024),
        ("2^3 + 1", 9),
        ("3 × 4 ÷ 2 − 1", 5),
        ("7 // 2, 1"[:6], 3),
        ("-7 % 3", 2),
        ("sqrt(2) ** 2 - 2 < 1e-9", True),
        ("round(2.675, 2)", 2.67),
        ("round(7.6)", 8),
        ("factorial(20) / factorial(18)", 380),
        ("comb(49, 6)", 13_983_816),
        ("mean(1, 2, 4.5)", 2.5),
        ("median(3, 1, 2)", 2),
        ("max(1, 2) if 3 > 2 else 0", 2),
        ("log(e)", 1),
        ("2 ** 53", "9007199254740992"),
        ("-(2 ** 60)", "-1152921504606846976"),
        ("1 / 4", 0.25),
        ("2 ** -1", 0.5),
        ("0 ** 10 ** 2000", 0),
        ("+".join(["1"] * 250), 250),
        ("-".join(["1.5"] * 120), -177),
        ("2" + "*2" * 200, str(2**201)),
    ],
)
def test_an_expression_has_its_value(expression: str, result: Any):
    found = call(CALCULATOR, expression=expression)

    assert found == {"result": result}
    assert json.loads(json.dumps(found)) == found


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("", "empty"),
        ("1 / 0", "division by zero"),
        ("1 +", "no expression"),
        ("1; 2", "no expression"),
        ("x = 1", "no expression"),
        ("1e308 * 10", "finite"),
        ("(-8) ** 0.5", "real number"),
        ("'a' * 3", "str is not a number"),
        ("[1, 2]", "List is not available"),
        ("price * 2", "'price' is not defined"),
        ("open('/etc/passwd')", "'open' not defined"),
        ("__import__('os')", "not defined"),
        ("(1).__class__", "Attribute is not available"),
        ("max", "is not a number"),
        ("lambda: 1", "not available"),
        ("round(1.5, ndigits=1)", "not available"),
        ("log(0)", "math domain error"),
        ("1 is 1", "that cannot be calculated"),
        ("2 << 3", "Operator 'LShift' does not exist"),
        ("~2", "Operator 'Invert' does not exist"),
        ("None", "is not a number"),
    ],
)
def test_what_cannot_be_calculated_is_said(expression: str, reason: str):
    assert reason in failure(CALCULATOR, expression=expression)


HEAVY = [
    "9**9**9**9",
    "10**100000000",
    "(2**9999)**9999",
    "*".join(["(9**3000)"] * 40),
    "factorial(10**9)",
    "factorial(1000)**1000",
    "comb(10**9, 10**8)",
    "round(5, -10**9)",
    "pow(10, 10**10)",
    "1 << 10**10",
    "'a' * 10**10",
    "-" * 499 + "1",
    "(" * 249 + "1" + ")" * 249,
    "max(" * 90 + "1" + ")" * 90,
    "lcm(" + ",".join(f"{n}**900" for n in range(900, 940)) + ")",
    "9" * LONGEST,
    "1" + "+1" * 10**6,
    "1 if " * 90 + "1",
    "1" + " < 2" * 120,
    "~" * 499 + "1",
    "\0",
    "\ud800",
    "1e" + "9" * 400,
]


@pytest.mark.parametrize("expression", HEAVY, ids=range(len(HEAVY)))
def test_no_expression_costs_much(expression: str):
    try:
        found = call(CALCULATOR, expression=expression)
    except ToolFailed:
        return

    assert len(str(found)) < 4000


@given(st.text("0123456789.()+-*/%^, eabsqrtmxflogpiwhcdn<>=!'\"[]{}:\n\0", max_size=120))
@example("0x" + "f" * 400)
@settings(max_examples=300, deadline=2000)
def test_whatever_stands_there_it_is_a_number_or_a_failure(expression: str):
    try:
        found = evaluate(expression, SystemClock())
    except ToolFailed:
        return

    assert isinstance(found, int | float | str)
    assert isinstance(found, str) or math.isfinite(found)


class Rushing(SystemClock):
    """An hour passes at every look."""

    def __init__(self) -> None:
        super().__init__()
        self.hours = 0

    def monotonic(self) -> float:
        self.hours += 1
        return self.hours * 3600.0


def test_between_operations_the_deadline_is_looked_at():
    assert "takes longer" in failure(open(Settings(), Rushing())[0], expression="1 + 1")
