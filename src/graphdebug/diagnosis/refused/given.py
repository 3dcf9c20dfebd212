"""Given: data that a model can't be trained on: unequal lengths, ragged samples, names that are not there."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Mapping, Sequence

from graphdebug.diagnosis.account import call, compiled_with, made_by, trained_on
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.shapes.shape import when
from graphdebug.diagnosis.shapes.stages import stages_of
from graphdebug.diagnosis.words import listing, place, shape_words, telling
from graphdebug.model.event import Failure, Operand, TensorFact
from graphdebug.model.finding import Candidate, Finding

__all__ = ["explain"]


def explain(evidence: Evidence, failure: Failure) -> Finding | None:
    """Return the finding for data that a model can't be trained on as it was given."""
    words = failure.detail
    if isinstance(words.get("sizes"), dict):
        return _unequal(evidence, failure, words["sizes"])
    if "yields" in words:
        return _yielded(evidence, failure)
    if "component" in words:
        return _ragged(evidence, failure)
    if "argument" in words:
        return _unnamed(evidence, failure)
    if "generator" in failure.message:
        return _generated(evidence, failure)
    return _inputs(evidence, failure)


def _generated(evidence: Evidence, failure: Failure) -> Finding:
    """A generator yields other elements than its dataset was told: the line that told it, or the generator."""
    stages = [one for one in stages_of(evidence) if one.site is not None]
    told = [Candidate(one.site, "declaration", "says what the generator yields", one.name)
            for one in stages[:1] if one.site is not None]  # fmt: skip
    value = evidence.source.keyword_values(told[0].site, "output_signature") if told else None
    said = evidence.provenance.arguments.settled(value, [told[0].site]) if value is not None else None
    if said is not None:
        told = [Candidate(said[0], "declaration", "says what the generator yields"), *told]
    shapes = [shape_words(tuple(found)) for key in ("expected", "found")
              if isinstance(found := failure.detail.get(key), list)]  # fmt: skip
    body = [f"the dataset was told {shapes[0]}; the generator yields {shapes[1]}"] if len(shapes) > 1 else [
        *telling(failure.message, 1)]  # fmt: skip
    tries = ["say in output_signature what it yields, None for a size that differs"]
    return _told(evidence, failure, "a generator yields other elements than was declared", told, body, tries)


def _told(
    evidence: Evidence, failure: Failure, what: str, lines: Sequence[Candidate], body: Sequence[str],
    tries: Sequence[str], strength: float = 0.75,
) -> Finding:  # fmt: skip
    return evidence.finding(
        "data_mismatch", what=what, candidates=[*lines, *call(failure, "the call that is given it")],
        confidence=strength, failed=failure.site, when=when(failure), body=[f"  {line}" for line in body],
        tries=tries, operands=failure.operands, evidence=(failure.seq,),
    )  # fmt: skip


def _unequal(evidence: Evidence, failure: Failure, sizes: Mapping[str, Sequence[int]]) -> Finding:
    """Arguments with different numbers of samples: the one that the others outvote, else the later one."""
    counts = Counter(size for many in sizes.values() for size in many)
    usual = counts.most_common(1)[0][0]
    odd = [name for name, many in sizes.items() if usual not in many] or list(sizes)[1:]
    if len(counts) == len(sizes) == 2:
        odd = list(sizes)[::-1]
    longest = sorted(sizes, key=lambda name: -max(sizes[name], default=0))
    inside = [one for name in longest for one in _argument(evidence, failure, name, inside=True)]
    beside = len({one.site.line for one in inside}) == len(sizes) == 2  # one function made both
    lines = [*(inside if beside else []), *(one for name in odd for one in _argument(evidence, failure, name))]
    body = [f"{name} has {listing(map(str, many))} samples" for name, many in sizes.items()]
    if beside:
        body.append(f"one function makes both: the last of {longest[0]} have nothing beside them")
    tries = ["give as many of each: cut or shuffle all of them alike"]
    return _told(evidence, failure, "the arguments have different numbers of samples", lines, body, tries)


def _argument(evidence: Evidence, failure: Failure, name: str, *, inside: bool = False) -> list[Candidate]:
    """Return the line that made the argument `name` of the failing call, or `inside` which it was made."""
    role = {"x": "input", "y": "labels"}.get(name, name)
    found = trained_on(evidence, failure, role)
    site = failure.frames[-1] if failure.frames else failure.site
    if inside and found and site is not None:
        arguments = evidence.provenance.arguments
        value = arguments.given(site, Operand(TensorFact(None, ""), role=role))
        made = arguments.inside(value, site)
        return [Candidate(made, "input", f"makes {name}", name)] if made is not None else []
    return [Candidate(one.site, one.role, f"makes {name}", name) for one in found]


