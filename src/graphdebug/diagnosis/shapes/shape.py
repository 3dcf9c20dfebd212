"""Shape mismatch: operands by name and origin, the arithmetic, the lines to blame, the size that would fit."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import prod

import msgspec

from graphdebug.diagnosis.account import Account, call, data_entry, last_layer, operand_origin, trained_on
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.ranking import held
from graphdebug.diagnosis.refused import said
from graphdebug.diagnosis.shapes import (
    derivatives,
    fold,
    joins,
    kept,
    labels,
    masks,
    samples,
    stages,
    transposed,
    widths,
    windows,
)
from graphdebug.diagnosis.shapes.makers import maker_of
from graphdebug.diagnosis.words import place, shape_words, telling
from graphdebug.model.event import Failure, Operand, Shape, Site
from graphdebug.model.finding import Candidate, Finding

__all__ = ["explain", "explain_if_clear"]

_CHANNELS = (1, 3)
"""Numbers of channels that images have: a declaration that begins with one has them first."""
_CLEAR = ("conv", "pool", "linear", "matmul", "norm", "cat")
_WAYS = (widths.explain, windows.explain, joins.explain)


def explain(evidence: Evidence, failure: Failure) -> Finding | None:
    """Return the finding for a failure over shapes."""
    folded = _folded(evidence, failure)
    if folded is not None:
        return folded
    dropped = samples.explain(evidence, failure)
    if dropped is not None:
        return _told(evidence, failure, dropped)
    # A layer of its own kind (an LSTM) has weights that no operand is to be joined with.
    hidden = _broadcast_loss(evidence, failure) if failure.phase == "backward" else None
    if hidden is not None:
        return _told(evidence, failure, hidden)
    own = (
        said.arguments,
        said.loaded,
        said.packed,
        said.carried,
        said.shape,
        _whole_input,
        _declared_size,
        said.rank,
    )
    ways = (*own, *_WAYS) if failure.family == "other" else (said.packed, *_WAYS, said.rank)
    ways = (masks.explain, said.steps, transposed.explain, derivatives.explain, stages.explain, *ways)
    account = next((found for way in ways if (found := way(evidence, failure)) is not None), None)
    if account is None or not account.candidates:
        account = _declared_size(evidence, failure) or _unsure(evidence, failure)
    if derivatives.inside(evidence, failure) and account.candidates[0].site != failure.site:
        account = _unsure(evidence, failure)
    return _told(evidence, failure, account)


def _broadcast_loss(evidence: Evidence, failure: Failure) -> Account | None:
    """A loss broadcast a prediction and a target of different sizes; only its gradient was refused."""
    for node in evidence.run.step(failure.step).nodes:
        shapes = [one.fact.shape for one in node.inputs if one.role in ("logits", "labels")]
        if node.family != "loss" or node.function != "cross_entropy" or len(shapes) != 2 or None in shapes:
            continue
        if node.phase == "forward" and len(shapes[0] or ()) == len(shapes[1] or ()) and shapes[0] != shapes[1]:
            at_loss = msgspec.structs.replace(
                failure, function=node.function, family=node.family, operands=node.inputs, site=node.site,
                node=node.seq, phase=node.phase,
            )  # fmt: skip
            return labels.explain(evidence, at_loss, node.inputs)
    return None


def explain_if_clear(evidence: Evidence, failure: Failure) -> Finding | None:
    """Return the finding if the shapes alone show the fault, whatever the error says."""
    if failure.family not in _CLEAR:
        return None
    ways = (joins.explain,) if failure.family == "cat" else (transposed.explain, *_WAYS[:2])
    account = next((found for way in ways if (found := way(evidence, failure)) is not None), None)
    return _told(evidence, failure, account) if account is not None and account.candidates else None


def _told(evidence: Evidence, failure: Failure, account: Account) -> Finding:
    called = [_called(evidence, failure, one) for one in failure.operands]
    body = [*operand_lines(evidence, called), *account.body]
    data = [one for one in failure.operands if evidence.provenance.stored(one) is None]
    longest = max(data, key=lambda one: len(evidence.provenance.way(one)[1]), default=None)
    if longest is not None:
        body.append(evidence.provenance.how(longest))
    body.append(_last_good(evidence, failure))
    other = evidence.other_call(failure)
    candidates = account.candidates
    if other is not None:
        gave = [Candidate(other, "caller", "gives it what an earlier call did not")]
        if _made_by_layers(evidence, failure, other):  # it gives what they made as it is
            gave = []
        candidates = [*(_worked(one, failure) for one in candidates), *held(gave, "other_call")]
        body.insert(len(called), "the same layer took what another call gave it")
    return evidence.finding(
        account.kind or "shape_mismatch",
        what=_WHAT.get(account.kind, "shape mismatch in {}").format(failure.function or failure.op or "a call"),
        candidates=candidates, confidence=account.confidence, failed=failure.site, when=when(failure),
        body=[line for line in body if line], tries=account.tries, operands=failure.operands,
        evidence=(failure.seq,), fits=account.fits,
    )  # fmt: skip


def _made_by_layers(evidence: Evidence, failure: Failure, call: Site) -> bool:
    """Whether layers made what the failing call was given, as it is, and the earlier call was given data so."""
    good = evidence.good_layer(failure)
    data = [one for one in failure.operands if evidence.provenance.stored(one) is None]
    before = [one for one in good.inputs if evidence.provenance.stored(one) is None] if good is not None else []
    if not data or not before:
        return False
    _, links = evidence.provenance.way(data[0])
    before_call = [
        node for node, _ in links
        if call.line not in [one.line for one in (node.site, *node.callers) if one is not None]
    ]  # fmt: skip
    layers = any(evidence.provenance.stored(one) is not None for node in before_call for one in node.inputs)
    _, steps = evidence.provenance.way(before[0])
    called = {one.line for one in (good.site, *good.callers) if one is not None} if good is not None else set()
    own = [node for node, _ in steps if node.site is not None and node.site.line in called]
    at_call = any(node.family != "index" and not node.module for node in own)
    return layers and not at_call


def _worked(line: Candidate, failure: Failure) -> Candidate:
    """Return a line with what speaks against it if it declares the failing layer, which worked before."""
    own = line.role == "declaration" and line.name.startswith(failure.module) and "worked" not in line.clues
    return held([line], "worked")[0] if own else line


def _called(evidence: Evidence, failure: Failure, operand: Operand) -> Operand:
    """Return an operand under the name the user's code gives it, where no declaration has it."""
    provenance = evidence.provenance
    if operand.origin not in ("variable", "feed") or provenance.site(operand) is not None:
        return operand
    name = provenance.own_name(operand, failure.frames, failure.function)
    return msgspec.structs.replace(operand, name=name)


