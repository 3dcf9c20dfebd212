"""Joins: tensors of different shapes brought together (add, cat, where, loss), and which is the odd one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from graphdebug.diagnosis import loops
from graphdebug.diagnosis.account import (
    Account,
    call,
    compiled_with,
    last_layer,
    made_by,
    operand_origin,
    sized_by,
    trained_on,
)
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.ranking import held
from graphdebug.diagnosis.shapes import batches, labels, sides
from graphdebug.diagnosis.shapes.geometry import spatial_axes
from graphdebug.diagnosis.shapes.setters import Setter, setter
from graphdebug.diagnosis.shapes.ways import shrunk, size_on, transposed, two_ways
from graphdebug.diagnosis.words import node_name, shape_words
from graphdebug.model.event import Failure, Node, Operand
from graphdebug.model.finding import Candidate

__all__ = ["explain"]

_COMPARISONS = ("equal", "sub", "squared_difference", "mul", "add", "div", "greater", "less", "logical_and")

_FAMILIES = ("elementwise", "cat", "where", "loss", "assign", "copy", "other", "reduce", "index", "matmul")


def explain(evidence: Evidence, failure: Failure) -> Account | None:
    """Account for operands that do not go together: the sizes that clash, and the operand to blame."""
    operands = [one for one in failure.operands if one.fact.shape is not None and one.role != "index"]
    if failure.family not in _FAMILIES or len(operands) < 2:
        return None
    if failure.family == "loss" or {"labels", "logits"} <= {one.role for one in operands}:
        return labels.explain(evidence, failure, operands)
    if failure.family == "matmul":
        return transposed(evidence, failure, operands) or _product(evidence, failure, operands)
    odd, axis = _odd_one(failure, operands)
    if odd is None:
        return transposed(evidence, failure, operands)
    rest = next(one for one in operands if one is not odd)
    along = _along_another(failure)
    if along is not None and all(_is_width(evidence, one, along) for one in operands):
        return _wrong_axis(evidence, failure, along)
    return (
        _of_training(evidence, failure, odd, rest)
        or _taken_apart(evidence, failure, odd, rest)
        or _taken_apart(evidence, failure, rest, odd)
        or transposed(evidence, failure, operands)
        or batches.fixed(evidence, failure, odd, rest, axis)
        or sides.explain(evidence, failure, odd, rest)
        or two_ways(evidence, failure, odd, rest, axis)
        or shrunk(evidence, failure, odd, rest, axis)
        or _plain(evidence, failure, odd, rest, axis)
    )


def _taken_apart(evidence: Evidence, failure: Failure, odd: Operand, rest: Operand) -> Account | None:
    """One operand is a part of data taken apart along the batch, where their second axis was meant."""
    rows, other = (one.fact.shape[0] if one.fact.shape else None for one in (odd, rest))
    for node, through in evidence.provenance.way(odd)[1]:
        data = node.inputs[through].fact.shape or ()
        apart = node.function in ("unbind", "unstack", "split") or "_scatter_" in node.function
        if apart and len(data) > 2 and data[:2] == (other, rows) and None not in data[:2]:
            shapes = shape_words(data), shape_words(odd.fact.shape)
            body = [
                f"{shapes[0]} was taken apart along axis 0, its batch of {other}: each part has {rows} rows"
            ]
            lines = [*held(made_by(node, "takes it apart along the batch"), "lacks_step"),
                     *held(call(failure), "refused")]  # fmt: skip
            tries = [f"transpose it first: the axis of {rows} in front", f"take it apart along axis 1 ({rows})"]
            return Account(lines, body, tries, confidence=0.8)
    return None


def _of_training(evidence: Evidence, failure: Failure, odd: Operand, rest: Operand) -> Account | None:
    """A comparison by a metric or loss of a compiled model: the user's only line is the training call."""
    chosen = compiled_with(evidence, failure.site) if failure.function in _COMPARISONS else []
    if not chosen:
        return None
    chosen = [Candidate(one.site, one.role, "sets loss and metrics", one.name) for one in chosen]
    kept = [one for one in (odd, rest) if "argmax" in _functions(evidence, one)]
    body = [
        f"{shape_words(odd.fact.shape)} is compared with {shape_words(rest.fact.shape)} by a loss or metric"
    ]
    if len(kept) == 1:
        body.append(
            "one side is the class of the largest score, the other still has a number a class (one-hot)"
        )
    labels = trained_on(evidence, failure, "labels")
    tries = [
        "take the metric for this kind of labels ('accuracy' chooses by itself)",
        "give the labels that it takes",
    ]
    return Account([*chosen, *labels, *call(failure)], body, tries, kind="target_mismatch", confidence=0.75)


