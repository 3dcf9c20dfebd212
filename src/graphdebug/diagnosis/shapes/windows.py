"""Windows: an image too small for a kernel, a dimension too few, a number of parts that an axis has not."""

from __future__ import annotations

from graphdebug.diagnosis.account import Account, call, data_entry, made_by, operand_origin
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.inputs import shaped
from graphdebug.diagnosis.ranking import held
from graphdebug.diagnosis.shapes import reshapes
from graphdebug.diagnosis.shapes.geometry import Sizes, concrete, solve, spatial_axes
from graphdebug.diagnosis.words import shape_words
from graphdebug.model.event import Failure, Node, Operand
from graphdebug.model.finding import Candidate

__all__ = ["explain"]


def explain(evidence: Evidence, failure: Failure) -> Account | None:
    """Account for a window op on too small an image, a missing dimension, or a reshape that cannot be."""
    data = next((one for one in failure.operands if one.role not in ("weight", "bias")), None)
    if data is None or data.fact.shape is None:
        return None
    if isinstance(failure.detail.get("parts"), int):
        return _apart(evidence, failure, data)
    if failure.family == "conv" and data.role == "index":
        return _output_size(evidence, failure, data)
    if failure.family in ("conv", "pool", "upsample", "norm"):
        return _rank(evidence, failure, data) or _too_small(evidence, failure, data)
    if failure.family in ("matmul", "linear"):
        return _vector(evidence, failure)
    if failure.family == "reshape":
        return reshapes.explain(evidence, failure, data)
    return None


def _apart(evidence: Evidence, failure: Failure, data: Operand) -> Account:
    """A tensor was to be taken apart into another number of parts than its axis has."""
    axis, parts, shape = failure.detail.get("axis"), failure.detail.get("parts"), data.fact.shape or ()
    at = [place for place, size in enumerate(shape) if size == parts and place != axis]
    body = [f"{shape_words(shape)} is taken apart along axis {axis} into {parts}"]
    body += [f"axis {at[0]} has {parts}"] if at else []
    entry = operand_origin(evidence, data, failure, f"makes {shape_words(shape)}")
    tries = (
        [f"take it apart along axis {at[0]}"] if at else ["leave the number of parts out, where it is known"]
    )
    lines = [
        *held(call(failure, "takes it apart"), "said", *(["repairs"] if at else [])),
        *held(entry, "began"),
    ]
    return Account(lines, body, tries, confidence=0.8)


def _output_size(evidence: Evidence, failure: Failure, size: Operand) -> Account | None:
    """A transposed convolution was told an output that its input does not give."""
    given = next((one for one in failure.operands if one.role == "gradient"), None)
    if given is None:
        return None
    fixed = "a constant" if size.origin == "constant" else "computed"
    body = [f"the output size it was told is {fixed}; its input came as {shape_words(given.fact.shape)}"]
    made = operand_origin(evidence, size, failure, "computes the output size") if size.producer else []
    entry = operand_origin(evidence, given, failure, f"makes {shape_words(given.fact.shape)}")
    tries = ["take the batch in output_shape from the input at run time"]
    lines = [*held(call(failure, "is told the output size"), "declares_size"),
             *held([*made, *entry], "made_operand")]  # fmt: skip
    return Account(lines, body, tries, confidence=0.75)


def _rank(evidence: Evidence, failure: Failure, data: Operand) -> Account | None:
    weight = next((one.fact.shape for one in failure.operands if one.role == "weight"), None)
    shape = data.fact.shape or ()
    wanted = len(weight) if failure.family == "conv" and weight else _rank_of_name(failure)
    expected, found = failure.detail.get("expected"), failure.detail.get("found")
    said = isinstance(expected, int) and found == len(shape) and expected == wanted
    if not wanted or len(shape) == wanted or (len(shape) == wanted - 1 and not said):
        return None
    root, links = evidence.provenance.way(data)
    turns = [node for node, _ in links if node.family in ("reshape", "reduce", "index") and node.site]
    body = [
        f"{failure.module or failure.function} takes {wanted} dimensions; {shape_words(shape)} has {len(shape)}"
    ]
    missing = "batch and channels" if wanted - len(shape) > 1 else "a dimension (channels or batch)"
    tries = [f"add {missing}"] if len(shape) < wanted else [f"take {len(shape) - wanted} dimension off"]
    own = [one for node in turns[-1:] for one in made_by(node)]
    entry = data_entry(evidence, root, failure, links)
    lines = [*held(own, "changed_size"), *held(entry, "made_operand"), *held(call(failure), "refused")]
    return Account(lines, body, tries, confidence=0.75)