_WHAT = {
    "target_mismatch": "the target does not go with the prediction in {}",
    "not_probabilities": "{} was given what is no probability",
}


def when(failure: Failure) -> str:
    """Return phase and step of a failure, and which node failed where the line is not its own."""
    if failure.phase == "build":
        return "while the graph was built"
    inside = failure.detail.get("lineless")
    node = f", node {failure.name} of {inside}, which keeps no lines" if inside else ""
    return f"{failure.phase}, step {failure.step}{node}"


def operand_lines(evidence: Evidence, operands: Sequence[Operand], limit: int = 4) -> list[str]:
    """Return a line for each operand: its word, shape, and where it came from."""
    named = [(one.expression or one.role or one.name or "operand", one) for one in operands]
    told = [pair for pair in named if pair[1].origin != "constant" or pair[1].fact.shape != ()]
    named = [pair for pair in (told if len(told) > 1 else named) if pair[1].role != "bias"][:limit]
    wide = max((len(word[:24]) for word, _ in named), default=0)
    lines = [
        f"  {word[:24]:<{wide}}  {shape_words(one.fact.shape):<12} <- {evidence.provenance.origin_words(one)}"
        for word, one in named
    ]
    return list(dict.fromkeys(lines))


def _folded(evidence: Evidence, failure: Failure) -> Finding | None:
    """Return the finding for a fold before the failure that made its row counts differ."""
    if failure.family not in ("loss", "elementwise", "cat", "where", "reduce", "other", "check", "matmul"):
        return None
    shapes = [one.fact.shape for one in failure.operands if one.fact.shape]
    for operand in failure.operands:
        rows = operand.fact.shape[0] if operand.fact.shape else None
        others = sorted({shape[0] for shape in shapes if shape[0] is not None and shape[0] != rows})
        if rows is None or not others:
            continue
        found = fold.behind(evidence, operand, rows)
        if found is None and not any(_count(shape) == rows for shape in shapes if shape[0] != rows):
            found = fold.behind(evidence, operand, rows, merged=True)
            found = found if found is not None and found.before[0] in others else None
        if found is not None and not kept.of_the_loss(evidence, failure, found.node):
            line = f"  {failure.function or 'the call'} got {rows} rows against {others[0]}"
            return fold.report(
                evidence, found, failed=failure.site, when=when(failure), confidence=0.95, consequence=[line],
                frames=failure.frames, seqs=(failure.seq,),
            )  # fmt: skip
    return None


