"""In-place change: the line that wrote a tensor which backward still needed, not the op that missed it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from graphdebug.diagnosis.account import call, made_by
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.refused.crossings import stale_use
from graphdebug.diagnosis.shapes.shape import when
from graphdebug.diagnosis.words import place, shape_words
from graphdebug.model.event import Failure, Node, Operand
from graphdebug.model.finding import Candidate, Finding

__all__ = ["explain", "explain_assigned", "explain_leaf"]

_UNWRITABLE = re.compile(r"'[\w.]*Tensor' object does not support item assignment")

_KEEP_OUTPUT = frozenset(
    {"exp", "sqrt", "rsqrt", "sigmoid", "tanh", "softmax", "log_softmax", "relu", "reciprocal", "expm1", "norm",
     "std", "cumprod", "prod", "logsumexp", "max_pool2d", "elu", "selu"}
)  # fmt: skip
"""Functions whose derivative is computed from their output."""
_KEEP_NOTHING = ("random", "fill", "copy", "assign")
_KEEP_INPUTS = frozenset(
    {"mul", "div", "pow", "square", "log", "log1p", "sin", "cos", "abs", "matmul", "bmm", "linear", "conv1d",
     "conv2d", "conv3d", "batch_norm", "layer_norm", "group_norm", "gelu", "silu", "leaky_relu", "softplus",
     "mse_loss", "bce", "bce_with_logits", "atan2", "norm", "std", "var", "max_pool2d", "clamp", "minimum",
     "maximum", "prod", "cumprod", "scaled_dot_product_attention"}
)  # fmt: skip
"""Functions whose derivative is computed from their inputs."""


def explain(evidence: Evidence, failure: Failure) -> Finding:
    """Return the finding for a saved tensor that was written before backward used it."""
    saved = evidence.provenance.node(_seq(failure.detail.get("saved_by")))
    writers = _writers(evidence, failure)
    candidates = [
        Candidate(node.site, "mutation", f"{node.function} writes in place", node.name)
        for node in writers
        if node.site is not None
    ]
    stepped = next((node for node in writers if node.phase == "optimizer"), None)
    if stepped is not None:
        candidates = [*stale_use(evidence, failure, stepped), *candidates]
    body = []
    seen, saved = saved, _viewed(evidence, saved)
    keeps = saved is seen or (saved is not None and saved.function in _KEEP_OUTPUT)
    if saved is not None and keeps and saved is not seen:
        candidates += made_by(saved, f"{saved.function} keeps what it gave for its backward")
        gave = shape_words(saved.outputs[0].shape) if saved.outputs else "tensor"
        body.append(f"  {saved.function}, {place(saved.site)}, kept the {gave} that it gave for its gradient")
    elif saved is not None and (not keeps or saved.family in _KEEP_NOTHING):
        candidates += made_by(saved, "made it")
        made = saved.outputs[0].shape if saved.outputs else None
        body.append(f"  it is the {shape_words(made)} that {saved.function}, {place(saved.site)}, made")
    elif saved is not None:
        candidates += made_by(saved, f"{saved.function} keeps it for its backward")
        kept = saved.inputs[0].fact.shape if saved.inputs else None
        body.append(
            f"  {saved.function}, {place(saved.site)}, kept a tensor {shape_words(kept)} for its gradient"
        )
    body += [f"  {one.function} at {place(one.site)} wrote it (step {one.step})" for one in writers[:3]]
    versions = failure.detail.get("found_version"), failure.detail.get("expected_version")
    if None not in versions:
        body.append(f"  it was at version {versions[1]} when kept, at {versions[0]} when backward came")
    tries = ["write out of place: x = x + 1 for x += 1, relu for relu_", "write into a clone()"]
    if stepped is not None:
        tries = ["call backward before the optimizer steps", "run the forward pass again after the step"]
    return evidence.finding(
        "inplace_change", what="a tensor that backward needs was changed in place",
        candidates=[*candidates, *call(failure, "the call of backward")],
        confidence=0.9 if writers else 0.4, failed=failure.site, when=when(failure), body=body, tries=tries,
        operands=failure.operands, evidence=(failure.seq, *(node.seq for node in writers)),
    )  # fmt: skip


def explain_leaf(evidence: Evidence, failure: Failure) -> Finding:
    """Return the finding for an in-place change of a parameter outside no_grad."""
    name = next((one.name or one.expression for one in failure.operands if one.name or one.expression), "")
    return evidence.finding(
        "inplace_leaf", what=f"{name or 'a leaf tensor'} requires grad and was changed in place",
        candidates=call(failure, "the in-place change"), confidence=0.9, when=when(failure),
        body=["  a leaf that requires grad can only be written where no graph is recorded"],
        tries=["write it under `with torch.no_grad():`", "make a new tensor instead"],
        operands=failure.operands, evidence=(failure.seq,),
    )  # fmt: skip


def explain_assigned(evidence: Evidence, failure: Failure) -> Finding | None:
    """Return the finding for an assignment to elements of a tensor that can't be written."""
    if _UNWRITABLE.search(failure.message) is None or failure.site is None:
        return None
    return evidence.finding(
        "inplace_leaf", what="elements of a tensor that can't be written were assigned to",
        candidates=call(failure, "assigns to elements"), confidence=0.9, when=when(failure),
        body=["  such a tensor keeps the values that it was made with; an array or a variable can be written"],
        tries=["compute it: where(mask, new, x), or x * mask", "a scatter or tensor_scatter_nd_update"],
        operands=failure.operands, evidence=(failure.seq,),
    )  # fmt: skip


