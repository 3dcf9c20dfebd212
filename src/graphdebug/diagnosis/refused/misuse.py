"""Misuse of the graph: run before it was initialised or fed, across graphs, or backward through it twice."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from graphdebug.diagnosis import feeds
from graphdebug.diagnosis.account import call, made_by
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.ranking import held
from graphdebug.diagnosis.refused.crossings import first_use, in_loop, second_use
from graphdebug.diagnosis.shapers import shaper
from graphdebug.diagnosis.shapes.shape import when
from graphdebug.diagnosis.words import place, shape_words, telling
from graphdebug.model.event import Declaration, Failure, Node, Operand, Shape, Site
from graphdebug.model.finding import Candidate, Finding

__all__ = ["declared_by", "explain", "explain_feed"]

_WHAT = {
    "backward_twice": "backward ran twice through one graph",
    "unfed": "a placeholder was not fed",
    "finalized": "a node was added to a finalized graph",
    "memory": "out of memory",
    "not_a_tensor": "a call that takes a tensor was given something else",
}
_TRIES: dict[str, Sequence[str]] = {
    "backward_twice": ("compute the loss anew in each step", "keep state across steps detached: h = h.detach()",
                       "backward(retain_graph=True) if you mean it"),
    "unfed": ("give it in feed_dict, or fetch only what does not need it",),
    "finalized": ("build every node before the loop (a new op in each step also leaks)",),
    "not_a_tensor": ("take the tensor out of what the call before returns: out, state = layer(x)",),
    "memory": ("a smaller batch", "no_grad() where no gradient is needed"),
}  # fmt: skip


def explain(evidence: Evidence, failure: Failure) -> Finding:
    """Return the finding for a misuse that the framework refused."""
    named, body = _KINDS.get(failure.category, _plain)(evidence, failure)
    what, tries = _WHAT.get(failure.category, failure.category), _TRIES.get(failure.category, ())
    return evidence.finding(
        failure.category, what=what,
        candidates=[*named, *call(failure)], confidence=0.85 if named else 0.7, failed=failure.site,
        when=when(failure), body=body, tries=tries, operands=failure.operands,
        evidence=(failure.seq,),
    )  # fmt: skip


def explain_feed(evidence: Evidence, failure: Failure) -> Finding:
    """Return the finding for a feed whose shape its placeholder does not take."""
    name = str(failure.detail.get("placeholder", ""))
    declared = evidence.provenance.declared(name)
    wanted, given = _shape(failure.detail.get("expected")), _shape(failure.detail.get("found"))
    declaration = (
        [Candidate(declared.site, "declaration", f"declares {name} {shape_words(wanted)}", name)]
        if declared is not None and declared.site is not None
        else []
    )
    body = [f"  {name} takes {shape_words(wanted)}; it was fed {shape_words(given)}"]
    tries = [f"feed {shape_words(wanted)}", f"declare it as {shape_words(given)}"]
    turned, unflattened = _turned(wanted, given), _unflattened(wanted, given)
    fewer = wanted is not None and given is not None and len(given) < len(wanted) and wanted[:1] == (None,)
    batch = _batch_only(wanted, given)
    if batch and wanted is not None and given is not None:
        body.append(f"  only the batch differs: it was declared for {wanted[0]} samples, {given[0]} came")
        tries = ["declare the batch as unknown (None)", f"feed {wanted[0]} samples"]
    elif turned:
        body.append(
            "  the sizes are those that it takes, on other axes: reshaped, the values would be mixed up"
        )
        tries = [f"transpose it to {shape_words(wanted)} where it is made"]
    elif unflattened:
        body.append("  each sample has as many elements as it takes, in another shape")
        tries = [f"reshape it to {shape_words(wanted)} before it is fed", *tries[1:]]
    worked = evidence.good_call(failure) is not None and not batch
    lacks = unflattened or fewer
    made, shaped = _made(evidence, failure, declared) if not (worked or batch) else ([], False)
    votes = _votes(evidence, wanted, given)
    made_clues = (
        ["changed_size", "made_operand"] if shaped else ["lacks_step"] if turned or fewer else ["made_operand"]
    )
    made_clues += ["moved_axis"] if turned else ["odd_one"] if votes > 0 else []
    agreed = ["worked"] if worked else ["agreed"] if lacks or votes > 0 else ["odd_one"] if votes < 0 else []
    fed = _fed_value(evidence, failure, declared)
    entered = "other_data" if worked else "lacks_step" if unflattened else "made_operand" if fewer else "began"
    first = [
        *held(made, *made_clues),
        *held(declaration, "declares_size", *agreed),
        *held(fed, entered),
        *held(call(failure, "the run that feeds it"), "refused"),
    ]
    return evidence.finding(
        "feed_shape", what=f"{name or 'a placeholder'} was fed another shape than it was declared with",
        candidates=first, failed=failure.site, when=when(failure), body=body, tries=tries,
        operands=failure.operands, evidence=(failure.seq,), fits=wanted or (),
    )  # fmt: skip


def _batch_only(wanted: Shape | None, given: Shape | None) -> bool:
    """Whether a placeholder was declared for another number of samples, and all else is as it takes it."""
    if wanted is None or given is None or len(wanted) != len(given):
        return False
    return wanted[:1] not in (given[:1], (None,)) and wanted[1:] == given[1:]


def _unflattened(wanted: Shape | None, given: Shape | None) -> bool:
    """Whether each sample has as many elements as the placeholder takes, in another shape."""
    one, other = (wanted or ())[1:], (given or ())[1:]
    if not wanted or not given or None in (*one, *other) or one == other:
        return False
    return prod(size or 0 for size in one) == prod(size or 0 for size in other)


def _turned(wanted: Shape | None, given: Shape | None) -> bool:
    """Whether what was fed has the sizes that are wanted on other axes."""
    if wanted is None or given is None or len(wanted) != len(given):
        return False
    known = [size for size in wanted if size is not None]
    rest = list(given)
    for size in known:
        if size not in rest:
            return False
        rest.remove(size)
    held_fast = all(size in (None, given[axis]) for axis, size in enumerate(wanted))
    return not held_fast and any(size != 1 for size in known)


def _votes(evidence: Evidence, wanted: Shape | None, given: Shape | None) -> int:
    """Return 1 where variables were declared with a size that the placeholder wants and the data do not have,
    -1 where with one that the data have, 0 where neither or both.
    """
    if wanted is None or given is None or len(wanted) != len(given):
        return 0
    sizes = {
        size for one in evidence.provenance.declarations() if one.type == "Variable"
        for fact in one.tensors.values() for size in fact.shape or ()
    }  # fmt: skip
    unlike = [(one, other) for one, other in zip(wanted, given, strict=True) if one not in (None, other)]
    taken, came = (any(pair[side] in sizes and pair[side] != 1 for pair in unlike) for side in (0, 1))
    return int(taken) - int(came)


def _made(evidence: Evidence, failure: Failure, declared: Declaration | None) -> tuple[list[Candidate], bool]:
    """Return the line on which the program made what it fed, and whether it gave it its shape."""
    run, made = failure.run_site or failure.site, declared.site if declared is not None else None
    wanted, given = _shape(failure.detail.get("expected")), _shape(failure.detail.get("found"))
    if run is None or made is None or declared is None or wanted is None or given is None:
        return [], False
    value = feeds.fed_value(evidence.source, run, made, evidence.provenance.given_name(declared))
    found = shaper(evidence.source, value, wanted, given) if value is not None else None
    if found is None:
        return [], False
    why = "gives the data this shape" if found[1] else "makes the data"
    return [Candidate(found[0], "input", why, "")], found[1]


def _fed_value(evidence: Evidence, failure: Failure, declared: Declaration | None) -> list[Candidate]:
    """Return where the value that was fed got its own value, as far as the source says it."""
    runs = [site for site in (failure.run_site, failure.site) if site is not None]
    made = declared.site if declared is not None else None
    name = evidence.provenance.given_name(declared) if declared is not None else ""
    found = (feeds.fed(evidence.source, run, made, name) for run in runs if made is not None)
    fed = next((one for one in found if one is not None), None)
    return [Candidate(fed, "input", "the value that was fed")] if fed is not None else []


def _backward_twice(evidence: Evidence, failure: Failure) -> tuple[list[Candidate], list[str]]:
    first = failure.detail.get("first")
    site = Site(**first) if isinstance(first, dict) and "file" in first else first
    carried = _carried(evidence, failure)
    named = [one for node in carried for one in _carrying(failure, node)]
    body = [
        f"  {node.function}, {place(node.site)}, made in step {node.step}, is used in step {failure.step}"
        for node in carried
    ]
    if isinstance(site, Site):
        body.append(f"  the first backward was at {place(site)}; it freed what the second one needs")
        called = failure.site
        uses = [one for node in carried for one in first_use(evidence, failure, node)]
        uses = uses or [one for node in carried for one in second_use(evidence, failure, node)]
        named = [*uses, *named]
        if uses:
            return [*named[:1], Candidate(site, "caller", "the first backward"), *named[1:]], body
        if named and called is not None and (site.file, site.line) != (called.file, called.line):
            return [Candidate(site, "caller", "the first backward, which freed the graph"), *named], body
        if not named:
            return [*call(failure, "the second backward"), Candidate(site, "caller", "the first")], body
    return named, body


def _carrying(failure: Failure, node: Node) -> list[Candidate]:
    """Return the line that carries the state on: the call in the very function that runs backward, then the
    node in the model.
    """
    made = made_by(node, f"the {node.function} made in step {node.step}")
    calls = in_loop(failure, [one for one in (node.site, *node.callers) if one is not None])
    return [*(Candidate(one, "caller", "gives the state that is carried on") for one in calls), *made]


def _carried(evidence: Evidence, failure: Failure) -> list[Node]:
    """Return forward nodes made before the last backward that nodes after it still used."""
    later: list[Node] = []
    end = -1
    for node in evidence.before(failure.seq, failure.step):
        if node.phase == "forward" and node.family not in ("fill", "check"):  # backward fills a one; .item()
            later.append(node)
        elif node.phase == "backward" and later:  # what the failing call itself ran comes before
            end = node.seq
            break
    found: dict[int, Node] = {}
    for node in later:
        for one in node.inputs:
            before = evidence.provenance.node(one.producer)
            if before is not None and before.seq < end and _differentiable(one, before):
                found[before.seq] = before
    return sorted(found.values(), key=lambda node: -node.seq)[:1]


def _differentiable(operand: Operand, made_by_node: Node) -> bool:
    computed = made_by_node.phase == "forward" and made_by_node.family not in ("fill", "random", "copy")
    return computed and operand.origin == "node" and "float" in operand.fact.dtype


def _unfed(evidence: Evidence, failure: Failure) -> tuple[list[Candidate], list[str]]:
    name = str(failure.detail.get("placeholder", ""))
    candidates, body = declared_by(evidence, failure, name)
    variable = str(failure.detail.get("initializes", ""))
    declared = evidence.provenance.declared(variable) if variable else None
    if declared is None or declared.site is None:
        return candidates, body
    body = [f"  the initial value of {variable} is computed from {name or 'it'}, and initializers are not fed"]
    return [Candidate(declared.site, "declaration", f"declares {variable}", variable), *candidates], body


def declared_by(evidence: Evidence, failure: Failure, name: str) -> tuple[list[Candidate], list[str]]:
    """The run's line first: what it lacks is a feed or an initializer; the declaration second."""
    declared: Declaration | None = evidence.provenance.declared(name)
    ran = failure.run_site or failure.site
    named = [Candidate(ran, "caller", "the run")] if ran is not None else []
    if declared is None or declared.site is None:
        return named, [f"  {name}"] if name else []
    own = evidence.provenance.given_name(declared)
    called = f"{own} ({name})" if own and own != name else name
    body = [f"  {called} was declared at {place(declared.site)}"]
    return [*named, Candidate(declared.site, "declaration", f"declares {name}", name)], body


def _not_a_tensor(evidence: Evidence, failure: Failure) -> tuple[list[Candidate], list[str]]:
    """A layer that returns several things: the line that took them as one."""
    data = next((one for one in failure.operands if evidence.provenance.stored(one) is None), None)
    node = evidence.provenance.node(data.producer) if data is not None else None
    body = [f"  {line}" for line in telling(failure.message, 1)]
    return made_by(node, f"gives it, by {node.module or node.function}") if node is not None else [], body


def _plain(evidence: Evidence, failure: Failure) -> tuple[list[Candidate], list[str]]:  # noqa: ARG001 - a rule's form
    return [], [f"  {line}" for line in telling(failure.message, 1)]


def _shape(value: object) -> Shape | None:
    return tuple(value) if isinstance(value, list | tuple) else None


_KINDS = {
    "backward_twice": _backward_twice,
    "not_a_tensor": _not_a_tensor,
    "unfed": _unfed,
}
