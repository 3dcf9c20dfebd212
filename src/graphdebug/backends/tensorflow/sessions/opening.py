"""Opening: what ran inside the calls of one run, told from the values that were fetched with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from tensorflow.python.framework.errors_impl import OpError

from graphdebug.backends.tensorflow.sessions.bodies import Bodies, BodyError, Round
from graphdebug.backends.tensorflow.sessions.calls import is_control
from graphdebug.backends.tensorflow.sessions.nodes import NodeWriter, RunFacts
from graphdebug.backends.tensorflow.sessions.plan import PlanNode
from graphdebug.backends.tensorflow.sessions.probed import CallInput, Probed
from graphdebug.backends.tensorflow.sessions.scratch import sources_of

__all__ = ["Opening"]


class Opening:
    """The calls of one finished run.

    Args:
        bodies: the functions of the graph.
        facts: of the run.
        writer: of its nodes.
        feeds: what was fed, by ``Tensor.ref()``.
        fetched: what the probes gave.
        reads: values of variables before the run, None if they could not be read.

    """

    def __init__(
        self, bodies: Bodies, facts: RunFacts, writer: NodeWriter, feeds: Mapping[Any, Any],
        fetched: Sequence[Any], reads: Sequence[Any] | None,
    ) -> None:  # fmt: skip
        self._bodies = bodies
        self._facts = facts
        self._writer = writer
        self._feeds = feeds
        self._given = {"fetch": fetched, "read": reads}
        self._rounds: dict[int | None, Sequence[Round]] = {}
        """What ran in the calls so far, by their nodes."""
        self._outputs: dict[int, Any] = {}
        """What calls gave when they were run again, by tensor id."""

    def open(self, node: PlanNode) -> None:
        """Add the nodes inside a call, with what ran if its inputs are known."""
        probed = self._facts.probed
        inputs = probed.calls.get(node.index)
        if inputs is None:
            if node.op.name in probed.closed and not is_control(node.op):
                operands = [self._facts.operand(one) for one in node.inputs]
                self._bodies.list_ops(node, operands, self._writer)
            return
        values = [self._value(one, probed) for one in inputs]
        if any(value is None for value in values):
            return
        operands = [self._facts.operand(one) for one in node.inputs]
        with suppress(BodyError):
            opened = self._bodies.open(node, values, operands, self._writer, self._rounds.get(node.forward, ()))
            self._rounds[node.index] = opened.rounds
            self._outputs |= {
                id(tensor): value for tensor, value in zip(node.op.outputs, opened.outputs, strict=True)
            }

    def _value(self, one: CallInput, probed: Probed) -> Any:
        if one.where == "feed":
            return self._feeds[one.tensor.ref()]
        if one.where != "made":
            source = self._given[one.where]
            return None if source is None else source[one.position]
        if id(one.tensor) in self._outputs:
            return self._outputs[id(one.tensor)]
        values = {id(source): self._source(source, probed) for source in sources_of(one.tensor) or ()}
        if any(value is None for value in values.values()):
            return None
        with suppress(OpError):
            return self._bodies.make(one.tensor, values)
        return None

    def _source(self, tensor: Any, probed: Probed) -> Any:
        known = probed.sources.get(id(tensor))
        return self._outputs.get(id(tensor)) if known is None else self._value(known, probed)
