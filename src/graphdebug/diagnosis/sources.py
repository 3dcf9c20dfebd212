"""Sources: the array that a data pipeline takes its elements from, as the program's text has it."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from graphdebug.diagnosis.calls import called, calls_on
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.origins import before, chain, placed
from graphdebug.diagnosis.trails import Place
from graphdebug.model.event import Operand, Site
from graphdebug.model.finding import Candidate

__all__ = ["behind"]

_READS = ("get_next", "next")
_SLICES = ("from_tensor_slices", "from_tensors", "TensorSliceDataset", "TensorDataset")
_OTHER_ELEMENTS = ("map", "flat_map", "interleave", "apply", "window", "batch_map", "padded_batch", "enumerate")
"""Stages behind which an element is another one than the array has."""
_SAME_ELEMENTS = ("repeat", "shuffle", "batch", "prefetch", "take", "skip", "cache", "shard")
"""Stages that give the array's numbers on as they are."""
_MODULES = ("tf", "v1", "data", "tensorflow", "compat", "dataset_ops")
_FURTHEST = 24
_KINDS = {
    "int": ("int", "randint", "integers", "arange", "argmax", "astype", "dtype"),
    "float": ("float", "double", "astype", "dtype"),
}
"""Words of a line that gives an array its kind of numbers."""


def behind(evidence: Evidence, operand: Operand) -> list[Candidate]:
    """Return the line that made the array behind an element of a pipeline, where each stage gives the array's
    numbers on as they are: the last that says which numbers they are, else the one that made them.
    """
    node = evidence.provenance.node(operand.producer)
    if node is None or node.site is None or node.function != "iterator_get_next":
        return []
    frames = [*reversed(node.callers), node.site]
    array = _array(evidence, frames, operand.output, len(node.outputs))
    if array is None:
        return []
    way = [array, *chain(evidence.source, array, lambda _: True)]
    kind = next((one for one in _KINDS if operand.fact.dtype.startswith(one)), "")
    said = [one for one in way if any(word in _spoken(one) for word in _KINDS.get(kind, ()))]
    made = (said or way[-1:])[0]
    return [Candidate(made.line, "input", f"makes the array {operand.fact.dtype}")]


def _spoken(place: Place) -> str:
    """Return the names of what an expression calls and is told: not those of the data."""
    words = [called(one) for one in ast.walk(place.value) if isinstance(one, ast.Call)]
    words += [one.arg or "" for one in ast.walk(place.value) if isinstance(one, ast.keyword)]
    return " ".join(words)


def _array(evidence: Evidence, frames: Sequence[Site], output: int, outputs: int) -> Place | None:
    """Return the part of the arrays given to a pipeline that is its output in question."""
    source, tree = evidence.source, evidence.source.tree(frames[-1].file)
    reads = [
        one for one in (calls_on(tree, frames[-1].line) if tree is not None else ())
        if isinstance(one, ast.Call) and called(one) in _READS
    ]  # fmt: skip
    given = _owner(reads[0]) if len(reads) == 1 else None
    place = placed(source, given, frames) if given is not None else None
    for _ in range(_FURTHEST):
        if place is None:
            break
        value = place.value
        if not isinstance(value, ast.Call):
            place = _one(before(source, place))
        elif called(value) in _SLICES and value.args:
            parts = _parts(evidence, Place(value.args[0], place.site, place.calls))
            return parts[output] if len(parts) == outputs else None
        elif called(value) in _OTHER_ELEMENTS:
            return None
        elif called(value) == "zip" and value.args and isinstance(value.args[0], ast.Tuple | ast.List):
            sets = value.args[0].elts
            if len(sets) != outputs:
                return None
            place, output, outputs = Place(sets[output], place.site, place.calls), 0, 1
        else:
            owner = _owner(value)
            inner = _one(before(source, place)) if owner is None or not _gives(value) else None
            place = inner or (Place(owner, place.site, place.calls) if owner is not None else None)
    return None


def _gives(call: ast.Call) -> bool:
    return called(call) in _SAME_ELEMENTS or called(call).startswith("make_")


def _owner(call: ast.Call) -> ast.expr | None:
    """Return the object that a stage or iterator is made of: a method's own, or the first argument."""
    of = call.func.value if isinstance(call.func, ast.Attribute) else None
    root = of
    while isinstance(root, ast.Attribute):
        root = root.value
    module = of is None or (isinstance(root, ast.Name) and root.id in _MODULES)
    return (call.args[0] if call.args else None) if module else of


def _one(places: Sequence[Place]) -> Place | None:
    return places[0] if len(places) == 1 else None


def _parts(evidence: Evidence, place: Place) -> list[Place]:
    """Return the arrays of a structure in the order in which a pipeline gives them on."""
    for one in (place, *chain(evidence.source, place, lambda _: True)):
        if isinstance(one.value, ast.Tuple | ast.List):
            return [part for e in one.value.elts for part in _parts(evidence, Place(e, one.site, one.calls))]
        if isinstance(one.value, ast.Dict) and all(isinstance(key, ast.Constant) for key in one.value.keys):
            pairs = zip(one.value.keys, one.value.values, strict=True)
            values = [value for _, value in sorted(pairs, key=lambda pair: ast.unparse(pair[0]))]  # type: ignore[arg-type] # constants
            return [part for e in values for part in _parts(evidence, Place(e, one.site, one.calls))]
    return [place]
