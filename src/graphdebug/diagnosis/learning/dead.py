"""Dead units: an activation that passes no gradient on: the gradients are 0 before it and not behind it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from graphdebug.diagnosis.account import told_by
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.learning.optimizer import step_size
from graphdebug.diagnosis.learning.tracks import LEAST_STEPS, Track, declared_by, some
from graphdebug.diagnosis.words import place
from graphdebug.model.event import Node, Operand, Site
from graphdebug.model.finding import Candidate, Finding

__all__ = ["blocked"]

_CUTTING = ("relu", "relu6", "threshold", "clamp", "hardtanh", "hardsigmoid")
"""Functions whose derivative is 0 over a range."""
_SATURATING = ("sigmoid", "tanh", "softmax")
"""Functions whose derivative rounds to 0 far from 0."""
_FARTHEST = 40
"""Nodes that are followed from a layer to its activation, and from there to the next layer."""
_LAYERS = ("linear", "matmul", "conv")
_FITTED = 1e-3
"""A loss of this or less asks for no more."""
_FILLING = ("fill", "random", "assign", "copy")


def blocked(evidence: Evidence, tracks: Mapping[str, Track], optimizer: Site | None) -> Finding | None:
    """Return the finding for an activation behind which parameters learn, and before which none does.

    The gradient of all that comes before is exactly 0, step after step; that of the next layer is not, so the
    loss asks for a change there. Where all gradients are 0 from the first step on, none behind is needed.
    """
    measured = {name: one for name, one in tracks.items() if len(one.norms) >= LEAST_STEPS}
    still = [name for name, one in measured.items() if not any(one.norms[-LEAST_STEPS:])]
    never = len(still) == len(measured) and not any(measured[name].norms[0] for name in still)
    uses = [(name, used) for name in still if (used := _use(evidence, name, measured[name])) is not None]
    moving = {name for name, one in measured.items() if any(one.norms[-LEAST_STEPS:])}
    for name, used in sorted(uses, key=lambda pair: -pair[1].seq):
        if _passed_by(evidence, used, moving):
            continue
        nodes = [one for one in evidence.run.step(used.step).nodes if one.phase == "forward"]
        gate = _gate(evidence, nodes, used, name)
        if gate is None or _passes(evidence, measured, nodes, gate):
            continue
        following = _following(evidence, nodes, gate)
        alive = any(one in measured and measured[one].norms[-1] > 0 for one in following)
        judged = any(one.family in ("loss", "softmax") and one.seq > gate.seq for one in nodes)
        last = not following and judged and len(still) == len(measured)
        if alive or (last and _asks(evidence, unknown=never)):
            return _finding(evidence, measured[name], name, still, gate, optimizer, last=last)
    return None


def _passes(evidence: Evidence, measured: Mapping[str, Track], nodes: Sequence[Node], gate: Node) -> bool:
    """Whether other parameters before an activation do get a gradient through it: then it is open, and what
    gets none is multiplied with zeros.
    """
    learning = [name for name, track in measured.items() if track.norms[-1] > 0]
    uses = ((name, _use(evidence, name, measured[name])) for name in learning)
    gates = (
        _gate(evidence, nodes, used, name) for name, used in uses if used is not None and used.step == gate.step
    )
    return any(one is not None and one.seq == gate.seq for one in gates)


def _asks(evidence: Evidence, *, unknown: bool) -> bool:
    """Whether the loss is not 0 in the last step that has one: a perfect fit has no gradients either.

    Args:
        evidence: what is known of the run.
        unknown: what to return where no step shows a loss.

    """
    for step in reversed(evidence.steps[-3:]):
        for node in reversed(evidence.run.step(step).nodes):
            if node.family == "loss" and node.phase == "forward" and node.outputs:
                stats = node.outputs[0].stats
                if stats is None or stats.mean is None:
                    return unknown
                return abs(float(stats.mean)) > _FITTED
    return unknown


def _passed_by(evidence: Evidence, used: Node, moving: Collection[str]) -> bool:
    """Whether a gradient comes past the layer to layers before it: then it is only in a side branch."""
    own = [
        one for one in evidence.run.step(used.step).nodes
        if used.module and one.module == used.module and one.phase == "forward" and one.family in _LAYERS
    ]  # fmt: skip
    links = [
        link for node in own or [used] for one in node.inputs[:3] for link in evidence.provenance.way(one)[1]
    ]
    return any(one.name in moving for node, _ in links for one in _parameters(evidence, node))


def _use(evidence: Evidence, name: str, track: Track) -> Node | None:
    """Return the forward node that uses a parameter."""
    known = evidence.provenance.node(track.first.node)
    if known is not None:
        return known
    nodes = evidence.run.step(track.first.step).nodes
    taking = (one for one in nodes if one.phase == "forward" and not one.mutates)
    return next((one for one in taking if any(operand.name == name for operand in one.inputs)), None)


def _gate(evidence: Evidence, nodes: Sequence[Node], start: Node, name: str) -> Node | None:
    """Return the first activation behind a parameter's use, if it comes before the next layer's weights."""
    for node in _onward(nodes, start):
        if node.function in (*_CUTTING, *_SATURATING):
            return node
        if any(one.name != name and len(one.fact.shape or ()) > 1 for one in _parameters(evidence, node)):
            return None
    return None


def _following(evidence: Evidence, nodes: Sequence[Node], gate: Node) -> list[str]:
    """Return the names of the weights and biases of the first layer behind an activation."""
    found: list[str] = []
    for node in _onward(nodes, gate):
        taken = [one.name for one in _parameters(evidence, node)]
        if found and (not taken or node.function not in ("add", "bias_add")):
            break
        found += taken
    return found


def _onward(nodes: Sequence[Node], start: Node) -> Iterator[Node]:
    """Yield the nodes that take what `start` gave, those that take what these gave, and so on."""
    reached = {start.seq}
    for node in nodes:
        if node.seq > start.seq and any(one.producer in reached for one in node.inputs):
            reached.add(node.seq)
            yield node
        if len(reached) > _FARTHEST:
            return


def _parameters(evidence: Evidence, node: Node) -> list[Operand]:
    """Return the parameters that a node takes."""
    taken = (evidence.provenance.stored(one) for one in node.inputs)
    return [one for one in taken if one is not None and one.origin in ("parameter", "variable")]


def _finding(
    evidence: Evidence, track: Track, name: str, still: Sequence[str], gate: Node, optimizer: Site | None, *,
    last: bool = False,
) -> Finding:  # fmt: skip
    killed = track.norms[0] > 0
    saturated = gate.function in _SATURATING
    step = step_size(evidence, optimizer)
    declared = declared_by(evidence, name)
    lines = [
        *_filled(evidence, track, name),
        *_begun(evidence, still),
        *told_by(evidence, gate, f"the {gate.function}"),
        *declared,
    ]
    how = "is saturated" if saturated else "gives one constant"
    body = [
        f"  the gradients of {some(still)} are exactly 0",
        f"  the network ends in {gate.function}, {place(gate.site)}: it {how} for every sample" if last else
        f"  behind {gate.function}, {place(gate.site)}, they are not: it {how} for every sample",
        f"  they were not 0 in step {track.first.step}: a step of the optimizer brought it there" if killed
        else "  they were 0 from the first step on",
    ]  # fmt: skip
    ways = ["initial values scaled to the width", "look at the scale of its input"]
    if killed:
        ways = ["a smaller learning rate (a tenth)", *([] if saturated else ["leaky ReLU"])]
    if killed and last:  # no target below 0 can be reached
        ways = [f"leave {gate.function} out of the last layer, if targets are of both signs", *ways]
    return evidence.finding(
        "dead_units", what=f"no gradient passes this {gate.function}, step after step",
        candidates=[*step, *lines] if killed and not last else [*lines, *step], confidence=0.75,
        failed=gate.site if killed and not last else None, when="nothing failed",
        body=body, tries=ways,
        evidence=(gate.seq, track.first.seq),
    )  # fmt: skip


def _begun(evidence: Evidence, names: Sequence[str]) -> list[Candidate]:
    """Return the line of a parameter that was declared to begin with one number far from 0."""
    for name in names:
        declared = evidence.provenance.declared(name)
        value = declared.attributes.get("initial") if declared is not None else None
        if (
            isinstance(value, int | float)
            and abs(value) > 1
            and declared is not None
            and declared.site is not None
        ):
            return [Candidate(declared.site, "declaration", f"lets {name} begin at {value:g}", name)]
    return []


def _filled(evidence: Evidence, track: Track, name: str) -> list[Candidate]:
    """Return the line that gave the layer's parameters their values, where it is not the layer's own."""
    layer = name.rpartition(".")[0]
    used = _use(evidence, name, track)
    declared = {(one.site.file, one.site.line) for one in declared_by(evidence, name)}
    nodes = evidence.run.step(used.step).nodes if used is not None and layer else ()
    for node in nodes:
        for one in node.inputs if node.phase == "forward" and node.module == layer else ():
            made = evidence.provenance.node(one.producer) if one.name.startswith(f"{layer}.") else None
            if made is None or made.family not in _FILLING or made.site is None or made.phase != "forward":
                continue
            written = evidence.source.line(made.site)  # not only where the layer was made
            told = made.function in written or "init" in written or ".data" in written
            if told and (made.site.file, made.site.line) not in declared:
                return [Candidate(made.site, "expression", f"gives {one.name} its values", one.name)]
    return []
