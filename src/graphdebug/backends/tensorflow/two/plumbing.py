"""Plumbing: ties what only serves the gradient of a node to that node: stacks of loops, sums, parts of pfor."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from graphdebug.backends.tensorflow.two.plan import Entry, Plan
from graphdebug.backends.tensorflow.vocabulary import word

__all__ = ["tie_plumbing"]

_PUSHED = "TensorListPushBack"
"""What a loop keeps of a tensor for its gradient."""
_SUMS = frozenset({"AddN", "ZerosLike"})
"""The sum of a tensor's gradients, and the gradient of one that nothing depends on."""


def tie_plumbing(plan: Plan, within: Entry | None) -> None:
    """Tie the backward ops of a part that are of no op's gradient to the forward op that they serve.

    Args:
        plan: the part.
        within: the loop or branch whose body it is.

    """
    names = {entry.name for entry in plan.entries}
    inside = "" if within is None else f"{within.name}/"
    loop = within.forward if within is not None and within.phase == "backward" else ""
    readers: dict[int, list[Entry]] = {}
    for entry in plan.entries:
        for ref, _ in entry.inputs:
            if ref.kind == "entry":
                readers.setdefault(ref.at, []).append(entry)
    by_group = _groups(plan)
    for index in range(len(plan.entries) - 1, -1, -1):
        entry = plan.entries[index]
        nowhere = inside and entry.forward.startswith(inside) and entry.forward not in names
        if entry.phase != "backward" or (entry.forward and not nowhere):
            continue
        entry.forward = ""
        if entry.op == _PUSHED:
            _tie_to_pushed(plan, entry)
        elif entry.op in _SUMS:
            entry.forward = _only({one.forward for one in readers.get(index, ())})
        elif "/pfor/" in entry.name:
            entry.forward = by_group.get(_group(entry), "")
        if not entry.forward:
            entry.forward = loop


def _tie_to_pushed(plan: Plan, entry: Entry) -> None:
    ref = entry.inputs[1][0]
    if ref.kind == "entry":
        entry.forward, entry.beside = plan.entries[ref.at].name, True


def _groups(plan: Plan) -> Mapping[str, str]:
    """Return the forward op of each op that pfor has taken apart, by the path of the parts.

    It is that of the parts which are tied, else the one op of which it is the gradient and whose operands or
    results the parts read.
    """
    members: dict[str, list[Entry]] = {}
    for entry in plan.entries:
        if entry.phase == "backward" and "/pfor/" in entry.name:
            members.setdefault(_group(entry), []).append(entry)
    found = {}
    for group, parts in members.items():
        kind = re.sub(r"_\d+$", "", group.rpartition("/")[2])
        found[group] = _only({part.forward for part in parts if part.forward}) or _only(
            {one.name for one in _differentiated(plan, word(kind).backward_of, parts)}
        )
    return found


def _differentiated(plan: Plan, op: str | None, parts: list[Entry]) -> Iterator[Entry]:
    reads = {(ref.kind, ref.at) for part in parts for ref, _ in part.inputs if ref.kind != "known"}
    for index, entry in enumerate(plan.entries):
        if entry.phase == "forward" and entry.op == op:
            its = {(ref.kind, ref.at) for ref, _ in entry.inputs if ref.kind != "known"}
            if ("entry", index) in reads or its & reads:
                yield entry


def _group(entry: Entry) -> str:
    return entry.name.partition("/pfor/")[0]


def _only(names: set[str]) -> str:
    return next(iter(names)) if len(names) == 1 else ""
