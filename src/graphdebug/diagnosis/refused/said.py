"""Said: faults that the error itself describes: which shape or rank was expected, which came, and of what."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence

from graphdebug.diagnosis import loops
from graphdebug.diagnosis.account import Account, call, last_layer, made_by, operand_origin
from graphdebug.diagnosis.calls import call_at
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.inputs import given
from graphdebug.diagnosis.ranking import held
from graphdebug.diagnosis.words import shape_words, telling
from graphdebug.model.event import Failure, Node, Operand
from graphdebug.model.finding import Candidate

_RANK = re.compile("rank|ndim|dimensions")

__all__ = ["arguments", "carried", "loaded", "packed", "rank", "shape", "steps"]


def shape(evidence: Evidence, failure: Failure) -> Account | None:
    """The error says the whole shape it expected and the one it found, and one operand has the latter."""
    expected, found = failure.detail.get("expected"), failure.detail.get("found")
    if not isinstance(expected, list | tuple) or not isinstance(found, list | tuple):
        return None
    odd = next((one for one in failure.operands if one.fact.shape == tuple(found)), None)
    layer = _takes_time_first(evidence, failure, expected, found)
    if odd is None or (odd.producer is None and not layer) or evidence.provenance.stored(odd) is not None:
        return None
    name = odd.expression or odd.name or odd.role or "it"
    good = evidence.good_call(failure) is not None or evidence.worked(failure)
    frames = [*([failure.site] if failure.site is not None else []), *reversed(failure.frames)]
    around = (loops.loader_around(evidence.source, site) for site in frames)
    loader = next(filter(None, around), None)
    loads = [Candidate(loader, "declaration", "makes the batches: this one has another size")] if loader else []
    body = [f"{name} is {shape_words(tuple(found))}, where {shape_words(tuple(expected))} is expected"]
    tries = [f"make {name} {shape_words(tuple(expected))}"]
    if sorted(expected) == sorted(found):
        body.append("the sizes are right, their order is not")
    made = operand_origin(evidence, odd, failure, f"makes {shape_words(odd.fact.shape)}")
    if layer:
        body.append(f"its input has the batch first, {found[1]}; the layer takes axis 1 for it, {expected[1]}")
        tries = ["declare it with batch_first=True", *tries]
    lines = [
        *held(layer, "repairs"),
        *held(_told_size(evidence, odd, expected, found), "declares_size"),
        *held(made, "said", *(["worked"] if good else [])),
        *held(loads if good else [], "other_data"),
        *held(call(failure), "refused"),
    ]
    return Account(lines, body, tries, confidence=0.85)


def _told_size(
    evidence: Evidence, odd: Operand, expected: Sequence[int], found: Sequence[int]
) -> list[Candidate]:
    """Return the call that told the function which made `odd` the one size that is not as expected."""
    node = evidence.provenance.node(odd.producer)
    unlike = [now for was, now in zip(expected, found, strict=False) if was != now]
    if node is None or node.site is None or len(unlike) != 1 or len(expected) != len(found):
        return []
    told = evidence.provenance.arguments.decided([*reversed(node.callers), node.site], unlike[0])
    return [Candidate(told, "caller", f"asks for {unlike[0]}")] if told is not None else []


def loaded(evidence: Evidence, failure: Failure) -> Account | None:
    """A model refused what was loaded from a checkpoint: the line that made the model set other sizes."""
    name, dot, method = evidence.source.called(failure.site).rpartition(".")
    if failure.function != "load_state_dict" or method != "load_state_dict" or not dot or failure.site is None:
        return None
    made = evidence.source.assignment(name, failure.site)
    own = [Candidate(made, "declaration", f"makes {name} as it is", name)] if made is not None else []
    lines = [*held(own, "declares_size"), *held(call(failure, "loads it"), "refused")]
    tries = ["make the model as it was when it was saved", "load only what fits"]
    return Account(lines, telling(failure.message, 3), tries)


def _takes_time_first(
    evidence: Evidence, failure: Failure, expected: Sequence[int], found: Sequence[int]
) -> list[Candidate]:
    """Return the declaration of a layer that takes the batch behind time, if what it got has it first.

    The state was made for as many samples as there are on axis 0 of data that was seen; the layer read
    them off axis 1.
    """
    declared = evidence.provenance.declared(failure.module) if failure.module else None
    if declared is None or declared.site is None or declared.attributes.get("batch_first") is not False:
        return []
    if len(found) != 3 or [i for i in range(3) if expected[i] != found[i]] != [1]:
        return []
    wanted = (found[1], expected[1], declared.attributes.get("input_size"))
    came = any(
        wanted in (one.shape for one in (*node.outputs, *(given.fact for given in node.inputs)))
        for node in evidence.before(failure.seq, failure.step)
    )
    return [Candidate(declared.site, "declaration", "declared with batch_first=False")] if came else []


def rank(evidence: Evidence, failure: Failure) -> Account | None:
    """The error says which number of dimensions it expected and which it found, and one operand has that."""
    expected, found = failure.detail.get("expected"), failure.detail.get("found")
    if not isinstance(expected, int) or not isinstance(found, int) or not _RANK.search(failure.message):
        return None
    ranks = [len(one.fact.shape) if one.fact.shape is not None else -1 for one in failure.operands]
    odd = next((one for one, rank in zip(failure.operands, ranks, strict=True) if rank == found), None)
    if odd is None or expected == found:
        return None
    root, links = evidence.provenance.way(evidence.provenance.unchanged(odd))
    changed = [node for node, through in links if _rank_of(node) != len(node.inputs[through].fact.shape or ())]
    made = [
        one for node in changed[-1:] for one in made_by(node, f"the {node.function} makes {found} dimensions")
    ]
    entry = operand_origin(evidence, root, failure, f"the input {shape_words(root.fact.shape)}")
    name = odd.expression or odd.name or odd.role or "an operand"
    body = [f"{name} has {found} dimensions, {failure.function or 'the call'} takes {expected} there"]
    return Account(
        [*held(made or entry, "changed_size"), *held(call(failure), "refused")],
        body,
        [f"give it {expected} dimensions"],
        confidence=0.75,
    )


def _rank_of(node: Node) -> int:
    return len(node.outputs[0].shape or ()) if node.outputs else 0


def carried(evidence: Evidence, failure: Failure) -> Account | None:
    """A variable of a loop has another shape after one iteration than it entered with."""
    expected, found = failure.detail.get("expected"), failure.detail.get("found")
    if "iteration" not in failure.message or not isinstance(expected, list) or not isinstance(found, list):
        return None
    name = str(failure.detail.get("variable", ""))
    site = failure.site if name else None
    bound = loops.rebound_within(evidence.source, name, site) if site is not None else None
    if bound is not None:
        was, now = shape_words(tuple(expected)), shape_words(tuple(found))
        body = [f"{name} enters the loop as {was}; after one pass it is {now}"]
        tries = [
            f"say which sizes may change: set_loop_options(shape_invariants=[({name}, ...)])",
            "use a TensorArray",
        ]
        line = [Candidate(bound, "origin", "gives it another shape", name)]
        return Account([*line, *call(failure, "the loop")], body, tries, confidence=0.75)
    last = next((one for one in failure.operands if one.fact.shape == tuple(found)), None)
    node = evidence.provenance.node(last.producer) if last is not None else None
    while node is not None and node.function == "next_iteration" and node.inputs:
        last = node.inputs[0]
        node = evidence.provenance.node(last.producer)
    grows = any(now is None and was is not None for was, now in zip(expected, found, strict=False))
    was, now = shape_words(tuple(expected)), shape_words(tuple(found))
    body = [f"the loop variable enters as {was}; after one pass it is {now}"]
    origin = operand_origin(evidence, last, failure, f"makes {now}") if last is not None else []
    if last is None or grows or len(expected) != len(found):
        tries = ["say in shape_invariants which of its sizes may change"]
        lines = [*held(call(failure, "the loop"), "said"), *held(origin, "made_operand")]
        return Account(lines, body, tries, confidence=0.75)
    lines = [
        *held(last_layer(evidence, last), "changed_size"),
        *held(origin, "made_operand", "beside"),
        *held(call(failure, "the loop"), "refused"),
    ]
    return Account(lines, body, ["make the body give what it was given"], confidence=0.75)


def arguments(evidence: Evidence, failure: Failure) -> Account | None:
    """The error names two arguments that do not go together, and the failing call writes both of them."""
    site = failure.site
    tree = evidence.source.tree(site.file) if site is not None else None
    found = call_at(tree, site, failure.function) if tree is not None and site is not None else None
    words = {one.arg: one.value for one in found.keywords if one.arg} if isinstance(found, ast.Call) else {}
    said = failure.message.partition("[")[0]
    named = [word for word in words if re.search(rf"\b{word}\b", said)]
    if len(named) < 2:
        return None
    written = ", ".join(f"{word}={ast.unparse(words[word])}" for word in named)
    first = failure.operands[:1]
    origins = [line for one in first for line in operand_origin(evidence, one, failure, "its input")]
    lines = [*held(call(failure, f"says {written}"), "said"), *held(origins, "began")]
    return Account(lines, [f"{failure.function} was told {written}", *telling(failure.message, 1)],
                   [f"make {' and '.join(named)} go together"], confidence=0.8)  # fmt: skip


def steps(evidence: Evidence, failure: Failure) -> Account | None:
    """The lengths of sequences are larger than the number of steps that there are."""
    most = failure.detail.get("steps")
    lengths = [one for one in failure.operands if "int" in one.fact.dtype and len(one.fact.shape or ()) == 1]
    if not isinstance(most, int) or not lengths:
        return None
    told = operand_origin(evidence, lengths[-1], failure, "says how long they are")
    place = given(evidence, failure, lengths[-1])
    fed = [Candidate(place.site, "input", "gives the lengths")] if place is not None else []
    data = operand_origin(evidence, failure.operands[0], failure, f"has {most} steps")
    lines = [*held(fed or told, "odd_one"), *held(data, "made_operand"), *held(call(failure), "refused")]
    body = [f"the scores have {most} steps; a length that was given is larger"]
    tries = [f"give lengths up to {most}, those behind pooling and strides", "keep more steps"]
    return Account(lines, body, tries, confidence=0.75)


def packed(evidence: Evidence, failure: Failure) -> Account | None:
    """One tensor was to be given, and a comma made a tuple of several."""
    site, several = failure.site, len(failure.operands) > 1
    values = evidence.source.arguments(site) if site is not None and several else ()
    for name in values:
        made, value = evidence.source.assigned(name, site) if site is not None else (None, None)
        if isinstance(value, ast.Call) and made is not None:
            made, value = evidence.source.returned(value, made)
        stacked = "convert" in failure.message or failure.function == "stack"
        if made is None or not isinstance(value, ast.Tuple) or not stacked:
            continue
        why = f"the comma makes {name} a tuple of {len(value.elts)}"
        body = [f"{name} is a tuple of {len(value.elts)} tensors, not one: {ast.unparse(value)}"]
        tries = ["join the two by an operation (a + b)" if len(value.elts) > 1 else "take the comma out"]
        lines = [*held([Candidate(made, "origin", why, name)], "repairs"), *held(call(failure), "refused")]
        return Account(lines, body, tries, confidence=0.85)
    return None
