"""Incoming: the gradients of forward tensors in a traced function, read off what its backward ops take."""

from __future__ import annotations

from collections.abc import Iterator

from graphdebug.backends.tensorflow.two.plan import Entry, Gradients, Plan, Ref

__all__ = ["incoming_gradients"]

_ONE_GRADIENT = frozenset({
    "FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3", "SoftmaxCrossEntropyWithLogits",
    "SparseSoftmaxCrossEntropyWithLogits", "MaxPoolWithArgmax",
})  # fmt: skip
"""Ops with several outputs of which only the first is differentiated."""

_JOINED = {"Split": "ConcatV2", "SplitV": "ConcatV2", "Unpack": "Pack"}
"""Ops that take a tensor apart, and the op that joins the gradients of the parts in the same order."""


def incoming_gradients(plan: Plan) -> Iterator[Gradients]:
    """Yield the gradients of forward tensors that a plan computes and that nothing has told of so far.

    The gradient function of a forward op takes the gradient of what that op gave. Its ops are those tied to
    the forward op, so what they read of other backward ops is that gradient. A sum of several gradients
    (AddN) is none of a gradient function's own ops.
    """
    known = {one.forward for one in plan.gradients}
    groups: dict[str, list[int]] = {}
    for index, entry in enumerate(plan.entries):
        if entry.phase == "backward" and entry.forward and entry.forward not in known and entry.op != "AddN":
            groups.setdefault(entry.forward, []).append(index)
    by_name = {entry.name: entry for entry in plan.entries}
    for forward, members in groups.items():
        yield from _of_group(plan, forward, by_name.get(forward), members)


def _of_group(plan: Plan, forward: str, made: Entry | None, members: list[int]) -> Iterator[Gradients]:
    inside = set(members)
    for member in members:
        entry = plan.entries[member]
        if made is not None and _JOINED.get(made.op) == entry.op:
            parts = [ref for ref, _ in entry.inputs][: len(made.outputs)]
            yield from (
                Gradients("", ref, forward, at) for at, ref in enumerate(parts) if _is_gradient(plan, ref)
            )
            return
    given = dict.fromkeys(
        ref for member in members for ref, _ in plan.entries[member].inputs
        if _is_gradient(plan, ref) and ref.at not in inside
    )  # fmt: skip
    one_output = made is None or len(made.outputs) == 1 or made.op in _ONE_GRADIENT
    if len(given) == 1 and one_output:
        (ref,) = given
        if made is None or _same_shape(plan, ref, made):
            yield Gradients("", ref, forward)


def _is_gradient(plan: Plan, ref: Ref) -> bool:
    """Whether a tensor is made by a backward op, and is no shape or index."""
    if ref.kind != "entry" or plan.entries[ref.at].phase != "backward":
        return False
    outputs = plan.entries[ref.at].outputs
    return ref.output < len(outputs) and "float" in outputs[ref.output].dtype


def _same_shape(plan: Plan, ref: Ref, made: Entry) -> bool:
    one, other = plan.entries[ref.at].outputs[ref.output].shape, made.outputs[0].shape
    if one is None or other is None:
        return True
    return len(one) == len(other) and all(
        a == b or a is None or b is None for a, b in zip(one, other, strict=True)
    )
