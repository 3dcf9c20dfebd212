"""Derivatives: a gradient of another shape than what it is the gradient of, from a hook, a derivative that the
user wrote, or a gradient that backward was begun with.

A framework's own derivatives have the right shapes: where its backward refuses one, the user's code made it.
"""

from __future__ import annotations

from collections.abc import Iterator

from graphdebug.diagnosis.account import Account, call, made_by
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.ranking import held
from graphdebug.diagnosis.words import place, shape_words, telling
from graphdebug.model.event import Failure, Node, Operand, Shape, Site
from graphdebug.model.finding import Candidate

__all__ = ["explain", "inside"]

_SEEDS = ("output_gradients", "grad_ys", "grad_outputs", "gradient", "grad_tensors")
"""Keywords of calls that begin backward with a gradient."""
_MOST = 2000


def explain(evidence: Evidence, failure: Failure) -> Account | None:
    """Return what is known of a gradient that a call of the framework's refused."""
    if failure.site is None or inside(evidence, failure):
        return None
    wanted, found = _shapes(evidence, failure)
    told = failure.detail.get("gradient") is not None
    odd = _odd(evidence, failure, found)
    made = next(_changed(evidence, odd, wanted, failure), None) if odd is not None else None
    if made is None and told:
        made = _last_made(evidence, failure, found) or _assigned(evidence, failure, found)
    if made is not None:
        return _account(made_by(made, "makes the gradient"), failure, wanted, _first(made) or found)
    seed = _seed(evidence, failure)
    return _account(seed, failure, None, odd.fact.shape if odd is not None else found) if seed else None


def inside(evidence: Evidence, failure: Failure) -> bool:
    """Whether the failing call is itself in a derivative or hook that the user wrote."""
    asked = _asked(evidence, failure)
    if asked is None or failure.site is None or _on(failure.site, asked):
        return False
    made = (evidence.provenance.node(one.producer) for one in failure.operands)
    takes = any(one is not None and _in_backward(one) for one in made)
    return failure.phase == "backward" or (takes and failure.site.function != asked.function)


def _account(
    made: list[Candidate], failure: Failure, wanted: Shape | None, found: Shape | None
) -> Account | None:
    if not made:
        return None
    if "number of gradients" in failure.message:
        tries = ["return one for each argument of forward, None for one that is no tensor"]
        return Account(
            [*made, *call(failure, "refuses it")], telling(failure.message, 1), tries, confidence=0.85
        )
    body = []
    if found is not None and wanted is not None:
        body.append(f"the gradient is {shape_words(found)}, the tensor it belongs to {shape_words(wanted)}")
    elif found is not None:
        body.append(f"the gradient made at {place(made[0].site)} is {shape_words(found)}")
    body.append("a gradient has the shape of the tensor that it belongs to")
    tries = [f"give a gradient of {shape_words(wanted) if wanted is not None else 'that shape'}"]
    if wanted is not None and found is not None and len(wanted) == 2 and found == wanted[::-1]:
        tries = ["transpose it", *tries]
    lines = [
        *held(made, "changed_size", "made_operand"),
        *held(call(failure, "refuses it"), "refused", "passes_on"),
    ]
    return Account(lines, body, tries, confidence=0.85)


def _shapes(evidence: Evidence, failure: Failure) -> tuple[Shape | None, Shape | None]:
    """Return the shape that the gradient should have and the one it has, as far as they are known."""
    wanted, found = failure.detail.get("expected"), failure.detail.get("found")
    state = next((one for one in failure.operands if one.role == "state"), None)
    if isinstance(wanted, list) and isinstance(found, list):
        return tuple(wanted), tuple(found)
    if failure.family == "assign" and state is not None:
        declared = evidence.provenance.declared(state.name)
        facts = list(declared.tensors.values()) if declared is not None else []
        return (facts[0].shape if len(facts) == 1 else state.fact.shape), None
    return None, None


def _odd(evidence: Evidence, failure: Failure, found: Shape | None) -> Operand | None:
    """Return the operand that is the gradient."""
    rest = [one for one in failure.operands if one.role != "state" and evidence.provenance.stored(one) is None]
    if failure.family == "assign":
        return rest[-1] if rest else None
    named = [one for one in rest if one.role == "gradient" or (found is not None and one.fact.shape == found)]
    if named:
        return named[-1]
    if failure.detail.get("gradient") is not None:
        return None
    return next((one for one in reversed(rest) if _written(evidence, one, failure)), None)


