"""A captured graph as a table of steps: ops, user lines, module paths and who feeds whom, read once."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx

from graphdebug.backends.torch.code.traced import sites_of_trace
from graphdebug.backends.torch.compiled.wrapped import called_by
from graphdebug.backends.torch.nodes.facts import Kind, dtype_word, kind_of
from graphdebug.backends.torch.nodes.ops import Op, op_of
from graphdebug.model.event import Origin, Site, TensorFact
from graphdebug.model.site import SiteFinder

_OWNER = re.compile(r"[LG]\['(\w+)'\]((?:\.(?!_)\w+)*)\._(?:modules|parameters|buffers)\[")
"""What dynamo reads a parameter with, up to the module that the compiled code names."""

__all__ = [
    "GraphTable",
    "Place",
    "Step",
    "attribute_path",
    "module_path",
    "name_of_input",
    "named_source",
    "owner_of_input",
]

Place = tuple[str, int, int]
"""Where a value comes from: ``("input", i, 0)`` or ``("step", i, which of its outputs)``."""
Keys = Callable[[Any], Kind | None]


@dataclass(slots=True)
class Step:
    """One op of a captured graph."""

    name: str
    op: Op
    site: Site | None
    callers: tuple[Site, ...]
    module: str
    """Path below the module that was compiled."""
    number: int | None
    """Autograd's number, shared by a forward op and the ops of its backward."""
    inside: int | None
    """Which part of what the graph's node returns is the op's result, where it is wrapped."""
    again: bool
    """Whether a forward op stands in a backward graph: it is computed a second time."""
    inputs: list[tuple[str, Place]] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)
    metas: tuple[Any, ...] = ()
    """Fake tensors of its outputs."""
    keys: tuple[Kind, ...] | None = None
    """What the outputs are, if that is the same in every run; None with symbolic sizes."""


class GraphTable:
    """The steps of one graph, in order.

    Args:
        module: the graph; it is copied, since compilers change what they are given.
        sites: resolves the stack traces of nodes.
        backward: whether this is a backward graph.

    """

    def __init__(self, module: fx.GraphModule, sites: SiteFinder, *, backward: bool) -> None:
        self.graph = fx.GraphModule(module, _copied(module.graph))
        self.backward = backward
        self.steps: list[Step] = []
        self.places: dict[str, Place] = {}
        self.inputs: list[str] = []
        self.input_metas: list[Any] = []
        self.mutated: dict[int, int] = {}
        """Inputs that a step writes in place: input -> step."""
        self._sites = sites
        self._wrapped: dict[str, int] = {}
        """Nodes that return more than the op inside: which part of it is the op's."""
        for node in module.graph.nodes:
            self._read(node)
        output = next(node for node in reversed(module.graph.nodes) if node.op == "output")
        results = output.args[0] if isinstance(output.args[0], list | tuple) else output.args
        self.outputs = [self.places.get(one.name) if isinstance(one, fx.Node) else None for one in results]
        self.random = any(step.op.family in ("random", "dropout") for step in self.steps)
        self._symbols = self._find_symbols()
        self._known: dict[tuple[int, ...], list[tuple[Kind, ...]]] = {}

    def keys(self, arguments: Sequence[Any]) -> list[tuple[Kind, ...]]:
        """Return what the outputs of every step are in a run with these inputs, without running it."""
        if not self._symbols:
            return [step.keys or () for step in self.steps]
        values = tuple(_size(arguments[i], axis) for i, axis, _ in self._symbols)
        known = self._known.get(values)
        if known is None:
            bound = {symbol: value for (_, _, symbol), value in zip(self._symbols, values, strict=True)}
            known = self._known[values] = [
                tuple(_bound_key(meta, bound) for meta in step.metas) for step in self.steps
            ]
        return known

    def first_of(self, number: int | None) -> int | None:
        """Return the forward step that autograd gave this number."""
        if number is None:
            return None
        return next((i for i, step in enumerate(self.steps) if step.number == number), None)

    def _read(self, node: fx.Node) -> None:
        if node.op == "placeholder":
            self.places[node.name] = "input", len(self.inputs), 0
            self.inputs.append(node.name)
            self.input_metas.append(node.meta.get("val"))
        elif node.op == "call_function" and node.target is operator.getitem:
            self._take_apart(node)
        elif node.op == "call_function" and _is_op(node.target):
            self._add(node)

    def _take_apart(self, node: fx.Node) -> None:
        whole, part = getattr(node.args[0], "name", ""), node.args[1]
        place = self.places.get(whole)
        if place is None or not isinstance(part, int):
            return
        wrapped = self._wrapped.get(whole)
        if wrapped is None:
            self.places[node.name] = place[0], place[1], part
        elif part == wrapped:
            self.places[node.name] = place

    def _add(self, node: fx.Node) -> None:
        target, args, kwargs, meta, inside = called_by(node)
        op = op_of(target)
        found = sites_of_trace(meta.get("stack_trace"), self._sites)
        metas = tuple(_tensors(meta.get("val")))
        step = Step(
            node.name, op, found[0] if found else None, found[1:], path_in(meta), meta.get("seq_nr"), inside,
            self.backward and meta.get("partitioner_tag") == "is_forward",
        )  # fmt: skip
        step.metas = metas
        step.keys = None if any(map(_is_symbolic, metas)) else tuple(map(kind_of, metas))
        if inside is not None:
            self._wrapped[node.name] = inside
        named = [*zip(op.arguments, args, strict=False), *kwargs.items()]
        for argument, value in named:
            self._take(step, argument, value)
        if step.site is None:
            self._borrow_site(step)
        self.places[node.name] = "step", len(self.steps), 0
        self.steps.append(step)

    def _borrow_site(self, step: Step) -> None:
        """The compiler's own nodes, copies back into buffers, have no line: give them that of their input."""
        for _, (kind, index, _) in step.inputs:
            if kind == "step":
                step.site, step.callers = self.steps[index].site, self.steps[index].callers

    def _take(self, step: Step, argument: str, value: Any) -> None:
        nodes = [value] if isinstance(value, fx.Node) else value if isinstance(value, list | tuple) else []
        feeding = [one for one in nodes if isinstance(one, fx.Node) and one.name in self.places]
        for one in feeding:
            place = self.places[one.name]
            step.inputs.append((argument, place))
            if argument in step.op.writes and place[0] == "input":
                self.mutated[place[1]] = len(self.steps)
        if not feeding:
            step.values[argument] = value

    def _find_symbols(self) -> list[tuple[int, int, Any]]:
        """Where each symbolic size can be read: input, axis (-1: the input is the number), symbol."""
        found: dict[Any, tuple[int, int, Any]] = {}
        for index, meta in enumerate(self.input_metas):
            for axis, size in enumerate(meta.shape) if isinstance(meta, torch.Tensor) else [(-1, meta)]:
                symbol = _symbol(size)
                if symbol is not None and symbol.is_symbol:
                    found.setdefault(symbol, (index, axis, symbol))
        return list(found.values())


