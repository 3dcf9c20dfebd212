"""Provenance: where a tensor came from: the nodes it went through, the line and declaration it began with."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

import msgspec

from graphdebug.diagnosis import feeds
from graphdebug.diagnosis.arguments import Arguments
from graphdebug.diagnosis.instances import told_apart
from graphdebug.diagnosis.shapes.geometry import Link
from graphdebug.diagnosis.source import SourceText
from graphdebug.diagnosis.words import label, node_name, place, shape_words
from graphdebug.model.event import Declaration, Gradient, Node, Operand, Site
from graphdebug.model.run import Run

__all__ = ["Provenance"]

_STORED = ("parameter", "buffer", "variable")
_NOT_DATA = ("weight", "bias", "index", "condition", "state")
_SOURCES = ("fill", "random", "placeholder")
"""Families that make data: what they take is a shape or a seed."""
_UNNAMED = re.compile(r"(?:variable|placeholder)(?:_\d+)?(?::0)?", re.IGNORECASE)
"""Names that say only what a thing is."""
_FURTHEST = 3000
"""Nodes a way is followed back; a longer one (an unrolled recurrence) begins there."""


class Provenance:
    """Answers where operands of one run came from."""

    def __init__(self, run: Run, source: SourceText) -> None:
        self._run = run
        self._source = source
        self.arguments = Arguments(source)
        self._nodes: dict[int, Node | None] = {}
        self._declared: dict[str, list[Declaration]] | None = None

    def node(self, seq: int | None) -> Node | None:
        """Return the node with this number, remembered: ways cross."""
        if seq is None:
            return None
        if seq not in self._nodes:
            if len(self._nodes) > 100_000:
                self._nodes.clear()
            self._nodes[seq] = self._run.node(seq)
        return self._nodes[seq]

    def way(self, operand: Operand) -> tuple[Operand, list[Link]]:
        """Return the operand that `operand` began as, and the nodes between, the first one first.

        The way follows the data, not the weights: through products it goes by the input, through joins by
        the first input.
        """
        links: list[Link] = []
        node = self.node(operand.producer)
        while node is not None and len(links) < _FURTHEST:
            through = self._data_input(node)
            if through is None:
                break
            links.append((node, through))
            operand = node.inputs[through]
            before = self.node(operand.producer)
            node = before if before is None or before.seq < node.seq else None
        return operand, links[::-1]

    def unchanged(self, operand: Operand) -> Operand:
        """Return what `operand` was before reshapes and casts that left its shape as it was."""
        for _ in range(8):
            node = self.node(operand.producer)
            if node is None or node.family not in ("reshape", "cast", "copy") or not node.inputs:
                break
            if node.inputs[0].fact.shape != operand.fact.shape:
                break
            operand = node.inputs[0]
        return operand

    def sample(self, operand: Operand) -> Operand:
        """Return a sample of the batch that `operand` is, where a loader stacked it: the line there says
        nothing of a stack. Else the operand itself.
        """
        node = self.node(operand.producer)
        if node is None or node.family != "cat" or not node.inputs:
            return operand
        line = self._source.line(node.site)
        written = any(word in line for word in (node.function, "cat", "collate")) or not line.strip()
        if written:
            return operand
        here, place = node.inputs[0], node.site
        while (one := self.node(here.producer)) is not None and one.family in ("index", "split") and one.inputs:
            if one.site is None or place is None or (one.site.file, one.site.line) != (place.file, place.line):
                break
            here = one.inputs[0]
        return here

    def looked_at(self, gradient: Gradient) -> Gradient:
        """Return `gradient` with what was seen of its elements, where it is a view of what was looked at."""
        node = self.node(gradient.producer) if gradient.fact.finite is None else None
        for _ in range(4):
            if node is None or node.family not in ("permute", "reshape") or not node.inputs:
                break
            node = self.node(node.inputs[0].producer)
        seen = node.outputs[0] if node is not None and node.outputs else None
        if seen is None or seen.finite is None:
            return gradient
        fact = msgspec.structs.replace(gradient.fact, finite=seen.finite, stats=seen.stats)
        return msgspec.structs.replace(gradient, fact=fact)

    def stored(self, operand: Operand) -> Operand | None:
        """Return the parameter or variable that `operand` is, or is a view, cast or read of; else None."""
        for _ in range(6):
            if operand.origin in _STORED:
                return operand
            node = self.node(operand.producer)
            if node is None or len(node.inputs) != 1:
                return None
            operand = node.inputs[0]
        return None

    def declaration(self, operand: Operand) -> Declaration | None:
        """Return the layer, variable or placeholder that declared `operand`; the layer rather than its
        tensor, unless the user's own class made the tensor.
        """
        name = operand.name
        tensor = self.declared(name, operand)
        if tensor is not None and tensor.site is not None and tensor.name == name and "." in name:
            return tensor
        layer = self.declared(name.rpartition(".")[0], None) if "." in name else None
        return layer if layer is not None and layer.site is not None else tensor or layer

    def declared(self, name: str, operand: Operand | None = None) -> Declaration | None:
        """Return the last declaration of `name`, one whose tensor has the operand's shape if there is one."""
        if self._declared is None:
            self._declared = {}
            for one in told_apart(self._run.declarations, self._ran):
                self._declared.setdefault(one.name, []).append(one)
        within = name.split("/")  # an eager call inside a model's has the model's name before the layer's
        inner = ("/".join(within[start:]) for start in range(1, len(within)))
        ways = (name, name.removesuffix(":0"), f"{name}:0", *inner)
        found: list[Declaration] = next((self._declared[one] for one in ways if one in self._declared), [])
        found = found or self._alike(name, operand)
        for one in reversed(found if operand is not None else []):
            if any(fact.shape == operand.fact.shape for fact in one.tensors.values()):  # type: ignore[union-attr]
                return one
        return found[-1] if found else None

    def _alike(self, name: str, operand: Operand | None) -> list[Declaration]:
        """Return the only variable with the shape of `operand` and the last part of its name.

        A layer that is built within another's call may be called otherwise in a graph.
        """
        last = name.rpartition("/")[2] if operand is not None and operand.origin == "variable" else ""
        shape = operand.fact.shape if operand is not None else None
        found = [
            many[-1] for other, many in (self._declared or {}).items()
            if last and shape and other.rpartition("/")[2] == last and many[-1].type == "Variable"
            and any(fact.shape == shape for fact in many[-1].tensors.values())
        ]  # fmt: skip
        return found if len(found) == 1 else []

    def _ran(self) -> set[str]:
        """The modules of the last step that has nodes."""
        steps = self._run.steps
        nodes = self._run.step(steps[-1]).nodes if steps else ()
        return {node.module for node in nodes if node.execution != "raised"}

    def line_of(self, declared: Declaration | None) -> Site | None:
        """Return the user's line that made a layer; of one that a library made or copied, the line of the
        layer that it is a part or a copy of.
        """
        if declared is None or declared.site is not None:
            return declared.site if declared is not None else None
        call = next(iter(declared.callers), None)
        names = self._source.arguments(call) if call is not None else ()
        copied = (self._source.assignment(one, call) for one in names if call is not None)
        return next((one for one in copied if one is not None), call)

    def declarations(self) -> Sequence[Declaration]:
        """Return the declarations of all names, in order."""
        self.declared("")
        return [one for many in (self._declared or {}).values() for one in many]

    def site(self, operand: Operand) -> Site | None:
        """Return the line that made `operand`: its declaration's, or its producer's."""
        stored = self.stored(operand)
        if stored is not None:
            declared = self.declaration(stored)
            return (
                declared.site if declared is not None and declared.site is not None else self._filled(operand)
            )
        node = self.node(operand.producer)
        if node is not None:
            return node.site
        declared = self.declaration(operand) if operand.name else None
        return declared.site if declared is not None else None

    def _filled(self, operand: Operand) -> Site | None:
        """Return the line that gave a parameter its first values, if it was recorded."""
        node = self.node(operand.producer)
        for _ in range(6):
            if node is None or node.family not in ("permute", "reshape", "cast") or not node.inputs:
                break
            node = self.node(node.inputs[0].producer)
        filled = node is not None and node.phase == "forward" and node.family in ("random", "fill", "assign")
        return node.site if filled and node is not None else None

    def root_site(self, root: Operand, frames: Sequence[Site], links: Sequence[Link] = ()) -> Site | None:
        """Return the line where the data at the start of a way came from.

        Its declaration or producer; else the line that gave the expression its value which the first node
        of the way was called with, through the calls in between; else the call into the model.

        Args:
            root: the operand the way starts with.
            frames: user frames around the failing call, outermost first.
            links: the nodes of the way, if there are any between `root` and the failing call.

        """
        made = self.site(root)
        if made is not None and root.origin == "feed":
            name = self.own_name(root)
            fed = (feeds.fed(self._source, run, made, name) for run in reversed(frames))
            return next(filter(None, fed), made)
        if made is not None:
            return made
        first = links[0][0] if links else None
        if first is not None and first.site is not None:
            frames = [*reversed(first.callers), first.site]
        made = self.arguments.made_at(root, frames, first.function if first is not None else "")
        name = root.expression or root.name
        named = (self._source.assignment(name, frame) for frame in reversed(frames)) if name else iter(())
        return made or next((one for one in named if one is not None), None) or _entry(frames)

    def given_name(self, declared: Declaration) -> str:
        """Return the name that the user's line gives a thing which says only what it is; else nothing.

        What one line made is told apart in the order in which it was made: ``x, y = ...`` or ``xs[0]``.
        """
        if _UNNAMED.fullmatch(declared.name) is None:
            return declared.name.removesuffix(":0")
        names = {
            one.name for one in self.declarations()
            if (one.site, one.callers, one.type) == (declared.site, declared.callers, declared.type)
        }  # fmt: skip
        made = sorted(names, key=lambda name: (len(name), name))
        for site in (declared.site, *declared.callers):
            if site is None:
                break
            name = self._source.target(site, made.index(declared.name), len(made))
            if name or not self._source.line(site).lstrip().startswith("return "):
                return name
        return ""

    def own_name(self, operand: Operand, frames: Sequence[Site] = (), function: str = "") -> str:
        """Return what the user calls an operand: the name its line gives it, where its own says nothing.

        Args:
            operand: the operand.
            frames: user frames around the call that takes it, outermost first.
            function: what is called there.

        """
        generic = _UNNAMED.fullmatch(operand.name) is not None
        declared = self.declaration(operand) if generic else None
        if declared is not None:
            return self.given_name(declared) or operand.name
        site = self.site(operand) if generic else None
        if site is None and generic and frames:
            site = self.arguments.made_at(operand, frames, function)
        return (self._source.target(site) if site is not None else "") or operand.name

    def origin_words(self, operand: Operand) -> str:
        """Return ``flatten, net.py:30`` or ``parameter fc.weight, net.py:22``."""
        stored = self.stored(operand)
        stored = msgspec.structs.replace(stored, name=self.own_name(stored)) if stored is not None else None
        node = self.node(operand.producer)
        if stored is None and node is None and operand.name:
            stored = msgspec.structs.replace(operand, name=self.own_name(operand))
        words = label(stored) if stored is not None else node_name(node) if node is not None else label(operand)
        site = self.site(operand)
        return f"{words}, {place(site)}" if site is not None else words

    def how(self, operand: Operand, root_name: str = "") -> str:
        """Return the way as ``x 8x1x100x100 -> conv1 8x32x100x100 -> ...``, steps of one shape as one."""
        root, links = self.way(operand)
        made = self.node(root.producer)
        start = root_name or self.own_name(root) or (node_name(made) if made is not None else root.origin)
        names = [f"{start} {shape_words(root.fact.shape)}"]
        last = root.fact.shape
        for node, _ in links:
            shape = node.outputs[0].shape if node.outputs else None
            if shape != last:
                names.append(f"{node_name(node)} {shape_words(shape)}")
                last = shape
        if len(names) == 1:
            return ""
        if len(names) > 8:
            names = [*names[:2], "...", *names[-5:]]
        return "how: " + " -> ".join(names)

    def _data_input(self, node: Node) -> int | None:
        """Return which input the data comes through: the one with a data role, that is not a weight."""
        if node.family in _SOURCES:
            return None
        if node.function.startswith("tensor_array_"):
            return _kept_in(node)
        if node.family == "control":
            return self._gone_over(node)
        best: tuple[int, int] | None = None
        for index, one in enumerate(node.inputs):
            if one.origin in (*_STORED, "constant") or one.role in _NOT_DATA:
                continue
            if one.fact.dtype == "resource":  # a handle: what is read through it begins here
                continue
            rank = 0 if one.role in ("input", "logits", "a") else 1
            if one.producer is None and one.origin in ("node", "unknown"):
                rank += 4
            elif self.stored(one) is not None:
                rank += 8
            if best is None or rank < best[0]:
                best = rank, index
        return best[1] if best is not None else None

    def _gone_over(self, node: Node) -> int | None:
        """Return which input of a loop the data come through: the list it takes an element of each turn, else
        the first tensor that is no count and no weight.
        """
        makers = [self.node(one.producer) for one in node.inputs]
        for index, maker in enumerate(makers):
            if maker is not None and maker.function == "tensor_list_from_tensor":
                return index
        return next(
            (
                index for index, one in enumerate(node.inputs)
                if one.fact.shape and one.fact.dtype != "resource" and self.stored(one) is None
                and one.origin != "constant"
            ), None,
        )  # fmt: skip


def _kept_in(node: Node) -> int | None:
    """Return which input of an op on a tensor array the data come through: the value that is written, or the
    flow of what was written before.
    """
    if "_scatter_" in node.function or "_write_" in node.function:
        return 2 if len(node.inputs) > 2 else None
    return len(node.inputs) - 1 if "_read_" in node.function and len(node.inputs) > 1 else None


def _entry(frames: Sequence[Site]) -> Site | None:
    """Return the frame that called into the model: the one before the first ``forward`` or ``call``."""
    for outer, inner in pairwise(frames):
        if inner.function.rpartition(".")[2] in ("forward", "call", "__call__"):
            return outer
    return frames[-1] if frames else None
