"""Mix-ups of dtype and device: the operand that is the odd one out, and the line that made it so."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Sequence

from graphdebug.diagnosis.account import call, made_by, operand_origin, trained_on
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.loops import loader
from graphdebug.diagnosis.numbers.entries import piped
from graphdebug.diagnosis.ranking import held
from graphdebug.diagnosis.shapes.geometry import Link
from graphdebug.diagnosis.shapes.shape import when
from graphdebug.diagnosis.shapes.stages import stages_of
from graphdebug.diagnosis.sources import behind
from graphdebug.diagnosis.trails import trail
from graphdebug.diagnosis.words import label, shape_words
from graphdebug.model.event import Failure, Node, Operand, Shape, Site, TensorFact
from graphdebug.model.finding import Candidate, Finding

__all__ = ["explain_device", "explain_dtype"]


def explain_dtype(evidence: Evidence, failure: Failure) -> Finding:
    """Return the finding for operands of dtypes that do not go together."""
    return _mixup(evidence, failure, "dtype", lambda fact: fact.dtype)


def explain_device(evidence: Evidence, failure: Failure) -> Finding:
    """Return the finding for operands on different devices."""
    return _mixup(evidence, failure, "device", lambda fact: fact.device)


def _mixup(evidence: Evidence, failure: Failure, word: str, read: Callable[[TensorFact], str]) -> Finding:
    if not failure.operands and failure.detail.get("found") == "object":
        return _objects(evidence, failure)
    odd = _odd_one(evidence, failure, read)
    candidates = _turned(evidence, failure, odd, read) if odd is not None else []
    labels = odd is not None and failure.family == "loss" and _is_target(failure, odd)
    body = [
        f"  {(one.expression or one.role or one.name or 'operand')[:24]:<10} {shape_words(one.fact.shape)} "
        f"{read(one.fact)} <- {evidence.provenance.origin_words(one)}"
        for one in failure.operands[:4]
    ]
    wanted = failure.detail.get("expected") or _common(failure, odd, read)
    if odd is not None:
        if read(odd.fact) == wanted:
            numbers = labels and word == "dtype" and len(odd.fact.shape or ()) < len(_prediction(failure))
            wanted = failure.detail.get("found") or ("int64" if numbers else "")  # class numbers
        body.append(
            f"  {odd.expression or odd.name or odd.role or label(odd)} is the odd one: {read(odd.fact)}"
            + (f", where {wanted} is needed" if wanted else "")
        )
    tries = [_cast(word, odd, str(wanted))] if odd is not None and wanted else []
    if labels and odd is not None and odd.fact.shape == failure.operands[0].fact.shape:
        tries = ["give class numbers, one for each sample: one_hot.argmax(1)", *tries]
    kind = "target_mismatch" if labels else f"{word}_mismatch"
    what = f"the target has the wrong {word} for" if labels else f"{word} mix-up in"
    return evidence.finding(
        kind, what=f"{what} {failure.function or failure.op or 'a call'}",
        candidates=[*held(candidates, "odd_one"), *held(call(failure), "refused")], failed=failure.site,
        when=when(failure), body=body, tries=tries, operands=failure.operands, evidence=(failure.seq,),
    )  # fmt: skip


def _objects(evidence: Evidence, failure: Failure) -> Finding:
    """Data that is no array of numbers: rows of unequal length, text, or None among them."""
    given, labels = (trained_on(evidence, failure, role) for role in ("input", "labels"))
    return evidence.finding(
        "dtype_mismatch", what="an array of objects was given where numbers are needed",
        candidates=[*held(given, "odd_one"), *held(call(failure), "refused"), *held(labels, "began")],
        confidence=0.65, failed=failure.site, when=when(failure),
        body=["  an array has dtype object where its rows differ in length, or hold text or None"],
        tries=["pad the rows to one length", "encode text as numbers"], evidence=(failure.seq,),
    )  # fmt: skip


def _odd_one(evidence: Evidence, failure: Failure, read: Callable[[TensorFact], str]) -> Operand | None:
    """Return the operand to blame: a target first, never a weight that other weights agree with."""
    operands = [one for one in failure.operands if read(one.fact)]
    if not operands:
        return None
    if failure.family == "loss" and (target := next((o for o in operands if _is_target(failure, o)), None)):
        return target
    floats = [one for one in operands if "float" in read(one.fact)]
    if len({read(one.fact) for one in floats}) > 1:  # what counts, as an index, is not meant
        operands = floats
    elif failure.family == "index":
        return next((one for one in operands if one.role == "index"), operands[-1])
    hollow = next((one for one in operands if read(one.fact) == "meta"), None)
    if hollow is not None and not _all_hollow(
        evidence, failure
    ):  # without elements: nothing can be moved to where it is
        return hollow
    data = [one for one in operands if evidence.provenance.stored(one) is None]
    weights = [read(one.fact) for one in operands if evidence.provenance.stored(one) is not None]
    if weights and data:
        usual = Counter(weights).most_common(1)[0][0]
        odd = next((one for one in data if read(one.fact) != usual), data[0])
        return (
            _outvoted_weight(evidence, operands, usual, read)
            or _odd_weight(evidence, failure, odd, read)
            or odd
        )
    counts = Counter(read(one.fact) for one in operands)
    if len(counts) < 2:
        return operands[0]
    fewest = min(counts.values())
    lonely = [one for one in operands if counts[read(one.fact)] == fewest]
    default = [one for one in lonely if read(one.fact) in ("float64", "int64", "int32", "uint8", "bool")]
    return (default or lonely)[-1]


def _all_hollow(evidence: Evidence, failure: Failure) -> bool:
    """Whether layers were run without elements before: then that is how the program is meant to run."""
    return any(
        node.family in ("linear", "matmul", "conv") and node.execution != "raised" and node.outputs
        and node.outputs[0].device == "meta"
        for node in evidence.before(failure.seq, failure.step)
    )  # fmt: skip


def _outvoted_weight(
    evidence: Evidence, operands: Sequence[Operand], usual: str, read: Callable[[TensorFact], str]
) -> Operand | None:
    """Return the weight of double precision that the other declarations of the run do not share.

    NumPy makes doubles where nothing was said, a framework does not: among two, the double is the odd one.
    """
    stored = [one for one in operands if evidence.provenance.stored(one) is not None]
    fed = any(one.origin == "feed" and read(one.fact) == "float32" for one in operands)
    if usual != "float64" or len(stored) != 1 or not fed:
        return None
    declared = [fact for one in evidence.provenance.declarations() for fact in one.tensors.values()]
    votes = Counter(read(fact) for fact in declared if "float" in read(fact))
    return stored[0] if votes["float32"] >= votes["float64"] else None


def _odd_weight(
    evidence: Evidence, failure: Failure, data: Operand, read: Callable[[TensorFact], str]
) -> Operand | None:
    """Return a weight that is unlike nearly all others of the run, where the data is like those."""
    facts = [fact for one in evidence.provenance.declarations() for fact in one.tensors.values()]
    kinds = Counter(read(fact) for fact in facts)
    usual, times = kinds.most_common(1)[0] if kinds else ("", 0)
    if usual != read(data.fact) or times <= sum(kinds.values()) / 2:
        return None
    stored = [one for one in failure.operands if evidence.provenance.stored(one) is not None]
    return next((one for one in stored if read(one.fact) not in ("", usual)), None)


def _turned(
    evidence: Evidence, failure: Failure, odd: Operand, read: Callable[[TensorFact], str]
) -> list[Candidate]:
    """Return the node after which the operand had its odd dtype or device, or where its data came from."""
    if evidence.provenance.stored(odd) is not None:
        declared = operand_origin(evidence, odd, failure, f"makes {odd.name or 'it'} {read(odd.fact)}")
        return [*_helper(evidence, failure, odd, declared, read), *declared]
    root, links = evidence.provenance.way(odd)
    for node, through in reversed(links):
        if node.outputs and read(node.inputs[through].fact) != read(odd.fact) == read(node.outputs[0]):
            carrier = _carrier(node, through, odd, read)
            if carrier is not None:  # of two that are joined, the wider dtype is what comes out
                return _turned(evidence, failure, carrier, read)
            made = made_by(node, f"the {node.function} makes it {read(odd.fact)}")
            buffer = _unlike_autocast(evidence, failure, node, odd, read)
            if buffer:
                return [*held(buffer, "lacks_step"), *made]
            parted = _parted(evidence, failure, [link for link in links if link[0].seq > node.seq])
            return [*held(made, "agreed"), *held(parted, "lacks_step")] if parted else made
    nearest = made_by(links[-1][0], f"gives it, {read(odd.fact)}") if links and _is_target(failure, odd) else []
    why = f"makes {odd.name or 'it'} {read(odd.fact)}"
    if links:
        site = evidence.provenance.root_site(root, failure.frames, links)
        first = [Candidate(site, "origin", why, root.name)] if site is not None else []
        collated = links[-1][0].family == "cat"  # a loader's batch: it only passes on what the samples are
        return [*first, *nearest] if collated else [*nearest, *first]
    origin = operand_origin(evidence, root, failure, why)
    maker = evidence.provenance.node(root.producer)
    if maker is not None and maker.function.startswith("iterator_get_next"):
        sliced = [one.site for one in stages_of(evidence)[:1] if one.site is not None]
        made = behind(evidence, root) or piped(evidence.source, sliced, root.output)
        return [*made[:1], *origin, *made[1:]]
    return [*_first_made(evidence, root, origin), *origin, *_array(evidence, root)]


def _first_made(evidence: Evidence, root: Operand, origin: Sequence[Candidate]) -> list[Candidate]:
    """Return the line that computed or read the data, where the known one passes them on in plain Python."""
    site = origin[0].site if origin and root.producer is None and root.origin != "feed" else None
    name = evidence.source.target(site) if site is not None else ""
    tree = evidence.source.tree(site.file) if site is not None else None
    for node in ast.walk(tree) if tree is not None else ():
        if site is not None and isinstance(node, ast.Assign) and node.lineno == site.line and not name:
            names = [ast.unparse(one) for one in ast.walk(node.targets[0]) if isinstance(one, ast.Name)]
            name = next(
                (one for one in names if one in (root.name, root.expression)), names[0] if names else ""
            )
    below = Site(site.file, site.line + 1) if site is not None else None
    lines = trail(evidence.source, ast.Name(name), below) if name.isidentifier() and below is not None else []
    made = lines[-1][0] if len(lines) > 1 else None
    return [Candidate(made, "origin", "makes the data")] if made is not None else []


def _helper(
    evidence: Evidence, failure: Failure, odd: Operand, declared: Sequence[Candidate],
    read: Callable[[TensorFact], str],
) -> list[Candidate]:  # fmt: skip
    """Return the line, in what the declaration calls, that made a tensor like it of an array of NumPy."""
    sites = [(one.site.file, one.site.line) for one in declared if one.site is not None]
    for node in evidence.before(failure.seq, failure.step) if sites else ():
        fact = node.outputs[0] if node.function == "constant" and node.outputs else None
        alike = (
            fact is not None and fact.shape and fact.shape == odd.fact.shape and read(fact) == read(odd.fact)
        )
        if alike and any((one.file, one.line) in sites for one in node.callers):
            return made_by(node, f"makes the tensor {read(odd.fact)}, as its array is")
    return []


def _unlike_autocast(
    evidence: Evidence, failure: Failure, cast: Node, odd: Operand, read: Callable[[TensorFact], str]
) -> list[Candidate]:
    """Return what filled the tensor that `odd` goes into, where autocast, no line, made `odd` narrower."""
    narrow = read(odd.fact) in ("bfloat16", "float16") and cast.family == "cast"
    written = evidence.source.line(cast.site)
    if not narrow or any(word in written for word in ("half", "float16", ".to(", ".type(")):
        return []
    first = failure.operands[0] if failure.operands else odd
    filled = evidence.provenance.node(first.producer) if first is not odd else None
    if filled is None or filled.family != "fill" or read(first.fact) != "float32":
        return []
    return made_by(filled, f"makes it float32, where autocast makes {read(odd.fact)}")


def _array(evidence: Evidence, root: Operand) -> list[Candidate]:
    """Return the line that made the array which a line only turned into a tensor."""
    node = evidence.provenance.node(root.producer)
    if node is None or node.function != "constant" or node.site is None:
        return []
    names = evidence.source.arguments(node.site)
    made = next((one for name in names if (one := evidence.source.assignment(name, node.site))), None)
    return [Candidate(made, "origin", "makes the array")] if made is not None else []


def _carrier(node: Node, through: int, odd: Operand, read: Callable[[TensorFact], str]) -> Operand | None:
    """Return the other input of a node, no scalar, that has the odd dtype already."""
    others = [one for place, one in enumerate(node.inputs) if place != through and one.fact.shape]
    joined = node.family in ("elementwise", "where", "cat")
    return next((one for one in others if read(one.fact) == read(odd.fact)), None) if joined else None


def _parted(evidence: Evidence, failure: Failure, links: Sequence[Link]) -> list[Candidate]:
    """Return the node that took its part of what others took as it is: odd here, right there."""
    own = {node.seq for node, _ in links}
    parts = [link for link in links if link[0].family in ("index", "split")]
    made = {node.inputs[through].producer: node for node, through in parts}
    for node in evidence.before(failure.seq, failure.step):
        if node.seq not in own and node.phase == "forward":
            shared = next((made[one.producer] for one in node.inputs if one.producer in made), None)
            if shared is not None and not _loaded(evidence, shared):
                return made_by(shared, f"the {shared.function} takes it out of what others need as it is")
    return []


def _loaded(evidence: Evidence, node: Node) -> bool:
    """Whether a loader ran `node`: it takes all samples alike."""
    frames = [*([node.site] if node.site is not None else []), *node.callers]
    return any(loader(evidence.source, one) is not None for one in frames)


def _is_target(failure: Failure, operand: Operand) -> bool:
    second = failure.family == "loss" and len(failure.operands) > 1 and operand is failure.operands[1]
    return operand.role == "labels" or second


def _prediction(failure: Failure) -> Shape:
    return failure.operands[0].fact.shape or ()


def _common(failure: Failure, odd: Operand | None, read: Callable[[TensorFact], str]) -> str:
    others = [read(one.fact) for one in failure.operands if one is not odd]
    return Counter(others).most_common(1)[0][0] if others else ""


def _cast(word: str, odd: Operand | None, wanted: str) -> str:
    name = (odd.expression or odd.name if odd is not None else "") or "it"
    if word == "device":
        return f"move {name} to {wanted} where it is made"
    return f"make {name} {wanted} where it is made, or cast it before this line"
