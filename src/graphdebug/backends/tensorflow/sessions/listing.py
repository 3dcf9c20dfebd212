"""Listing: the ops of a function of which nothing was seen, as they were built."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from graphdebug.backends.tensorflow.facts import static_fact
from graphdebug.backends.tensorflow.sessions.nodes import NodeWriter, RunFacts
from graphdebug.backends.tensorflow.sessions.plan import Plan, PlanNode
from graphdebug.backends.tensorflow.sessions.probed import Probed
from graphdebug.model.event import Operand

__all__ = ["add_unseen"]


def add_unseen(
    plan: Plan, nodes: Sequence[PlanNode], prefix: str, writer: NodeWriter, outer: Mapping[int, Operand]
) -> RunFacts:
    """Add nodes of a function, with the shapes that they were built with; return what is known of it.

    Args:
        plan: of the function.
        nodes: those of the plan that are added.
        prefix: name of what runs the function.
        writer: of the nodes.
        outer: what its arguments are, by the id of their tensors, where it is known.

    """
    count, level = len(plan.nodes), writer.level
    probed = Probed(plan, level, ["inferred"] * count, [True] * count, {})
    arguments = {id(one): Operand(static_fact(one), name=one.op.name) for one in plan.feeds}
    facts = RunFacts(probed, {}, {}, {}, {**arguments, **outer})
    inner = writer.for_facts(facts)
    for node in nodes:
        if not node.fed:
            inner.add(node, "inferred", prefix=prefix)
    return facts