def _functions(evidence: Evidence, operand: Operand) -> set[str]:
    """Return what the last nodes before `operand` did, casts apart."""
    found: set[str] = set()
    node = evidence.provenance.node(operand.producer)
    while node is not None and node.inputs and len(found) < 3:
        found.add(node.function)
        node = evidence.provenance.node(node.inputs[0].producer) if node.family in ("cast", "reshape") else None
    return found


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
        lines = [*held(call(failure, "the product"), "lacks_step"), *held([*made[1], *made[0]], "made_operand")]
        return Account(lines, body,
                       [f"transpose the second: {shape_words(a)} by {shape_words((*b[:-2], b[-1], rows))}"],
                       confidence=0.6)  # fmt: skip
    given = [evidence.provenance.node(one.producer) is None for one in operands[:2]]
    odd = made[given.index(True)] if sum(given) == 1 else []
    lines = [*held(odd, "odd_one"), *held(call(failure, "the product"), "refused"),
             *held([*made[1], *made[0]], "began")]  # fmt: skip
    tries = [f"give the second {columns} rows", f"give the first {rows} columns"]
    return Account(lines, body, tries, confidence=0.6)


def _odd_one(failure: Failure, operands: Sequence[Operand]) -> tuple[Operand | None, int]:
    """Return the operand that the others outvote, or the last, and the axis (from the end) of the clash."""
    joined = failure.attributes.get("axis") if failure.family == "cat" else None
    rank = max(len(one.fact.shape or ()) for one in operands)
    free = int(joined) % rank - rank if isinstance(joined, int) and rank else None
    for axis in range(-rank, 0):
        if axis == free and failure.function != "stack":
            continue
        sizes = [size_on(one, axis) for one in operands]
        known = [size for size in sizes if size is not None and (size != 1 or failure.family == "cat")]
        if len(set(known)) > 1:
            usual = Counter(known).most_common()
            lonely = [i for i, s in enumerate(sizes) if s is not None and s == usual[-1][0]]
            return operands[lonely[-1]], axis
    return None, 0


def _is_scale(vector: Operand, other: Operand) -> bool:
    """Whether `vector` is one number a feature, that fits no axis of what it is applied to."""
    size, shape = vector.fact.shape or (), other.fact.shape or ()
    return len(size) == 1 < len(shape) and size[0] not in shape


def _one_hot_of(evidence: Evidence, operand: Operand) -> bool:
    node = evidence.provenance.node(operand.producer)
    return node is not None and node.function == "one_hot"


