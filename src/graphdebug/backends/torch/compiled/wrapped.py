"""Ops that torch wrapped so that a checkpoint draws the same random numbers again, read as they were."""

from __future__ import annotations

import operator
from typing import Any, NamedTuple

from torch import fx

__all__ = ["Called", "called_by"]

_SAVING, _AGAIN, _OF_GENERATOR = "run_and_save_rng_state", "run_with_rng_state", "graphsafe_run_with_rng_state"


class Called(NamedTuple):
    """What a node of a captured graph calls."""

    target: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    meta: dict[str, Any]
    inside: int | None = None
    """Which part of what the node returns is the op's result; None where all of it is."""


def called_by(node: fx.Node) -> Called:
    """Return the op that a node calls, the one inside where it is wrapped."""
    name = getattr(node.target, "__name__", "")
    if name == _SAVING:
        return Called(node.args[0], node.args[1:], node.kwargs, _meta_of_parts(node, 1), 1)
    if name == _AGAIN:
        return Called(node.args[1], node.args[2:], node.kwargs, _meta_of_parts(node, None))
    if name == _OF_GENERATOR:
        kwargs = {key: value for key, value in node.kwargs.items() if key != "rng_state"}
        return Called(node.args[0], node.args[1:], kwargs, _meta_of_parts(node, None))
    return Called(node.target, node.args, node.kwargs, node.meta)


def _meta_of_parts(node: fx.Node, inside: int | None) -> dict[str, Any]:
    """Return what is known of the op: the wrapper itself tells nothing, what takes its result apart does."""
    parts: dict[Any, dict[str, Any]] = {
        one.args[1]: one.meta for one in node.users if one.target is operator.getitem
    }
    if inside is not None:
        return parts.get(inside, {})
    if not parts:
        return dict(node.meta)
    values: list[Any] = []
    while len(values) in parts:
        values.append(parts[len(values)].get("val"))
    return next(iter(parts.values())) | {"val": values}
