"""Planning: reads a traced function's graph once, and prepares the copy that is run while recording."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf
from tensorflow.python.framework import tensor_util

from graphdebug.backends.tensorflow.attributes import Asked, attributes_of
from graphdebug.backends.tensorflow.facts import static_fact
from graphdebug.backends.tensorflow.packs import SMALL as FEW
from graphdebug.backends.tensorflow.packs import VALUED, kernel
from graphdebug.backends.tensorflow.sites import build_sites
from graphdebug.backends.tensorflow.two.copying import LOOKED_INTO, SINGLE, SMALL, Copy
from graphdebug.backends.tensorflow.two.handles import handle_fact, variable_name
from graphdebug.backends.tensorflow.two.incoming import incoming_gradients
from graphdebug.backends.tensorflow.two.leaves import variable_gradients
from graphdebug.backends.tensorflow.two.observer import ALIASES, Observer
from graphdebug.backends.tensorflow.two.optimized import Optimized
from graphdebug.backends.tensorflow.two.plan import Control, Entry, Gradients, Plan, Ref, Slots
from graphdebug.backends.tensorflow.two.scopes import layer_path
from graphdebug.backends.tensorflow.vocabulary import word
from graphdebug.model.event import Operand, Phase, Shape

__all__ = ["plan_function", "read_graph"]

_PASSING = frozenset({"Identity", "IdentityN", "ReadVariableOp"})
"""Plumbing that hands its inputs on."""

_SILENT = frozenset({"NoOp", "Placeholder", "Const"})
_CALLS = frozenset({"PartitionedCall", "StatefulPartitionedCall"})
_LOOPS = {"While": "While", "StatelessWhile": "While"}
_BRANCHES = {"If": "If", "StatelessIf": "If", "Case": "Case", "StatelessCase": "Case"}
_SITES = 4

_ONCE = frozenset({
    "IteratorGetNext", "RandomUniform", "RandomUniformInt", "RandomStandardNormal", "TruncatedNormal",
    "StatefulUniform", "StatefulStandardNormalV2", "Multinomial", "RandomShuffle",
})  # fmt: skip
"""Ops that give something else when run again: what they gave is kept until the function has returned."""

_TRIALS = 4
"""How often probes are placed anew before there are none: a probe may change how the graph is optimized."""

_OF_OUTER = "^"
"""Marks a path below the body of the forward loop or branch: which one, the backward loop or branch knows."""

_numbers = itertools.count()


def plan_function(observer: Observer, context: Any, name: str, graph: Any, definition: Any) -> Plan:
    """Return the plan of a function, with the copy that it runs known to the runtime.

    Args:
        observer: the recording.
        context: TensorFlow's eager context.
        name: the function's name in the runtime.
        graph: its FuncGraph.
        definition: its FunctionDef.

    """
    compiled = bool(definition.attr["_XlaMustCompile"].b) if "_XlaMustCompile" in definition.attr else False
    draws = not compiled and not observer.links.traced(graph) and _draws(graph)
    optimized = Optimized(graph, None if compiled or draws else definition)
    for trials_left in range(_TRIALS - 1, -1, -1):
        plan = Plan(name, compiled=compiled, draws=draws)
        planner = _Planner(observer, context, plan, optimized, look=not plan.unseen)
        arguments = [Ref("argument", index) for index in range(len(graph.inputs))]
        plan.name, plan.outputs, kinds = planner.read(graph, definition, "", arguments)
        plan.extras = sum(kinds)
        last = not plan.added or not trials_left
        if last or optimized.is_kept_by(context.get_function_def(plan.name)):
            break
        for added in plan.added:
            context.remove_function(added)
        if trials_left == 1:
            optimized.avoid_all()
    if "forward_function_name" in definition.attr or name.startswith("__backward"):
        for entry in plan.entries:
            entry.phase = "backward"
    _settle(plan)
    if observer.options.gradients != "none" and not observer.links.traced(graph):
        plan.gradients.extend(variable_gradients(plan, _variables(observer, graph)))
    if observer.options.gradients == "all":
        for one in (plan, *(body for control in plan.controls() for body in control.bodies)):
            one.gradients.extend(incoming_gradients(one))
    return plan


def _variables(observer: Observer, graph: Any) -> dict[int, tuple[str, Shape | None]]:
    """Return name and shape of each variable that a function captures, by the number of its argument."""
    numbers = {id(tensor): index for index, tensor in enumerate(graph.inputs)}
    captured = [(numbers.get(id(inner)), outer) for outer, inner in graph.captures]
    names = observer.ledger.variables
    return {
        at: (names[outer._id], handle_fact(outer).shape)
        for at, outer in captured if at is not None and getattr(outer, "_id", None) in names
    }  # fmt: skip


def _draws(graph: Any) -> bool:
    """Whether a function draws random numbers by a seed: how many it has drawn is a state of its own."""
    functions = [getattr(one, "graph", None) for one in graph._functions.values()]
    return any(
        op.op_def.is_stateful and any(attr.name in ("seed", "seed2") and op.get_attr(attr.name)
                                      for attr in op.op_def.attr)
        for one in (graph, *functions) if one is not None for op in one.get_operations()
    )  # fmt: skip


def read_graph(observer: Observer, graph: Any) -> tuple[Plan, dict[str, Ref]]:
    """Return the plan of a graph that is still being traced, and where each of its tensors is in it."""
    plan = Plan(str(graph.name))
    planner = _Planner(observer, None, plan, Optimized(graph, None), look=False)
    refs = planner.entries(graph, None, "", [Ref("argument", index) for index in range(len(graph.inputs))])
    _settle(plan)
    for entry in plan.entries:
        entry.execution = "inferred"
    return plan, refs


class _Planner:
    """Reads one function and all it calls into one plan."""

    def __init__(
        self, observer: Observer, context: Any, plan: Plan, optimized: Optimized, *, look: bool
    ) -> None:
        self._observer = observer
        self._context = context
        self._plan = plan
        self._optimized = optimized
        self._look = look
        self._level = observer.level

    def read(
        self, graph: Any, definition: Any, prefix: str, arguments: Sequence[Ref], stage: str = ""
    ) -> tuple[str, list[Ref], tuple[bool, bool]]:
        """Read a graph into the plan.

        Returns:
            The name of the function to call, the graph's outputs, and which summaries the function hands out
            (of numbers, of shapes).

        """
        copy = Copy(definition, self._level)
        refs = self.entries(graph, copy, prefix, arguments)
        for gradient in self._observer.links.gradients(graph):
            forward = f"{prefix}{gradient.forward}" if gradient.forward else ""
            ref = refs.get(gradient.tensor, Ref("known"))
            if gradient.variable or ref.kind == "entry":  # else it is the one that the tape began with
                self._plan.gradients.append(Gradients(gradient.variable, ref, forward, gradient.output))
        return self._finish(graph, definition, refs, copy, stage)

    def entries(self, graph: Any, copy: Copy | None, prefix: str, arguments: Sequence[Ref]) -> dict[str, Ref]:
        """Add the ops of a graph to the plan; return where its tensors come from, by their names."""
        slots = Slots()
        self._plan.slots.append(slots)
        for variable in graph.variables:
            for one in getattr(variable, "_values", None) or (variable,):  # a mirrored one has one a replica
                name = variable_name(one)
                if name != "UnreadVariable":  # what an assignment returns
                    self._observer.ledger.variables.setdefault(one.handle._id, name)
        given = zip(graph.inputs, arguments, strict=True)
        refs = {one.name: ref for one, ref in given if hasattr(one, "op")}  # a failed trace has eager ones
        nodes = {} if copy is None else {node.name: node for node in copy.definition.node_def}
        for op in graph.get_operations():
            if op.type in _PASSING:
                for tensor, source in zip(op.outputs, op.inputs, strict=False):
                    refs[tensor.name] = refs.get(source.name, _unknown(source))
            elif op.type == "Const":
                refs[op.outputs[0].name] = Ref("known", known=Operand(static_fact(op.outputs[0]), "constant"))
            elif op.type in _CALLS:
                self._call(op, graph, nodes.get(op.name), prefix, refs, copy)
            elif op.type not in _SILENT:
                self._op(op, graph, nodes.get(op.name), prefix, refs, copy, slots)
        return refs

    def _finish(
        self, graph: Any, definition: Any, refs: dict[str, Ref], copy: Copy, stage: str
    ) -> tuple[str, list[Ref], tuple[bool, bool]]:
        outputs = [refs.get(tensor.name, _unknown(tensor)) for tensor in graph.outputs]
        name = definition.signature.name
        floats, ints = copy.pack() if self._look else ("", "")
        kinds = (False, False)
        if not self._look or not (floats or ints or stage):
            return name, outputs, kinds
        if stage:
            self._plan.staged = copy.stage(stage, floats, ints)
        else:
            kinds = copy.hand_out(floats, ints)
        name = f"{name}_graphdebug_{next(_numbers)}"
        copy.register(self._context, name)
        self._plan.added.append(name)
        return name, outputs, kinds

    def _call(
        self, op: Any, graph: Any, node: Any, prefix: str, refs: dict[str, Ref], copy: Copy | None
    ) -> None:
        inner = graph._get_function(op.get_attr("f").name)
        arguments = [refs.get(one.name, _unknown(one)) for one in op.inputs]
        if inner is None or getattr(inner, "graph", None) is None:
            for tensor in op.outputs:
                refs[tensor.name] = _unknown(tensor)
            return
        compiled = "_XlaMustCompile" in inner.definition.attr and inner.definition.attr["_XlaMustCompile"].b
        outer, self._look = self._look, self._look and not compiled and node is not None
        name, outputs, kinds = self.read(inner.graph, inner.definition, f"{prefix}{op.name}/", arguments)
        if self._look and copy is not None and name != inner.definition.signature.name:
            copy.nest(node, name, len(op.outputs), kinds)
            copy.keep(op.name)
        self._look = outer
        self._plan.compiled |= bool(compiled)
        for tensor, ref in zip(op.outputs, outputs, strict=False):
            refs[tensor.name] = ref

    def _op(
        self, op: Any, graph: Any, node: Any, prefix: str, refs: dict[str, Ref],
        copy: Copy | None, slots: Slots,
    ) -> None:  # fmt: skip
        name = word(op.type)
        path = f"{prefix}{op.name}"
        sources = [refs.get(one.name, _unknown(one)) for one in op.inputs]
        entry = Entry(
            op.type, path, name.function, name.family, self._phase(op, graph, sources),
            layer_path(_scope(op.name), self._observer.ledger.variables.values()),
            tuple(build_sites(op, self._observer.sink.sites, _SITES)),
            tuple((ref, name.role(index)) for index, ref in enumerate(sources)),
            [static_fact(tensor) for tensor in op.outputs],
            alias=op.type in ALIASES, source=op, home=copy.name if copy is not None else "",
        )  # fmt: skip
        entry.attributes = _attributes(op, sources, entry)
        entry.forward, forward = _forward_by_name(op.name, prefix), self._observer.links.forward(graph, op.name)
        if forward and not entry.forward.startswith(_OF_OUTER):  # of an op in a backward loop it is the loop
            entry.forward = f"{prefix}{forward}"
        index = len(self._plan.entries)
        if op.type in _LOOPS or op.type in _BRANCHES:
            self._control(op, graph, node, entry, copy, slots)
            index = len(self._plan.entries)
        self._plan.entries.append(entry)
        for output, tensor in enumerate(op.outputs):
            refs[tensor.name] = Ref("entry", index, output)
        entry.execution = self._optimized.execution(op, prefix) if self._look else "inferred"
        if entry.control is not None and self._look:
            entry.execution = "executed"  # lowered to jumps, not removed
        if self._look and copy is not None and entry.control is None and node is not None:
            self._probe(op, node, index, entry, copy, slots)
            if op.type in _ONCE and not self._plan.stage:
                key, dtypes = f"graphdebug_{next(_numbers)}", [tensor.dtype for tensor in op.outputs]
                copy.put_aside(key, _definition_names(op), dtypes)
                self._plan.kept[index] = key, dtypes

    def _probe(self, op: Any, node: Any, index: int, entry: Entry, copy: Copy, slots: Slots) -> None:
        """Have summed up what survives the graph optimizer; looking at the rest would prevent its fusion."""
        names = _definition_names(op)
        if entry.execution != "executed" or op.type == "Stage" or not self._optimized.may_probe(entry.name):
            return
        for output, (tensor, reference) in enumerate(zip(op.outputs, names, strict=True)):
            dtype = tensor.dtype.base_dtype
            if dtype in (tf.resource, tf.variant) or (op.type.startswith("FusedBatchNorm") and output > 2):
                continue
            if tensor.shape.rank is not None and not tensor.shape.is_fully_defined():
                copy.shape(reference, dtype, node.device)
                slots.shapes.append((index, output, tensor.shape.rank))
            if self._level == "shapes" or entry.alias:
                continue
            if dtype in LOOKED_INTO:
                size = tensor.shape.num_elements()
                if size and size <= self._few(entry) and dtype in SINGLE and kernel is not None:
                    copy.elements(reference, dtype, node.device)
                    slots.elements.append((index, output, size))
                    continue
                copy.look(reference, dtype, node.device, large=size is None or size > SMALL)
                slots.floats.append((index, output))
            if self._level == "values" and tensor.shape.is_fully_defined() and dtype != tf.string:
                size = copy.sample(reference, dtype, tensor.shape.num_elements(), node.device)
                slots.values.append((index, output, size))

    def _few(self, entry: Entry) -> int:
        """Return up to how many elements of its outputs come out; at level health those of losses and of small
        gradients, so that it shows how they go.
        """
        if self._level == "health":
            return VALUED if entry.phase == "backward" else 1
        return FEW if self._level == "stats" else 0

    def _control(self, op: Any, graph: Any, node: Any, entry: Entry, copy: Copy | None, slots: Slots) -> None:
        loop = op.type in _LOOPS
        attrs = ["body"] if loop else ["else_branch", "then_branch"]
        if op.type in ("Case", "StatelessCase"):
            attrs = [f"branches:{i}" for i in range(len(op.get_attr("branches")))]
        words = {"body": "body", "else_branch": "else", "then_branch": "then"}
        bodies = [
            self._body(op, graph, node, attr, f"{entry.name}/{words.get(attr, 'branch')}/") for attr in attrs
        ]
        entry.control = Control(loop, bodies, [words.get(attr, "branch") for attr in attrs])
        if not self._look or node is None or copy is None:
            return
        if op.type.startswith("Stateless"):
            node.op = op.type.removeprefix("Stateless")
        if loop:
            copy.number(f"{op.name}:output:0", op.outputs[0].dtype)
        else:
            copy.number(node.input[0], op.inputs[0].dtype)
        copy.keep(op.name)
        slots.shapes.append((len(self._plan.entries), -1, 1))

    def _body(self, op: Any, graph: Any, node: Any, attr: str, prefix: str) -> Plan:
        key, _, number = attr.partition(":")
        name = op.get_attr(key)[int(number)].name if number else op.get_attr(key).name
        inner = graph._get_function(name)
        body = Plan(name)
        if inner is None or getattr(inner, "graph", None) is None:
            return body
        body.stage = f"graphdebug_{next(_numbers)}" if self._look else ""
        planner = _Planner(self._observer, self._context, body, self._optimized, look=self._look)
        arguments = [Ref("argument", index) for index in range(len(inner.graph.inputs))]
        copy, body.outputs, _ = planner.read(inner.graph, inner.definition, prefix, arguments, body.stage)
        if self._look and node is not None:
            target = node.attr[key].list.func[int(number)] if number else node.attr[key].func
            target.name = copy
        self._plan.added.extend(body.added)
        return body

    def _phase(self, op: Any, graph: Any, sources: Sequence[Ref]) -> Phase:
        seen = self._observer.links.phase(graph, op.name)
        if seen is not None:
            return seen
        if "gradient_tape/" in op.name or op.name.startswith("gradients/"):
            return "backward"
        entries = self._plan.entries
        if any(ref.kind == "entry" and entries[ref.at].phase != "forward" for ref in sources):
            return "optimizer"
        return "forward"


def _settle(plan: Plan) -> None:
    """Give backward ops the words of their forward ops, and see whether this is a training step."""
    _unmistake_sums(plan)
    by_name = {entry.name: entry for entry in plan.entries}
    plan.updates = _updates(plan)
    for entry in plan.entries:
        if entry.phase != "backward":
            entry.forward = ""
            continue
        if entry.forward not in by_name:
            entry.forward = (
                _forward_by_suffix(plan, entry) or _forward_by_scope(entry, by_name)
                or _forward_by_inputs(plan, entry) or entry.forward
            )  # fmt: skip
        forward = by_name.get(entry.forward)
        if forward is not None:
            entry.module = forward.module
            entry.function = f"{forward.function.removesuffix('_backward')}_backward"
            entry.family = forward.family
        _settle_bodies(entry)


def _updates(plan: Plan) -> bool:
    """Whether it computes and applies gradients, be it in a branch or in a loop of several steps."""
    bodies = [body for control in plan.controls() for body in control.bodies]
    entries = [entry for one in (plan, *bodies) for entry in one.entries]
    applied = any(entry.family == "assign" and entry.phase == "optimizer" for entry in entries)
    return applied and any(entry.phase == "backward" for entry in entries)


def _unmistake_sums(plan: Plan) -> None:
    """Give the sum of a tensor's gradients, which says nothing by its name, to the pass that takes it."""
    taken: set[int] = set()
    for index in range(len(plan.entries) - 1, -1, -1):
        entry = plan.entries[index]
        if entry.phase == "optimizer" and index in taken:
            entry.phase = "backward"
        if entry.phase == "backward":
            taken |= {ref.at for ref, _ in entry.inputs if ref.kind == "entry"}


