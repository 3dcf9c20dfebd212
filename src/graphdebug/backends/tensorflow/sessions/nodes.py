"""Turning one finished run of a probed plan into events."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import msgspec

from graphdebug.backends.protocol import Sink
from graphdebug.backends.tensorflow.sessions.calls import is_call
from graphdebug.backends.tensorflow.sessions.frames import FRAME_OPS, Frames
from graphdebug.backends.tensorflow.sessions.leaves import GradientPlan
from graphdebug.backends.tensorflow.sessions.plan import Execution, PlanInput, PlanNode
from graphdebug.backends.tensorflow.sessions.probed import Probed
from graphdebug.backends.tensorflow.sessions.staging import Record
from graphdebug.backends.whole import is_whole
from graphdebug.model.event import Gradient, Level, Node, Operand, Shape, Site, TensorFact

__all__ = ["NodeWriter", "RunFacts", "add_nodes"]

_SAME = frozenset(["Identity", "StopGradient", "PreventGradient", "Snapshot", "IdentityN"])


class RunFacts:
    """What is known of the tensors of one run.

    Args:
        probed: the plan that ran.
        facts: measured facts by node index and output.
        feeds: facts of the fed values by tensor id.
        shapes: inferred shapes by op name.
        outer: what a function's arguments are to its caller, by id of the argument's tensor.

    """

    def __init__(
        self,
        probed: Probed,
        facts: dict[tuple[int, int], TensorFact],
        feeds: Mapping[int, TensorFact],
        shapes: Mapping[str, Sequence[Shape | None]],
        outer: Mapping[int, Operand] | None = None,
    ) -> None:
        self.outer = outer or {}
        self.probed = probed
        self.feeds = feeds
        self.shapes = shapes
        self.seqs: dict[int, int] = {}
        self._facts = facts
        self._lean: dict[int, TensorFact] = {}

    def fact(self, node: PlanNode, output: int) -> TensorFact:
        """Return what is known of one output, measured or inferred."""
        key = (node.index, output)
        found = self._facts.get(key)
        if found is None:
            found = self._facts[key] = self.probed.known.get(key) or self._inferred(node, output)
        return found

    def set(self, node: int, fact: TensorFact | None) -> None:
        """Replace what is known of a node's first output, None for nothing: a loop went round."""
        for output in range(len(self.probed.plan.nodes[node].static)):
            self._facts.pop((node, output), None)
        if fact is not None:
            self._facts[node, 0] = fact

    def _inferred(self, node: PlanNode, output: int) -> TensorFact:
        execution, key = self.probed.execution[node.index], (node.index, output)
        if node.op.type in _SAME and node.inputs and execution != "executed":
            return self.of_input(node.inputs[min(output, len(node.inputs) - 1)])
        static = node.static[output]
        row = self.shapes.get(node.op.name, ())
        shape = row[output] if output < len(row) else static.shape
        why = ""
        if self.probed.level != "shapes" and static.dtype not in ("resource", "variant", "string"):
            why = _SPARED if key in self.probed.spared else _UNSEEN.get(execution, "not probed")
        return TensorFact(shape, static.dtype, node.device, unchecked=why)

    def of_input(self, one: PlanInput) -> TensorFact:
        """Return what is known of the tensor that `one` is."""
        given = self.outer.get(id(one.tensor))
        if given is not None:
            return given.fact
        fed = self.feeds.get(id(one.tensor))
        if fed is not None:
            return fed
        from graphdebug.backends.tensorflow.facts import held_fact, static_fact

        if one.origin == "variable" and one.tensor.dtype.name == "resource":
            return held_fact(one.tensor)
        position = self.probed.plan.index.get(one.tensor.op.name)
        if position is None:
            return static_fact(one.tensor)
        return self.fact(self.probed.plan.nodes[position], one.tensor.value_index)

    def operand(self, one: PlanInput) -> Operand:
        """Return an input as the log holds it: by what made it, without its statistics."""
        one = self.resolved(one)
        given = self.outer.get(id(one.tensor))
        if given is not None:
            return msgspec.structs.replace(given, role=one.role)
        fact = self.of_input(one)
        counted = is_whole(fact.dtype) or id(one.tensor) in self.probed.whole.feeds
        told = one.origin in ("feed", "constant") and counted  # it is no node's output
        if (fact.stats is not None and not told) or fact.values:
            lean = self._lean.get(id(fact))
            if lean is None:
                lean = self._lean[id(fact)] = TensorFact(
                    fact.shape, fact.dtype, fact.device, finite=fact.finite, stats=fact.stats if told else None
                )
            fact = lean
        producer = self.seqs.get(one.node) if one.node is not None and one.origin == "node" else None
        return Operand(fact, one.origin, producer, one.output, one.name, one.role)

    def resolved(self, one: PlanInput, depth: int = 0) -> PlanInput:
        """Return what made `one`, seen through the nodes that carry it into loops and branches and out."""
        node = None if one.node is None or one.origin != "node" else self.probed.plan.nodes[one.node]
        if node is None or node.op.type not in FRAME_OPS or depth > 12:
            return one
        carried = node.inputs[:1] if "Merge" not in node.op.type else node.inputs
        found = [self.resolved(other, depth + 1) for other in carried]
        last = max(found, key=self._when)
        return replace(last, role=one.role)

    def _when(self, one: PlanInput) -> int:
        """Return the sequence number of the node that made `one`, the latest being what a merge passed on."""
        return -1 if one.node is None else self.seqs.get(one.node, -1)


