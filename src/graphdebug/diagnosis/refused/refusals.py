"""Refusals: a call refused what it was given: a wrong argument, a tensor as a feed, a value of an inner graph,
a checkpoint of other variables.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from itertools import pairwise

from graphdebug.diagnosis import feeds
from graphdebug.diagnosis.account import call, decided_by, made_by, operand_origin, sized_by, trained_on
from graphdebug.diagnosis.calls import called
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.instances import around, stack
from graphdebug.diagnosis.ranking import held
from graphdebug.diagnosis.refused import partial
from graphdebug.diagnosis.shapes import shape
from graphdebug.diagnosis.words import place, shape_words, telling
from graphdebug.model.event import Declaration, Failure, Site
from graphdebug.model.finding import Candidate, Finding

__all__ = [
    "explain_argument", "explain_checkpoint", "explain_fed_tensor", "explain_inner", "explain_variable",
]  # fmt: skip

_JOINED = ("stack them along a new axis: stack", "join them along one they have: cat")

_WAYS_OUT = {
    "closed Session": "run it before its session is closed: within the with that opens it",
    "feed_dict key": "give the placeholder itself as the key, or its name with :0",
    "`fetch`": "fetch a tensor, an operation, or the name of one that the graph has",
}
"""What to try, by words of the error."""


def explain_argument(evidence: Evidence, failure: Failure) -> Finding | None:
    """Return the finding for a call that was refused over its arguments."""
    clear = partial.explain(evidence, failure) or shape.explain_if_clear(evidence, failure)
    if clear is not None or failure.site is None:
        return clear
    empty = _empty(evidence, failure) if "NoneType" in failure.message else None
    if empty is not None:
        return empty
    origins = [
        one
        for operand in failure.operands[:3]
        for one in operand_origin(evidence, operand, failure, f"gives {operand.name or operand.role or 'it'}")
    ]
    given = trained_on(evidence, failure, "input")
    called = failure.function or failure.op or "the call"
    if not failure.operands and not given and failure.family != "control":
        return None  # all that is known is that it refused
    listed = _listed(failure)
    return evidence.finding(
        "wrong_argument", what=f"{called} does not take what it was given",
        candidates=[*held(call(failure), "said" if listed else "refused"), *held([*given, *origins], "began")],
        when=shape.when(failure),
        body=[*(listed or shape.operand_lines(evidence, failure.operands)), *_said(failure)],
        tries=_JOINED if listed else [_way_out(failure, called)],
        operands=failure.operands, evidence=(failure.seq,),
    )  # fmt: skip


def _empty(evidence: Evidence, failure: Failure) -> Finding | None:
    """Return the finding for a name that is None, given to a run: the function that made it gives nothing back,
    or had nothing to merge.
    """
    site = failure.run_site or failure.site
    for name in evidence.source.names(site) if site is not None else ():
        made, value = evidence.source.assigned(name, site) if site is not None else (None, None)
        if made is None or not isinstance(value, ast.Call):
            continue
        found, lines = evidence.source.function(value, made), [Candidate(made, "origin", f"gives {name}", name)]
        if found is not None:
            own = [node for node in ast.walk(found[1]) if isinstance(node, ast.Return | ast.Yield)]
            if any(one.value is not None for one in own):
                continue
            last = Site(found[0].file, found[1].body[-1].lineno)
            lines = [Candidate(last, "origin", f"ends {found[1].name}, which returns nothing", name), *lines]
        elif called(value) != "merge_all":
            continue
        gives = f"{ast.unparse(value.func)} returns nothing"
        why = gives if found is not None else "there is nothing to merge"
        return evidence.finding(
            "no_value", what=f"{name} is None, and was to be run",
            candidates=[*lines, *call(failure, "runs it")],
            confidence=0.85, failed=failure.site, when=shape.when(failure), evidence=(failure.seq,),
            body=[f"  {name} was given at {place(made)}: {why}"],
            tries=["return what it builds"] if found is not None else ["write a summary first, or fetch none"],
        )  # fmt: skip
    return None


def explain_variable(evidence: Evidence, failure: Failure) -> Finding:
    """Return the finding for a variable that is made where it can't be: a second time, or within a function."""
    name, again = str(failure.detail.get("variable", "")), failure.category == "variable_exists"
    first = failure.detail.get("file"), failure.detail.get("line")
    made = call(failure, "makes it again" if again else "makes a variable at each call")
    if not again and failure.site is not None:
        made = [*_layer_made_inside(evidence, failure.site), *made]
    scope = evidence.source.block(failure.site) if again and failure.site is not None else None
    if scope is not None:
        made = [Candidate(scope, "declaration", "opens its scope without reuse", name), *made]
    around = [Candidate(site, "caller", "the second call") for site in reversed(failure.frames[:-1])]
    known = isinstance(first[0], str) and isinstance(first[1], int)
    earlier = [Site(file=str(first[0]), line=int(first[1] or 0))] if known else []
    own = [Candidate(site, "declaration", "made it first") for site in earlier]
    if again:
        what = f"the variable {name} is made a second time"
        body = [f"  it was made first at {place(one)}" for one in earlier] or [
            "  a graph has one variable of a name, unless its scope says that it is reused"
        ]
        tries = ["reuse it: variable_scope(..., reuse=tf.AUTO_REUSE)", "give the second one a name of its own"]
    else:
        what = "a variable is made inside a function that is traced anew"
        body = ["  each call would make another one; what a function keeps is made once, before it"]
        tries = ["make it outside of the function, once", "make it only if it is None (an attribute)"]
    return evidence.finding(
        failure.category, what=what, candidates=[*made, *around, *own], confidence=0.8,
        when=shape.when(failure), failed=failure.site, body=body, tries=tries, operands=failure.operands,
        evidence=(failure.seq,),
    )  # fmt: skip


