"""`calculator`: arithmetic, exactly where whole numbers allow it.

The expression comes from a model, which may have it from a stranger. Nothing here can take long: an expression has at most
500 characters, no operation makes a whole number of more than 10,000 bits, and there are no texts, lists, names or attributes.
The deadline is a second bound, looked at between operations.
"""

import ast
import math
import operator
import re
import statistics
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from simpleeval import InvalidExpression, OperatorNotDefined, SimpleEval

from rivermouth.clock import Clock
from rivermouth.settings import Settings
from rivermouth.tools import Asker, Spec, Tool, ToolFailed

LONGEST, DEEPEST, MOST_BITS, SECONDS = 500, 100, 10_000, 1.0
EXACT = 2**53
"""The first whole number that a reader of JSON may no longer take exactly."""
SIGNS = str.maketrans({"^": "**", "×": "*", "·": "*", "÷": "/", "−": "-", "²": "**2", "³": "**3"})
"""How people and models write what Python writes otherwise; `^` is never exclusive or here."""


def open(settings: Settings, clock: Clock) -> Sequence[Tool]:
    """The one tool."""
    return [Calculator(clock)]


class Calculator:
    """Evaluates an expression."""

    spec = Spec(
        name="calculator",
        description="Calculate an arithmetic expression, such as 1.19 * (250 + 30) or sqrt(2) ** 3. It has + - * / // % **, "
        "comparisons, a if b else c, pi, e, tau, and the functions abs, round, floor, ceil, sqrt, exp, log, log2, log10, sin, "
        "cos, tan, asin, acos, atan, atan2, degrees, radians, hypot, min, max, sum, mean, median, factorial, gcd, lcm, comb.",
        parameters={
            "type": "object",
            "properties": {"expression": {"type": "string", "description": "What to calculate.", "maxLength": LONGEST}},
            "required": ["expression"],
            "additionalProperties": False,
        },
    )

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def call(self, arguments: dict[str, Any], asker: Asker) -> Any:
        """`{"result": 4}`: a number, or text where it has more digits than JSON's readers keep."""
        return {"result": evaluate(str(arguments.get("expression", "")), self._clock)}


def evaluate(expression: str, clock: Clock) -> int | float | bool | str:
    """The value of that expression. Raises: ToolFailed."""
    if not expression.strip():
        raise ToolFailed("the expression is empty")
    if len(expression) > LONGEST:
        raise ToolFailed(f"the expression has {len(expression)} characters; at most {LONGEST} are calculated")
    try:
        return _shown(_Evaluator(clock).eval(expression, _parsed(expression)))
    except ZeroDivisionError:
        raise ToolFailed("division by zero") from None
    except OverflowError:
        raise ToolFailed("the result is too large") from None
    except (RecursionError, MemoryError):
        raise ToolFailed("the expression is nested too deeply") from None
    except (InvalidExpression, TypeError, ValueError, LookupError) as error:
        raise ToolFailed(f"that cannot be calculated: {_reason(error)}") from None


def _parsed(expression: str) -> ast.expr:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # for `1if 2`, which Python only frowns at
        try:
            return ast.parse(expression.strip().translate(SIGNS), mode="eval").body
        except SyntaxError as error:
            raise ToolFailed(f"that is no expression: {error.msg}") from None


def _reason(error: BaseException) -> str:
    said = str(error.args[0] if error.args else type(error).__name__)
    return re.sub(r"<ast\.(\w+) object at 0x[0-9a-f]+>", r"\1", said)[:200]


def _shown(value: Any) -> int | float | bool | str:
    if isinstance(value, complex):
        raise ToolFailed("the result is not a real number")
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ToolFailed("the result is not a finite number")
        return float(f"{value:.15g}")  # 0.1 + 0.2 is 0.3 to whoever asked
    if not isinstance(value, int):
        raise ToolFailed("the result is not a number")
    return value if abs(value) < EXACT else str(value)


