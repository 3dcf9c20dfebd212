"""Ways: two operands that do not go together and came from one tensor, or of which one was transposed."""

from __future__ import annotations

from collections.abc import Sequence

from graphdebug.diagnosis.account import (
    Account,
    call,
    data_entry,
    made_by,
    named_layer,
    operand_origin,
    sized_by,
)
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.ranking import held
from graphdebug.diagnosis.shapes.geometry import Link, spatial_axes
from graphdebug.diagnosis.shapes.makers import every_instance
from graphdebug.diagnosis.shapes.padded import names_padding, padding_set
from graphdebug.diagnosis.shapes.setters import setter
from graphdebug.diagnosis.words import node_name, shape_words
from graphdebug.model.event import Declaration, Failure, Node, Operand, Shape
from graphdebug.model.finding import Candidate

__all__ = ["shrunk", "size_on", "transposed", "two_ways"]


def two_ways(evidence: Evidence, failure: Failure, odd: Operand, rest: Operand, axis: int) -> Account | None:
    """Both operands come from one tensor, by two ways: the node that made the difference is to blame."""
    began, one = evidence.provenance.way(odd)
    ended, other = evidence.provenance.way(rest)
    shared = {node.seq for node, _ in one} & {node.seq for node, _ in other}
    if not shared and not _one_tensor(began, ended):
        restored = _restores(one, began, other, rest, axis) or _restores(other, ended, one, odd, axis)
        if not restored:
            return None
    own = [[link for link in way if link[0].seq not in shared] for way in (one, other)]
    sizes = f"{shape_words(odd.fact.shape)} against {shape_words(rest.fact.shape)}"
    body = [f"{sizes}: {size_on(odd, axis)} against {size_on(rest, axis)} on axis {axis}"]
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
        down = [*(_layer_of(evidence, node) or _weight_of(evidence, node)), *made_by(node)]
        entry = data_entry(evidence, root, failure, links)
        declared = evidence.provenance.declared(root.name) if root.name else None
        chosen = root.origin == "feed" or (declared is not None and declared.type == "InputLayer")
        if declared is not None and (not chosen or _leaves_open(declared, axis)):
            declared = None
        padded = all(
            one.attributes.get("padding") != "valid" for way in own for one, _ in way if one.family == "conv"
        )
        if declared is not None and declared.site is not None and padded:  # there its size was chosen
            sized = sized_by(evidence, declared, size_on(root, axis), f"declares {root.name}")
            setter_lines = [one for one in sized if one.site.line != declared.site.line]
            own_line = Candidate(declared.site, "declaration", f"declares {root.name}")
            entry = [*setter_lines[:1], own_line, *entry]
            up, down = [], [*entry, *down]
        misses = any(node.attributes.get("transposed") for node in grown[-1:])  # its output_padding can be set
        worked = ["worked"] if _other_input(evidence, failure, odd, root) else []
        lines = [*held(up, "changed_size" if misses else "made_operand", *worked),
                 *held(call(failure), "refused", *(["made_operand"] if up else []), *worked),
                 *held(down, "made_operand" if up else "changed_size", *worked),
                 *held(entry, "other_data" if worked else "began")]  # fmt: skip
        return Account(
            lines, body, ["feed a size that divides evenly, or pad or crop before joining"], confidence=0.7,
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
    idle = not (own[0] and own[1]) and not unpadded
    strides = node.family in ("conv", "pool") and not _stride_one(node)  # a width is a number of its own line
    before_it = strides and any(_joined(link[0], failure) for link in (*one, *other))
    missing = idle and (before_it or _calls_in_vain(evidence, failure, [*own[0], *own[1]]))
    if before_it and idle:
        body.append("this very line went well before, where the other way kept the size of the shortcut")
    lines = [
        *held(
            every_instance(evidence, node, lambda one: _shrinks((one, 0), axis)), "changed_size", "made_operand"
        ),
        *_changed(evidence, node),
        *held(call(failure), "lacks_step" if missing else "refused"),
    ]
    return Account(
        lines, body,
        ["make both ways keep this size (padding, stride, width)"], confidence=0.7,
    )  # fmt: skip


def _other_input(evidence: Evidence, failure: Failure, operand: Operand, root: Operand) -> bool:
    """Whether the same call succeeded before, when what came in at the start had samples of another shape."""
    good = evidence.good_call(failure)
    before = next((one for one in good.inputs if one.role == operand.role), None) if good is not None else None
    was = evidence.provenance.way(before)[0].fact.shape if before is not None else None
    return bool(was and root.fact.shape and was[1:] != root.fact.shape[1:])


def _changed(evidence: Evidence, node: Node) -> list[Candidate]:
    """Return the lines to which a changed size is due: of a layer its declaration, which the call only runs; of
    an op the line that chose its padding, before its weight's.
    """
    layer, made = _layer_of(evidence, node), made_by(node)
    if layer:
        return [*held(layer, "changed_size"), *held(made, "passes_on")]
    weight = _weight_of(evidence, node)
    chosen = padding_set(evidence, node)
    if chosen:
        return [*held(chosen, "changed_size"), *held([*made, *weight], "passes_on")]
    if node.attributes.get("padding") == "valid" and names_padding(evidence, node):
        return [*held(made, "changed_size"), *held(weight, "passes_on")]
    return [*held(weight, "changed_size"), *held(made, "passes_on" if weight else "changed_size")]


def _joined(node: Node, failure: Failure) -> bool:
    """Whether `node` is an earlier join by the line that failed, of a block that is used again and again."""
    here, there = node.site, failure.site
    same = here is not None and there is not None and (here.file, here.line) == (there.file, there.line)
    return same and node.family == failure.family


def _calls_in_vain(evidence: Evidence, failure: Failure, links: Sequence[Link]) -> bool:
    """Whether the failing line calls a layer that did nothing: it lacks the other's step."""
    ran = any(node.site is not None and failure.site is not None and node.site.line == failure.site.line
              for node, _ in links)  # fmt: skip
    return not ran and evidence.source.called(failure.site).startswith("self.")


def shrunk(evidence: Evidence, failure: Failure, odd: Operand, rest: Operand, axis: int) -> Account | None:
    """One operand began with the size of the other: the only convolution without padding on its way took it."""
    for one, other in ((odd, rest), (rest, odd)):
        root, links = evidence.provenance.way(one)
        wanted = size_on(other, axis)
        took = [node for node, through in links if _shrinks((node, through), axis)]
        if len(took) != 1 or wanted is None or size_on(root, axis) != wanted:
            continue
        left = size_on(one, axis)
        body = [f"it began with {wanted} and has {left} on axis {axis}: {node_name(took[0])} does not pad"]
        lines = [*_changed(evidence, took[0]), *held(call(failure), "refused")]
        return Account(lines, body, ["pad it (same)"], confidence=0.7)
    return None


def transposed(evidence: Evidence, failure: Failure, operands: Sequence[Operand]) -> Account | None:
    """Two matrices with swapped sizes: the one that went through a transpose is to blame."""
    one, other = operands[0].fact.shape or (), operands[1].fact.shape or ()
    if len(one) != 2 or tuple(reversed(one)) != other or one[0] == one[1]:
        return None
    turned: list[Candidate] = []
    scored = failure.family == "loss" and _classes_last(evidence, operands[0])
    for operand in (operands[1],) if scored else (operands[1], operands[0]):
        _, links = evidence.provenance.way(operand)
        for node, _ in reversed(links):
            if node.family == "permute":
                turned += made_by(node, f"the {node.function} of {shape_words(operand.fact.shape)}")
                break
    entry = operand_origin(evidence, operands[1], failure, f"gives {shape_words(other)}")
    root, _ = evidence.provenance.way(operands[1])
    if root.fact.shape == other:  # it came in like this
        entry = data_entry(evidence, root, failure) or entry
    if scored and not turned:
        lines = [*held(_handed_in(evidence, failure, operands[1]), "lacks_step"), *held(entry, "began")]
        body = [
            f"{shape_words(one)} meets {shape_words(other)}: one of them is transposed",
            "by what made the prediction, its last axis is that of the classes",
        ]
        return Account(lines, body, [f"transpose the target: to {shape_words(one)}"], confidence=0.8)
    return Account(
        [*held(turned, "moved_axis"), *held(entry, "odd_one"), *held(call(failure), "refused")],
        [f"{shape_words(one)} meets {shape_words(other)}: one of them is transposed"],
        [
            "take out the transpose, or transpose the other"
            if turned
            else f"transpose one: to {shape_words(one)}"
        ],
        confidence=0.85 if turned else 0.6,
    )


def _classes_last(evidence: Evidence, guess: Operand) -> bool:
    """Whether a prediction has its scores on the last axis: a weight or a product gave that axis its size."""
    by = setter(evidence, guess, len(guess.fact.shape or ()) - 1)
    product = by.node is not None and by.node.family in ("linear", "matmul")
    return product or evidence.provenance.stored(by.operand) is not None


def _handed_in(evidence: Evidence, failure: Failure, target: Operand) -> list[Candidate]:
    """Return the line in the function of the failing call that names what it is given, else the call."""
    node = evidence.provenance.node(failure.node)
    built = [*reversed(node.callers), failure.site] if node is not None else [*failure.frames, failure.site]
    frames = [one for one in built if one is not None]
    given = evidence.provenance.arguments.made_at(target, frames, failure.function)
    begins = [evidence.source.function_line(one) if one is not None else None for one in (given, failure.site)]
    if (
        given is None
        or given == evidence.provenance.site(target)
        or begins[0] is None
        or begins[0] != begins[1]
    ):
        return call(failure)
    return [Candidate(given, "origin", "hands it in as it is")]


def size_on(operand: Operand, axis: int) -> int | None:
    """Return the size of an operand on an axis counted from the end, if it has it."""
    shape = operand.fact.shape or ()
    return shape[axis] if len(shape) >= -axis else None


def _restores(way: Sequence[Link], root: Operand, plain: Sequence[Link], data: Operand, axis: int) -> bool:
    """Whether `way` is to lead back to the size its input had, which is the size of the data it meets."""
    sizes = size_on(root, axis), size_on(data, axis)
    grows = any(node.family == "upsample" or node.attributes.get("transposed") for node, _ in way)
    loaded = all(node.family in ("cat", "index", "reshape", "split", "cast", "copy") for node, _ in plain)
    return grows and loaded and sizes[0] == sizes[1]


def _leaves_open(declared: Declaration, axis: int) -> bool:
    """Return whether a placeholder takes any size on the axis: then the network is meant to, too."""
    fact = declared.tensors.get("value")
    shape = fact.shape if fact is not None else None
    return shape is not None and -len(shape) <= axis < len(shape) and shape[axis] is None


def _one_tensor(one: Operand, other: Operand) -> bool:
    """Whether two operands are one tensor, as far as it can be told."""
    if one.producer is not None or other.producer is not None:
        return one.producer == other.producer and one.output == other.output
    return one.name == other.name and one.origin == other.origin and one.fact.shape == other.fact.shape


def _layer_of(evidence: Evidence, node: Node) -> list[Candidate]:
    """Return the declaration of the layer that ran `node`."""
    declared = evidence.provenance.declared(node.module) if node.module else None
    if declared is None or declared.site is None:
        return []
    return [
        Candidate(declared.site, "declaration", f"declares {named_layer(evidence, node.module)}", node.module)
    ]


def _weight_of(evidence: Evidence, node: Node) -> list[Candidate]:
    """Return the line that made the weight of `node`: of a helper function, the call."""
    stored = next((one for one in node.inputs if evidence.provenance.stored(one) is not None), None)
    site = evidence.provenance.site(stored) if stored is not None else None
    return [Candidate(site, "declaration", f"makes {node_name(node)}")] if site is not None else []


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
    rank = len(node.inputs[through].fact.shape or ())
    side = rank >= -axis and axis % rank in spatial_axes(node, rank)
    return node.family == "conv" and side and _stride_one(node) and _changes(node, through, axis)


def _stride_one(node: Node) -> bool:
    stride = node.attributes.get("stride")
    return not isinstance(stride, list | tuple) or all(one == 1 for one in stride)


def _changes(node: Node, through: int, axis: int) -> bool:
    before: Shape = node.inputs[through].fact.shape or ()
    after: Shape = (node.outputs[0].shape if node.outputs else None) or ()
    return len(before) == len(after) >= -axis and before[axis] != after[axis]