def _layer_made_inside(evidence: Evidence, site: Site) -> list[Candidate]:
    """Return the line of the function around `site` that makes the layer, or variable, which `site` calls."""
    start = evidence.source.function_line(site)
    for name in evidence.source.names(site) if start is not None else ():
        made, value = evidence.source.assigned(name, site)
        if made is None or start is None or made.line <= start or not isinstance(value, ast.Call):
            continue
        called = ast.unparse(value.func).rpartition(".")[2]
        if called[:1].isupper():  # a class
            return [Candidate(made, "declaration", f"makes {name} at each call", name)]
    return []


def explain_fed_tensor(evidence: Evidence, failure: Failure) -> Finding:
    """Return the finding for a tensor where a feed takes an array: it has no value before a run gives one."""
    name = str(failure.detail.get("placeholder", ""))
    declared = evidence.provenance.declared(name)
    made = declared.site if declared is not None else None
    ran = failure.run_site or failure.site
    fed = feeds.fed(evidence.source, ran, made) if ran is not None and made is not None else None
    candidates = call(failure, "the run that feeds it")
    if fed is not None:
        candidates.append(Candidate(fed, "input", "the value that was fed"))
    for operand in failure.operands[:1]:
        candidates += operand_origin(evidence, operand, failure, "makes the tensor")
    body = [f"  {name or 'the placeholder'} was fed a tensor of the graph, not an array: it has no value yet"]
    return evidence.finding(
        "tensor_fed", what="a tensor was fed where an array is needed", candidates=candidates, confidence=0.75,
        when=shape.when(failure), body=[*body, *shape.operand_lines(evidence, failure.operands)],
        tries=["get its value first: value = session.run(tensor)", "use the tensor in the placeholder's place"],
        operands=failure.operands, evidence=(failure.seq,),
    )  # fmt: skip


def explain_inner(evidence: Evidence, failure: Failure) -> Finding:
    """Return the finding for a value of a loop's or function's inner graph that was used outside of it."""
    words = failure.detail
    inner = str(words.get("tensor", "")).partition(":")[0]
    candidates: list[Candidate] = []
    for operand in failure.operands:
        node = evidence.provenance.node(operand.producer)
        if node is not None and inner and node.name == inner:
            candidates = made_by(node, f"the {node.function} inside")
    if not candidates and isinstance(words.get("file"), str) and isinstance(words.get("line"), int):
        candidates = [Candidate(Site(file=words["file"], line=words["line"]), "origin", "made inside")]
    where = f" of the {words['scope']}" if words.get("scope") else ""
    body = [f"  the value was made inside{where}: there is one in each pass, and none outside"]
    if candidates:
        body.append(f"  it was made at {place(candidates[0].site)} and used at {place(failure.site)}")
    return evidence.finding(
        "out_of_scope", what=f"a value from inside{where or ' another function'} was used outside",
        candidates=[*candidates, *call(failure, "the use outside")], confidence=0.75 if candidates else 0.5,
        failed=failure.site, when=shape.when(failure), body=body, operands=failure.operands,
        tries=["return it from there (as a loop variable or result)", "compute it outside"],
        evidence=(failure.seq,),
    )  # fmt: skip


