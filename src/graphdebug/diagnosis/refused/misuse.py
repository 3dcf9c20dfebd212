"""Misuse of the graph: run before it was initialised or fed, across graphs, or backward through it twice."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from math import prod

from graphdebug.diagnosis.account import call, data_entry, made_by
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.ranking import held
from graphdebug.diagnosis.refused.switched import switched_off
from graphdebug.diagnosis.shapes.geometry import Link
from graphdebug.diagnosis.shapes.shape import when
from graphdebug.diagnosis.words import place, shape_words, telling
from graphdebug.model.event import Declaration, Failure, Node, Operand, Site, TensorFact
from graphdebug.model.finding import Candidate, Finding

__all__ = ["CUTS", "declared_by", "explain", "explain_feed", "unreached"]

CUTS = ("detach", "stop_gradient", "argmax", "argmin", "item", "constant", "round", "sign")
"""Functions whose results have no history."""
_DETACH = "takes it into the first loss, which has no use for its history: detach it there"
_SOURCES = ("fill", "random", "placeholder", "assign")
_WHAT = {
    "backward_twice": "backward ran twice through one graph",
    "no_gradient": "backward has no way to any parameter",
    "unfed": "a placeholder was not fed",
    "finalized": "a node was added to a finalized graph",
    "memory": "out of memory",
    "not_a_tensor": "a call that takes a tensor was given something else",
}
_TRIES: dict[str, Sequence[str]] = {
    "backward_twice": ("compute the loss anew in each step", "keep state across steps detached: h = h.detach()",
                       "backward(retain_graph=True) if you mean it"),
    "no_gradient": ("keep the loss a tensor: no .item(), .data, numpy or argmax between parameters and loss",),
    "unfed": ("give it in feed_dict, or fetch only what does not need it",),
    "finalized": ("build every node before the loop (a new op in each step also leaks)",),
    "not_a_tensor": ("take the tensor out of what the call before returns: out, state = layer(x)",),
    "memory": ("a smaller batch", "no_grad() where no gradient is needed"),
}  # fmt: skip


def explain(evidence: Evidence, failure: Failure) -> Finding:
    """Return the finding for a misuse that the framework refused."""
    named, body = _KINDS.get(failure.category, _plain)(evidence, failure)
    what, tries = _WHAT.get(failure.category, failure.category), _TRIES.get(failure.category, ())
    if failure.category == "no_gradient" and _is_many(failure):
        what = "backward began at a tensor that is no scalar"
        tries = ("take its mean or sum first", "give backward the gradient of each element")
    return evidence.finding(
        failure.category, what=what,
        candidates=[*named, *call(failure)], confidence=0.85 if named else 0.7, failed=failure.site,
        when=when(failure), body=body, tries=tries, operands=failure.operands,
        evidence=(failure.seq,),
    )  # fmt: skip


def explain_feed(evidence: Evidence, failure: Failure) -> Finding:
    """Return the finding for a feed whose shape its placeholder does not take."""
    name = str(failure.detail.get("placeholder", ""))
    expected, found = failure.detail.get("expected"), failure.detail.get("found")
    declared = evidence.provenance.declared(name)
    wanted, given = _shape(expected), _shape(found)
    declaration = (
        [Candidate(declared.site, "declaration", f"declares {name} {shape_words(wanted)}", name)]
        if declared is not None and declared.site is not None
        else []
    )
    fed = _fed_value(evidence, failure, declared)
    body = [f"  {name} takes {shape_words(wanted)}; it was fed {shape_words(given)}"]
    tries = [f"feed {shape_words(wanted)}", f"declare it as {shape_words(given)}"]
    fixed = wanted is not None and given is not None and len(wanted) == len(given) and wanted[:1] != given[:1]
    batch_only = fixed and wanted is not None and given is not None and wanted[1:] == given[1:]
    if batch_only and wanted is not None and given is not None and wanted[0] is not None:
        body.append(f"  only the batch differs: it was declared for {wanted[0]} samples, {given[0]} came")
        tries = ["declare the batch as unknown (None)", f"feed {wanted[0]} samples"]
    ran = call(failure, "the run that feeds it")
    fewer = wanted is not None and given is not None and len(given) < len(wanted) and wanted[:1] == (None,)
    unflattened = (
        None not in (*(wanted or (None,))[1:], *(given or (None,))[1:])
        and (wanted or ())[1:] != (given or ())[1:]
        and prod(size or 0 for size in (wanted or ())[1:]) == prod(size or 0 for size in (given or ())[1:])
    )
    if unflattened:
        body.append("  each sample has as many elements as it takes, in another shape")
        tries = [f"reshape it to {shape_words(wanted)} before it is fed", *tries[1:]]
    worked = evidence.good_call(failure) is not None and not batch_only
    lacks = unflattened or fewer
    first = [
        *held(declaration, "declares_size", *(["worked"] if worked else ["agreed"] if lacks else [])),
        *held(
            fed,
            "other_data" if worked else "lacks_step" if unflattened else "made_operand" if fewer else "began",
        ),
        *held(ran, "refused", *(["made_operand"] if fewer and not worked else [])),
    ]
    return evidence.finding(
        "feed_shape", what=f"{name or 'a placeholder'} was fed another shape than it was declared with",
        candidates=first, failed=failure.site, when=when(failure), body=body, tries=tries,
        operands=failure.operands, evidence=(failure.seq,), fits=wanted or (),
    )  # fmt: skip


def _fed_value(evidence: Evidence, failure: Failure, declared: Declaration | None) -> list[Candidate]:
    """Return where the value that was fed got its own value, as far as the source says it."""
    runs = [site for site in (failure.run_site, failure.site) if site is not None]
    made = declared.site if declared is not None else None
    name = evidence.provenance.given_name(declared) if declared is not None else ""
    found = (evidence.source.fed(run, made, name) for run in runs if made is not None)
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
        named = [*(one for node in carried for one in _first_use(evidence, failure, node)), *named]
        if named and named[0].why == _DETACH:
            return [*named[:1], Candidate(site, "caller", "the first backward"), *named[1:]], body
        if named and called is not None and (site.file, site.line) != (called.file, called.line):
            return [Candidate(site, "caller", "the first backward, which freed the graph"), *named], body
        if not named:
            return [*call(failure, "the second backward"), Candidate(site, "caller", "the first")], body
    return named, body


def _first_use(evidence: Evidence, failure: Failure, carried: Node) -> list[Candidate]:
    """Return the line that took what `carried` gave into the first loss, where that loss trains others.

    The optimizer that stepped between the two backwards had none of the weights that made it: the first
    loss had no use for its history.
    """
    written: set[str] = set()
    use: Node | None = None
    later = backward = False
    for node in evidence.before(failure.seq, failure.step):
        if node.phase == "optimizer" and not backward:
            written.update(one.name for one in node.inputs if one.name)
        later |= node.phase == "forward" and node.family not in ("fill", "check")
        backward |= later and node.phase == "backward"  # what the failing call itself ran comes before
        if backward and node.phase == "forward" and any(one.producer == carried.seq for one in node.inputs):
            use = node
        if node.seq <= carried.seq:
            break
    own = {one.name for one in carried.inputs if evidence.provenance.stored(one) is not None}
    if use is None or not written or not own or own & written:
        return []
    lines = _in_loop(failure, [one for one in (use.site, *use.callers) if one is not None])
    return [Candidate(one, "caller", _DETACH) for one in lines]


def _in_loop(failure: Failure, frames: Sequence[Site]) -> Sequence[Site]:
    """Return the frame that is in the function which runs backward, or which calls the one that does."""
    loops = [*reversed(failure.frames), *([failure.site] if failure.site is not None else [])]
    for loop in loops:
        for one in frames:
            if (one.file, _bare(one.function)) == (loop.file, _bare(loop.function)):
                return [one]
    return []


def _bare(function: str) -> str:
    """Return a function's name without its class: a graph's stacks do not have it."""
    return function.rpartition(".")[2]


def _carrying(failure: Failure, node: Node) -> list[Candidate]:
    """Return the line that carries the state on: the call in the very function that runs backward, then the
    node in the model.
    """
    made = made_by(node, f"the {node.function} made in step {node.step}")
    calls = _in_loop(failure, [one for one in (node.site, *node.callers) if one is not None])
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


def _is_many(failure: Failure) -> bool:
    """Whether what backward began at has more elements than one."""
    shape = failure.operands[0].fact.shape if failure.operands else None
    return shape is not None and any(size != 1 for size in shape)


def _no_gradient(evidence: Evidence, failure: Failure) -> tuple[list[Candidate], list[str]]:
    """Walk back from the loss to the node where the graph was cut."""
    loss = next(iter(failure.operands), None)
    before_tape = failure.detail.get("before_tape")
    if isinstance(before_tape, dict):
        body = ["  it was computed before the tape was opened: the tape does not know how"]
        return [Candidate(Site(**before_tape), "origin", "is not on the tape")], body
    return _cut_at(evidence, failure, loss) if loss is not None else ([], [])


def _cut_at(
    evidence: Evidence, failure: Failure, loss: Operand
) -> tuple[list[Candidate], list[str]]:  # fmt: skip
    if _is_many(failure):
        body = [f"  backward starts from a scalar; this tensor is {shape_words(loss.fact.shape)}"]
        return call(failure, "the call of backward"), body
    root, links = _way_through_indices(evidence, loss)
    for node, _ in reversed(links):
        cuts = node.function in CUTS
        integer = bool(node.outputs) and node.outputs[0].dtype.startswith(("int", "uint", "bool"))
        if cuts or integer:
            return made_by(node, f"the {node.function} cuts the graph"), [f"  {node.function} has no gradient"]
    swapped = next((n for n, _ in reversed(links) if n.family == "loss" and _labels_learn(evidence, n)), None)
    if swapped is not None:
        body = ["  what was computed from the weights came in as its labels; labels get no gradient"]
        return made_by(swapped, "labels and logits are swapped"), [*body, "  try: swap the two arguments"]
    learns = [node for node, _ in links if _stores(evidence, node)]
    unseen = _off_tape(failure, [node for node, _ in links], learns)
    if unseen is not None:
        return unseen
    gone = None if learns else _taken_out(evidence, failure, links)
    if gone is not None:
        body = [f"  what {gone.function} gave goes on without its history (numpy(), item(), a new tensor)"]
        return _left_at(evidence, links, gone), body
    node_of_root = evidence.provenance.node(root.producer)
    if node_of_root is not None and node_of_root.family in ("copy", "fill"):
        return made_by(node_of_root, "makes a new tensor without history"), []
    ungraphed = _from_weights(evidence, loss)
    if ungraphed is not None:
        body = ["  it was computed from weights, but no graph was recorded: no_grad, or they need no gradient"]
        off = switched_off(
            evidence.source, [one for one in (ungraphed.site, *ungraphed.callers) if one is not None]
        )
        told = [Candidate(one, "declaration", "takes the gradients off") for one in off]
        return [*told, *made_by(ungraphed, "computed without a graph"), *_callers(ungraphed)], body
    taken = [one for node, _ in links[:1] for one in made_by(node, "computed from data alone")]
    return [*taken, *(data_entry(evidence, root, failure)[:1] if root.name else [])], []


def _off_tape(
    failure: Failure, way: Sequence[Node], learns: Sequence[Node]
) -> tuple[list[Candidate], list[str]] | None:
    """What was computed after the tape was closed, or with weights before it was opened, is not on it."""
    began, until = (failure.attributes.get(key) for key in ("recorded_after", "recorded_until"))
    late = [node for node in way if isinstance(until, int) and node.seq >= until]
    early = [node for node in learns if isinstance(began, int) and node.seq < began]
    if not late and not early:
        return None
    node, when_made = (
        (late[0], "after the tape was closed") if late else (early[-1], "before the tape was opened")
    )
    why = f"the {node.function} is not on the tape"
    calls = _in_loop(failure, [one for one in (node.site, *node.callers) if one is not None])
    lines = [*(Candidate(one, "caller", why) for one in calls), *made_by(node, why)]
    return lines, [f"  it was computed {when_made}: the tape does not know how"]


def _left_at(evidence: Evidence, links: Sequence[Link], gone: Node) -> list[Candidate]:
    """Return where what `gone` gave left the graph, and where it came back as a plain tensor.

    Where the line it came back on computes with a plain number that the line of `gone` gave, that one is first.
    """
    left, back = made_by(gone, f"the {gone.function} leaves the graph"), _came_back(evidence, links, gone)
    source, place = evidence.source, back[0].site if back else None
    names = source.names(place) if place is not None else ()
    made = [source.assignment(name, place) for name in names if place is not None]
    own = gone.site is not None and any(one is not None and one.line == gone.site.line for one in made)
    return [*left, *back] if own else [*back, *left]


def _way_through_indices(evidence: Evidence, loss: Operand) -> tuple[Operand, list[Link]]:
    """Return the way of `loss`, followed also where what was computed became a mere index (one-hot, gather)."""
    root, links = evidence.provenance.way(loss)
    for _ in range(4):
        made = evidence.provenance.node(root.producer)
        through = next(
            (i for i, one in enumerate(made.inputs) if one.role == "index" and one.producer is not None)
            if made is not None
            else iter(()),
            None,
        )
        if made is None or through is None:
            break
        root, before = evidence.provenance.way(made.inputs[through])
        links = [*before, (made, through), *links]
    return root, links


def _came_back(evidence: Evidence, links: Sequence[Link], gone: Node) -> list[Candidate]:
    """Return the line that gave the plain tensor which has the values of `gone`."""
    for node, _ in links:
        frames = [*reversed(node.callers), *([node.site] if node.site is not None else [])]
        for one in node.inputs:
            if one.producer is None and one.fact.shape == gone.outputs[0].shape:
                site = evidence.provenance.arguments.made_at(one, frames, node.function)
                if site is not None:
                    return [Candidate(site, "origin", "goes on as a plain tensor", one.name)]
    return []


def _stores(evidence: Evidence, node: Node) -> bool:
    """Whether a weight goes into `node`."""
    return any(evidence.provenance.stored(one) is not None for one in node.inputs)


def _taken_out(evidence: Evidence, failure: Failure, links: Sequence[Link]) -> Node | None:
    """Return the node whose values came back on the way as a plain tensor: computed from weights, taken by
    nothing, and alike in shape and dtype.
    """
    plain = {
        (one.fact.shape, one.fact.dtype)
        for node, _ in links
        for one in node.inputs
        if one.producer is None and one.fact.shape and evidence.provenance.stored(one) is None
    }
    taken: set[int | None] = set()
    for node in evidence.before(failure.seq, failure.step):
        fits = bool(node.outputs) and (node.outputs[0].shape, node.outputs[0].dtype) in plain
        if fits and node.phase == "forward" and node.seq not in taken and node.family not in _SOURCES:
            way = [*(one for one, _ in evidence.provenance.way(node.inputs[0])[1]), node] if node.inputs else []
            if any(_stores(evidence, one) for one in way):
                return node
        taken.update(one.producer for one in node.inputs)
    return None


def unreached(evidence: Evidence) -> Finding | None:
    """Return the finding for gradients that were asked for and are None, where no exception said so."""
    told = next((one for one in evidence.run.notices if one.topic == "no_gradient"), None)
    if told is None or told.site is None:
        return None
    target = evidence.provenance.node(told.detail.get("target"))
    loss = (Operand(target.outputs[0], producer=target.seq),) if target is not None and target.outputs else ()
    asked = Failure(
        told.seq, target.step if target is not None else 0, "", told.text, "no_gradient", site=told.site,
        operands=loss, attributes={key: told.detail.get(key) for key in ("recorded_after", "recorded_until")},
    )  # fmt: skip
    sources = told.detail.get("sources") or []
    named, body = ([], []) if not any(sources) else _no_gradient(evidence, asked)
    if not any(sources):
        asked_by = Operand(TensorFact(None, ""), role="b")
        given = evidence.provenance.arguments.made_at(asked_by, (told.site,))
        named = [Candidate(given, "input", "no variable, and not watched")] if given is not None else []
        value = evidence.provenance.arguments.given(told.site, asked_by)
        names = [one.id for one in ast.walk(value) if isinstance(one, ast.Name)] if value is not None else []
        rebound = evidence.source.rebound(names, told.site)
        if rebound is not None:
            why = "puts a plain tensor in the variable's place"
            named = [Candidate(rebound, "origin", why), *named]
        body = ["  it is asked for by a plain tensor: a tape follows only variables, and what is watched"]
    tries = ["make it a variable, or watch it: tape.watch(x)"] if not any(sources) else _TRIES["no_gradient"]
    return evidence.finding(
        "no_gradient", what="a gradient is None: nothing leads from the target to what it was asked by",
        candidates=[*named, *call(asked, "asks for it")], confidence=0.7, failed=told.site,
        when=f"step {asked.step}", body=body, tries=tries, operands=loss, evidence=(told.seq,),
    )  # fmt: skip


def _from_weights(evidence: Evidence, loss: Operand) -> Node | None:
    """Return the node nearest to the loss, by any way, that took a weight."""
    waiting, seen = [loss.producer], set[int]()
    while waiting and len(seen) < 2000:
        node = evidence.provenance.node(waiting.pop(0))
        if node is None or node.seq in seen or node.phase != "forward":
            continue
        seen.add(node.seq)
        if any(evidence.provenance.stored(one) is not None for one in node.inputs):
            return node
        waiting += [one.producer for one in node.inputs]
    return None


def _callers(node: Node) -> list[Candidate]:
    return [Candidate(one, "caller", "a call around it") for one in node.callers[:2]]


def _labels_learn(evidence: Evidence, loss: Node) -> bool:
    """Whether the labels of `loss` were computed with a weight."""
    labels = next((one for one in loss.inputs if one.role == "labels"), None)
    links = evidence.provenance.way(labels)[1] if labels is not None else []
    return any(evidence.provenance.stored(one) is not None for node, _ in links for one in node.inputs)


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


def _shape(value: object) -> tuple[int | None, ...] | None:
    return tuple(value) if isinstance(value, list | tuple) else None


_KINDS = {
    "backward_twice": _backward_twice,
    "no_gradient": _no_gradient,
    "not_a_tensor": _not_a_tensor,
    "unfed": _unfed,
}