def _settle_bodies(entry: Entry) -> None:
    """Tie the ops in a backward loop or branch to those in the forward one."""
    if entry.control is None:
        return
    for kind, body in zip(entry.control.words, entry.control.bodies, strict=True):
        for inner in body.entries:
            if inner.forward.startswith(_OF_OUTER):
                path = f"{entry.forward}/{kind}/{inner.forward.removeprefix(_OF_OUTER)}"
                inner.forward = path if entry.forward else ""
            _settle_bodies(inner)


def _forward_by_suffix(plan: Plan, entry: Entry) -> str:
    """Find the forward op of a backward function's op: it is in another function that was called here."""
    fitting = (one.name for one in plan.entries if one.phase == "forward" and entry.forward)
    return next((name for name in fitting if name.endswith(f"/{entry.forward}")), "")


def _forward_by_scope(entry: Entry, by_name: Mapping[str, Entry]) -> str:
    """Return the forward op in whose scope the gradient op ``gradient_tape/add/Sum`` stands: ``add``."""
    found = re.match(r"(.*?)gradient_tape/(.+)/[^/]+$", entry.name)
    name = f"{found.group(1)}{found.group(2)}" if found else ""
    return name if name in by_name and by_name[name].phase == "forward" else ""


def _forward_by_inputs(plan: Plan, entry: Entry) -> str:
    """Tie a backward op to a forward op by the tensors both read, for a function traced before recording."""
    wanted = word(entry.op).backward_of or entry.op
    reads = {(ref.kind, ref.at, ref.output) for ref, _ in entry.inputs if ref.kind != "known"}
    for index in range(len(plan.entries) - 1, -1, -1):
        candidate = plan.entries[index]
        if candidate.op != wanted or candidate.phase != "forward":
            continue
        its = {(ref.kind, ref.at, ref.output) for ref, _ in candidate.inputs if ref.kind != "known"}
        if reads & its or any(kind == "entry" and at == index for kind, at, _ in reads):
            return candidate.name
    return ""


