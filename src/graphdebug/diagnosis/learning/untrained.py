"""Untrained: parameters that learn nothing, because no gradient reaches them or no optimizer has them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from graphdebug.diagnosis.account import made_by
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.learning import strangers
from graphdebug.diagnosis.learning.optimizer import optimizer_line
from graphdebug.diagnosis.learning.tracks import LEAST_STEPS, Track, declared_by, optimizers, some
from graphdebug.diagnosis.refused.cuts import CUTS
from graphdebug.diagnosis.words import place
from graphdebug.model.event import Declaration, Gradient, Node, Operand, Site, TensorFact
from graphdebug.model.finding import Candidate, Finding

__all__ = ["findings"]

_UNRECORDED = ("no_grad", "inference_mode", "stop_recording")
"""Words of the blocks and decorators in which no graph is recorded."""
_TRAINED = ("parameter", "variable")
Tracks = Mapping[str, Track]


def findings(evidence: Evidence, tracks: Tracks, nameless: Sequence[Gradient] = ()) -> Sequence[Finding]:
    """Return what the gradients of all parameters, by name, and the optimizers' lists of them show.

    Args:
        evidence: what is known of the run.
        tracks: the gradients of each parameter.
        nameless: a gradient of each step that went to a tensor without a name.

    """
    given = [name for one in optimizers(evidence) for name in one.attributes.get("parameters", ())]
    if len(nameless) >= LEAST_STEPS and given and not tracks:
        cut = _made_anew(evidence, nameless, given)
        return (cut,) if cut is not None else ()
    if max((track.steps for track in tracks.values()), default=0) < LEAST_STEPS:
        return ()
    given = given or _trainable(evidence)
    left = [name for name, track in tracks.items() if name not in given and track.steps >= LEAST_STEPS]
    if not given:
        told = _missing(evidence, tracks, _told(evidence, "missing")), _unasked(evidence, tracks)
        replaced = strangers.finding(evidence, tracks) if not nameless else None
        return [found for found in (*told, replaced) if found is not None]
    if not any(name in tracks for name in given):
        cut = _cut(evidence, tracks, given)
        if cut is not None:
            return (cut,)
    doubled = _doubled(evidence, tracks, left)
    head = None if doubled is not None else _head(evidence, tracks, left, given)
    replaced = strangers.replaced(evidence, tracks, left) if left else None
    if replaced is not None:
        head = None
    ways = (_loose(evidence, tracks, left), doubled, replaced, head, _missing(evidence, tracks, given))
    return [found for found in ways if found is not None]


def _told(evidence: Evidence, what: str) -> list[str]:
    """Return the variables whose gradients were ``missing`` or ``unasked`` where gradients were asked for."""
    told = (one for one in evidence.run.notices if one.topic == "some_gradients")
    return list(dict.fromkeys(str(name) for one in told for name in one.detail.get(what, ()) if name))


def _unasked(evidence: Evidence, tracks: Tracks) -> Finding | None:
    """The layer whose output meets the labels is followed, but no one ever asks for its gradient."""
    left = [name for name in _told(evidence, "unasked") if name not in tracks]
    names = _head_of(evidence, left, list(tracks))
    if not names:
        return None
    lines = _asked_at(evidence, "unasked", names[0])
    if any(_freezes(evidence, one.site) for one in (*lines, *declared_by(evidence, names[0]))):
        return None
    return evidence.finding(
        "untrained_parameter", what=f"no gradient of {some(names)} is ever asked for",
        candidates=[*lines, *declared_by(evidence, names[0])], confidence=0.8, when="nothing failed",
        body=["  its output is what the loss compares with the labels; the layers before it are trained"],
        tries=["ask for the gradients of its variables too", "trainable = False if it is to stay as it is"],
    )  # fmt: skip


def _freezes(evidence: Evidence, site: Site) -> bool:
    """Whether the program has a line that keeps layers as they are: which ones, the events do not say."""
    return any("trainable" in line and "False" in line for line in evidence.run.source_lines(site.file))


def _asked_at(evidence: Evidence, what: str, name: str) -> list[Candidate]:
    """Return the line that listed the variables whose gradients were asked for, and the one that asked."""
    notices = [one for one in evidence.run.notices if one.topic == "some_gradients"]
    site = next((one.site for one in notices if name in one.detail.get(what, ())), None)
    given = Operand(TensorFact(None, ""), role="b")
    made = evidence.provenance.arguments.made_at(given, (site,), "gradient") if site is not None else None
    why = "lists it" if what == "missing" else "leaves it out"
    lines = [Candidate(made, "declaration", why)] if made is not None else []
    return [*lines, *([Candidate(site, "caller", "asks for gradients")] if site is not None else [])]


def _trainable(evidence: Evidence) -> list[str]:
    """Return the variables that an optimizer trains which is not told which, if the last one was not."""
    last = next(evidence.last_of_phase("optimizer", evidence.steps[-1]), None) if evidence.steps else None
    line = evidence.source.line(last.site) if last is not None else ""
    if last is None or last.site is None or ".minimize(" not in line:
        return []
    if evidence.source.keyword_values(last.site, "var_list") is not None:
        return []
    return [one.name for one in evidence.provenance.declarations() if one.attributes.get("trainable") is True
            and one.type == "Variable"]  # fmt: skip


def _cut(evidence: Evidence, tracks: Tracks, given: Sequence[str]) -> Finding | None:
    """All gradients went to one new scalar, and none to a parameter: backward began at a leaf."""
    leaf = next(iter(tracks.values()))
    name = leaf.first.name
    nodes = evidence.run.step(leaf.first.step).nodes
    called = next((one.site for one in nodes if one.phase == "backward"), None)
    if leaf.elements != 1 or called is None or evidence.provenance.declared(name) is not None:
        return None
    made = evidence.source.assignment(name, called)
    if made is None:
        return None
    return evidence.finding(
        "no_gradient", what=f"backward of {name} reached no parameter in {leaf.steps} steps",
        candidates=[Candidate(made, "expression", f"makes {name} without history"),
                    Candidate(called, "caller", "the call of backward")],
        confidence=0.8, when="nothing failed",
        body=[f"  {name} is a new tensor that requires a gradient: backward ends there",
              f"  none of the {len(given)} parameters of the optimizer got a gradient"],
        tries=["call backward on the loss itself: no .item(), .data or new tensor in between"],
        evidence=(leaf.first.seq,),
    )  # fmt: skip


def _made_anew(evidence: Evidence, leaves: Sequence[Gradient], given: Sequence[str]) -> Finding | None:
    """All gradients went to new tensors, and none to a parameter: backward began at copies of values."""
    made = [evidence.provenance.node(one.node) for one in leaves]
    first = made[-1]
    if first is None or first.family not in ("copy", "fill") or any(
        one is None or one.site is None or one.site != first.site for one in made
    ):  # fmt: skip
        return None
    return evidence.finding(
        "no_gradient", what=f"backward reached no parameter in {len(leaves)} steps",
        candidates=made_by(first, "makes a new tensor without history"),
        confidence=0.8, when="nothing failed",
        body=["  a new tensor that requires a gradient is made there: backward ends at it",
              f"  none of the {len(given)} parameters of the optimizer got a gradient"],
        tries=["go on with the tensor itself: no .item() and no new tensor in between"],
        evidence=(leaves[-1].seq,),
    )  # fmt: skip


def _loose(evidence: Evidence, tracks: Tracks, left: Sequence[str]) -> Finding | None:
    """Layers that their owner does not know as its own get gradients, and no optimizer has them.

    Not all that gets a gradient is to be trained (a frozen backbone, a critic's features): an oversight it
    is where the layer stands in a plain list.
    """
    names = [name for name in left if _is_loose(evidence, name)]
    lines = [line for name in names for line in declared_by(evidence, name)]
    if not lines:
        return None
    body = ["  its layer stands in a plain list or dict: its owner does not count it as its own"]
    tries = ["hold the layers in a ModuleList or ModuleDict"]
    return _untrained(evidence, tracks, names, lines, body, tries)


def _head(evidence: Evidence, tracks: Tracks, left: Sequence[str], given: Sequence[str]) -> Finding | None:
    """The layer whose output meets the labels is no optimizer's, while layers before it are trained."""
    names = _head_of(evidence, left, given)
    if not names:
        return None
    lines = [Candidate(one, "step", "the optimizer lacks it") for one in _optimizer(evidence)]
    lines += declared_by(evidence, names[0])
    body = ["  its output is what the loss compares with the labels; the layers before it are trained"]
    return _untrained(evidence, tracks, names, lines, body, ["give the optimizer its parameters too"])


def _head_of(evidence: Evidence, left: Sequence[str], given: Sequence[str]) -> list[str]:
    """Return the weights that are `left` of the layer whose output meets the labels, if layers before it are
    among the `given`.

    A network that judges what another makes is not to be trained either: it is told by the labels, which
    are computed too, or by its running more than once a step.
    """
    nodes = evidence.run.step(evidence.steps[-2]).nodes if left and evidence.steps[1:] else ()
    forward = [one for one in nodes if one.phase == "forward"]
    for loss in (one for one in forward if one.family == "loss" and len(one.inputs) > 1):
        guess, labels = ([_weights(evidence, node) for node, _ in evidence.provenance.way(one)[1]]
                         for one in _guess_first(loss))  # fmt: skip
        on_way = [names for names in guess if names]
        if any(labels) or len(on_way) < 2 or not set(on_way[-1]) <= set(left):
            continue
        once = sum(set(_weights(evidence, one)) >= set(on_way[-1]) for one in forward) == 1
        if once and any(name in given for names in on_way[:-1] for name in names):
            return on_way[-1]
    return []


def _guess_first(loss: Node) -> Sequence[Operand]:
    """Return what a loss is given: the prediction, then the labels."""
    first, second = loss.inputs[:2]
    return (second, first) if first.role == "labels" or second.role == "logits" else (first, second)


def _weights(evidence: Evidence, node: Node) -> list[str]:
    """Return the names of the weights that a product or convolution takes."""
    taken = [evidence.provenance.stored(one) for one in node.inputs]
    wanted = node.family in ("linear", "matmul", "conv")
    return [one.name for one in taken if one is not None and one.origin in _TRAINED] if wanted else []


def _doubled(evidence: Evidence, tracks: Tracks, left: Sequence[str]) -> Finding | None:
    """Two optimizers were given the same parameters, and others that get gradients were given to none."""
    seen: list[Declaration] = []
    for one in optimizers(evidence):
        parameters = one.attributes.get("parameters")
        twin = next(
            (other for other in seen if parameters and other.attributes.get("parameters") == parameters), None
        )
        seen.append(one)
        made = _assigned(evidence, one.name) if twin is not None and left else None
        if twin is None or made is None:
            continue
        lines = [Candidate(made, "declaration", f"was given what {twin.name} has", one.name)]
        body = [f"  {one.name} has the same {len(parameters or ())} parameters as {twin.name}"]
        tries = [f"give {one.name} the parameters of {left[0].rpartition('.')[0]} and the like"]
        return _untrained(evidence, tracks, left, lines, body, tries)
    return None


def _untrained(
    evidence: Evidence, tracks: Tracks, names: Sequence[str], lines: Sequence[Candidate],
    body: Sequence[str], tries: Sequence[str],
) -> Finding:  # fmt: skip
    step = [Candidate(line, "step", "the optimizer lacks it") for line in _optimizer(evidence)]
    return evidence.finding(
        "untrained_parameter", what=f"{some(names)} got gradients, but no optimizer has them",
        candidates=[*lines, *step], confidence=0.8, when="nothing failed", body=body, tries=tries,
        evidence=(tracks[names[0]].first.seq,),
    )  # fmt: skip


def _missing(evidence: Evidence, tracks: Tracks, given: Sequence[str]) -> Finding | None:
    """Parameters that an optimizer was given and that never got a gradient, while others did."""
    missing = [name for name in dict.fromkeys(given) if name not in tracks]
    named = [line for name in missing for line in declared_by(evidence, name)]
    if missing and not named:
        named = _asked_at(evidence, "missing", missing[0])
    if not named:
        return None
    cut = _cut_behind(evidence, missing)
    named = [*cut, *named]
    steps = max(track.steps for track in tracks.values())
    step = [Candidate(line, "step", "the optimizer has it") for line in _optimizer(evidence)]
    return evidence.finding(
        "missing_gradient", what=f"{some(missing)} never got a gradient in {steps} steps",
        candidates=[*named, *step],
        confidence=0.6, when="nothing failed",
        body=[f"  {len(missing)} of the {len(set(given))} parameters it is to train have no gradient",
              f"  {cut[0].why} at {place(cut[0].site)}" if cut else
              "  they are not used in forward, or the graph is cut behind them (detach, no_grad, numpy)"],
        tries=["let the gradient pass there (no detach, .data or no_grad)" if cut else
               "use them in forward, or leave them out of the optimizer"],
    )  # fmt: skip


def _cut_behind(evidence: Evidence, missing: Sequence[str]) -> list[Candidate]:
    """Return the line that took what was computed with a missing parameter and gave it on without history, or
    had none recorded.
    """
    steps = evidence.steps
    nodes = [one for one in evidence.run.step(steps[-2]).nodes if one.phase == "forward"] if steps[1:] else []
    taken = {one.producer for node in nodes for one in node.inputs}
    reached: set[int | None] = set()
    for node in nodes:
        stored = any(one.name in missing for one in node.inputs)
        if not stored and not any(one.producer in reached for one in node.inputs):
            continue
        if node.function in CUTS and not stored:
            if node.seq in taken:
                return made_by(node, f"the {node.function} cuts the graph behind them")
            continue
        reached.add(node.seq)
        frames = [one for one in (node.site, *node.callers) if one is not None] if stored else []
        for one in frames:
            line = evidence.source.within(one, _UNRECORDED)
            if line is not None:
                return [Candidate(line, "expression", "no graph is recorded")]
    return []


def _is_loose(evidence: Evidence, name: str) -> bool:
    """Whether a parameter belongs to a layer that no other layer knows as its own."""
    parts = name.split(".")
    above = (evidence.provenance.declared(".".join(parts[:i])) for i in range(len(parts) - 1, 0, -1))
    return any(one is not None and one.attributes.get("registered") is False for one in above)


def _optimizer(evidence: Evidence) -> Iterator[Site]:
    """Yield the line that made the optimizer, if it can be told."""
    line = optimizer_line(evidence, evidence.steps[-1]) if evidence.steps else None
    if line is not None:
        yield line


def _assigned(evidence: Evidence, name: str) -> Site | None:
    """Return the line that gave a name its value, looking back from where an optimizer steps last."""
    nodes = (node for step in evidence.steps[:-3:-1] for node in reversed(evidence.run.step(step).nodes))
    last = next((node.site for node in nodes if node.phase == "optimizer"), None)
    return evidence.source.assignment(name, last) if last is not None else None