def module_path(node: fx.Node) -> str:
    """Return the attribute path of the module a node ran in, below the compiled one: ``layers.0``."""
    return path_in(node.meta)


def path_in(meta: dict[str, Any]) -> str:
    """Return that path from what is known of a node."""
    stack = meta.get("nn_module_stack") or meta.get("fwd_nn_module_stack")
    return attribute_path(next(reversed(stack.values()))[0]) if stack else ""


def name_of_input(node: fx.Node) -> tuple[str, Origin]:
    """Return name and origin of an input that dynamo captured, by the expression that it is read with."""
    return named_source(getattr(node, "_dynamo_source", None))


def owner_of_input(node: fx.Node) -> str | None:
    """Return the expression of the module that holds an input, as ``net`` or ``self.model``; None where the
    compiled thing is that module itself, or no module holds it.
    """
    name = getattr(getattr(node, "_dynamo_source", None), "name", "")
    found = _OWNER.match(str(name() if callable(name) else name))
    owner = found[1] + found[2] if found is not None else "self"
    return None if owner == "self" else owner


def named_source(source: Any) -> tuple[str, Origin]:
    """Return name and origin of what dynamo reads by `source`: ``L['self']._modules['fc']`` ..."""
    name = getattr(source, "name", "")
    text = str(name() if callable(name) else name)
    path = attribute_path(text)
    if "_parameters[" in text:
        return path, "parameter"
    if "_buffers[" in text:
        return path, "buffer"
    return path or text.strip("LG[]'"), "argument"


def attribute_path(source: str) -> str:
    """Return ``fc1.weight`` for ``L['self']._modules['fc1']._parameters['weight']`` and its like."""
    path = re.sub(r"^(?:L|G)\['\w+'\]", "", source)
    path = re.sub(r"\._(?:modules|parameters|buffers)\['([^']+)'\]", r".\1", path)
    return re.sub(r"\[(\d+)\]", r".\1", path).replace("']", "").replace("['", ".").strip(".")


def _copied(graph: fx.Graph) -> fx.Graph:
    copy = fx.Graph()
    values: dict[fx.Node, Any] = {}
    copy.output(copy.graph_copy(graph, values))
    for old, new in values.items():
        new.name = old.name
    return copy


def _is_op(target: Any) -> bool:
    return isinstance(target, torch._ops.OpOverload | torch._ops.HigherOrderOperator)


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    for one in value if isinstance(value, list | tuple) else (value,):
        if isinstance(one, torch.Tensor):
            yield one


def _symbol(size: Any) -> Any:
    """Return the expression of a symbolic size, None for a number."""
    node = getattr(size, "node", None)
    return getattr(node, "expr", None)


def _is_symbolic(meta: torch.Tensor) -> bool:
    return any(not isinstance(size, int) for size in meta.shape)


def _size(argument: Any, axis: int) -> int:
    return int(argument) if axis < 0 else int(argument.shape[axis])


def _bound_key(meta: torch.Tensor, bound: dict[Any, int]) -> Kind:
    """The key of a fake tensor with its symbolic sizes put in; a size that can't be told is None."""
    shape = tuple(size if isinstance(size, int) else _value(_symbol(size), bound) for size in meta.shape)
    return Kind(TensorFact(shape, dtype_word(meta.dtype), str(meta.device)))


def _value(expression: Any, bound: dict[Any, int]) -> int | None:
    value = expression.xreplace(bound) if expression is not None else None
    return int(value) if isinstance(value, int) or (value is not None and value.is_number) else None