def _forward_by_name(name: str, prefix: str) -> str:
    """TensorFlow names the gradient of ``a/MatMul`` in a backward function ``gradients/a/MatMul_grad/...``."""
    found = re.match(r"gradients/(.+?)_grad/", name)
    if found is None:
        inside = re.match(r"(?:.*/)?gradients/(.+?)_grad/", name)
        return "" if inside is None else f"{_OF_OUTER}{inside.group(1)}"
    outer = re.match(r"gradients/(.+?)_grad/", prefix)
    return f"{outer.group(1)}/{found.group(1)}" if outer else found.group(1)


def _unknown(tensor: Any) -> Ref:
    return Ref("known", known=Operand(static_fact(tensor), "unknown"))


def _scope(name: str) -> str:
    found = re.match(r"gradients/(.+?)_grad/", name)
    scope = (found.group(1) if found else name).rpartition("/")[0]
    return f"{scope}/".replace("gradient_tape/", "").rstrip("/")


def _attributes(op: Any, sources: Sequence[Ref], entry: Entry) -> dict[str, Any]:
    def attr(key: str) -> Any:
        try:
            return op.get_attr(key)
        except ValueError:
            return None

    def constant(index: int) -> Any:
        return tensor_util.constant_value(op.inputs[index]) if index < len(op.inputs) else None

    operands = [Operand(static_fact(one), ref.known.origin if ref.known else "node")
                for one, ref in zip(op.inputs, sources, strict=True)]  # fmt: skip
    return attributes_of(entry.op, Asked(attr, constant, operands))


def _definition_names(op: Any) -> list[str]:
    """Return the outputs of an op as a function's definition names them: ``MatMul:product:0``."""
    names: list[str] = []
    for argument in op.op_def.output_arg:
        count = 1
        if argument.number_attr:
            count = op.get_attr(argument.number_attr)
        elif argument.type_list_attr:
            count = len(op.get_attr(argument.type_list_attr))
        names.extend(f"{op.name}:{argument.name}:{index}" for index in range(count))
    return names
