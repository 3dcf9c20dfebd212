"""Right programs made wrong in one place: every place and way that users get wrong, the true line known."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator

from .syntax import calls, is_number, mark, statements, text

__all__ = ["Mutant", "mutants"]

_LAYERS = ("Linear", "Conv1d", "Conv2d", "Conv3d", "ConvTranspose2d", "LSTM", "GRU", "RNN", "Embedding", "BatchNorm2d",
           "BatchNorm1d", "LayerNorm", "MultiheadAttention", "Dense", "Conv2D", "Input", "placeholder", "TransformerEncoderLayer")  # fmt: skip
_SHAPING = (
    "view",
    "reshape",
    "randn",
    "rand",
    "randint",
    "zeros",
    "ones",
    "normal",
    "uniform",
    "Parameter",
    "full",
)
_STEPS = ("view", "reshape", "flatten", "unsqueeze", "squeeze", "permute", "transpose", "long", "float", "t", "detach",
          "contiguous", "astype", "expand_dims", "mean", "sum", "argmax")  # fmt: skip
_WORDS = ("batch_first", "padding", "bidirectional", "stride", "keepdim", "dtype", "stride", "retain_graph", "padding_idx",
          "ignore_index", "keepdims", "output_padding", "dim", "axis")  # fmt: skip
_LOSSES = (
    "criterion",
    "loss_fn",
    "cross_entropy",
    "mse_loss",
    "nll_loss",
    "binary_cross_entropy",
    "loss_function",
)

Mutant = tuple[str, str, frozenset[int]]
"""What was done, the text, and the line it was done on."""


def mutants(source: str) -> Iterator[Mutant]:
    """Yield `source` with one thing in it wrong, for all things."""
    tree = ast.parse(source)
    for number, (place, _, _) in enumerate(_places(tree)):
        changed = copy.deepcopy(tree)
        _, statement, change = list(_places(changed))[number]
        change()
        mark(statement)
        new, lines = text(_Gone().visit(changed))
        yield place, new, lines


def _places(tree: ast.Module) -> Iterator[tuple[str, ast.stmt, object]]:
    """Yield what can be changed: in words, its statement, and a function that does it."""
    for held in list(statements(tree)):
        for statement in held:
            own = [
                one for one in ast.iter_child_nodes(statement) if not isinstance(one, (ast.stmt, ast.arguments))
            ]
            if isinstance(statement, (ast.ClassDef, ast.FunctionDef)):
                continue
            if (
                isinstance(statement, ast.Expr)
                and len(held) > 1
                and _name(statement.value) in ("zero_grad", "eval")
            ):
                yield f"no {_name(statement.value)}", held[held.index(statement) - 1], _without(held, statement)
            for call in [one for part in own for one in calls(part)]:
                yield from ((words, statement, change) for words, change in _changes(call))


def _without(held: list[ast.stmt], statement: ast.stmt):  # type: ignore[no-untyped-def]
    return lambda: held.remove(statement)


def _name(node: ast.expr) -> str:
    function = node.func if isinstance(node, ast.Call) else node
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _changes(call: ast.Call):  # type: ignore[no-untyped-def]
    name = _name(call)
    if name in _LAYERS or name in _SHAPING:
        for one in [each for part in (*call.args, *call.keywords) for each in ast.walk(part)]:
            if is_number(one) and type(one.value) is int and one.value > 1:  # type: ignore[attr-defined]
                yield f"{name} number", _set(one, "value", one.value * 2)  # type: ignore[attr-defined]
                yield f"{name} number", _set(one, "value", one.value + 1)  # type: ignore[attr-defined]
    if name in _LAYERS and len(call.args) > 1:
        yield f"{name} swapped", _set(call, "args", [call.args[1], call.args[0], *call.args[2:]])
    if name in _LOSSES and len(call.args) == 2:
        yield f"{name} swapped", _set(call, "args", call.args[::-1])
    for word in call.keywords:
        if word.arg in _WORDS:
            yield f"no {word.arg}", _set(call, "keywords", [one for one in call.keywords if one is not word])
        if word.arg in ("dim", "axis") and is_number(word.value):
            yield f"other {word.arg}", _set(word.value, "value", 0 if word.value.value else 1)  # type: ignore[attr-defined]
    if name in ("cat", "concat", "stack", "softmax", "transpose", "unsqueeze", "squeeze", "mean", "sum", "log_softmax") and (
        call.args and is_number(call.args[-1])):  # fmt: skip
        yield f"{name} other axis", _set(call.args[-1], "value", 0 if call.args[-1].value else 1)  # type: ignore[attr-defined]
    if (
        name in _STEPS
        and isinstance(call.func, ast.Attribute)
        and not isinstance(call.func.value, ast.Name | ast.Constant)
    ):
        yield f"no {name}", _becomes(call, call.func.value)
    elif name in _STEPS and isinstance(call.func, ast.Attribute) and getattr(call.func.value, "id", "") not in (
        "torch", "tf", "np", "F", "nn"):  # fmt: skip
        yield f"no {name}", _becomes(call, call.func.value)


def _set(node: ast.AST, name: str, value: object):  # type: ignore[no-untyped-def]
    return lambda: setattr(node, name, value)


def _becomes(call: ast.Call, value: ast.expr):  # type: ignore[no-untyped-def]
    """Turn a call into what it is called on."""
    return lambda: setattr(call, "gone", value)


class _Gone(ast.NodeTransformer):
    """Puts what a call is called on in its place."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        gone = getattr(node, "gone", None)
        return self.generic_visit(node) if gone is None else self.visit(gone)
