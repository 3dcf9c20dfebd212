"""tf_debugging: an error at the first node of a run that gave NaN or infinity, as check_numerics raises it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphdebug.model.event import Event, Failure, Node, TensorFact

__all__ = ["first_nonfinite", "numerics_error", "numerics_failure"]


def first_nonfinite(events: Sequence[Event]) -> Node | None:
    """Return the first node that gave a non-finite output of finite inputs, or None."""
    for event in events:
        if not isinstance(event, Node) or all(fact.finite is not False for fact in event.outputs):
            continue
        if all(operand.fact.finite is not False for operand in event.inputs):
            return event
    return None


def numerics_error(node: Node, graph: Any) -> Exception:
    """Return the error that `tf.debugging.check_numerics` on this node's output would have raised."""
    import tensorflow as tf

    found = next(fact for fact in node.outputs if fact.finite is False)
    verb = "" if node.mode == "eager" else "built "
    where = f", {verb}at {node.site.file}:{node.site.line}" if node.site else ""
    text = f"{node.name or node.function} ({node.op}){where}: Tensor had {_kinds(found)} values"
    try:
        op = None if graph is None else graph.get_operation_by_name(node.name)
    except (KeyError, ValueError):
        op = None
    error: Exception = tf.errors.InvalidArgumentError(None if op is None else op.node_def, op, text)
    return error


def numerics_failure(error: Exception, node: Node, seq: int) -> Failure:
    """Return the failure event of that error."""
    found = next(fact for fact in node.outputs if fact.finite is False)
    return Failure(
        seq, node.step, "tensorflow.errors.InvalidArgumentError", str(error), "nonfinite",
        {"values": _kinds(found)}, framework="tensorflow", mode=node.mode, phase=node.phase, op=node.op,
        function=node.function, family=node.family, name=node.name, module=node.module, site=node.site,
        run_site=node.run_site, operands=node.inputs, attributes=node.attributes, node=node.seq,
    )  # fmt: skip


def _kinds(fact: TensorFact) -> str:
    stats = fact.stats
    if stats is None:
        return "NaN or Inf"
    kinds = {"NaN": stats.nan, "Inf": stats.pos_inf, "-Inf": stats.neg_inf}
    return ", ".join(kind for kind, count in kinds.items() if count)
