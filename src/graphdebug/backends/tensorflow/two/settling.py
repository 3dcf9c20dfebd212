"""Settling: gives backward ops the words of their forward ops, when all of a function has been read."""

from __future__ import annotations

import re
from collections.abc import Mapping

from graphdebug.backends.tensorflow.two.plan import Entry, Plan
from graphdebug.backends.tensorflow.two.plumbing import tie_plumbing
from graphdebug.backends.tensorflow.vocabulary import word

__all__ = ["OF_OUTER", "settle"]

OF_OUTER = "^"
"""Marks a path below the body of the forward loop or branch: which one, the backward loop or branch knows."""


def settle(plan: Plan) -> None:
    """Give backward ops the words of their forward ops, and see whether this is a training step."""
    _unmistake_sums(plan)
    by_name = {entry.name: entry for entry in plan.entries}
    plan.updates = _updates(plan)
    for entry in plan.entries:
        if entry.phase != "backward":
            entry.forward = ""
            continue
        if entry.forward not in by_name:
            entry.forward = (
                _forward_by_suffix(plan, entry) or _forward_by_scope(entry, by_name)
                or _forward_by_inputs(plan, entry) or entry.forward
            )  # fmt: skip
        forward = by_name.get(entry.forward)
        if forward is not None:
            entry.module = forward.module
            entry.function = f"{forward.function.removesuffix('_backward')}_backward"
            entry.family = forward.family
        _settle_bodies(entry)
    _tie_plumbing(plan)


def _tie_plumbing(plan: Plan, within: Entry | None = None) -> None:
    tie_plumbing(plan, within)
    for entry in plan.entries:
        for part in entry.control.parts if entry.control is not None else ():
            _tie_plumbing(part, entry)


def _updates(plan: Plan) -> bool:
    """Whether it computes and applies gradients, be it in a branch or in a loop of several steps."""
    bodies = [body for control in plan.controls() for body in control.bodies]
    entries = [entry for one in (plan, *bodies) for entry in one.entries]
    applied = any(entry.family == "assign" and entry.phase == "optimizer" for entry in entries)
    return applied and any(entry.phase == "backward" for entry in entries)


def _unmistake_sums(plan: Plan) -> None:
    """Give the sum of a tensor's gradients, which says nothing by its name, to the pass that takes it."""
    taken: set[int] = set()
    for index in range(len(plan.entries) - 1, -1, -1):
        entry = plan.entries[index]
        if entry.phase == "optimizer" and index in taken:
            entry.phase = "backward"
        if entry.phase == "backward":
            taken |= {ref.at for ref, _ in entry.inputs if ref.kind == "entry"}


def _settle_bodies(entry: Entry) -> None:
    """Tie the ops in a backward loop or branch to those in the forward one."""
    if entry.control is None:
        return
    for kind, body in zip(entry.control.words, entry.control.bodies, strict=True):
        for inner in body.entries:
            if inner.forward.startswith(OF_OUTER):
                path = f"{entry.forward}/{kind}/{inner.forward.removeprefix(OF_OUTER)}"
                inner.forward = path if entry.forward else ""
            _settle_bodies(inner)


def _forward_by_suffix(plan: Plan, entry: Entry) -> str:
    """Find the forward op of a backward function's op: it is in another function that was called here."""
    fitting = (one.name for one in plan.entries if one.phase == "forward" and entry.forward)
    return next((name for name in fitting if name.endswith(f"/{entry.forward}")), "")


def _forward_by_scope(entry: Entry, by_name: Mapping[str, Entry]) -> str:
    """Return the forward op in whose scope the gradient op ``gradient_tape/add/Sum`` stands: ``add``."""
    found = re.match(r"(.*?)gradient_tape/(.+)/[^/]+$", entry.name)
    name = f"{found.group(1)}{found.group(2)}" if found else ""
    return name if name in by_name and by_name[name].phase == "forward" else ""


def _forward_by_inputs(plan: Plan, entry: Entry) -> str:
    """Tie a backward op to a forward op by the tensors both read, for a function traced before recording."""
    wanted = word(entry.op).backward_of or entry.op
    reads = {(ref.kind, ref.at, ref.output) for ref, _ in entry.inputs if ref.kind != "known"}
    for index in range(len(plan.entries) - 1, -1, -1):
        candidate = plan.entries[index]
        if candidate.op != wanted or candidate.phase != "forward":
            continue
        its = {(ref.kind, ref.at, ref.output) for ref, _ in candidate.inputs if ref.kind != "known"}
        if reads & its or any(kind == "entry" and at == index for kind, at, _ in reads):
            return candidate.name
    return ""