def _yielded(evidence: Evidence, failure: Failure) -> Finding | None:
    """A generator yields what is no pair of inputs and labels: its yield."""
    site = failure.frames[-1] if failure.frames else failure.site
    tree = evidence.source.tree(site.file) if site is not None else None
    if site is None or tree is None:
        return None
    names = set(evidence.source.names(site))
    for made in trained_on(evidence, failure, "input"):
        names |= set(evidence.source.names(made.site))
    found = [
        part.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name in names
        for part in ast.walk(node)
        if isinstance(part, ast.Yield)
    ]
    lines = [Candidate(type(site)(file=site.file, line=one), "origin", "yields it") for one in sorted(found)]
    body = ["a batch is (inputs, labels), a tuple; the generator yields one thing"]
    tries = ["yield x, y"]
    return _told(evidence, failure, "a generator yields no tuple of inputs and labels", lines, body, tries)


def _ragged(evidence: Evidence, failure: Failure) -> Finding:
    """Samples of different shapes were to be stacked: the batch stage, or what left them unequal."""
    made = stages_of(evidence)
    stages = [one for one in made if "Batch" in str(one.attributes.get("stage"))]
    windows = [
        Candidate(one.site, "declaration", "keeps windows that are cut short at the end", one.name)
        for one in made if one.site is not None and "Window" in str(one.attributes.get("stage"))
        and evidence.source.keyword_values(one.site, "drop_remainder") is None
    ]  # fmt: skip
    lines = [
        *windows,
        *(
        Candidate(one.site, "declaration", "stacks samples into batches", one.name)
        for one in reversed(stages) if one.site is not None
        ),
    ]  # fmt: skip
    shapes = [shape_words(tuple(failure.detail[key])) for key in ("expected", "found")]
    body = [f"one sample is {shapes[0]}, another {shapes[1]}: what is stacked must have one shape"]
    tries = ["padded_batch, which fills up the shorter ones", "resize or cut each sample in map, before batch"]
    if windows:
        body.append("the data end within the last windows, and these are kept")
        tries = ["window(..., drop_remainder=True)", *tries[:1]]
    return _told(evidence, failure, "samples of different shapes can't be batched", lines, body, tries, 0.8)


def _unnamed(evidence: Evidence, failure: Failure) -> Finding:
    """A loss or metric was set for an output that the model has not."""
    name, argument = failure.detail.get("output"), failure.detail.get("argument")
    lines = compiled_with(evidence, failure.frames[-1] if failure.frames else failure.site)
    named = evidence.source.keyword_values(lines[0].site, str(argument)) if lines else None
    if lines and isinstance(named, ast.Name):
        site = evidence.source.assignment(named.id, lines[0].site)
        lines = [*([Candidate(site, "declaration", "names the outputs")] if site is not None else []), *lines]
    body = [f"{argument} names {name!r}; the model gives no output of that name"]
    tries = ["use the names that the outputs were given (the layers' names, or the keys of the outputs)"]
    what = f"the {argument} is set for an output that the model has not"
    return _told(evidence, failure, what, lines, body, tries, 0.8)


def _inputs(evidence: Evidence, failure: Failure) -> Finding:
    """A model of several inputs was given another number of them: the data, as its elements are made up."""
    wanted, found = failure.detail.get("expected"), failure.detail.get("found")
    makers = [node for one in failure.operands if (node := evidence.provenance.node(one.producer)) is not None]
    if makers and len({node.seq for node in makers}) == 1:  # one layer gave them all
        made = made_by(makers[0], f"gives {found} tensors")
        body = [f"{failure.module or 'the layer'} takes {wanted}; {makers[0].function} gives {found}"]
        tries = ["take one of them: out, *state = layer(x)", "let it give no state (return_state=False)"]
        return _told(evidence, failure, "a layer was given several tensors for one", made, body, tries)
    data = trained_on(evidence, failure, "input")
    stages = [one for one in stages_of(evidence) if one.site is not None]
    parts = len(stages[-1].tensors) if stages else 0
    body = [f"the model has {wanted} inputs; it was given {found}"]
    if parts > 2:
        body.append(f"an element of the dataset ({place(stages[-1].site)}) has {parts} parts side by side: the")
        body.append("second is taken for the labels, the third for sample weights")
    body = body if wanted is not None else telling(failure.message)
    model = [Candidate(failure.site, "declaration", "the model")] if failure.site is not None else []
    first = [
        Candidate(one.site, "declaration", "makes the elements", one.name) for one in stages
        if parts > 2 and one.site is not None and not one.attributes.get("sources")
    ]  # fmt: skip
    tries = ["give the inputs together: [a, b] in fit, ((a, b), labels) in a dataset"]
    what = "a model was given another number of inputs than it has"
    return _told(evidence, failure, what, [*first, *data, *_run(failure), *model], body, tries)


def _run(failure: Failure) -> list[Candidate]:
    return (
        [Candidate(failure.run_site, "caller", "gives it to the model")] if failure.run_site is not None else []
    )