_SPARED = "a sum that reads it would add in another order if it were looked at"
_UNSEEN = {
    "fused": "computed inside a fused op",
    "removed": "taken out by TensorFlow's graph optimizer",
}


class NodeWriter:
    """Makes the events of one run.

    Args:
        sink: gives the sequence numbers.
        facts: what is known of the run's tensors.
        run_site: the user's line that ran it.
        thread: the thread that ran it, 0 for the main thread.

    """

    def __init__(self, sink: Sink, facts: RunFacts, run_site: Site | None, thread: int) -> None:
        self._sink = sink
        self._facts = facts
        self._run_site = run_site
        self._thread = thread
        self.events: list[Node | Gradient] = []

    @property
    def level(self) -> Level:
        """How much is recorded of each tensor."""
        return self._facts.probed.level

    def for_facts(self, facts: RunFacts) -> NodeWriter:
        """Return a writer of the same events for the body of a function, which has its own facts."""
        inner = NodeWriter(self._sink, facts, self._run_site, self._thread)
        inner.events = self.events
        return inner

    def add(self, node: PlanNode, execution: Execution, prefix: str = "", forward: int | None = None) -> int:
        """Add one execution of `node`, and return its number.

        Args:
            node: what ran.
            execution: how it was seen.
            prefix: the node that called the function that it is in.
            forward: the number of its forward node, where that is in another function.

        """
        facts = self._facts
        inputs = tuple([facts.operand(one) for one in node.inputs])
        outputs = tuple([facts.fact(node, output) for output in range(len(node.static))])
        seq = facts.seqs[node.index] = self._sink.next_seq()
        sites = node.sites
        self.events.append(
            Node(
                seq,
                self._sink.step,
                node.op.type,
                node.function,
                node.family,
                "tensorflow",
                "session",
                node.phase,
                f"{prefix}/{node.op.name}" if prefix else node.op.name,
                node.module or prefix,
                site=sites[0] if sites else None,
                run_site=self._run_site,
                callers=tuple(sites[1:]),
                inputs=inputs,
                outputs=outputs,
                forward=forward if node.forward is None else facts.seqs.get(node.forward),
                mutates=(0,) if node.family == "assign" and inputs else (),
                attributes=node.attributes,
                execution=execution,
                device=node.device,
                thread=self._thread,
            )
        )
        return seq

    def add_gradients(self, gradients: Sequence[GradientPlan]) -> None:
        """Add the gradients of a run whose nodes were added."""
        facts = self._facts
        for one in gradients:
            forward = None if one.forward is None else facts.seqs.get(one.forward)
            node = None if one.forward is None else facts.probed.plan.nodes[one.forward]
            self.events.append(
                Gradient(
                    self._sink.next_seq(),
                    self._sink.step,
                    facts.of_input(one.producer),
                    one.name,
                    forward,
                    one.output,
                    facts.operand(one.producer).producer,
                    node.site if node is not None else None,
                )
            )


def add_nodes(
    writer: NodeWriter,
    facts: RunFacts,
    staged: Sequence[Record],
    open_call: Callable[[PlanNode], None] | None = None,
) -> None:
    """Add all nodes of a run in order; those of loops and branches as they were staged.

    Args:
        writer: where events go.
        facts: of the run.
        staged: what ran inside loops and branches, in order of iteration.
        open_call: adds what ran inside a node that calls functions.

    """
    probed = facts.probed
    nodes = probed.plan.nodes
    frames = Frames(nodes, staged)
    for node in nodes:
        if not probed.recorded[node.index] or node.fed:
            continue
        if node.loop or node.conditional:
            for index, fact in frames.of(node):
                if probed.recorded[index]:
                    facts.set(index, fact)
                    writer.add(nodes[index], probed.seen_as(nodes[index]) if fact is None else "executed")
        else:
            if open_call is not None and is_call(node.op):
                open_call(node)
            writer.add(node, probed.seen_as(node))