def _count(shape: Shape) -> int:
    return prod(size or 0 for size in shape)


def _last_good(evidence: Evidence, failure: Failure) -> str:
    """Say what was different in the last call of the same op that succeeded."""
    good = evidence.good_call(failure)
    data = next((one for one in failure.operands if one.role not in ("weight", "bias")), None)
    if good is None or data is None or not good.inputs:
        return ""
    before = next((one for one in good.inputs if one.role == data.role), good.inputs[0])
    was, links = evidence.provenance.way(before)
    now, present = evidence.provenance.way(data)
    text = f"last good call: step {good.step}, there it was {shape_words(before.fact.shape)}"
    if was.fact.shape != now.fact.shape:
        return f"{text}; the first to differ is the input, {shape_words(was.fact.shape)} then"
    for (old, _), (new, _) in zip(links, present, strict=False):
        if [one.shape for one in old.outputs] != [one.shape for one in new.outputs]:
            return f"{text}; the first to differ is {new.function}, {place(new.site)}"
    return text


def _declared_size(evidence: Evidence, failure: Failure) -> Account | None:
    """A declaration of the failing layer says the very size that the error expected, or that its input has
    not.
    """
    declared = evidence.provenance.declared(failure.module) if failure.module else None
    site = evidence.provenance.line_of(declared)
    if declared is None or site is None:
        return None
    expected, found = failure.detail.get("expected"), failure.detail.get("found")
    words = [key for key, value in declared.attributes.items() if isinstance(value, int) and value == expected]
    operand = next((one for one in failure.operands if one.role not in ("weight", "bias")), None)
    data = operand.fact.shape if operand is not None else None
    if not words and data and isinstance(declared.attributes.get("input_size"), int):
        words, expected, found = ["input_size"], declared.attributes["input_size"], data[-1]
    word = next(iter(words), "")
    if not word or expected == found or (data and found == len(data)):  # a rank is no size
        return None
    root, links = evidence.provenance.way(operand) if operand is not None else (None, [])
    entry = data_entry(evidence, root, failure, links) if root is not None else []
    width = data[-1] if data else None
    made = maker_of(evidence, operand, width, failure) if operand is not None and width is not None else []
    return Account(
        [
            *held([Candidate(site, "declaration", f"declares {word}={expected}")], "declares_size"),
            *held(call(failure), "refused"),
            *held(made, "made_operand"),
            *held(entry, "began"),
        ],
        [f"{failure.module} was declared with {word}={expected}; it was given {found}"],
        [f"declare {word}={found}"], confidence=0.75,
    )  # fmt: skip


