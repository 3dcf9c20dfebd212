"""Samples: a batch of one, or behind another axis, that a layer or a squeeze takes for something else."""

from __future__ import annotations

from graphdebug.diagnosis import loops
from graphdebug.diagnosis.account import Account, call, data_entry, made_by
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.ranking import held
from graphdebug.diagnosis.shapes.geometry import Link
from graphdebug.diagnosis.words import shape_words
from graphdebug.model.event import Failure, Node, Operand
from graphdebug.model.finding import Candidate

__all__ = ["explain"]

_UNRECORDED = ("no_grad", "inference_mode", "stop_recording")
"""Words of the blocks and decorators in which no graph is recorded."""


def explain(evidence: Evidence, failure: Failure) -> Account | None:
    """Account for a failure that comes of the batch's size or place."""
    return _squeezed(evidence, failure) or _alone(evidence, failure) or _first(evidence, failure)


def _squeezed(evidence: Evidence, failure: Failure) -> Account | None:
    """A squeeze took the batch of 1 away too; with more samples it had left one dimension more."""
    for operand in failure.operands:
        for node, through in reversed(evidence.provenance.way(operand)[1]):
            before = node.inputs[through].fact.shape or ()
            if node.function != "squeeze" or before.count(1) < 2:
                continue
            usual = _dimensions_before(evidence, failure, node)
            if usual <= len(node.outputs[0].shape or ()):
                continue
            went = f"{shape_words(before)} -> {shape_words(node.outputs[0].shape)}"
            body = [f"{went}: the squeeze took the batch of 1 too; before, it left {usual} dimensions"]
            tries = ["name the dimension that is to go: squeeze(dim)", "drop the last, smaller batch"]
            lines = [*held(made_by(node), "repairs"), *held(call(failure), "refused")]
            return Account(lines, body, tries, confidence=0.85)
    return None


def _dimensions_before(evidence: Evidence, failure: Failure, node: Node) -> int:
    """Return how many dimensions the same squeeze left the last time it left others."""
    now = len(node.outputs[0].shape or ())
    for one in evidence.before(node.seq, failure.step):
        if one.function == node.function and one.site == node.site and one.outputs:
            left = len(one.outputs[0].shape or ())
            if left != now:
                return left
    return 0


def _alone(evidence: Evidence, failure: Failure) -> Account | None:
    """A norm over the batch got a batch of one: the model judges, or it is the last that a loader gives."""
    data = next((one for one in failure.operands if one.role not in ("weight", "bias", "state")), None)
    shape = data.fact.shape if data is not None else None
    if failure.family != "norm" or failure.function != "batch_norm" or data is None:
        return None
    if not shape or shape[0] != 1 or any(size != 1 for size in shape[2:]):
        return None
    good = evidence.good_call(failure)
    judged = _judged(evidence, failure, good or evidence.good_layer(failure))
    if judged is not None or good is None or not good.inputs:
        return judged
    root, links = _fed(evidence, data)
    entry = data_entry(evidence, root, failure, links)
    made = (loops.loader(evidence.source, node.site) for node, _ in links[:3])
    loop = next(filter(None, made), None)
    loaded = [Candidate(loop, "declaration", "makes the batches, the last of one sample")] if loop else []
    body = [
        f"a batch of one sample has no variance; before, a batch had {(good.inputs[0].fact.shape or (0,))[0]}"
    ]
    return Account(
        [*held(loaded or entry, "other_data"), *held(call(failure), "refused"), *held(entry, "began")], body,
        ["drop the last, smaller batch (drop_last=True)", "a batch size that leaves no rest of 1"],
        confidence=0.8,
    )  # fmt: skip


def _judged(evidence: Evidence, failure: Failure, good: Node | None) -> Account | None:
    """It ran where no graph is recorded, or nothing is trained: the model judges, in the mode for training."""
    ways = [(frame, evidence.source.within(frame, _UNRECORDED)) for frame in failure.frames]
    frame, block = next((pair for pair in ways if pair[1] is not None), (None, None))
    if frame is None:
        alone = good is None and not any(loops.around(evidence.source, one) for one in failure.frames)
        outside = [
            one for one in failure.frames if one.function.rpartition(".")[2] not in ("forward", "__init__")
        ]
        inside = outside[-1] if outside and (alone or _untrained(evidence, good)) else None
        frame = inside or evidence.other_call(failure)
        if frame is not None and loops.trains(evidence.source, frame):
            return None
    if frame is None:
        return None
    begins = evidence.source.function_line(frame)
    turned = [one for one in evidence.source.calls("train", frame) if begins and one.line <= frame.line]
    lines = [Candidate(one, "expression", "sets it to train") for one in turned[-1:]]
    lines += [Candidate(block, "caller", "judges it in the mode for training")] if block is not None else []
    lines.append(Candidate(frame, "caller", "the call of the model"))
    before = (good.inputs[0].fact.shape or (0,))[0] if good is not None and good.inputs else None
    body = [
        "a batch of one sample has no variance" + (f"; in training, a batch had {before}" if before else "")
    ]
    why = "no gradient is recorded here" if block is not None else "nothing is trained around this call"
    body.append(f"{why}: the model is to judge, and batch norm still takes the batch's statistics")
    return Account(
        [*held(lines, "repairs"), *held(call(failure), "refused")], body,
        ["model.eval() before it, model.train() before training goes on"], confidence=0.85,
    )  # fmt: skip


def _untrained(evidence: Evidence, good: Node | None) -> bool:
    """Whether backward never came to a node that worked, while it came to others before."""
    if good is None:
        return False
    before = (*evidence.run.step(max(good.step - 1, 0)).nodes, *evidence.run.step(good.step).nodes)
    backward = [one.forward for one in before if one.phase == "backward"]
    return bool(backward) and good.seq not in backward


def _fed(evidence: Evidence, data: Operand) -> tuple[Operand, list[Link]]:
    """Return the way that `data` came; a row that was looked up in a table is one for each index."""
    root, links = evidence.provenance.way(data)
    node = evidence.provenance.node(root.producer)
    if node is None or node.family != "index" or not node.inputs:
        return root, links
    looked_up = next((one for one in node.inputs if one.role == "index"), None)
    if looked_up is None or evidence.provenance.stored(node.inputs[0]) is None:
        return root, links
    root, before = evidence.provenance.way(looked_up)
    return root, [*before, *links]


def _first(evidence: Evidence, failure: Failure) -> Account | None:
    """An attention that takes the sequence first got the batch first: its mask says which is which."""
    declared = evidence.provenance.declared(failure.module) if failure.module else None
    shapes = [one.fact.shape for one in failure.operands if one.fact.shape]
    if declared is None or declared.attributes.get("batch_first") is not False or not shapes:
        return None
    data = shapes[0] or ()
    masked = any(shape == data[:2] for shape in shapes[1:])
    if len(data) != 3 or not masked or data[0] == data[1]:
        return None
    site = declared.site or next(iter(declared.callers), None)
    made = dict.fromkeys((evidence.provenance.line_of(declared), site))
    lines = [Candidate(one, "declaration", "declared with batch_first=False", declared.name)
             for one in made if one is not None]  # fmt: skip
    turned, mask = shape_words((data[1], data[0], data[2])), shape_words(data[:2])
    body = [f"it takes {turned}, the sequence first; the mask {mask} and the input have the batch first"]
    named = [*held(lines, "repairs"), *held(call(failure), "refused")]
    return Account(named, body, ["declare it with batch_first=True"], confidence=0.85)