def _written(evidence: Evidence, operand: Operand, failure: Failure) -> bool:
    return next(_changed(evidence, operand, None, failure), None) is not None


def _changed(evidence: Evidence, operand: Operand, wanted: Shape | None, failure: Failure) -> Iterator[Node]:
    """Yield the node that gave a gradient its shape, if the user's code ran it."""
    made, shape = None, operand.fact.shape
    node = evidence.provenance.node(operand.producer)
    while node is not None and node.outputs and node.outputs[0].shape == shape:
        if _of_user(evidence, node, failure):
            made = node
        came = [one for one in node.inputs if one.producer is not None]
        if wanted is not None and made is node and any(one.fact.shape == wanted for one in came):
            break
        node = next((evidence.provenance.node(one.producer) for one in came if one.fact.shape == shape), None)
    if made is not None:
        yield made


def _last_made(evidence: Evidence, failure: Failure, found: Shape | None) -> Node | None:
    """Return the last node before the failure that the user's code ran and that made what was found."""
    for count, node in enumerate(evidence.before(failure.seq, failure.step)):
        if count > _MOST:
            break
        if found is not None and not any(one.shape == found for one in node.outputs):
            continue
        if _of_user(evidence, node, failure):
            return node
        if found is None and node.phase != "backward":
            break
    return None


def _assigned(evidence: Evidence, failure: Failure, found: Shape | None) -> Node | None:
    """Return the node that gave its shape to what the program assigned to a gradient: the last made with it."""
    for count, node in enumerate(evidence.before(failure.seq, failure.step)):
        if found is None or failure.phase == "backward" or count > _MOST:
            break
        if node.outputs and node.outputs[0].shape == found:
            first: Node | None = node
            while first is not None:
                node = first
                alike = (one for one in node.inputs if one.fact.shape == found and one.producer is not None)
                first = next((evidence.provenance.node(one.producer) for one in alike), None)
                first = first if first is not None and first.seq < node.seq else None
            return node
    return None


def _of_user(evidence: Evidence, node: Node, failure: Failure) -> bool:
    """Whether code of the user's ran this node while gradients were made, or made of a gradient what it is."""
    if node.site is None or _on(node.site, failure.site):
        return False
    before = (evidence.provenance.node(one.producer) for one in node.inputs)
    takes = any(one is not None and _in_backward(one) for one in before)
    if any(_on(one, failure.site) for one in node.callers) and (takes or _in_backward(node)):
        return True
    later = failure.family == "assign" or failure.detail.get("gradient") is not None
    if _in_backward(node):
        asked = _asked(evidence, failure) if later or failure.phase == "backward" else None
        return asked is not None and not _on(node.site, asked)
    return later and takes


def _in_backward(node: Node) -> bool:
    return node.phase == "backward" or node.function.endswith("_backward")


def _asked(evidence: Evidence, failure: Failure) -> Site | None:
    """Return the line that asked for the gradients."""
    first = next(evidence.last_of_phase("backward", failure.step), None)
    if first is None:
        return None
    return first.run_site if first.mode == "eager" and first.run_site is not None else first.site


def _seed(evidence: Evidence, failure: Failure) -> list[Candidate]:
    """Return the line that made the gradient that backward was begun with, if it was given one."""
    asked = _asked(evidence, failure)
    for site in (failure.site, asked if failure.family == "assign" else None):
        words = _SEEDS if site is not None else ()
        value = next((one for word in words if (one := evidence.source.keyword_values(site, word))), None)  # type: ignore[arg-type]
        if value is None or site is None:
            continue
        outer = [failure.run_site] if failure.run_site is not None and not _on(failure.run_site, site) else []
        made = evidence.provenance.arguments.born(value, [*outer, site])
        return [Candidate(made or site, "origin", "makes the gradient that backward begins with")]
    return []


def _first(node: Node) -> Shape | None:
    return node.outputs[0].shape if node.outputs else None


def _on(one: Site | None, other: Site | None) -> bool:
    return one is not None and other is not None and (one.file, one.line) == (other.file, other.line)
