"""Variables of a TF1 graph, resource or reference: which tensor reads which variable, and who made it."""

from __future__ import annotations

from typing import Any

__all__ = ["variable_of", "variable_op"]

_HANDLES = ("VarHandleOp",)
_REFERENCES = ("VariableV2", "Variable")
_THROUGH = ("Identity", "ReadVariableOp", "Enter", "RefEnter", "Switch", "RefSwitch", "ResourceGather")


def variable_of(tensor: Any) -> str:
    """Return the name of the variable that `tensor` is, points at or is a plain read of, else an empty name."""
    op = variable_op(tensor)
    return "" if op is None else str(op.name)


def variable_op(tensor: Any) -> Any:
    """Return the op that holds the variable `tensor` reads, or None if it is not a plain read of one."""
    op = tensor.op
    for _ in range(8):
        if op.type in _HANDLES or op.type in _REFERENCES:
            return op
        if op.type not in _THROUGH or op.type == "ResourceGather" or not op.inputs:
            return None
        op = op.inputs[0].op
    return None
