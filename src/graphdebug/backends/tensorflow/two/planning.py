"""Planning: reads a traced function's graph once, and prepares the copy that is run while recording."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphdebug.backends.tensorflow.two.copying import Copy
from graphdebug.backends.tensorflow.two.handles import handle_fact
from graphdebug.backends.tensorflow.two.incoming import incoming_gradients
from graphdebug.backends.tensorflow.two.inside import Inside
from graphdebug.backends.tensorflow.two.leaves import variable_gradients
from graphdebug.backends.tensorflow.two.looking import Looking, looking_at_nothing
from graphdebug.backends.tensorflow.two.observer import Observer
from graphdebug.backends.tensorflow.two.optimized import Optimized, ask, refusal
from graphdebug.backends.tensorflow.two.plan import COPY, Plan, Ref, numbers
from graphdebug.backends.tensorflow.two.reading import Reading, draws
from graphdebug.backends.tensorflow.two.settling import settle
from graphdebug.backends.tensorflow.two.summaries import Summaries
from graphdebug.model.event import Shape

__all__ = ["plan_function", "read_graph"]

_COMPILED = "compiled by XLA: it can't be looked into"
_DRAWS = "run as it is, to go on drawing random numbers where it was"


def plan_function(
    observer: Observer, context: Any, name: str, graph: Any, definition: Any, inputs: Sequence[Any]
) -> Plan:
    """Return the plan of a function, with the copy that it runs known to the runtime.

    Args:
        observer: the recording.
        context: TensorFlow's eager context.
        name: the function's name in the runtime.
        graph: its FuncGraph.
        definition: its FunctionDef.
        inputs: what it is called with.

    """
    compiled = bool(definition.attr["_XlaMustCompile"].b) if "_XlaMustCompile" in definition.attr else False
    drawn = not compiled and not observer.links.traced(graph) and draws(graph)
    if compiled or drawn:
        optimized = Optimized(None, _COMPILED if compiled else _DRAWS)
    else:
        optimized = ask(context, definition.signature, inputs)
    plan = Plan(name, compiled=compiled, draws=drawn, unknown=optimized.why)
    summaries = _read(observer, context, plan, graph, definition, optimized)
    refused = _make_copy(context, plan, summaries, inputs) if summaries is not None else None
    if refused is not None:
        plan = Plan(name, unknown=f"TensorFlow can't set it up with looking added: {refused}")
        _read(observer, context, plan, graph, definition, Optimized(None, plan.unknown))
    if "forward_function_name" in definition.attr or name.startswith("__backward"):
        for entry in plan.entries:
            entry.phase = "backward"
    settle(plan)
    if observer.options.gradients != "none" and not observer.links.traced(graph):
        plan.gradients.extend(variable_gradients(plan, _variables(observer, graph)))
    if observer.options.gradients == "all":
        for one in (plan, *(body for control in plan.controls() for body in control.bodies)):
            one.gradients.extend(incoming_gradients(one))
    return plan


def _read(
    observer: Observer, context: Any, plan: Plan, graph: Any, definition: Any, optimized: Optimized
) -> Summaries | None:
    """Read a function's ops into its plan; return what is to be handed out, if it is known what runs."""
    known = optimized.graph is not None
    summaries = Summaries(Copy(definition, optimized), observer.level) if known else None
    looking = Looking(optimized, summaries, observer.level)
    inside = Inside(context, observer.level, plan.added) if known else None
    if inside is not None:
        inside.add_missing(optimized)
    reading = Reading(observer, plan, looking, inside)
    arguments = [Ref("argument", index) for index in range(len(graph.inputs))]
    plan.outputs = reading.read(graph, plan.name, "", arguments)
    return summaries


def _variables(observer: Observer, graph: Any) -> dict[int, tuple[str, Shape | None]]:
    """Return name and shape of each variable that a function captures, by the number of its argument."""
    numbers = {id(tensor): index for index, tensor in enumerate(graph.inputs)}
    captured = [(numbers.get(id(inner)), outer) for outer, inner in graph.captures]
    names = observer.ledger.variables
    return {
        at: (names[outer._id], handle_fact(outer).shape)
        for at, outer in captured if at is not None and getattr(outer, "_id", None) in names
    }  # fmt: skip


def _make_copy(context: Any, plan: Plan, summaries: Summaries, inputs: Sequence[Any]) -> str | None:
    """Let the runtime know the function that is run instead of the user's, if there is anything to hand out.

    Returns:
        Why the runtime can't run it, None if it can. Nothing of it is left in the runtime then.

    """
    plan.extras = sum(summaries.copy.hand_out(*summaries.pack()))
    if not plan.extras and not plan.kept:
        return None
    plan.name = f"{plan.name}{COPY}{next(numbers)}"
    plan.added.append(plan.name)
    summaries.copy.register(context, plan.name)
    error = refusal(context, summaries.copy.definition.signature, inputs)
    if error is None:
        return None
    for added in plan.added:
        context.remove_function(added)
    return str(error.message).partition("\n")[0].partition(": node=")[0][:120]


def read_graph(observer: Observer, graph: Any) -> tuple[Plan, dict[str, Ref]]:
    """Return the plan of a graph that is still being traced, and where each of its tensors is in it."""
    plan = Plan(str(graph.name))
    reading = Reading(observer, plan, looking_at_nothing())
    arguments = [Ref("argument", index) for index in range(len(graph.inputs))]
    refs = reading.entries(graph, "", "", arguments)
    settle(plan)
    return plan, refs
