"""Tree: the modules of a run with what went on in each, for one step."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import msgspec

from graphdebug.model.event import Gradient, Node
from graphdebug.model.run import Run
from graphdebug.view.path import data_of
from graphdebug.view.rows import worst
from graphdebug.view.words import clean, health, number_text, shape_text, site_text

__all__ = ["ModuleRow", "module_tree"]


class ModuleRow(msgspec.Struct, frozen=True):
    """One module and what is below it."""

    path: str
    name: str
    type: str
    line: str
    """Where it was declared."""
    nodes: int
    """Nodes that ran in it, those of its parts included."""
    shapes: str
    """Shape of its first input and of its last forward output."""
    health: str
    gradient: str
    """L2 norm of the gradients of its own parameters."""
    first: int | None
    """Its first node that is not finite, else its first node."""
    children: tuple[ModuleRow, ...]


class _Module:
    def __init__(self, path: str) -> None:
        self.path = path
        self.children: dict[str, _Module] = {}
        self.nodes: list[Node] = []
        self.gradients: list[Gradient] = []

    def below(self, name: str) -> _Module:
        return self.children.setdefault(name, _Module(f"{self.path}.{name}".lstrip(".")))


def module_tree(run: Run, step: int) -> ModuleRow:
    """Return the modules of `step` as a tree; the root stands for the program."""
    root = _Module("")
    declared = {one.name: one for one in run.declarations}
    for node in run.step(step).nodes:
        at = root
        at.nodes.append(node)
        for name in parts(node):
            at = at.below(name)
            at.nodes.append(node)
    for gradient in run.step(step).gradients:
        at = root
        for name in re.split(r"[./]", gradient.name)[:-1]:
            at = at.below(name)
        at.gradients.append(gradient)
    return _row(root, {name: (one.type, site_text(one.site)) for name, one in declared.items()})


def parts(node: Node) -> Sequence[str]:
    """The names on the way to the module of `node`: of its module path, else of its scope in a static graph."""
    path = node.module or node.name.rpartition("/")[0]
    return [part for part in re.split(r"[./]", path) if part][:_DEEPEST]


_DEEPEST = 40


def _row(module: _Module, declared: dict[str, tuple[str, str]]) -> ModuleRow:
    kind, line = declared.get(module.path, ("", ""))
    forward = [node for node in module.nodes if node.phase in ("forward", "build")]
    sick = next((node for node in module.nodes if any(one.finite is False for one in node.outputs)), None)
    first = sick or (module.nodes[0] if module.nodes else None)
    fact = worst(sick.outputs) if sick else None
    return ModuleRow(
        path=clean(module.path),
        name=clean(module.path.rpartition(".")[2]) or "(program)",
        type=clean(kind),
        line=line,
        nodes=len(module.nodes),
        shapes=_shapes(forward) if module.path else "",
        health=health(fact) if fact else "",
        gradient=_norm(module.gradients),
        first=first.seq if first else None,
        children=tuple(_row(one, declared) for one in module.children.values()),
    )


def _shapes(nodes: Sequence[Node]) -> str:
    """Shape of the first data that came in and of the last output."""
    taken = next((one.inputs for one in nodes if one.inputs and one.inputs[0].origin != "parameter"), ())
    made = next((one.outputs for one in reversed(nodes) if one.outputs), ())
    if not taken or not made:
        return ""
    return f"{shape_text(data_of(taken).fact.shape)} -> {shape_text(made[0].shape)}"


def _norm(gradients: Sequence[Gradient]) -> str:
    sick = next((one.fact for one in gradients if one.fact.finite is False), None)
    if sick is not None:
        return health(sick)
    norms = [float(one.fact.stats.l2) for one in gradients if one.fact.stats and one.fact.stats.l2 is not None]
    return number_text(math.hypot(*norms)) if norms else ""