def explain_checkpoint(evidence: Evidence, failure: Failure) -> Finding:
    """Return the finding for a checkpoint that does not have what the variables of this run want."""
    name = str(failure.detail.get("variable", ""))
    declared = _beside(evidence, name) or evidence.provenance.declared(name)
    ran = failure.run_site or failure.site
    loads = [Candidate(ran, "caller", "loads the checkpoint")] if ran is not None else []
    own: list[Candidate] = []
    words = (failure.detail.get("expected"), failure.detail.get("found"))
    declared = declared or _of_shape(evidence, words[0])
    shapes = [tuple(one) for one in words if isinstance(one, list)]
    lacks = f"has no {name}" if failure.family != "assign" else f"does not have what {name} wants"
    body, tries = [f"  the checkpoint {lacks}"], ["load only what it has", "load it into what was saved"]
    if declared is not None and declared.site is not None:
        own = [Candidate(declared.site, "declaration", f"declares {name}", name)]
    if len(shapes) > 1 and shapes[0] != shapes[1]:
        here, stored = shape_words(shapes[0]), shape_words(shapes[1])
        body = [f"  {name or 'a variable'} is {here} here and {stored} in the checkpoint"]
        tries = [f"declare it {shape_words(shapes[1])}", *tries[1:]]
        axis = next((i for i, pair in enumerate(zip(*shapes[:2], strict=False)) if pair[0] != pair[1]), None)
        size = shapes[0][axis] if axis is not None else None
        own = sized_by(evidence, declared, size, f"declares {name} {shape_words(shapes[0])}") or own
        own = own or _model_made(evidence, failure)
        own = [*(decided_by(evidence, declared, size) if len(own) < 2 else []), *own]
        instance = _instance(evidence, declared)
        own = [*(Candidate(one, "caller", "makes this model", name) for one in instance), *own]
        chosen = call(failure, "chooses what is to be loaded") if _chooses(evidence, failure) else []
        candidates = [*held(chosen, "said", "made_operand"), *held(own, "declares_size"),
                      *held([*loads, *call(failure)], "refused")]  # fmt: skip
    elif "missing" in failure.detail or "unexpected" in failure.detail:
        body, tries = _keys(failure)
        saved, model = _saved(evidence, failure), _model_made(evidence, failure)
        candidates = [*held(saved, "made_operand"), *held(loads, "refused"), *held(model, "began")]
    elif "layer" in failure.detail:
        name, had = str(failure.detail["layer"]), failure.detail.get("had")
        body = [
            f"  the layer {name} has {failure.detail.get('wanted')} weights here, and {had} in the checkpoint"
        ]
        body.append("  the model that was saved had other layers")
        candidates = [*held(_model_made(evidence, failure), "declares_size"), *held(loads, "refused")]
    else:
        candidates = [*held([*loads, *call(failure, "what is to be loaded")], "said"), *held(own, "began")]
    return evidence.finding(
        "checkpoint_mismatch", what=f"the checkpoint does not go with {name or 'the variables'}",
        candidates=candidates, failed=failure.site, when=shape.when(failure), body=body,
        tries=tries, operands=failure.operands, evidence=(failure.seq,),
    )  # fmt: skip


def _chooses(evidence: Evidence, failure: Failure) -> bool:
    """Whether the failing line makes a saver of variables that it lists: it may leave some out."""
    tree = evidence.source.tree(failure.site.file) if failure.site is not None else None
    return any(
        isinstance(node, ast.Call) and called(node) == "Saver" and (node.args or node.keywords)
        and failure.site is not None and node.lineno == failure.site.line
        and any("variables" in ast.unparse(one) for one in (*node.args, *(key.value for key in node.keywords)))
        for node in (ast.walk(tree) if tree is not None else ())
    )  # fmt: skip


