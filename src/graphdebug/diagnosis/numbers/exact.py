"""Exact: what an op on whole numbers should have given, where that is beyond the range of its type.

From what an op was given (extremes, mean, mean square) and gave: a sum, product or power of extremes is exact
for one operand and a number; the sum over a tensor follows from its mean, whatever its size. Where numbers do
not prove that a result left the range, nothing is said.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import exp, isfinite, log, prod, trunc
from typing import NamedTuple

from graphdebug.model.event import Node, Stats, TensorFact

__all__ = ["LIMITS", "Beyond", "Span", "beyond", "number_words", "plain_span", "span_of"]

LIMITS = {
    f"{sign}{bits}": (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if sign == "int" else (0, 2**bits - 1)
    for sign in ("int", "uint") for bits in (8, 16, 32, 64)
}  # fmt: skip
"""The least and the largest number of each type."""
_WIDE = 2**53
"""Statistics hold whole numbers below this exactly; beyond it, only what is clearly out of range is so."""
_ROUNDING = 1e-3
"""How far sums may be from having moved by whole powers of two: statistics are rounded."""
_LARGEST_EXPONENT = 700
_LARGEST_POWER = 1024
"""Exponents up to which a power is computed."""


class Span(NamedTuple):
    """The numbers in one tensor."""

    low: int
    high: int
    mean: float
    square: float
    """The mean of the squares."""
    size: int
    zero: int = 0

    @property
    def single(self) -> bool:
        """Whether they are all one number."""
        return self.low == self.high


class Beyond(NamedTuple):
    """A result that left the range of its type."""

    words: str
    """What it should have been: ``50000 x 50000 = 2500000000``."""
    upward: bool
    """Whether it went beyond the largest number, not below the least."""


class _Op(NamedTuple):
    """One op with what is known of its numbers."""

    node: Node
    spans: Sequence[Span | None]
    found: Span | None
    low: int
    high: int

    def out(self, value: float) -> bool:
        """Whether a number is out of range, beyond what rounding of large numbers can do."""
        slack = 2**-50 if abs(value) >= _WIDE else 0
        return value > self.high + self.high * slack or value < self.low + self.low * slack

    def first_out(self, *cases: tuple[int, str]) -> Beyond | None:
        """Return the first of some numbers, each with what it comes of, that is out of range."""
        return next((_said(how, value, self.high) for value, how in cases if self.out(value)), None)


def span_of(fact: TensorFact) -> Span | None:
    """Return the numbers of a tensor that was measured, None where it was not or has infinities."""
    stats = fact.stats
    if stats is None or fact.shape is None or None in fact.shape:
        return None
    return _span(stats, prod(size or 0 for size in fact.shape))


def beyond(node: Node, spans: Sequence[Span | None], *, same: bool) -> Beyond | None:
    """Return what a node should have given, if that is proved to be beyond its type; else None.

    Args:
        node: what gave whole numbers.
        spans: of its operands, a plain number behind them.
        same: whether its first two operands are one tensor.

    """
    fact, rule = node.outputs[0], _RULES.get(node.function)
    if rule is None or fact.dtype not in LIMITS:
        return None
    if node.function == "mul" and same:
        rule, spans = _square, spans[:1]
    return rule(_Op(node, spans, span_of(fact), *LIMITS[fact.dtype]))


def number_words(value: float) -> str:
    """Return a whole number in full, or its size where it is too long to be exact."""
    return str(int(value)) if abs(value) < _WIDE else f"about {value:.3g}"


def plain_span(value: object) -> Span | None:
    """Return the span of a plain number that stands in an operand's place; None of what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value) or value % 1:
        return None
    return Span(int(value), int(value), float(value), float(value) ** 2, 1)


def _span(stats: Stats, count: int) -> Span | None:
    numbers = [stats.min, stats.max, stats.mean]
    if not count or any(one is None or not isfinite(float(one)) for one in numbers):
        return None
    low, high, mean = (float(one) for one in numbers if one is not None)
    square = float(stats.l2) ** 2 / count if stats.l2 is not None else float("nan")
    return Span(trunc(low), trunc(high), mean, square, count, stats.zero)


def _said(how: str, value: float, high: int) -> Beyond:
    return Beyond(f"{how} = {number_words(value)}", value > high)


def _two(op: _Op) -> tuple[Span, Span] | None:
    if len(op.spans) != 2 or op.spans[0] is None or op.spans[1] is None:
        return None
    return op.spans[0], op.spans[1]


def _total(op: _Op, meant: float, count: int) -> Beyond | None:
    """Compare the mean that results should have with theirs: wrapping moves their sum by powers of two."""
    if op.found is None:
        return None
    moved = (meant - op.found.mean) * count / (op.high - op.low + 1)
    turns = round(moved)
    if not turns or abs(moved - turns) > _ROUNDING * abs(turns):
        return None
    return Beyond(f"the mean should be {_short(meant)}, it is {_short(op.found.mean)}", turns > 0)


