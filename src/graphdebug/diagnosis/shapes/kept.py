"""Kept: axes of each sample that a prediction still has, and its target has not."""

from __future__ import annotations

from graphdebug.diagnosis.account import Account, call, made_by, operand_origin, trained_on
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.ranking import held
from graphdebug.diagnosis.words import shape_words
from graphdebug.model.event import Failure, Node, Operand
from graphdebug.model.finding import Candidate

__all__ = ["explain", "idle_squeeze", "of_the_loss"]

_SPOKEN = ("reshape", "view", "flatten", "rearrange", "squeeze")


def explain(evidence: Evidence, failure: Failure, guess: Operand, target: Operand) -> Account | None:
    """Account for a prediction with more axes than its target: what brought them, or kept them."""
    guess, target = _given(evidence, failure, guess), _given(evidence, failure, target)
    a, b = guess.fact.shape or (), target.fact.shape or ()
    numbers = (
        failure.function in ("cross_entropy", "sparse_cross_entropy", "nll_loss") and "int" in target.fact.dtype
    )
    if numbers and b[1:] in ((), (1,)) and len(a) in (3, 4) and a[:1] == b[:1] and 1 not in a[1:-1]:
        lines = _never_flattened(evidence, guess) or _brought(evidence, guess)
        b = (*b[:1], a[-1])
    elif not 2 <= len(b) < len(a) or a[0] != b[0] or a[-1] != b[-1]:
        return None
    else:
        looked_up = evidence.provenance.node(evidence.provenance.way(guess)[0].producer)
        lines = _brought(evidence, guess)
        if not lines or looked_up is None or lines[0].site == looked_up.site:  # each word has its row
            lines = _never_flattened(evidence, guess) or lines
    if not lines:
        return None
    extra = shape_words(a[1 : len(a) - len(b) + 1])
    sizes = f"prediction {shape_words(a)} against target {shape_words(target.fact.shape)}"
    body = [f"{sizes}: each sample kept the axes {extra}"]
    entry = trained_on(evidence, failure, "labels")
    entry = entry or operand_origin(evidence, target, failure, f"the target {shape_words(target.fact.shape)}")
    tries = ["flatten, pool or sum over them, so that each sample is one row"]
    named = [*held(lines, "changed_size"), *held(call(failure), "refused"), *held(entry, "began")]
    return Account(named, body, tries, kind="target_mismatch", confidence=0.75)


def of_the_loss(evidence: Evidence, failure: Failure, node: Node | None) -> bool:
    """Whether the failing loss made the reshape `node` for itself: the line that calls it says none."""
    if node is None or node.family != "reshape" or failure.family != "loss":
        return False
    if node.site is None or failure.site is None or node.site.file != failure.site.file:
        return False
    spoken = evidence.source.line(node.site)
    return node.site.line == failure.site.line and bool(spoken) and not any(one in spoken for one in _SPOKEN)


def _given(evidence: Evidence, failure: Failure, operand: Operand) -> Operand:
    """Return what the loss was given, before any reshape of its own."""
    for _ in range(4):
        node = evidence.provenance.node(operand.producer)
        if node is None or not node.inputs or not of_the_loss(evidence, failure, node):
            break
        operand = node.inputs[0]
    return operand


def _brought(evidence: Evidence, guess: Operand) -> list[Candidate]:
    """Return the last node on the way that gave more axes than it was given."""
    root, links = evidence.provenance.way(guess)
    looked_up = evidence.provenance.node(root.producer)
    index = (
        next((i for i, one in enumerate(looked_up.inputs) if one.role == "index"), None) if looked_up else None
    )
    first = [(looked_up, index)] if looked_up is not None and index is not None else []
    for node, through in reversed([*first, *links]):
        before = node.inputs[through].fact.shape
        after = node.outputs[0].shape if node.outputs else None
        layer = evidence.provenance.declared(node.module) if node.module else None
        if layer is not None and layer.type == "Dense":  # it folds the axes before the last, and unfolds them
            continue
        if before is not None and after is not None and len(after) > len(before):
            went = f"{shape_words(before)} -> {shape_words(after)}"
            return made_by(node, f"the {node.function} {went} brings an axis")
    return []


def _never_flattened(evidence: Evidence, guess: Operand) -> list[Candidate]:
    """Return the first layer after convolutions or a table that was made for their channels alone, not for all
    axes.
    """
    channels, spatial = None, False
    for one in evidence.provenance.declarations():
        words = one.attributes
        if "kernel_size" in words or "pool_size" in words:
            channels, spatial = words.get("out_channels", channels), True
        elif one.type == "Embedding" and isinstance(words.get("output_dim"), int):
            channels, spatial = words["output_dim"], True
        elif one.type.startswith("Global") or one.type == "Flatten" or "return_sequences" in words:
            spatial = False
        elif spatial and "in_features" in words:
            alone = channels is not None and words["in_features"] == channels
            why = f"{one.name} takes the {channels} channels and keeps the axes before them"
            own = [Candidate(one.site, "declaration", why, one.name)] if alone and one.site is not None else []
            return [*(_called_at(evidence, guess, one.name) if own else []), *own]
    return []


def _called_at(evidence: Evidence, guess: Operand, layer: str) -> list[Candidate]:
    """Return the line of a class's own call that calls a layer: there the step before it is missing."""
    for node, _ in reversed(evidence.provenance.way(guess)[1]):
        within = f"{node.module}/".replace(".", "/").startswith(f"{layer}/".replace(".", "/"))
        own = node.site.function.rpartition(".")[2] if within and node.site is not None else ""
        if own in ("call", "forward", "__call__"):
            return made_by(node, f"calls {layer} with the axes before its channels")
    return []


def idle_squeeze(evidence: Evidence, failure: Failure, one: Operand, other: Operand) -> Account | None:
    """A squeeze on the way took nothing away, where another dimension of size 1 is too many."""
    a, b = one.fact.shape or (), other.fact.shape or ()
    if (
        len(a) != len(b) + 1
        or 1 not in a
        or [size for size in a if size != 1] != [size for size in b if size != 1]
    ):
        return None
    for node, through in reversed(evidence.provenance.way(one)[1]):
        before = node.inputs[through].fact.shape
        if (
            node.function == "squeeze"
            and node.outputs
            and node.outputs[0].shape == before
            and 1 in (before or ())
        ):
            axis = list(before or ()).index(1)
            body = [f"the squeeze takes nothing from {shape_words(before)}: axis {axis} is the one of size 1"]
            lines = [*held(made_by(node, "takes nothing away"), "repairs"), *held(call(failure), "refused")]
            return Account(lines, body, [f"squeeze axis {axis}"], kind="target_mismatch", confidence=0.8)
    return None
