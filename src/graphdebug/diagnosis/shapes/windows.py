"""Windows and reshapes: an image too small for a kernel, and elements that do not fit the shape asked for."""

from __future__ import annotations

from math import prod

from graphdebug.diagnosis.account import Account, call, data_entry, made_by, operand_origin, sized_by
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.inputs import shaped
from graphdebug.diagnosis.ranking import held
from graphdebug.diagnosis.shapes import repairs
from graphdebug.diagnosis.shapes.geometry import Sizes, concrete, solve, spatial_axes
from graphdebug.diagnosis.words import arithmetic, shape_words, telling
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
        return _reshape(evidence, failure, data)
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
    if vector is None or len(failure.operands) < 2:
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


def _in_memory(evidence: Evidence, failure: Failure, data: Operand, asked: str) -> Account:
    """The elements fit the shape asked for, but they do not lie in memory in that order."""
    turned = evidence.provenance.node(data.producer)
    made = made_by(turned, f"the {turned.function} leaves gaps") if turned is not None else []
    body = [
        f"{shape_words(data.fact.shape)} has the elements for {asked}, but they are not contiguous in memory"
    ]
    tries = ["use reshape, which copies where it must, or call contiguous() first"]
    lines = [*held(call(failure, f"asks for {asked}"), "said"), *held(made, "made_operand")]
    return Account(lines, body, tries, confidence=0.85)


def _read_off(evidence: Evidence, failure: Failure, size: int) -> list[Candidate]:
    """Return the declaration of the only weight of which the failing line reads the size that it asks for."""
    if "shape" not in evidence.source.line(failure.site).replace("reshape", ""):
        return []
    found = [
        one for one in evidence.provenance.declarations()
        if one.attributes.get("trainable") and one.site is not None
        and any(len(fact.shape or ()) > 1 and (fact.shape or ())[0] == size for fact in one.tensors.values())
    ]  # fmt: skip
    return (
        sized_by(evidence, found[0], size, f"declares {found[0].name} with {size}") if len(found) == 1 else []
    )


def _reshape(evidence: Evidence, failure: Failure, data: Operand) -> Account | None:
    shape, target = concrete(data.fact.shape), failure.attributes.get("target")
    if shape is None or not isinstance(target, list | tuple) or not all(isinstance(n, int) for n in target):
        own = held(call(failure, "the shape asked for"), "declares_size")
        tries = ["ask for as many elements as there are: -1 for one axis finds its size"]
        if failure.function not in ("reshape", "view"):
            tries = [f"compare this with what {failure.function} takes"]
        return Account(own, telling(failure.message, 1), tries, confidence=0.7) if failure.site else None
    root, links = evidence.provenance.way(data)
    total, fixed = prod(shape), prod(size for size in target if size != -1)
    asked = "x".join(str(size) for size in target)
    body = [f"{shape_words(shape)} has {arithmetic(total, shape)} elements; {asked} takes "
            + (f"a multiple of {fixed}" if -1 in target else str(fixed))]  # fmt: skip
    if fixed and total % fixed == 0 and (-1 in target or total == fixed):
        return _in_memory(evidence, failure, data, asked)
    batch = (concrete(root.fact.shape) or (0,))[0]
    row = prod(size for size in target[1:] if size != -1)
    rows = batch if target[0] in (-1, batch) else 0
    solved, repaired = None, []
    if rows and -1 not in target[1:]:

        def accepts(sizes: Sizes) -> bool:
            return sizes[0] == rows and prod(sizes) == rows * row

        solved = solve(links, root.fact.shape, accepts)
        repaired = repairs.padding(evidence, links, root.fact.shape, accepts)
    tries = [f"keep the batch and compute the rest: ({shape[0]}, -1)"]
    if solved is not None:
        tries.insert(0, f"feed {shape_words(solved[0])}")
    entry = data_entry(evidence, root, failure, links)
    read = _read_off(evidence, failure, fixed)
    good = evidence.good_call(failure)
    if good is not None and good.inputs and good.inputs[0].fact.shape:
        was = good.inputs[0].fact.shape
        if was[1:] == shape[1:]:
            body.append(f"the shape asked for holds {was[0]} samples, as before; this batch has {shape[0]}")
            tries = [f"ask for ({shape[0]}, -1) by the batch's own size, or drop the last, smaller batch"]
    return Account(
        [
            *held(repaired, "repairs"),
            *held(read, "declares_size", "odd_one"),
            *held(call(failure, f"asks for {asked}"), *(["refused"] if read else ["declares_size"])),
            *held(entry, "began"),
        ],
        body,
        tries,
        solved[0] if solved is not None else (),
        0.8,
    )
