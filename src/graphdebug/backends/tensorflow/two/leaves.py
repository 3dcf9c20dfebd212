"""Leaves: the gradients of variables in a function traced before recording, told by what backward ops give."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from graphdebug.backends.tensorflow.two.plan import Entry, Gradients, Plan, Ref
from graphdebug.backends.tensorflow.vocabulary import word
from graphdebug.model.event import Shape

__all__ = ["variable_gradients"]


def variable_gradients(plan: Plan, variables: Mapping[int, tuple[str, Shape | None]]) -> Iterator[Gradients]:
    """Yield the gradients of variables that a plan computes and that nothing has told of so far.

    An optimizer's op says which it is given. Else it is what the backward ops of the one op that reads the
    variable give in its shape without reading it, or the sum of these over all ops that read it. Where that is
    not one tensor, nothing is said.

    Args:
        plan: a function's.
        variables: name and shape by the number of the argument.

    """
    known = {one.variable for one in plan.gradients}
    applied = {at: ref for entry in plan.entries for at, ref in _applied(entry)}
    for at, (name, shape) in variables.items():
        ref = applied.get(at) or _read_off(plan, at, shape)
        if name not in known and ref is not None:
            yield Gradients(name, ref)


def _applied(entry: Entry) -> Iterator[tuple[int, Ref]]:
    """Yield the variable that an op of an optimizer updates, with the gradient that it is given."""
    roles = word(entry.op).roles
    if "Apply" in entry.op and "gradient" in roles and entry.inputs[0][0].kind == "argument":
        yield entry.inputs[0][0].at, entry.inputs[roles.index("gradient")][0]


def _read_off(plan: Plan, at: int, shape: Shape | None) -> Ref | None:
    readers = [
        entry.name for entry in plan.entries
        if entry.phase == "forward" and entry.family != "assign" and _reads(entry, at)
    ]  # fmt: skip
    parts = [_given_by(plan, reader, at, shape) for reader in readers]
    if not parts or any(one is None for one in parts):
        return None
    wanted = {(one.at, one.output) for one in parts if one is not None}
    if len(wanted) == 1:
        return parts[0]
    sums = [
        index for index, entry in enumerate(plan.entries)
        if entry.op in ("AddN", "AddV2") and {(ref.at, ref.output) for ref, _ in entry.inputs} == wanted
    ]  # fmt: skip
    return Ref("entry", sums[0]) if len(sums) == 1 else None


def _given_by(plan: Plan, reader: str, at: int, shape: Shape | None) -> Ref | None:
    """Return what the backward ops of a forward op give to others in a variable's shape."""
    group = [index for index, entry in enumerate(plan.entries) if _is_of(entry, reader)]
    passed_on = {ref.at for index in group for ref, _ in plan.entries[index].inputs if ref.kind == "entry"}
    last = [index for index in group if index not in passed_on]
    found = [Ref("entry", index, output) for index in last for output in _fitting(plan.entries[index], shape)]
    if len(found) > 1:  # the other operand's gradient is made with the variable
        found = [ref for ref in found if not _reads(plan.entries[ref.at], at)]
    return found[0] if len(found) == 1 else None


def _is_of(entry: Entry, reader: str) -> bool:
    return entry.phase == "backward" and entry.forward == reader and entry.op != "AddN"


def _fitting(entry: Entry, shape: Shape | None) -> Sequence[int]:
    facts = enumerate(entry.outputs)
    return [output for output, fact in facts if "float" in fact.dtype and shape and fact.shape == shape]


def _reads(entry: Entry, at: int) -> bool:
    return any(ref.kind == "argument" and ref.at == at for ref, _ in entry.inputs)