def _instance(evidence: Evidence, declared: Declaration | None) -> Sequence[Site]:
    """Return the line that had a helper make this model, where others had it make theirs."""
    outer = around(declared) if declared is not None else ()
    if declared is None or not outer:
        return ()
    ways = [
        stack(one)
        for one in evidence.run.declarations
        if one.name != declared.name and one.type == declared.type
    ]
    others = {
        caller for way in ways for line, caller in pairwise(way) if line == declared.site and caller != outer[0]
    }
    return outer[:1] if others else ()


def _of_shape(evidence: Evidence, shape: object) -> Declaration | None:
    """Return the only variable that was declared with `shape`, where the error does not say its name."""
    found = {
        (one.site, one.callers): one
        for one in evidence.provenance.declarations()
        if one.type == "Variable" and isinstance(shape, list)
        and any(fact.shape == tuple(shape) for fact in one.tensors.values())
    }  # fmt: skip
    return next(iter(found.values())) if len(found) == 1 else None


def _beside(evidence: Evidence, name: str) -> Declaration | None:
    """Return the variable that an optimizer made `name` beside: it has its name in front, and its shape."""
    own, owner = evidence.provenance.declared(name), evidence.provenance.declared(name.rpartition("/")[0])
    if own is None or owner is None:
        return None
    shapes = [[fact.shape for fact in one.tensors.values()] for one in (own, owner)]
    return owner if shapes[0] == shapes[1] else None


def _keys(failure: Failure) -> tuple[list[str], list[str]]:
    """Say which names the model and the checkpoint do not share, and what to do."""
    missing, extra = (failure.detail.get(word) or [] for word in ("missing", "unexpected"))
    body = [f"  the model has no {one}" for one in extra[:2]]
    body += [f"  the checkpoint has no {one}" for one in missing[:2]]
    prefix = _prefix(missing, extra)
    if not prefix:
        return body, ["load into the model that was saved", "strict=False, if what is missing stays as it is"]
    body.append(f"  its names begin with {prefix}: it was saved from a model inside of another")
    return body, [f"take {prefix} off the names", "save the inner model's own state_dict"]


def _prefix(missing: list[str], extra: list[str]) -> str:
    """Return what stands before each missing name in the names that are too many."""
    first = next(iter(missing), "")
    longer = next((one for one in extra if first and one.endswith(f".{first}")), "")
    prefix = longer.removesuffix(first)
    return prefix if prefix and all(prefix + one in extra for one in missing) else ""


def _saved(evidence: Evidence, failure: Failure) -> list[Candidate]:
    """Return the line that made what is loaded."""
    names = evidence.source.arguments(failure.site) if failure.site is not None else ()
    made = next((one for name in names if (one := evidence.source.assignment(name, failure.site))), None)  # type: ignore[arg-type]
    return [Candidate(made, "origin", "makes what is loaded")] if made is not None else []


def _model_made(evidence: Evidence, failure: Failure) -> list[Candidate]:
    """Return the line that made the model which the failing line loads into."""
    name, dot, _ = evidence.source.called(failure.site).rpartition(".")
    made = evidence.source.assignment(name, failure.site) if dot and failure.site is not None else None
    return [Candidate(made, "declaration", f"makes {name} as it is", name)] if made is not None else []


def _listed(failure: Failure) -> list[str]:
    """Say that one argument was a list of tensors, where the call makes a tensor of numbers."""
    shapes = [one.fact.shape for one in failure.operands]
    words = {one.expression for one in failure.operands}
    if failure.function != "tensor" or not shapes or len(words) != 1 or not all(shapes):
        return []
    alike = f"{shape_words(shapes[0])}" if len(set(shapes)) == 1 else "several shapes"
    name = next(iter(words)) or "it"
    return [f"  {failure.function} takes numbers; {name} is a list of {len(shapes)} tensors of {alike}"]


def _way_out(failure: Failure, called: str) -> str:
    known = (way for words, way in _WAYS_OUT.items() if words in failure.message)
    return next(known, f"compare it with what {called} takes by its documentation")


def _said(failure: Failure) -> list[str]:
    return [f"  {line}" for line in telling(failure.message)]