def _vector(evidence: Evidence, failure: Failure) -> Account | None:
    """A product that takes matrices was given a vector."""
    vector = next(
        (one for one in failure.operands if one.role != "bias" and len(one.fact.shape or (0, 0)) < 2), None
    )
    if vector is None or len(failure.operands) < 2 or failure.op.endswith(("::mv", "::dot")):
        return None
    entry = operand_origin(evidence, vector, failure, f"makes the vector {shape_words(vector.fact.shape)}")
    size = (vector.fact.shape or (1,))[0]
    body = [f"{failure.function} takes matrices; {vector.expression or vector.name or 'one side'} is a vector"]
    # Where the vector was declared so, the product is written as usual, and what was declared is not.
    declared = vector.origin in ("feed", "variable", "parameter")
    lines = [*held(entry, "odd_one" if declared else "made_operand"),
             *held(call(failure), *(["refused"] if declared else ["lacks_step"]))]  # fmt: skip
    return Account(lines, body, [f"make it 1x{size} or {size}x1"], confidence=0.7)


def _rank_of_name(failure: Failure) -> int:
    digit = failure.function[-2:-1] if failure.function.endswith("d") else ""
    return int(digit) + 2 if digit.isdigit() else 0


def _too_small(evidence: Evidence, failure: Failure, data: Operand) -> Account | None:
    shape = concrete(data.fact.shape)
    probe = _probe(failure)
    reach = _reach(failure)
    if shape is None or reach is None:
        return None
    axes = spatial_axes(probe, len(shape))
    if not axes or all(shape[axis] >= side for axis, side in zip(axes, reach, strict=False)):
        return None
    root, links = evidence.provenance.way(data)

    def accepts(sizes: Sizes) -> bool:
        return all(sizes[axis] >= side for axis, side in zip(axes, reach, strict=False))

    declared = evidence.provenance.declared(failure.module) if failure.module else None
    own = [Candidate(declared.site, "declaration", f"declares {failure.module}", failure.module)] if (
        declared is not None and declared.site is not None) else []  # fmt: skip
    solved = solve(links, root.fact.shape, accepts)
    given = [shape[axis] for axis in axes]
    body = [
        (
            f"{failure.module or failure.function} looks at {shape_words(reach)} at a time; "
            f"its input has only {shape_words(given)} left of {shape_words(root.fact.shape)}"
        )
    ]
    entry = data_entry(evidence, root, failure, links)
    tries = ["pad, or take a layer out"]
    changed = ""
    turned = _turned(root, axes)
    if turned:
        body.append(turned)
        tries.insert(0, "permute the input into the layout of the layers")
        changed = "moved_axis"
    elif solved is not None:
        tries.insert(0, f"feed at least {shape_words(solved[0])}")
        if evidence.good_call(failure) is not None:
            changed = "other_data"
    if not changed and evidence.worked(failure):
        changed = "other_data"
    came = root.fact.shape or ()
    due = (None, *came[2:], came[1]) if axes == (1, 2) else (None, came[-1], *came[1:-1])
    made = shaped(evidence, failure, root, due) if turned else []
    lines = [*held(made, "moved_axis", "changed_size"),
             *held(own, "declares_size", *(["worked"] if changed == "other_data" else [])),
             *held(call(failure), "refused"), *held(entry, changed or "began")]  # fmt: skip
    return Account(lines, body, tries, solved[0] if solved is not None and not turned else (), 0.75)


def _turned(root: Operand, axes: tuple[int, ...]) -> str:
    """Say so, if the input looks like images with their channels where these layers look for sides."""
    shape = root.fact.shape or ()
    few = (1, 3)
    if len(shape) == 4 and axes == (1, 2) and shape[1] in few and shape[3] not in (1, 2, 3, 4):
        return f"{shape_words(shape)} looks like channels first; this layer takes channels last"
    if len(shape) == 4 and axes == (2, 3) and shape[3] in few and shape[1] not in (1, 2, 3, 4):
        return f"{shape_words(shape)} looks like channels last; this layer takes channels first"
    return ""


def _reach(failure: Failure) -> list[int] | None:
    """Return how many elements of each side one window needs, padding taken off."""
    words = failure.attributes
    weight = next((one.fact.shape for one in failure.operands if one.role == "weight"), None)
    kernel = words.get("kernel")
    if not kernel and weight is not None:
        kernel = list(weight[:-2] if words.get("weight_layout") == "HWIO" else weight[2:])
    if not isinstance(kernel, list | tuple) or not kernel or words.get("padding") == "same":
        return None
    made = []
    for i, size in enumerate(kernel):
        dilation, padding = words.get("dilation"), words.get("padding")
        spread = dilation[min(i, len(dilation) - 1)] if isinstance(dilation, list | tuple) and dilation else 1
        pads = padding[min(i, len(padding) - 1)] if isinstance(padding, list | tuple) and padding else 0
        made.append(
            int(spread) * (int(size) - 1) + 1 - (sum(pads) if isinstance(pads, list | tuple) else 2 * pads)
        )
    return made


def _probe(failure: Failure) -> Node:
    """Return the failing call as a node, for the helpers that read a node's layout."""
    return Node(
        failure.seq, failure.step, failure.op, failure.function, failure.family, failure.framework,
        failure.mode, attributes=failure.attributes,
    )  # fmt: skip
