"""Sums: what looking must leave alone for a sum of many tensors to add in the order it would add without it.

AddN writes into the first of its inputs whose memory nobody else holds, and adds the others to that: which one
comes first decides the last bits of three or more. A reader that is slow, or that keeps a tensor, changes it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = ["spared"]

_SHARING = frozenset({
    "BroadcastTo", "Cast", "CheckNumerics", "EnsureShape", "ExpandDims", "Identity", "Max", "Mean", "Min",
    "PreventGradient", "Reshape", "Snapshot", "Squeeze", "StopGradient", "Sum", "Tile", "Transpose",
})  # fmt: skip
"""Ops whose output may be the memory of their first input."""
_KEPT = frozenset({
    "_Arg", "Const", "Enter", "Exit", "IdentityN", "Merge", "NextIteration", "PartitionedCall", "Placeholder",
    "ReadVariableOp", "Split", "SplitV", "StatefulPartitionedCall", "Switch", "Unpack", "VariableV2",
    "_SwitchN",
})  # fmt: skip
"""Ops whose output others may hold."""

Place = tuple[str, int]
"""A tensor: its node's name, and which output it is."""


def spared(nodes: Sequence[Any], held: Iterable[Place] = ()) -> dict[Place, list[str]]:
    """Return the tensors that nobody else may hold while a sum runs, each with the names of the sums.

    Of two that come first either may be taken. Where one of them is free for sure, it is enough to spare that.

    Args:
        nodes: the NodeDefs that run.
        held: tensors that are handed out.

    """
    sums = [node for node in nodes if node.op == "AddN" and len(_inputs(node)) > 2]
    if not sums:
        return {}
    by_name = {node.name: node for node in nodes}
    uses = Counter([*(place for node in nodes for place in _inputs(node)), *held])
    found: dict[Place, list[str]] = {}
    for node in sums:
        chains = [_chain(place, by_name) for place in _inputs(node)]
        free = next((one for one in chains[:2] if _is_free(one, by_name, uses)), None)
        for place in free if free is not None else dict.fromkeys(place for one in chains for place in one):
            found.setdefault(place, []).append(node.name)
    return found


def _chain(place: Place, by_name: Mapping[str, Any]) -> list[Place]:
    """Return a tensor and those whose memory it may have."""
    found = [place]
    while (node := by_name.get(found[-1][0])) is not None and node.op in _SHARING:
        found.append(_inputs(node)[0])
    return found


def _is_free(chain: Sequence[Place], by_name: Mapping[str, Any], uses: Counter[Place]) -> bool:
    made = by_name.get(chain[-1][0])
    return made is not None and made.op not in _KEPT and all(uses[place] == 1 for place in chain)


def _inputs(node: Any) -> list[Place]:
    parts = [one.partition(":") for one in node.input if not one.startswith("^")]
    return [(name, int(output or 0)) for name, _, output in parts]
