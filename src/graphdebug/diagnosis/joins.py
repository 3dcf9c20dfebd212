"""Joins: tensors of different shapes brought together (add, cat, where, loss), and which is the odd one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import prod

from graphdebug.diagnosis.account import (
    Account,
    call,
    compiled_with,
    data_entry,
    made_by,
    named_layer,
    operand_origin,
    trained_on,
)
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.geometry import Link, spatial_axes
from graphdebug.diagnosis.words import node_name, shape_words
from graphdebug.model.event import Failure, Node, Operand, Shape
from graphdebug.model.finding import Candidate

__all__ = ["explain"]

_FAMILIES = ("elementwise", "cat", "where", "loss", "assign", "copy", "other", "reduce", "index", "matmul")


def explain(evidence: Evidence, failure: Failure) -> Account | None:
    """Account for operands that do not go together: the sizes that clash, and the operand to blame."""
    operands = [one for one in failure.operands if one.fact.shape is not None and one.role != "index"]
    if failure.family not in _FAMILIES or len(operands) < 2:
        return None
    if failure.family == "loss" or {"labels", "logits"} <= {one.role for one in operands}:
        return _labels(evidence, failure, operands)
    if failure.family == "matmul":
        return _transposed(evidence, failure, operands) or _product(evidence, failure, operands)
    odd, axis = _odd_one(failure, operands)
    if odd is None:
        return _transposed(evidence, failure, operands)
    rest = next(one for one in operands if one is not odd)
    return (
        _transposed(evidence, failure, operands)
        or _two_ways(evidence, failure, odd, rest, axis)
        or _plain(evidence, failure, odd, rest, axis)
    )


def _product(evidence: Evidence, failure: Failure, operands: Sequence[Operand]) -> Account | None:
    """A matrix product of two tensors of which none is known for a weight."""
    a, b = operands[0].fact.shape or (), operands[1].fact.shape or ()
    if not a or not b:
        return None
    columns = a[-2 if failure.attributes.get("transpose_a") and len(a) > 1 else -1]
    rows = b[-1 if failure.attributes.get("transpose_b") or len(b) < 2 else -2]
    if columns == rows or columns is None or rows is None:
        return None
    body = [f"{shape_words(a)} has {columns} columns, {shape_words(b)} has {rows} rows: these must be equal"]
    made = [
        operand_origin(evidence, one, failure, f"makes {shape_words(one.fact.shape)}") for one in operands[:2]
    ]
    if b[-1] == columns:
        return Account([*call(failure, "the product"), *made[1], *made[0]], body,
                       [f"transpose the second: {shape_words(a)} by {shape_words((*b[:-2], b[-1], rows))}"],
                       confidence=0.6)  # fmt: skip
    given = [evidence.provenance.node(one.producer) is None for one in operands[:2]]
    odd = made[given.index(True)] if sum(given) == 1 else []
    return Account([*odd, *call(failure, "the product"), *made[1], *made[0]], body, [], confidence=0.6)


def _odd_one(failure: Failure, operands: Sequence[Operand]) -> tuple[Operand | None, int]:
    """Return the operand that the others outvote, or the last, and the axis (from the end) of the clash."""
    joined = failure.attributes.get("axis") if failure.family == "cat" else None
    rank = max(len(one.fact.shape or ()) for one in operands)
    free = int(joined) % rank - rank if isinstance(joined, int) and rank else None
    for axis in range(-rank, 0):
        if axis == free and failure.function != "stack":
            continue
        sizes = [_size(one, axis) for one in operands]
        known = [size for size in sizes if size is not None and (size != 1 or failure.family == "cat")]
        if len(set(known)) > 1:
            usual = Counter(known).most_common()
            lonely = [i for i, s in enumerate(sizes) if s is not None and s == usual[-1][0]]
            return operands[lonely[-1]], axis
    return None, 0


def _size(operand: Operand, axis: int) -> int | None:
    shape = operand.fact.shape or ()
    return shape[axis] if len(shape) >= -axis else None


def _transposed(evidence: Evidence, failure: Failure, operands: Sequence[Operand]) -> Account | None:
    """Two matrices with swapped sizes: the one that went through a transpose is to blame."""
    one, other = operands[0].fact.shape or (), operands[1].fact.shape or ()
    if len(one) != 2 or tuple(reversed(one)) != other or one[0] == one[1]:
        return None
    turned: list[Candidate] = []
    for operand in (operands[1], operands[0]):
        _, links = evidence.provenance.way(operand)
        for node, _ in reversed(links):
            if node.family == "permute":
                turned += made_by(node, f"the {node.function} of {shape_words(operand.fact.shape)}")
                break
    entry = operand_origin(evidence, operands[1], failure, f"gives {shape_words(other)}")
    root, _ = evidence.provenance.way(operands[1])
    if root.fact.shape == other:  # it came in like this
        entry = data_entry(evidence, root, failure) or entry
    return Account(
        [*turned, *entry, *call(failure)],
        [f"{shape_words(one)} meets {shape_words(other)}: one of them is transposed"],
        [
            "take out the transpose, or transpose the other"
            if turned
            else f"transpose one: to {shape_words(one)}"
        ],
        confidence=0.85 if turned else 0.6,
    )


def _labels(evidence: Evidence, failure: Failure, operands: Sequence[Operand]) -> Account | None:
    """A loss whose prediction and target have different shapes."""
    target = next((one for one in operands if one.role == "labels"), operands[-1])
    guess = next((one for one in operands if one is not target), operands[0])
    a, b = guess.fact.shape or (), target.fact.shape or ()
    if a == b:
        return _not_probabilities(evidence, failure, guess)
    swapped = _transposed(evidence, failure, [guess, target])
    if swapped is not None:
        return swapped
    if len(a) == len(b) > 2 and a[1:] != b[1:]:
        axis = next(i - len(a) for i in range(1, len(a)) if a[i] != b[i])
        images = _two_ways(evidence, failure, guess, target, axis)
        if images is not None:
            return images
    return _unlike(evidence, failure, guess, target)


def _unlike(evidence: Evidence, failure: Failure, guess: Operand, target: Operand) -> Account:
    """A prediction and a target of different shapes, neither of them turned nor resized."""
    a, b = guess.fact.shape or (), target.fact.shape or ()
    entry = trained_on(evidence, failure, "labels")
    entry = entry or operand_origin(evidence, target, failure, f"the target {shape_words(b)}")
    chosen = compiled_with(evidence, failure.frames[-1] if failure.frames else failure.site)
    made = operand_origin(evidence, guess, failure, f"makes {shape_words(a)}")
    layer = _last_layer(evidence, guess)
    body = [f"prediction {shape_words(a)} against target {shape_words(b)}"]
    if a and b and None not in (*a, *b) and prod(a[:-1]) == prod(b) and len(b) > 1:  # type: ignore[arg-type]
        body.append(f"the target has one label for each of the {prod(b)} rows, but in two dimensions")  # type: ignore[arg-type]
        lines = [*entry, *call(failure)] if b[-1] == 1 else [*call(failure), *entry]
        return Account(lines, body, ["flatten the target to one dimension"], kind=_TARGET)
    left = _left_over(evidence, guess, target)
    if left:
        body.append("without its dimensions of size 1 the prediction would fit")
        return Account([*left, *call(failure), *entry], body, ["squeeze them, or do not keep them"],
                       kind=_TARGET, confidence=0.75)  # fmt: skip
    if len(a) == len(b) + 1 and a[:1] == b[:1] and failure.function in ("mse_loss", "bce", "bce_with_logits"):
        body.append("class numbers against one score a class: this loss wants both in one shape")
        return Account([*chosen, *entry, *call(failure)], body, ["one-hot the target"],
                       kind=_TARGET, confidence=0.7)  # fmt: skip
    if a[:1] != b[:1]:
        body.append(f"{a[0] if a else 1} rows against {b[0] if b else 1} targets")
        lines = [*_batch_change(evidence, guess), *entry, *made, *call(failure)]
        return Account(lines, body, [], confidence=0.7)
    if len(a) == len(b) and a[-1:] != b[-1:]:
        body.append(f"{a[-1]} scores a sample against {b[-1]}" + (", one-hot" if (b[-1] or 0) > 1 else ""))
        shares = "float" in target.fact.dtype and (b[-1] or 0) > 1  # one-hot, or a probability a class
        if failure.function in ("cross_entropy", "nll_loss", "sparse_cross_entropy") and not shares:
            lines = [*chosen, *entry, *call(failure), *layer]
            return Account(lines, body, ["give class numbers, one for each sample"],
                           kind=_TARGET, confidence=0.75)  # fmt: skip
        return Account([*layer, *entry, *call(failure)], body, [f"make the last layer give {b[-1]}"],
                       kind=_TARGET, confidence=0.7)  # fmt: skip
    tries = ["give one class number a sample"]
    if b[-1:] == (1,):
        tries = ["drop the last dimension of the target"]
    elif failure.function == "cross_entropy" and len(a) == len(b) + 1:
        tries = ["take the loss for class numbers (sparse), or one-hot the target"]
    elif not failure.function and len(a) == len(b) + 1:
        tries = ["make the last layer give one number a sample, or take a loss for class numbers"]
    return Account([*chosen, *entry, *call(failure), *layer], body, tries, kind=_TARGET, confidence=0.7)


def _left_over(evidence: Evidence, guess: Operand, target: Operand) -> list[Candidate]:
    """Return the node that left dimensions of size 1 in a prediction which would fit without them."""
    a, b = guess.fact.shape or (), target.fact.shape or ()
    wanted = len(b) + 1 if "int" in target.fact.dtype else len(b)
    whole = [size for size in a[1:] if size != 1]
    if len(a) <= wanted or len(a) < 3 or 1 + len(whole) != wanted:
        return []
    for node, through in reversed(evidence.provenance.way(guess)[1]):
        before = node.inputs[through].fact.shape or ()
        ones = sum(size == 1 for size in before[1:])
        if node.outputs and ones < sum(size == 1 for size in (node.outputs[0].shape or ())[1:]):
            return made_by(node, f"the {node.function} leaves dimensions of size 1")
    return []


def _not_probabilities(evidence: Evidence, failure: Failure, guess: Operand) -> Account | None:
    """The shapes go together, but the loss takes probabilities and was given what a layer made."""
    node = evidence.provenance.node(guess.producer)
    if failure.function != "bce" or node is None or node.family not in ("linear", "matmul", "conv"):
        return None
    layer = named_layer(evidence, node.module) if node.module else f"a {node.function}"
    body = [f"{failure.function} takes probabilities; the prediction comes straight from {layer}"]
    tries = ["take the loss on logits (bce_with_logits)", "put a sigmoid before it"]
    lines = [*call(failure), *_last_layer(evidence, guess), *made_by(node)]
    return Account(lines, body, tries, kind="not_probabilities")


_TARGET = "target_mismatch"


def _batch_change(evidence: Evidence, operand: Operand) -> list[Candidate]:
    """Return the first node on the way after which the first dimension was another."""
    _, links = evidence.provenance.way(operand)
    for node, through in links:
        before, after = node.inputs[through].fact.shape, node.outputs[0].shape if node.outputs else None
        if before and after and before[0] != after[0]:
            return made_by(node, f"the {node.function} {shape_words(before)} -> {shape_words(after)}")
    return []


def _last_layer(evidence: Evidence, operand: Operand) -> list[Candidate]:
    """Return the declaration of the last layer with weights on the way to `operand`."""
    _, links = evidence.provenance.way(operand)
    for node, _ in reversed(links):
        for one in node.inputs:
            stored = evidence.provenance.stored(one) if node.family in ("linear", "matmul", "conv") else None
            site = evidence.provenance.site(stored) if stored is not None else None
            if site is not None:
                return [
                    Candidate(
                        site,
                        "declaration",
                        f"{named_layer(evidence, node.module) or node.function} declares the width",
                    )
                ]
    return []


def _two_ways(evidence: Evidence, failure: Failure, odd: Operand, rest: Operand, axis: int) -> Account | None:
    """Both operands come from one tensor, by two ways: the node that made the difference is to blame."""
    _, one = evidence.provenance.way(odd)
    _, other = evidence.provenance.way(rest)
    shared = {node.seq for node, _ in one} & {node.seq for node, _ in other}
    own = [[link for link in way if link[0].seq not in shared] for way in (one, other)]
    sizes = f"{shape_words(odd.fact.shape)} against {shape_words(rest.fact.shape)}"
    body = [f"{sizes}: {_size(odd, axis)} against {_size(rest, axis)} on axis {axis}"]
    lossy = [link for way in own for link in way if _loses(link, axis)]
    unpadded = [link for way in own for link in way if _shrinks(link, axis)]
    if lossy:
        node, through = lossy[0]
        before, after = node.inputs[through].fact.shape, node.outputs[0].shape
        body.append(
            f"{node_name(node)} {shape_words(before)} -> {shape_words(after)} dropped a rest: the size is odd"
        )
        root, links = evidence.provenance.way(odd)
        grown = [n for way in own for n, _ in way if n.family == "upsample" or n.attributes.get("transposed")]
        up = [one for n in grown[-1:] for one in (_layer_of(evidence, n) or made_by(n))]
        down = [*_layer_of(evidence, node), *made_by(node)]
        entry = data_entry(evidence, root, failure, links)
        return Account(
            [*up, *call(failure), *down, *entry] if up else [*down, *entry, *call(failure)],
            body, ["feed a size that divides evenly, or pad or crop before joining"], confidence=0.7,
        )  # fmt: skip
    short = [link for way in own for link in way if _grows_short(link, axis)]
    changed = (
        unpadded
        or short[:1]
        or [(node, through) for way in own for node, through in way if _changes(node, through, axis)]
    )
    if not changed or not (own[0] or own[1]):
        return None
    node, through = changed[-1]
    before, after = node.inputs[through].fact.shape, node.outputs[0].shape
    body.append(f"{node_name(node)} {shape_words(before)} -> {shape_words(after)} changed it")
    return Account(
        [*_layer_of(evidence, node), *made_by(node), *call(failure)], body,
        ["make both ways keep this size (padding, stride, width)"], confidence=0.7,
    )  # fmt: skip


def _layer_of(evidence: Evidence, node: Node) -> list[Candidate]:
    """Return the declaration of the layer that ran `node`."""
    declared = evidence.provenance.declared(node.module) if node.module else None
    if declared is None or declared.site is None:
        return []
    return [
        Candidate(declared.site, "declaration", f"declares {named_layer(evidence, node.module)}", node.module)
    ]


def _loses(link: Link, axis: int) -> bool:
    """Whether a window op with a stride left a rest of this axis out."""
    node, through = link
    shape = node.inputs[through].fact.shape
    if node.family not in ("conv", "pool") or not shape or node.attributes.get("transposed"):
        return False
    axes = spatial_axes(node, len(shape))
    stride = node.attributes.get("stride")
    if axis % len(shape) not in axes or not isinstance(stride, list | tuple) or not stride:
        return False
    step, size = stride[min(axes.index(axis % len(shape)), len(stride) - 1)], shape[axis]
    return isinstance(step, int) and step > 1 and size is not None and bool(size % step)


def _grows_short(link: Link, axis: int) -> bool:
    """Whether a transposed conv did not grow this axis by its whole stride, as output_padding would."""
    node, through = link
    stride = node.attributes.get("stride")
    if not node.attributes.get("transposed") or not isinstance(stride, list | tuple) or not stride:
        return False
    before, after = node.inputs[through].fact.shape or (), node.outputs[0].shape or ()
    if not len(before) == len(after) >= -axis:
        return False
    size, made, step = before[axis], after[axis], stride[-1]
    return size is not None and made is not None and isinstance(step, int) and made < size * step


def _shrinks(link: Link, axis: int) -> bool:
    """Whether a conv of stride 1 shrank this axis for want of padding."""
    node, through = link
    return node.family == "conv" and _stride_one(node) and _changes(node, through, axis)


def _stride_one(node: Node) -> bool:
    stride = node.attributes.get("stride")
    return not isinstance(stride, list | tuple) or all(one == 1 for one in stride)


def _changes(node: Node, through: int, axis: int) -> bool:
    before: Shape = node.inputs[through].fact.shape or ()
    after: Shape = (node.outputs[0].shape if node.outputs else None) or ()
    return len(before) == len(after) >= -axis and before[axis] != after[axis]


def _is_scale(vector: Operand, other: Operand) -> bool:
    """Whether `vector` is one number a feature, that fits no axis of what it is applied to."""
    size, shape = vector.fact.shape or (), other.fact.shape or ()
    return len(size) == 1 < len(shape) and size[0] not in shape


def _plain(evidence: Evidence, failure: Failure, odd: Operand, rest: Operand, axis: int) -> Account:
    """No more is known than which operand the others outvote, and where each came from."""
    body = [
        (
            f"{shape_words(odd.fact.shape)} does not go with {shape_words(rest.fact.shape)}: "
            f"{_size(odd, axis)} against {_size(rest, axis)} on axis {axis}"
        )
    ]
    made = operand_origin(evidence, odd, failure, f"makes {shape_words(odd.fact.shape)}")
    other = operand_origin(evidence, rest, failure, f"makes {shape_words(rest.fact.shape)}")
    layer = _last_layer(evidence, odd) + _last_layer(evidence, rest)
    stored = evidence.provenance.stored(odd) is not None or evidence.provenance.stored(rest) is not None
    first = [one for one in (*made, *other) if one.role == "declaration"] if stored else []
    if not first and _is_scale(odd, rest):
        first = made
    return Account([*first, *call(failure), *made, *layer, *other], body, [], confidence=0.6)
