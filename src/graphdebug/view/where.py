"""Condition: a small expression over a node's facts (``l2 > 100``), safe to take from anybody."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

from graphdebug.errors import OptionError
from graphdebug.model.event import Node, Number, Stats
from graphdebug.view.rows import worst
from graphdebug.view.words import shape_text, site_text

__all__ = ["NAMES", "Condition"]

_Getter = Callable[[Node], Any]

_LONGEST = 1000


def _stat(name: str) -> _Getter:
    def get(node: Node) -> float:
        fact = worst(node.outputs)
        value: Number | None = getattr(fact.stats, name) if fact and fact.stats else None
        return math.nan if value is None else float(value)

    return get


def _count(name: str) -> _Getter:
    def get(node: Node) -> int:
        return sum(getattr(fact.stats or Stats(), name) for fact in node.outputs)

    return get


NAMES: dict[str, _Getter] = {
    **{name: _stat(name) for name in ("min", "max", "mean", "std", "l2")},
    "nan": _count("nan"),
    "inf": lambda node: _count("pos_inf")(node) + _count("neg_inf")(node),
    "zero": _count("zero"),
    "seq": lambda node: node.seq,
    "step": lambda node: node.step,
    "phase": lambda node: node.phase,
    "op": lambda node: node.op,
    "function": lambda node: node.function,
    "family": lambda node: node.family,
    "module": lambda node: node.module or node.name,
    "mode": lambda node: node.mode,
    "execution": lambda node: node.execution,
    "line": lambda node: site_text(node.site),
    "finite": lambda node: all(fact.finite is not False for fact in node.outputs),
    "dtype": lambda node: node.outputs[0].dtype if node.outputs else "",
    "device": lambda node: node.outputs[0].device if node.outputs else "",
    "shape": lambda node: shape_text(node.outputs[0].shape) if node.outputs else "",
    "size": lambda node: max((_size(fact.shape) for fact in node.outputs), default=0),
    "duration": lambda node: node.duration,
}
"""What an expression may name, and how it is read off a node."""

_FIELDS = {
    "module": {"module", "name"},
    "line": {"site"},
    **{
        name: {name}
        for name in ("seq", "step", "phase", "op", "function", "family", "mode", "execution", "duration")
    },
}
"""The fields of a node that a name reads, where these are not its outputs."""

_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: lambda a, b: a == b,
    ast.NotEq: lambda a, b: a != b,
    ast.Lt: lambda a, b: a < b,
    ast.LtE: lambda a, b: a <= b,
    ast.Gt: lambda a, b: a > b,
    ast.GtE: lambda a, b: a >= b,
    ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
}
_ARITHMETIC: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b if b else math.nan,
}


class Condition:
    """A parsed expression: names, numbers, strings, ``and or not``, comparisons, ``in``, ``+ - * /``,
    ``abs(x)`` and ``like(text, pattern)``. It is interpreted by its tree; no Python code of it is ever run.

    Args:
        text: the expression.

    Raises:
        OptionError: it is not an expression of this kind; the message says what is wrong and what may be used.

    """

    def __init__(self, text: str) -> None:
        self.text = text
        if len(text) > _LONGEST:
            raise OptionError(f"--where is longer than {_LONGEST} characters")
        try:
            tree = ast.parse(text.strip(), mode="eval")
            self._value = _compile(tree.body)
            names = {one.id for one in ast.walk(tree) if isinstance(one, ast.Name) and one.id in NAMES}
            self.fields: set[str] = set().union(*(_FIELDS.get(name, {"outputs"}) for name in names))
            """The fields of a node that the expression reads."""
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            if isinstance(error, OptionError):
                raise OptionError(f"--where {text!r}: {error}") from None
            raise OptionError(
                f"--where {text!r} is not an expression: write for example \"l2 > 100 and phase == 'backward'\""
            ) from None

    def holds(self, node: Node) -> bool:
        """Whether the expression is true of `node`; comparing text with a number is an OptionError."""
        try:
            return bool(self._value(node))
        except (TypeError, OverflowError) as error:
            raise OptionError(f"--where {self.text!r}: {error}") from None


def _compile(tree: ast.expr) -> _Getter:
    for kind, build in _BUILD.items():
        if isinstance(tree, kind):
            return build(tree)
    raise OptionError(
        f"{ast.unparse(tree)[:40]!r} can't be used here: use names, numbers, text and comparisons"
    )


def _name(tree: ast.Name) -> _Getter:
    if tree.id not in NAMES:
        raise OptionError(f"there is no {tree.id!r}: use {', '.join(sorted(NAMES))}")
    return NAMES[tree.id]


def _constant(tree: ast.Constant) -> _Getter:
    value = tree.value
    if not isinstance(value, int | float | str):
        raise OptionError(f"{value!r} can't be used here: use numbers and text")
    return lambda _: value


def _boolean(tree: ast.BoolOp) -> _Getter:
    parts = [_compile(part) for part in tree.values]
    if isinstance(tree.op, ast.And):
        return lambda node: all(part(node) for part in parts)
    return lambda node: any(part(node) for part in parts)


def _unary(tree: ast.UnaryOp) -> _Getter:
    part = _compile(tree.operand)
    if isinstance(tree.op, ast.Not):
        return lambda node: not part(node)
    if isinstance(tree.op, ast.USub):
        return lambda node: -part(node)
    raise OptionError(f"{ast.unparse(tree)[:40]!r} can't be used here")


def _comparison(tree: ast.Compare) -> _Getter:
    parts = [_compile(part) for part in (tree.left, *tree.comparators)]
    tests = [_COMPARE.get(type(op)) for op in tree.ops]
    if None in tests:
        raise OptionError(f"{ast.unparse(tree)[:40]!r} can't be used here: compare with == != < <= > >= in")

    if len(parts) == 2 and tests[0] is not None:
        left, right, test = parts[0], parts[1], tests[0]
        return lambda node: test(left(node), right(node))

    def compare(node: Node) -> bool:
        values = [part(node) for part in parts]
        return all(test(a, b) for test, a, b in zip(tests, values, values[1:], strict=False) if test)

    return compare


def _arithmetic(tree: ast.BinOp) -> _Getter:
    apply = _ARITHMETIC.get(type(tree.op))
    if apply is None:
        raise OptionError(f"{ast.unparse(tree)[:40]!r} can't be used here: calculate with + - * /")
    left, right = _compile(tree.left), _compile(tree.right)

    def calculate(node: Node) -> float:
        a, b = left(node), right(node)
        if isinstance(a, str) or isinstance(b, str):
            raise TypeError("text can't be calculated with")
        return apply(float(a), float(b))

    return calculate


def _call(tree: ast.Call) -> _Getter:
    function = tree.func.id if isinstance(tree.func, ast.Name) else ""
    parts = [_compile(part) for part in tree.args]
    if tree.keywords or (function, len(parts)) not in (("abs", 1), ("like", 2)):
        raise OptionError(f"{ast.unparse(tree)[:40]!r} can't be used here: call abs(x) or like(text, pattern)")
    if function == "abs":
        return lambda node: abs(parts[0](node))
    return lambda node: fnmatchcase(str(parts[0](node)), str(parts[1](node)))


def _tuple(tree: ast.Tuple | ast.List) -> _Getter:
    parts = [_compile(part) for part in tree.elts]
    return lambda node: tuple(part(node) for part in parts)


_BUILD: dict[type[ast.expr], Callable[[Any], _Getter]] = {
    ast.Name: _name,
    ast.Constant: _constant,
    ast.BoolOp: _boolean,
    ast.UnaryOp: _unary,
    ast.Compare: _comparison,
    ast.BinOp: _arithmetic,
    ast.Call: _call,
    ast.Tuple: _tuple,
    ast.List: _tuple,
}


def _size(shape: tuple[int | None, ...] | None) -> int:
    return 0 if shape is None or None in shape else math.prod(size or 0 for size in shape)