def _short(value: float) -> str:
    return number_words(value) if value % 1 == 0 else f"{value:.4g}"


def _linear(op: _Op, sign: int) -> Beyond | None:
    two, factor = _two(op), op.node.attributes.get("alpha", 1)
    if two is None or not isinstance(factor, int):
        return None
    a, b = two[::-1] if op.node.attributes.get("reversed") else two
    steps = sorted((sign * factor * b.low, sign * factor * b.high))
    ends = [(a.low, steps[0]), (a.high, steps[1])]
    if a.single or b.single:
        return op.first_out(*((x + y, _sum_words(x, y)) for x, y in ends))
    if not any(op.out(x + y) for x, y in ends):
        return None
    return _total(op, a.mean + sign * factor * b.mean, op.found.size if op.found is not None else 0)


def _sum_words(x: int, y: int) -> str:
    return f"{number_words(x)} {'-' if y < 0 else '+'} {number_words(abs(y))}"


def _add(op: _Op) -> Beyond | None:
    return _linear(op, 1)


def _sub(op: _Op) -> Beyond | None:
    return _linear(op, -1)


def _mul(op: _Op) -> Beyond | None:
    two = _two(op)
    if two is None:
        return None
    a, b = two
    cases = [
        (x * y, f"{number_words(x)} x {number_words(y)}") for x in (a.low, a.high) for y in (b.low, b.high)
    ]
    if a.single or b.single or op.found is None:
        return op.first_out(*cases) if a.single or b.single else None
    ends = [value for value, _ in cases]
    if not op.out(min(ends)) and not op.out(max(ends)):
        return None
    found = op.found
    if found.low < min(ends) or found.high > max(ends):
        return Beyond(_bounds(min(ends), max(ends), found), found.low < min(ends))
    least = max(a.low * b.mean, b.low * a.mean) if a.low >= 0 and b.low >= 0 else min(ends)
    most = (a.square * b.square) ** 0.5
    slack = 1e-9 * max(abs(least), 1.0)
    if found.mean < least - slack or (isfinite(most) and abs(found.mean) > most * (1 + 1e-9)):
        return Beyond(_bounds(least, most, found), found.mean < least)
    return None


def _bounds(least: float, most: float, found: Span) -> str:
    if found.low < least <= 0 or (least == 0 and found.low < 0):
        return f"no product of these is below {_short(least)}, but one is {found.low}"
    if found.high > most:
        return f"no product of these is above {_short(most)}, but one is {found.high}"
    return f"the mean should be {_short(least)} at least, it is {_short(found.mean)}"


def _square(op: _Op) -> Beyond | None:
    base = op.spans[0] if op.spans else None
    told = _powers(op, base, 2)
    if told is None or base is None or op.found is None or not isfinite(base.square):
        return told
    return told if _total(op, base.square, base.size) is not None else None


def _powers(op: _Op, base: Span | None, exponent: int) -> Beyond | None:
    if base is None or not 0 <= exponent <= _LARGEST_POWER:
        return None
    mark = " x {}" if exponent == 2 else f" ** {exponent}"
    ends = sorted({base.low, base.high}, key=abs, reverse=True)
    return op.first_out(*((x**exponent, number_words(x) + mark.format(number_words(x))) for x in ends))


def _pow(op: _Op) -> Beyond | None:
    exponent = op.node.attributes.get("exponent")
    base = op.spans[0] if op.spans else None
    if isinstance(exponent, int | float) and exponent % 1 == 0:
        return _powers(op, base, int(exponent))
    two = _two(op)
    if two is None:
        return None
    if "scalar" in op.node.attributes:  # a number to the power of a tensor
        two = two[1], two[0]
    base, power = two
    if power.single:
        return _powers(op, base, power.low)
    if base.single and base.low > 1 and 0 <= power.high <= _LARGEST_POWER:
        return op.first_out((base.low**power.high, f"{base.low} ** {power.high}"))
    return None


def _shift(op: _Op) -> Beyond | None:
    two = _two(op)
    if two is None or not two[1].single or not 0 <= two[1].low <= 64:
        return None
    a, by = two[0], two[1].low
    return op.first_out(*((x * 2**by, f"{number_words(x)} << {by}") for x in (a.low, a.high)))


def _negative(op: _Op) -> Beyond | None:
    a = op.spans[0] if op.spans else None
    if a is None or op.high >= _WIDE:
        return None
    return op.first_out(*((-x, f"-({x})" if x < 0 else f"-{x}") for x in (a.low, a.high)))


def _absolute(op: _Op) -> Beyond | None:
    a = op.spans[0] if op.spans else None
    if a is None or op.low == 0 or (op.found is not None and op.found.low >= 0):
        return None
    return Beyond(f"abs({number_words(a.low)}) = {number_words(-a.low)}", True) if a.low <= op.low else None


