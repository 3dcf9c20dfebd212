"""Labels: a loss whose target does not go with its prediction: rows, classes, channels, kinds of numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import prod

import msgspec

from graphdebug.diagnosis.account import (
    Account,
    call,
    compiled_with,
    last_layer,
    loss_made,
    made_by,
    named_layer,
    operand_origin,
    trained_on,
)
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.ranking import held
from graphdebug.diagnosis.shapes import kept, resolutions, rows, sequences, sides, stages
from graphdebug.diagnosis.shapes.sequences import OF_CLASSES
from graphdebug.diagnosis.shapes.setters import around
from graphdebug.diagnosis.shapes.ways import shrunk, transposed, two_ways
from graphdebug.diagnosis.words import shape_words
from graphdebug.model.event import Declaration, Failure, Operand, Shape, Site
from graphdebug.model.finding import Candidate

__all__ = ["explain"]

_TARGET = "target_mismatch"


def explain(evidence: Evidence, failure: Failure, operands: Sequence[Operand]) -> Account | None:
    """A loss whose prediction and target have different shapes."""
    target = next((one for one in operands if one.role == "labels"), operands[-1])
    guess = next((one for one in operands if one is not target), operands[0])
    a, b = guess.fact.shape or (), target.fact.shape or ()
    idle = kept.idle_squeeze(evidence, failure, guess, target) or kept.idle_squeeze(
        evidence, failure, target, guess
    )
    if idle is not None:
        return idle
    if a == b:
        return _one_hot(evidence, failure, target) or _not_probabilities(evidence, failure, guess)
    swapped = _class_weights(evidence, failure, operands, a) or transposed(evidence, failure, [guess, target])
    if swapped is not None:
        return swapped
    if len(a) == len(b) > 2 and a[1:] != b[1:]:
        axis = next(i - len(a) for i in range(1, len(a)) if a[i] != b[i])
        images = (
            _one_channel(evidence, failure, target, a)
            or sides.explain(evidence, failure, guess, target)
            or two_ways(evidence, failure, guess, target, axis)
            or shrunk(evidence, failure, guess, target, axis)
        )
        if images is not None:
            return images
    if len(a) == len(b) + 1 > 3 and a[0] == b[0] and failure.function in OF_CLASSES and a[2:] != b[1:]:
        images = sides.of_classes(evidence, failure, guess, target)
        images = images or (shrunk(evidence, failure, guess, target, -1) if a[-1] != b[-1] else None)
        if images is not None:  # classes in front: the sides are last in both
            return images
    for way in (stages.remade, sequences.every_step, sequences.each_step, kept.explain):
        account = way(evidence, failure, guess, target)
        if account is not None:
            return account
    return _unlike(evidence, failure, guess, target)


def _unlike(evidence: Evidence, failure: Failure, guess: Operand, target: Operand) -> Account:
    """A prediction and a target of different shapes, neither of them turned nor resized."""
    a, b = guess.fact.shape or (), target.fact.shape or ()
    alike = bool(a and b) and None not in (*a, *b) and prod(a) == prod(b)  # type: ignore[arg-type]
    entry = trained_on(evidence, failure, "labels")
    entry = entry or operand_origin(evidence, _whole(evidence, target), failure, f"the target {shape_words(b)}")
    chosen = _chosen(evidence, failure)
    layer = last_layer(evidence, guess)
    body = [f"prediction {shape_words(a)} against target {shape_words(b)}"]
    if a and b and None not in (*a, *b) and prod(a[:-1]) == prod(b) and len(b) > 1:  # type: ignore[arg-type]
        return _column(evidence, failure, (guess, target), entry, chosen, body)
    left = _left_over(evidence, guess, target)
    if left:
        body.append("without its dimensions of size 1 the prediction would fit")
        lines = [*held(left, "changed_size"), *held(call(failure), "refused"), *held(entry, "began")]
        return Account(lines, body, ["squeeze them, or do not keep them"], kind=_TARGET, confidence=0.75)
    if (
        len(a) == len(b) + 1
        and a[:1] == b[:1]
        and not alike
        and failure.function in ("mse_loss", "bce", "bce_with_logits")
    ):
        body.append("class numbers against one score a class: this loss wants both in one shape")
        lines = [*held(chosen, "odd_one"), *held(entry, "made_operand"), *held(call(failure), "refused")]
        return Account(lines, body, ["one-hot the target"], kind=_TARGET, confidence=0.7)
    if a[:1] != b[:1]:
        return rows.unlike(evidence, failure, (guess, target), entry, body)
    if len(a) == len(b) and a[-1:] != b[-1:]:
        return _widths(evidence, failure, (guess, target), entry, chosen, body)
    if (len(b) > 2 and a[-1:] == b[-1:]) or len(a) == len(b) + 1 > 3:
        return resolutions.unlike(evidence, failure, (guess, target), entry, body)
    tries = ["give both one shape" if "float" in target.fact.dtype else "give one class number a sample"]
    if b[-1:] == (1,):
        tries = ["drop the last dimension of the target"]
    elif failure.function == "cross_entropy" and len(a) == len(b) + 1:
        tries = ["take the loss for class numbers (sparse), or one-hot the target"]
    elif not failure.function and len(a) == len(b) + 1:
        tries = ["make the last layer give one number a sample, or take a loss for class numbers"]
    lines = [*held(chosen, "odd_one"), *held(entry, "made_operand"), *held(layer, "began"),
             *held(call(failure), "lacks_step" if alike else "refused")]  # fmt: skip
    return Account(lines, body, tries, kind=_TARGET, confidence=0.7)


def _widths(
    evidence: Evidence, failure: Failure, both: Sequence[Operand], entry: Sequence[Candidate],
    chosen: Sequence[Candidate], body: list[str],
) -> Account:  # fmt: skip
    """A prediction and a target of as many axes, the last of another size."""
    guess, target = both
    a, b = (one.fact.shape or () for one in both)
    layer = last_layer(evidence, guess)
    body.append(f"{a[-1]} scores a sample against {b[-1]}" + (", one-hot" if (b[-1] or 0) > 1 else ""))
    if b[-1] == 1 and failure.function != "sparse_cross_entropy" and _class_numbers(evidence, a[-1]):
        return _of_numbers(failure, entry, chosen, [*body, f"as many classes as scores: {a[-1]}"])
    shares = "float" in target.fact.dtype and (b[-1] or 0) > 1  # one-hot, or a probability a class
    if failure.function in OF_CLASSES and not shares:
        lines = [*held(chosen, "odd_one"), *held(entry, "made_operand"), *held(call(failure), "refused"),
                 *held(layer, "began")]  # fmt: skip
        return Account(lines, body, ["give class numbers, one for each sample"],
                       kind=_TARGET, confidence=0.75)  # fmt: skip
    lines = [*held(layer, "declares_size"), *held(entry, "made_operand"), *held(call(failure), "refused")]
    return Account(lines, body, [f"make the last layer give {b[-1]}"], kind=_TARGET, confidence=0.7)


def _column(
    evidence: Evidence, failure: Failure, both: Sequence[Operand], entry: Sequence[Candidate],
    chosen: Sequence[Candidate], body: list[str],
) -> Account:  # fmt: skip
    """The target has one label for each row of the prediction, in two dimensions."""
    a, b = (one.fact.shape or () for one in both)
    extra = b[-1] == 1
    if extra and failure.function != "sparse_cross_entropy" and _class_numbers(evidence, a[-1]):
        body.append(f"the labels are class numbers, below {a[-1]}; this loss takes a score a class")
        return _of_numbers(failure, entry, chosen, body)
    rows = prod(size or 0 for size in b)
    body.append(f"the target has one label for each of the {rows} rows, but in two dimensions")
    lines = [*held(entry, "odd_one" if extra else "began"),
             *held(call(failure), "refused" if extra else "lacks_step")]  # fmt: skip
    return Account(lines, body, ["flatten the target to one dimension"], kind=_TARGET)


def _of_numbers(
    failure: Failure, entry: Sequence[Candidate], chosen: Sequence[Candidate],
    body: list[str],
) -> Account:  # fmt: skip
    """The labels are class numbers, and the loss that was chosen takes a score a class."""
    lines = [*held(chosen, "odd_one", "said"), *held(entry, "made_operand"), *held(call(failure), "refused")]
    tries = ["take the loss for class numbers (sparse), or one-hot the target"]
    return Account(lines, body, tries, kind=_TARGET, confidence=0.8)


def _class_numbers(evidence: Evidence, classes: int | None) -> list[Declaration]:
    """Return the labels of the training call whose values are whole numbers of as many classes."""
    told = (one for one in evidence.provenance.declarations() if one.type == "Data")
    return [
        one for one in told
        if one.attributes.get("role") == "labels" and one.attributes.get("whole")
        and one.attributes.get("low") == 0 and one.attributes.get("high") == (classes or 0) - 1 > 0
    ]  # fmt: skip


def _set_at(evidence: Evidence, chosen: Sequence[Candidate]) -> list[Candidate]:
    """Return the lines that chose a loss, each as the line in a call of several that names the loss."""
    named = [(one, evidence.source.keyword_values(one.site, "loss")) for one in chosen]
    return [
        one if value is None else msgspec.structs.replace(one, site=Site(one.site.file, value.lineno))
        for one, value in named
    ]  # fmt: skip


def _whole(evidence: Evidence, operand: Operand) -> Operand:
    """Return what a column or vector, or the samples that it is a batch of, are only some rows of."""
    if (operand.fact.shape or ())[1:] not in ((1,), ()):
        return operand
    rows = evidence.provenance.sample(operand)
    while True:
        node = evidence.provenance.node(rows.producer)
        shape = node.inputs[0].fact.shape if node is not None and node.inputs else None
        if node is None or node.family != "index" or not shape or shape[1:] != (rows.fact.shape or ())[1:]:
            return rows if rows is not evidence.provenance.sample(operand) else operand
        rows = node.inputs[0]


def _chosen(evidence: Evidence, failure: Failure) -> list[Candidate]:
    """Return the line that chose the loss of a model, or made it; none where `fit` went well with it."""
    ran = failure.frames[-1] if failure.frames else failure.site
    judged = re.search(r"([A-Za-z_][\w.]*)\.evaluate\(", evidence.source.line(ran))
    if (
        judged is not None
        and ran is not None
        and evidence.source.method_line(judged[1], "fit", ran) is not None
    ):
        return []
    return _set_at(evidence, compiled_with(evidence, ran)) or loss_made(evidence, failure.site)


def _left_over(evidence: Evidence, guess: Operand, target: Operand) -> list[Candidate]:
    """Return the node that left dimensions of size 1 in a prediction which would fit without them."""
    a, b = guess.fact.shape or (), target.fact.shape or ()
    wanted = len(b) + 1 if "int" in target.fact.dtype else len(b)
    whole = [size for size in a[1:] if size != 1]
    if len(a) <= wanted or len(a) < 3 or 1 + len(whole) != wanted:
        return []
    for node, through in reversed(evidence.provenance.way(guess)[1]):
        if around(evidence, node, 1) is not None:  # a product's axes before the last, folded and unfolded
            continue
        before = node.inputs[through].fact.shape or ()
        ones = sum(size == 1 for size in before[1:])
        if node.outputs and ones < sum(size == 1 for size in (node.outputs[0].shape or ())[1:]):
            return made_by(node, f"the {node.function} leaves dimensions of size 1")
    return []


def _class_weights(
    evidence: Evidence, failure: Failure, operands: Sequence[Operand], guess: Shape
) -> Account | None:
    """The loss has a weight for each class, and the prediction another number of classes."""
    weight = next((one for one in operands if one.role == "weight"), None)
    shape = weight.fact.shape if weight is not None else None
    if failure.function not in OF_CLASSES or weight is None or len(shape or ()) != 1 or len(guess) < 2:
        return None
    if shape is None or shape[0] == guess[1]:
        return None
    made = operand_origin(evidence, weight, failure, f"has {shape[0]} class weights")
    root, links = evidence.provenance.way(weight)
    if weight.producer is not None:  # the loss was given them: they were computed elsewhere
        computed = evidence.provenance.node(root.producer)
        begun = computed or (links[0][0] if links else None)
        made = [*(made_by(begun, f"makes {shape[0]} numbers") if begun is not None else []), *made]
    body = [f"{shape[0]} class weights, but the prediction has {guess[1]} classes"]
    tries = [f"give {guess[1]} weights", f"make the last layer give {shape[0]}"]
    lines = [*held(made, "declares_size"), *held(call(failure), "refused"),
             *held(last_layer(evidence, operands[0]), "began")]  # fmt: skip
    return Account(lines, body, tries, confidence=0.8)


def _one_channel(evidence: Evidence, failure: Failure, target: Operand, guess: Shape) -> Account | None:
    """Class numbers came with a channel of their own, which the classes of the prediction have there."""
    shape = target.fact.shape or ()
    if failure.function not in OF_CLASSES or shape[1:2] != (1,) or shape[2:] != guess[2:]:
        return None
    entry = operand_origin(evidence, target, failure, f"the target {shape_words(shape)}")
    body = [
        f"prediction {shape_words(guess)} against target {shape_words(shape)}: class numbers have no axis 1"
    ]
    tries = ["take axis 1 off the target: squeeze(1)"]
    lines = [*held(entry, "odd_one"), *held(call(failure), "refused")]
    return Account(lines, body, tries, kind=_TARGET, confidence=0.8)


def _one_hot(evidence: Evidence, failure: Failure, target: Operand) -> Account | None:
    """The target has a number for each class, where the loss takes one class number."""
    shape = target.fact.shape or ()
    if failure.function != "sparse_cross_entropy" or len(shape) < 2:
        return None
    chosen = _chosen(evidence, failure)
    entry = trained_on(evidence, failure, "labels") or operand_origin(
        evidence, target, failure, f"the target {shape_words(shape)}"
    )
    unmade = failure.site is not None and all(one.site.line == failure.site.line for one in entry)
    body = [(f"{failure.function} takes class numbers; the target {shape_words(shape)} has one of "
            f"{shape[-1]} values for each class: it is one-hot")]  # fmt: skip
    tries = ["give class numbers, one for each sample", "take the loss for one-hot targets"]
    known = [one.attributes.get("one_hot") for one in evidence.provenance.declarations() if one.type == "Data"]
    entered = "passes_on" if unmade else "odd_one"  # the failing line itself says nothing of the labels
    lines = [*held(entry, entered), *held(chosen, "made_operand"), *held(call(failure), "refused")]
    if True in known:  # by their values: they were made so on purpose, and for as many classes as there are
        lines = [*held(chosen, "odd_one"), *held(entry, "made_operand"), *held(call(failure), "refused")]
    if target.origin == "feed":  # declared one-hot, and so the data will be: the loss is the odd one
        lines = [*held(call(failure), "odd_one"), *held(entry, "made_operand")]
    return Account(lines, body, tries, kind=_TARGET, confidence=0.8)


def _not_probabilities(evidence: Evidence, failure: Failure, guess: Operand) -> Account | None:
    """The shapes go together, but the loss takes probabilities and was given what a layer made."""
    node = evidence.provenance.node(guess.producer)
    if failure.function != "bce" or node is None or node.family not in ("linear", "matmul", "conv"):
        return None
    layer = named_layer(evidence, node.module) if node.module else f"a {node.function}"
    body = [f"{failure.function} takes probabilities; the prediction comes straight from {layer}"]
    tries = ["take the loss on logits (bce_with_logits)", "put a sigmoid before it"]
    lines = [
        *held(call(failure), "said"),
        *held([*last_layer(evidence, guess), *made_by(node)], "made_operand"),
    ]
    return Account(lines, body, tries, kind="not_probabilities")