class _Evaluator(SimpleEval):  # type: ignore[misc]
    """Numbers alone, no step without a look at the clock, no depth that the stack could feel."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(operators=OPERATORS, functions=FUNCTIONS, names=NAMES)
        self.nodes: dict[type, Any] = {kind: value for kind, value in self.nodes.items() if kind in NODES}
        self._clock, self._until, self._depth = clock, clock.monotonic() + SECONDS, 0

    def _eval_binop(self, node: ast.BinOp) -> Any:
        """A sum of many numbers is as deep as it is long, to the left: one walk, and no depth."""
        chain, first = [node], node.left
        while isinstance(first, ast.BinOp):
            chain.append(first)
            first = first.left
        value = self._eval(first)
        for one in reversed(chain):
            value = _number(self._calculated(one.op, value, self._eval(one.right)))
        return value

    def _calculated(self, how: ast.operator, left: Any, right: Any) -> Any:
        if type(how) not in self.operators:
            raise OperatorNotDefined(how, self.expr)
        return self.operators[type(how)](left, right)

    def _eval(self, node: ast.AST) -> Any:
        if self._clock.monotonic() > self._until:
            raise ToolFailed(f"that takes longer than {SECONDS:g} s")
        if self._depth >= DEEPEST:
            raise RecursionError
        self._depth += 1
        try:
            return _number(super()._eval(node))
        finally:
            self._depth -= 1


def _number(value: Any) -> Any:
    """A number that is small enough to go on with. Raises: OverflowError, TypeError."""
    if not isinstance(value, int | float | complex):
        raise TypeError(f"{type(value).__name__} is not a number")
    if isinstance(value, int) and value.bit_length() > MOST_BITS:
        raise OverflowError
    return value


def _power(base: Any, exponent: Any) -> Any:
    """`base ** exponent`, refused before it is begun where it would be too large."""
    whole = isinstance(base, int) and isinstance(exponent, int)
    if whole and abs(base) > 1 and base.bit_length() * exponent > MOST_BITS * 2:
        raise OverflowError
    return base**exponent


def _round(value: Any, digits: int = 0) -> Any:
    """`round`, half to even. Python takes forever to round 5 to -10**9 digits."""
    if not -300 <= digits <= 300:
        raise ValueError("round takes from -300 to 300 digits")
    return round(value, digits) if digits else round(value)


def _factorial(number: Any) -> int:
    if not isinstance(number, int) or not 0 <= number <= 1000:
        raise ValueError("factorial takes whole numbers from 0 to 1000")
    return math.factorial(number)


def _combinations(number: Any, taken: Any) -> int:
    if not (isinstance(number, int) and isinstance(taken, int) and 0 <= number <= 1000 and taken >= 0):
        raise ValueError("comb takes whole numbers from 0 to 1000")
    return math.comb(number, taken)


def _sum(*values: Any) -> Any:
    return sum(values)


def _mean(*values: Any) -> Any:
    return statistics.fmean(values)


def _median(*values: Any) -> Any:
    return statistics.median(values)


NAMES = {"pi": math.pi, "e": math.e, "tau": math.tau, "True": True, "False": False}
NODES = {ast.Constant, ast.Name, ast.UnaryOp, ast.BinOp, ast.BoolOp, ast.Compare, ast.IfExp, ast.Call}
OPERATORS: dict[type, Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: _power,
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
    ast.Not: operator.not_,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{
        name: getattr(math, name)
        for name in ("floor", "ceil", "sqrt", "exp", "log", "log2", "log10", "sin", "cos", "tan")
    },
    **{name: getattr(math, name) for name in ("asin", "acos", "atan", "atan2", "degrees", "radians", "hypot", "gcd")},
    **{
        "abs": abs,
        "min": min,
        "max": max,
        "sum": _sum,
        "mean": _mean,
        "median": _median,
        "round": _round,
        "pow": _power,
    },
    **{"factorial": _factorial, "comb": _combinations, "lcm": math.lcm, "ln": math.log},
}