def _squared_difference(op: _Op) -> Beyond | None:
    two = _two(op)
    if two is None or not (two[0].single or two[1].single):
        return None
    pairs = [(x, y) for x in (two[0].low, two[0].high) for y in (two[1].low, two[1].high)]
    return op.first_out(*(((x - y) ** 2, f"({_sum_words(x, -y)}) ** 2") for x, y in pairs))


def _sum(op: _Op) -> Beyond | None:
    a = op.spans[0] if op.spans else None
    if a is None:
        return None
    total = a.mean * a.size
    if op.found is not None and op.found.size > 1:
        return _total(op, total / op.found.size, op.found.size)
    fact = op.node.outputs[0]
    return op.first_out((round(total), _sum_of(a))) if fact.shape is not None and prod(
        size or 0 for size in fact.shape) == 1 else None  # fmt: skip


def _sum_of(a: Span) -> str:
    return f"the sum of {a.size} numbers from {number_words(a.low)} to {number_words(a.high)}"


def _lane(op: _Op) -> int:
    """Return how many numbers one running sum or product is of; 0 where that is not known."""
    shape, axis = op.node.inputs[0].fact.shape, op.node.attributes.get("axis")
    axis = axis[0] if isinstance(axis, list) and len(axis) == 1 else axis
    if shape is None or not isinstance(axis, int) or not -len(shape) <= axis < len(shape):
        return prod(size or 0 for size in shape) if shape is not None and len(shape) == 1 else 0
    return shape[axis] or 0


def _running_sum(op: _Op) -> Beyond | None:
    a = op.spans[0] if op.spans else None
    if a is None:
        return None
    lane = _lane(op)  # one of the lanes sums up to their mean, at least
    told = op.first_out((round(a.mean * lane), f"the last of the running sums of {lane} numbers"))
    if told is None and op.found is not None and op.found.low < 0 <= a.low:
        return Beyond(f"no running sum of numbers from {a.low} on is below 0, but one is {op.found.low}", True)
    return told


def _product(op: _Op) -> Beyond | None:
    a = op.spans[0] if op.spans else None
    if a is None:
        return None
    whole = op.node.function == "prod" and op.found is not None and op.found.size == 1
    count = a.size if whole else _lane(op) if op.node.function == "cumprod" else 0
    if a.low >= 1 and 0 < count <= _LARGEST_POWER:
        least = _least_product(a) if whole else a.low**count
        told = op.first_out((least, f"the product of {count} numbers from {a.low} to {a.high}, at least"))
        if told is not None:
            return told
    if op.found is not None and a.low >= 0 and op.found.low < 0:
        return Beyond(f"no product of numbers from {a.low} on is below 0, but one is {op.found.low}", True)
    if whole and op.found is not None and not a.zero and op.found.low == 0:
        return Beyond("none of the factors is 0, but the product is", True)
    return None


def _least_product(a: Span) -> int:
    """Return a bound of the product of some numbers from 1 on, given their least, mean and mean square.

    Of all numbers with these, the mean logarithm is least where each is the least of them or one other.
    """
    spread, above = a.square - a.mean**2, a.mean - a.low
    if a.single or not isfinite(spread) or spread <= 0 or above <= 0:
        return int(a.low**a.size)
    other = a.mean + spread / above
    share = above**2 / (spread + above**2)
    exponent = a.size * ((1 - share) * log(a.low) + share * log(other))
    return int(exp(exponent) * (1 - _ROUNDING)) if exponent < _LARGEST_EXPONENT else 2**_LARGEST_POWER


def _matrix_product(op: _Op) -> Beyond | None:
    two = _two(op)
    inner = op.node.inputs[0].fact.shape
    if two is None or op.found is None or not inner or not inner[-1]:
        return None
    a, b = two
    if a.single and b.single:
        return op.first_out((a.low * b.low * inner[-1], f"{inner[-1]} x {a.low} x {b.low}"))
    if a.low >= 0 and b.low >= 0 and op.found.low < 0:
        return Beyond(f"no product of these is below 0, but one is {op.found.low}", True)
    return None


def _cast(op: _Op) -> Beyond | None:
    a = op.spans[0] if op.spans else None
    if a is None:
        return None
    source, bits = op.node.inputs[0].fact.dtype, (op.high - op.low + 1).bit_length() - 1
    if source in LIMITS:
        width = (LIMITS[source][1] - LIMITS[source][0] + 1).bit_length() - 1
        if width == bits:  # the same bits, read with another sign
            return None
    if op.low == 0 and a.low == -1 and not op.out(a.high):  # a mark, not a number
        return None
    return op.first_out(*((x, f"{source}: {number_words(x)}") for x in (a.high, a.low)))


_RULES: dict[str, Callable[[_Op], Beyond | None]] = {
    "abs": _absolute, "add": _add, "bmm": _matrix_product, "cast": _cast, "cumprod": _product,
    "cumsum": _running_sum, "left_shift": _shift, "matmul": _matrix_product, "mul": _mul, "neg": _negative,
    "pow": _pow, "prod": _product, "square": _square, "squared_difference": _squared_difference, "sub": _sub,
    "sum": _sum,
}  # fmt: skip