def _writers(evidence: Evidence, failure: Failure) -> list[Node]:
    """Return the nodes that wrote the tensor: as the backend found them, else the last in-place writes of a
    tensor of the shape that was saved.
    """
    seqs = failure.detail.get("mutated_by")
    if isinstance(seqs, list) and seqs:
        found = [evidence.provenance.node(_seq(seq)) for seq in seqs]
        return [node for node in found if node is not None]
    return list(_overwritten(evidence, list(evidence.before(failure.seq, failure.step))[::-1]))[-1:]


def _overwritten(evidence: Evidence, nodes: Sequence[Node]) -> Iterator[Node]:
    """Yield the nodes that wrote in place what an earlier forward node keeps for its gradient.

    Writes that a later forward pass read again (an optimizer's, in a loop) are left out.
    """
    kept: dict[object, int] = {}
    last_use: dict[object, int] = {}
    for node in nodes:
        if node.phase == "forward" and not node.mutates:
            for operand in node.inputs:
                last_use[_memory(evidence, operand)] = node.seq
                if node.function in _KEEP_INPUTS:
                    kept[_memory(evidence, operand)] = node.seq
            if node.function in _KEEP_OUTPUT:
                kept[node.seq] = node.seq
    for node in nodes:
        for index in node.mutates if node.phase in ("forward", "optimizer") else ():
            memory = _memory(evidence, node.inputs[index]) if index < len(node.inputs) else None
            used = last_use.get(memory, -1) if node.phase == "optimizer" else -1
            if memory in kept and kept[memory] < node.seq and used < node.seq:
                yield node
                break


def _viewed(evidence: Evidence, node: Node | None) -> Node | None:
    """Return the node that made the memory which `node`, a mere copy of the handle, gave again."""
    for _ in range(20):
        if node is None or node.family != "copy" or not node.outputs or node.outputs[0].alias_of is None:
            break
        before = evidence.provenance.node(node.outputs[0].alias_of)
        if before is None:
            break
        node = before
    return node


def _memory(evidence: Evidence, operand: Operand) -> object:
    """Return what stands for the memory of an operand: a parameter's name, or the node that made it."""
    if operand.origin in ("parameter", "buffer", "variable"):
        return operand.name
    node = evidence.provenance.node(operand.producer)
    for _ in range(20):
        if node is None or not node.inputs or not node.outputs or node.outputs[0].alias_of is None:
            break
        viewed = next((one for one in node.inputs if one.producer == node.outputs[0].alias_of), node.inputs[0])
        if viewed.origin in ("parameter", "buffer", "variable"):
            return viewed.name
        node = evidence.provenance.node(viewed.producer)
    return node.seq if node is not None else None


def _seq(value: object) -> int | None:
    return value if isinstance(value, int) else None