def _plain(evidence: Evidence, failure: Failure, odd: Operand, rest: Operand, axis: int) -> Account:
    """No more is known than which operand the others outvote, and where each came from."""
    body = [
        (
            f"{shape_words(odd.fact.shape)} does not go with {shape_words(rest.fact.shape)}: "
            f"{size_on(odd, axis)} against {size_on(rest, axis)} on axis {axis}"
        )
    ]
    made = operand_origin(evidence, odd, failure, f"makes {shape_words(odd.fact.shape)}")
    other = operand_origin(evidence, rest, failure, f"makes {shape_words(rest.fact.shape)}")
    layer = last_layer(evidence, odd) + last_layer(evidence, rest)
    setters = [(one, setter(evidence, one, axis + len(one.fact.shape or ()))) for one in (odd, rest)]
    stored = [one for one, by in setters if by.node is None and evidence.provenance.stored(one) is not None]
    first = [one for one in (*made, *other) if one.role == "declaration"] if stored else []
    loader = loops.loader(evidence.source, failure.site) if failure.family == "cat" else None
    loads = [Candidate(loader, "declaration", "makes batches of samples of unlike shapes")] if loader else []
    here = [by.node for _, by in setters if by.node is not None and _on_line(by.node, failure)
            and not _of_weight(evidence, by.node, failure)]  # fmt: skip
    if not first and _is_scale(odd, rest):
        first = made
    written = [one for one in (odd, rest) if _one_hot_of(evidence, one) and axis == -1]
    if not first and written:  # its width is a number on its own line
        first = operand_origin(evidence, written[0], failure, f"has {size_on(written[0], axis)} classes")
    single = next((one for one, other in ((odd, rest), (rest, odd)) if _one_a_sample(one, other)), None)
    if single is not None:
        body.append(
            f"{shape_words(single.fact.shape)} has one number a sample; axes of size 1 behind it are missing"
        )
    another = _along_another(failure)
    widths = [line for pair in setters for line in _declares(evidence, *pair, odd=pair[0] is odd)]
    lines = [
        *widths,
        *held(operand_origin(evidence, single, failure, "one number a sample") if single else [], "lacks_step"),
        *held(loads, "lacks_step"),
        *held(first, "odd_one"),
        *held(
            call(failure),
            "refused",
            *(["declares_size"] if here else []),
            *(["repairs"] if another is not None else []),
        ),
        *held(_batch_changed([by.node for _, by in setters], odd, rest, axis), "changed_size"),
        *held(_changed_by([by.node for _, by in setters], failure), "made_operand"),
        *held(made, "began"),
        *held(
            [
                line
                for _, by in setters
                if by.node is not None and by.node.family == "random"
                for line in made_by(by.node)
            ],
            "began",
        ),
        *held([*layer, *other], "began", "beside"),
    ]
    body += [f"{node_name(node)}, on the very line, made it so" for node in here[:1]]
    tries = [f"make it {size_on(rest, axis)} on axis {axis}, as the other has it"]
    if another is not None:
        tries = [f"join them along axis {another}", *tries]
    elif single is not None:
        ones = (1,) * (len((rest if single is odd else odd).fact.shape or ()) - 1)
        tries = [f"reshape it to {shape_words((*(single.fact.shape or ()), *ones))}"]
    elif loads:
        tries = ["pad the samples to one shape, or give the loader a collate_fn that does"]
    return Account(lines, body, tries, confidence=0.6)


def _is_width(evidence: Evidence, operand: Operand, axis: int) -> bool:
    """Whether a size is a layer's width: tensors of unlike widths are there to be joined along it."""
    by = setter(evidence, operand, axis)
    if by.node is None or not by.node.outputs:
        return False
    rank = len(by.node.outputs[0].shape or ())
    wide = by.node.family in ("linear", "matmul") and by.axis == rank - 1
    return wide or (by.node.family == "conv" and by.axis > 0 and by.axis not in spatial_axes(by.node, rank))


def _wrong_axis(evidence: Evidence, failure: Failure, axis: int) -> Account:
    """Layers of unlike widths were joined along an axis on which these are no sizes."""
    declared = evidence.provenance.declared(failure.module) if failure.module else None
    said = declared is not None and isinstance(declared.attributes.get("axis"), int)
    site = declared.site if declared is not None and said else None
    own = [Candidate(site, "declaration", "says the axis", failure.module)] if site is not None else []
    body = [f"they differ on axis {axis} alone, where each has its layer's width"]
    lines = [*held(own, "repairs"), *held(call(failure), "refused", *([] if own else ["repairs"]))]
    return Account(lines, body, [f"join them along axis {axis}"], confidence=0.8)