def _whole_input(evidence: Evidence, failure: Failure) -> Account | None:
    """A model says which input it takes: what it was given is at fault if it took others before."""
    wanted, given = failure.detail.get("expected"), failure.detail.get("found")
    if not isinstance(wanted, list) or not isinstance(given, list):
        return None
    ran = failure.run_site or failure.site
    runs = [Candidate(ran, "caller", "gives it to the model")] if ran is not None else []
    if _out_of_order(evidence, failure):
        body = ["each input has the shape that another one should have: their order is not the model's"]
        lines = [*held(runs, "odd_one"), *held(_input_lines(evidence, failure), "began"),
                 *held(call(failure, "the model"), "refused")]  # fmt: skip
        return Account(lines, body,
                       ["give the inputs in the order that the model wants"], confidence=0.8)  # fmt: skip
    data = [*trained_on(evidence, failure, "input"), *runs]
    declared = [*_input_lines(evidence, failure), *call(failure, "the model")]
    body = [f"{failure.module or 'the model'} takes {shape_words(wanted)}; it was given {shape_words(given)}"]
    worked = evidence.worked(failure) or _fitted(evidence, ran)
    if worked:
        body.append("before, it took what it was given: this input is another one")
    tries = [f"give it {shape_words(wanted)}", f"declare its input as {shape_words(given)}"]
    made = [one for operand in failure.operands[:1] for one in last_layer(evidence, operand)]
    data = made or data  # what came out of another model
    turned = wanted[1:] != given[1:] and sorted(map(str, wanted[1:])) == sorted(map(str, given[1:]))
    first = turned and len(wanted) == 4 and wanted[1] in _CHANNELS and wanted[3] not in _CHANNELS
    if turned:
        body.append("the sizes are those that it takes, on other axes")
    lines = [*held(declared, "declares_size", *(["worked"] if worked else ["odd_one"] if first else [])),
             *held(data, "other_data" if worked else "moved_axis" if turned and not first else "made_operand"),
            ]  # fmt: skip
    return Account(lines, body, tries, tuple(wanted), 0.75)


def _out_of_order(evidence: Evidence, failure: Failure) -> bool:
    """Whether several inputs fit the model's declared ones, but in another order."""
    given = [one.fact.shape[1:] for one in failure.operands if one.role == "input" and one.fact.shape]
    declared = [one for one in evidence.provenance.declarations() if one.type == "InputLayer"]
    shapes = [one.attributes.get("batch_shape") or one.attributes.get("shape") for one in declared]
    taken = [tuple(one[-len(given[0]) :]) for one in shapes if isinstance(one, list)] if given else []
    return len(given) > 1 and len(set(given)) > 1 and sorted(map(str, given)) == sorted(map(str, taken))


def _fitted(evidence: Evidence, ran: Site | None) -> bool:
    """Whether the model that `ran` calls was trained above that line, as the source has it."""
    found = re.search(r"([A-Za-z_][\w.]*)\.(?:predict|evaluate)\(", evidence.source.line(ran))
    fit = evidence.source.method_line(found[1], "fit", ran) if found is not None and ran is not None else None
    return fit is not None and ran is not None and fit.line < ran.line


def _input_lines(evidence: Evidence, failure: Failure) -> list[Candidate]:
    """Return the line that declared what the failing model takes, if there is one such input."""
    wanted = failure.detail.get("expected")
    found = [
        one
        for one in evidence.provenance.declarations()
        if one.type == "InputLayer" and _declares(one.attributes, wanted)
    ]
    site = found[0].site if len(found) == 1 else None
    return [Candidate(site, "declaration", "declares the input", found[0].name)] if site is not None else []


def _declares(attributes: Mapping[str, object], wanted: object) -> bool:
    shape = attributes.get("shape") or attributes.get("batch_shape")
    return isinstance(shape, list) and isinstance(wanted, list) and shape in (wanted, wanted[1:])


def _unsure(evidence: Evidence, failure: Failure) -> Account:
    """Name the failing line, and where its operands came from."""
    origins = [
        one
        for operand in failure.operands
        for one in operand_origin(evidence, operand, failure, f"makes {shape_words(operand.fact.shape)}")
    ]
    lines = [*held(call(failure), "refused"), *held(origins, "began")]
    tries = [f"compare these shapes with those that {failure.function or failure.op or 'the call'} takes"]
    return Account(lines, telling(failure.message, 3), tries, confidence=0.5)
