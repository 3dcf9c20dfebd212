"""Asked: the line that wrote down the size which a reshape asks for, where its own line only reads it."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from graphdebug.diagnosis.account import sized_by
from graphdebug.diagnosis.calls import called, calls_on
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.instances import stack
from graphdebug.diagnosis.origins import elements, numbers, placed
from graphdebug.diagnosis.trails import Place
from graphdebug.diagnosis.written import followed
from graphdebug.model.event import Operand, Shape, Site
from graphdebug.model.finding import Candidate

__all__ = ["asked", "declared_so"]

_RESHAPES = ("reshape", "view", "Reshape")
_MODULES = ("tf", "torch", "np", "numpy", "jnp", "F", "K")


def asked(evidence: Evidence, frames: Sequence[Site], row: int) -> list[Candidate]:
    """Return the line that wrote down the `row`, of each sample, that a reshape on the innermost line asks for.

    Where it is read off a variable, it is the variable's declaration. Nothing where that line wrote it itself.
    """
    parts = _parts(evidence, frames) if frames else []
    if len(parts) != 1:
        return []
    own = frames[-1]
    if row in numbers(evidence.source, parts[0]):
        made = followed(evidence.source, parts[0], row, {own.line})
        lines = [Candidate(made.site, "declaration", f"sets the {row}")]
    elif "shape" in ast.unparse(parts[0].value):
        lines = _read_off(evidence, row)
    else:
        return []
    return [one for one in lines if (one.site.file, one.site.line) != (own.file, own.line)]


def declared_so(evidence: Evidence, root: Operand) -> bool:
    """Whether data were fed as their placeholder says, in all sizes of a sample: other data are no way out."""
    declared = evidence.provenance.declared(root.name) if root.origin == "feed" else None
    said: Shape = next((fact.shape or () for fact in declared.tensors.values()), ()) if declared else ()
    return len(said) > 1 and None not in said[1:] and said[1:] == (root.fact.shape or ())[1:]


def _parts(evidence: Evidence, frames: Sequence[Site]) -> list[Place]:
    """Return the parts of the shape that a reshape asks for behind the first, but for -1."""
    tree = evidence.source.tree(frames[-1].file)
    found = [
        one for one in (calls_on(tree, frames[-1].line) if tree is not None else ())
        if isinstance(one, ast.Call) and called(one) in _RESHAPES
    ]  # fmt: skip
    if len(found) != 1:
        return []
    call = found[0]
    of_module = isinstance(call.func, ast.Attribute) and ast.unparse(call.func.value) in _MODULES
    given = next((one.value for one in call.keywords if one.arg in ("shape", "newshape", "target_shape")), None)
    if given is None and of_module:
        given = call.args[1] if len(call.args) > 1 else None
    elif given is None:
        given = call.args[0] if len(call.args) == 1 else ast.Tuple(call.args)
    shapes = elements(evidence.source, placed(evidence.source, given, frames)) if given is not None else []
    return [one for one in (shapes[0][1:] if len(shapes) == 1 else ()) if ast.unparse(one.value) != "-1"]


def _read_off(evidence: Evidence, row: int) -> list[Candidate]:
    """Return the declaration of the one matrix that has `row` rows: a reshape that asks a variable means it."""
    found = {
        stack(one)[:1]: one for one in evidence.provenance.declarations()
        if one.attributes.get("trainable") and any((f.shape or ())[:1] == (row,) for f in one.tensors.values())
    }  # fmt: skip
    declared = next(iter(found.values())) if len(found) == 1 else None
    return sized_by(evidence, declared, row, f"declares the {row} that is asked for") if declared else []
