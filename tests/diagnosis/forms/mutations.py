"""Right programs made wrong in one place: every place and way that users get wrong, the true line known."""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterator

from .syntax import calls, is_number, mark, statements, text

__all__ = ["Mutant", "mutants"]

_LAYERS = (
    "Linear", "Conv1d", "Conv2d", "Conv3d", "ConvTranspose2d", "LSTM", "GRU", "RNN", "Embedding",
    "BatchNorm2d", "BatchNorm1d", "LayerNorm", "MultiheadAttention", "TransformerEncoderLayer", "Dense",
    "Conv2D", "Input", "placeholder",
)  # fmt: skip
_SHAPING = (
    "view", "reshape", "randn", "rand", "randint", "zeros", "ones", "normal", "uniform", "Parameter", "full",
)  # fmt: skip
_STEPS = (
    "view", "reshape", "flatten", "unsqueeze", "squeeze", "permute", "transpose", "long", "float", "t",
    "detach", "contiguous", "astype", "expand_dims", "mean", "sum", "argmax",
)  # fmt: skip
_WORDS = (
    "batch_first", "padding", "bidirectional", "stride", "keepdim", "dtype", "retain_graph", "padding_idx",
    "ignore_index", "keepdims", "output_padding", "dim", "axis",
)  # fmt: skip
_LOSSES = (
    "criterion", "loss_fn", "cross_entropy", "mse_loss", "nll_loss", "binary_cross_entropy", "loss_function",
)  # fmt: skip
_OF_AXES = (
    "cat", "concat", "stack", "softmax", "transpose", "unsqueeze", "squeeze", "mean", "sum", "log_softmax",
)  # fmt: skip
_LIBRARIES = ("torch", "tf", "np", "F", "nn")  # fmt: skip

Mutant = tuple[str, str, frozenset[int]]
"""What was done, the text, and the line it was done on."""
_Change = tuple[str, Callable[[], object]]
"""In words, and what does it."""


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


def _places(tree: ast.Module) -> Iterator[tuple[str, ast.stmt, Callable[[], object]]]:
    """Yield what can be changed: in words, its statement, and a function that does it."""
    for held in list(statements(tree)):
        for statement in held:
            if isinstance(statement, ast.ClassDef | ast.FunctionDef):
                continue
            name = _name(statement.value) if isinstance(statement, ast.Expr) else ""
            if name in ("zero_grad", "eval") and len(held) > 1:
                before = held[held.index(statement) - 1]
                yield f"no {name}", before, lambda held=held, one=statement: held.remove(one)
            parts = (one for one in ast.iter_child_nodes(statement) if not isinstance(one, ast.stmt))
            for call in [one for part in parts for one in calls(part)]:
                for changes in (_sizes, _order, _words, _axes, _steps):
                    yield from ((words, statement, change) for words, change in changes(call))


def _name(node: ast.expr) -> str:
    function = node.func if isinstance(node, ast.Call) else node
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _sizes(call: ast.Call) -> Iterator[_Change]:
    name = _name(call)
    for one in ast.walk(call) if name in _LAYERS or name in _SHAPING else ():
        value = getattr(one, "value", None)
        if is_number(one) and type(value) is int and value > 1:
            yield f"{name} number", _set(one, "value", value * 2)
            yield f"{name} number", _set(one, "value", value + 1)


def _order(call: ast.Call) -> Iterator[_Change]:
    name = _name(call)
    if (name in _LAYERS and len(call.args) > 1) or (name in _LOSSES and len(call.args) == 2):
        yield f"{name} swapped", _set(call, "args", [call.args[1], call.args[0], *call.args[2:]])


def _words(call: ast.Call) -> Iterator[_Change]:
    for word in call.keywords:
        if word.arg in _WORDS:
            yield f"no {word.arg}", _set(call, "keywords", [one for one in call.keywords if one is not word])


def _axes(call: ast.Call) -> Iterator[_Change]:
    given = [word.value for word in call.keywords if word.arg in ("dim", "axis")]
    given += call.args[-1:] if _name(call) in _OF_AXES else []
    for one in given:
        if is_number(one):
            yield f"{_name(call)} other axis", _set(one, "value", 0 if one.value else 1)  # type: ignore[attr-defined]


def _steps(call: ast.Call) -> Iterator[_Change]:
    owner = call.func.value if isinstance(call.func, ast.Attribute) else None
    if owner is not None and _name(call) in _STEPS and getattr(owner, "id", "") not in _LIBRARIES:
        yield f"no {_name(call)}", _set(call, "gone", owner)


def _set(node: ast.AST, name: str, value: object) -> Callable[[], object]:
    return lambda: setattr(node, name, value)


class _Gone(ast.NodeTransformer):
    """Puts what a call is called on in its place."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        gone = getattr(node, "gone", None)
        return self.generic_visit(node) if gone is None else self.visit(gone)