def _along_another(failure: Failure) -> int | None:
    """Return the axis along which tensors can be joined that can't be along the one that the call says."""
    shapes = [one.fact.shape for one in failure.operands if one.fact.shape]
    joined = failure.attributes.get("axis")
    if failure.family != "cat" or failure.function == "stack" or len({len(shape) for shape in shapes}) != 1:
        return None
    unlike = [axis for axis in range(len(shapes[0])) if len({shape[axis] for shape in shapes}) > 1]
    if isinstance(joined, int) and len(unlike) == 1 and unlike[0] != joined % len(shapes[0]):
        return unlike[0]
    return None


def _one_a_sample(vector: Operand, other: Operand) -> bool:
    """Whether `vector` has one number for each sample of `other`, and was aligned with another axis of it."""
    size, shape = vector.fact.shape or (), other.fact.shape or ()
    return len(size) == 1 and len(shape) > 2 and size[0] == shape[0] and vector.producer is not None


def _on_line(node: Node, failure: Failure) -> bool:
    """Whether a node ran on the failing line itself."""
    site = node.site
    return site is not None and failure.site is not None and (site.file, site.line) == (
        failure.site.file, failure.site.line)  # fmt: skip


def _declares(evidence: Evidence, operand: Operand, by: Setter, *, odd: bool) -> list[Candidate]:
    """Return the declaration that set a size which an operand was computed with, and what speaks for or against
    it: whether another declaration says the same size.
    """
    stored = evidence.provenance.stored(by.operand) if by.node is None else None
    declared = evidence.provenance.declaration(stored) if stored is not None else None
    size = by.operand.fact.shape[by.axis] if by.operand.fact.shape else None
    if by.operand is operand or declared is None or declared.site is None or size is None:
        return []
    others = [one for one in evidence.provenance.declarations() if one.site != declared.site]
    agreed = any(type(v) is int and v == size for one in others for v in one.attributes.values())
    lines = sized_by(evidence, declared, size, f"declares {declared.name} with {size}")
    return held(lines, "declares_size", *(["agreed"] if agreed else ["odd_one"] if odd else []))


def _of_weight(evidence: Evidence, node: Node, failure: Failure) -> bool:
    """Whether `node` is a product that has its width from a weight which another line declares."""
    weights = (one for one in node.inputs if node.family in ("linear", "matmul", "conv"))
    sites = [evidence.provenance.site(one) for one in weights if evidence.provenance.stored(one) is not None]
    return any(one is not None and failure.site is not None and one.line != failure.site.line for one in sites)


def _batch_changed(nodes: Sequence[Node | None], odd: Operand, rest: Operand, axis: int) -> list[Candidate]:
    """Return the line that made another number of samples of as many as the other operand has."""
    if axis != -len(odd.fact.shape or ()) or len(odd.fact.shape or ()) != len(rest.fact.shape or ()):
        return []
    for node, other in zip(nodes, (rest, odd), strict=True):
        wanted = size_on(other, axis)
        took = [one.fact.shape[0] for one in node.inputs if one.fact.shape] if node is not None else []
        if node is not None and node.family in ("cat", "index", "reshape") and wanted in took:
            return made_by(node, f"the {node.function} makes another number of samples of {wanted}")
    return []


def _changed_by(nodes: Sequence[Node | None], failure: Failure) -> list[Candidate]:
    """Return the lines of nodes that gave a size as they were told: reshapes, slices, upsampling."""
    told = ("reshape", "index", "split", "upsample", "fill")
    return [
        line for node in nodes if node is not None and node.family in told and not _on_line(node, failure)
        for line in made_by(node)
    ]  # fmt: skip
