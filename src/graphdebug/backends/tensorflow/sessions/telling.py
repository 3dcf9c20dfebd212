"""Telling: the event of a run that raised, from the failing node, the message and what was fed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from graphdebug.backends.protocol import Elements, Sink
from graphdebug.backends.tensorflow.messages import read_message, shapes_in
from graphdebug.backends.tensorflow.sessions.asked import RunCall
from graphdebug.backends.tensorflow.sessions.nodes import RunFacts
from graphdebug.backends.tensorflow.sessions.plan import PlanNode
from graphdebug.backends.tensorflow.sessions.variables import variable_of
from graphdebug.backends.tensorflow.sessions.writing import Writing
from graphdebug.backends.tensorflow.sites import called_python
from graphdebug.model.event import Failure, Operand, Shape, TensorFact

__all__ = ["failure_of"]


def failure_of(
    sink: Sink, error: Any, writing: Writing, call: RunCall, name: str,
    node: PlanNode | None = None, facts: RunFacts | None = None, seq: int | None = None,
    elements: Sequence[Elements | None] = (),
) -> Failure:  # fmt: skip
    """Return the event of a run that raised.

    Args:
        sink: gives numbers, and saves elements.
        error: TensorFlow's exception, or what was kept of it.
        writing: knows the line that ran the call.
        call: what was run.
        name: of the failing node.
        node: the failing node, if it was found.
        facts: of the run.
        seq: the node's number.
        elements: of its operands, where they are known.

    """
    message = str(error.message or error)
    inner = called_python(message, sink.sites)
    if inner:
        message = message.partition("\nTraceback (most recent call last)")[0].strip()
    reading = read_message(message)
    kind = getattr(error, "kind", type(error).__name__)
    run_site = writing.run_site(call)
    common: dict[str, Any] = {
        "category": "memory" if kind == "ResourceExhaustedError" and not inner else reading.category,
        "detail": reading.detail,
        "framework": "tensorflow",
        "mode": "session",
        "name": name,
        "run_site": run_site,
        "node": seq,
        "frames": tuple(reversed(inner)),
    }
    unfilled = _unfilled(call) if kind == "DeadlineExceededError" else []
    if unfilled:
        common |= {"category": "starved", "detail": {"unfilled": unfilled}}
    if node is None or facts is None:
        return Failure(
            sink.next_seq(), sink.step, f"tensorflow.errors.{kind}", message,
            function=inner[0].function if inner else "", site=inner[0] if inner else run_site, **common,
        )  # fmt: skip
    if node.family == "assign" and len(node.inputs) > 1 and node.inputs[1].tensor.op.type == "RestoreV2":
        said = dict(zip(("expected", "found"), map(list, shapes_in(message)[:2]), strict=False))
        common |= {"category": "checkpoint", "detail": {"variable": variable_of(node.op.inputs[0]), **said}}
    elif common["category"] == "unfed":
        common["detail"] |= _initialized_by(node, call)
    if not getattr(node.op, "traceback", None):
        common["detail"] |= {"lineless": _keeper(node)}
    number = sink.next_seq()
    return Failure(
        number,
        sink.step,
        f"tensorflow.errors.{kind}",
        message,
        phase=node.phase,
        op=node.op.type,
        function=inner[0].function if inner and node.family == "other" else node.function,
        family=node.family,
        module=node.module,
        site=inner[0] if inner else node.site or run_site,
        operands=sink.save(number, _operands(node, facts, message), elements),
        attributes=node.attributes,
        **common,
    )


def _keeper(node: PlanNode) -> str:
    """Return what holds a node that has no line of its own: its function, or the graph."""
    name = getattr(node.op.graph, "name", "")
    return f"function {name}" if name else "an imported graph"


def _unfilled(call: RunCall) -> list[str]:
    """Return the queues of the graph that have a runner, where no runner was started for the session."""
    runners = call.session.graph.get_collection("queue_runners")
    if any(getattr(one, "_runs_per_session", {}).get(call.session) for one in runners):
        return []
    return [str(one.queue.name) for one in runners if getattr(one, "queue", None) is not None]


def _initialized_by(placeholder: PlanNode, call: RunCall) -> dict[str, str]:
    """Return the variable whose initial value needs `placeholder`, where the run was one of initializers."""
    graph, found, waiting = call.session.graph, {placeholder.op}, [placeholder.op]
    owners = {one.initializer: one for one in graph.get_collection("variables") if hasattr(one, "initializer")}
    while waiting:
        for tensor in waiting.pop().outputs:
            for op in tensor.consumers():
                if op in owners:
                    return {"initializes": str(owners[op].op.name)} if _runs(call, op) else {}
                if op not in found:
                    found.add(op)
                    waiting.append(op)
    return {}


def _runs(call: RunCall, op: Any) -> bool:
    """Whether `op` is a target of the run, or what one of them waits for."""
    return any(target is op or op in target.control_inputs for target in call.targets)


def _operands(node: PlanNode, facts: RunFacts, message: str) -> tuple[Operand, ...]:
    """Return the operands; those not known in full, or of a loop, as the message has them."""
    operands = tuple(facts.operand(one) for one in node.inputs)
    said = shapes_in(message)
    unsure = any(one.fact.shape is None or None in one.fact.shape for one in operands)
    if not (node.loop or unsure) or len(said) != len(operands):
        return operands
    if not all(_may_be(one.fact.shape, shape) for one, shape in zip(operands, said, strict=True)):
        return operands
    return tuple(
        one if one.fact.shape == shape else msgspec.structs.replace(one, fact=TensorFact(shape, one.fact.dtype))
        for one, shape in zip(operands, said, strict=True)
    )


def _may_be(known: Shape | None, said: Shape) -> bool:
    """Whether a tensor of the shape `known` may have had the shape that the message says."""
    if known is None:
        return True
    return len(known) == len(said) and all(a is None or a == b for a, b in zip(known, said, strict=True))
