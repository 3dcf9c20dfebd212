"""Account: what a rule has to say of a failure, and the candidate lines that rules have in common."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from graphdebug.diagnosis.calls import argument, call_at, calls_on
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.handed import handed
from graphdebug.diagnosis.instances import around, stack
from graphdebug.diagnosis.origins import leading, numbers, placed
from graphdebug.diagnosis.scopes import reads, scopes_around
from graphdebug.diagnosis.shapes.geometry import Link, Sizes
from graphdebug.diagnosis.trails import origin
from graphdebug.diagnosis.words import shape_words
from graphdebug.diagnosis.written import Written, followed, written
from graphdebug.model.event import Declaration, Failure, Node, Operand, Site, TensorFact
from graphdebug.model.finding import Candidate

__all__ = [
    "Account", "call", "compiled_at", "compiled_with", "data_entry", "decided_by", "last_layer", "loss_made",
    "made_by", "named_layer", "operand_origin", "sized_by", "told_by", "trained_on",
]  # fmt: skip

_TRAINING = re.compile(r"([A-Za-z_][\w.]*)\.(?:fit|evaluate|predict|train_on_batch|test_on_batch)\(")
"""The call that runs a compiled model; the first group is the model."""


@dataclass
class Account:
    """What a rule has to say of a failure: the lines in question, the evidence, the ways out."""

    candidates: list[Candidate]
    body: list[str] = field(default_factory=list)
    tries: list[str] = field(default_factory=list)
    fits: Sizes = ()
    confidence: float = 0.8
    kind: str = ""
    """The finding's kind, where it is not the failure's own."""


def call(failure: Failure, why: str = "the failing call") -> list[Candidate]:
    """Return the failing line itself as a candidate."""
    return [Candidate(failure.site, "expression", why, failure.name)] if failure.site is not None else []


def data_entry(
    evidence: Evidence, root: Operand, failure: Failure, links: Sequence[Link] = ()
) -> list[Candidate]:
    """Return the line where the data at the start of a way came from."""
    site = evidence.provenance.root_site(root, failure.frames, links)
    words = f"the input {root.name} {shape_words(root.fact.shape)}".replace("  ", " ")
    if site is None:
        return []
    return [Candidate(site, "input", words, root.name), *_computed(evidence, root, site)]


def _computed(evidence: Evidence, data: Operand, site: Site) -> list[Candidate]:
    """Return the line that computed, in plain Python, what the line at `site` made a tensor of."""
    made = origin(evidence.source, site)
    return [Candidate(made, "input", "the numbers come from there", data.name)] if made is not None else []


def named_layer(evidence: Evidence, module: str) -> str:
    """Return what to call a layer: its path, with its class where the path is only a number in a sequence."""
    declared = evidence.provenance.declared(module) if module.rpartition(".")[2].isdigit() else None
    return f"{declared.type} {module}" if declared is not None else module


def made_by(node: Node, why: str = "") -> list[Candidate]:
    """Return the line of a node on the way."""
    return [Candidate(node.site, "origin", why or f"the {node.function}", node.name)] if node.site else []


def operand_origin(evidence: Evidence, operand: Operand, failure: Failure, why: str) -> list[Candidate]:
    """Return the line that made an operand: its declaration, its producer, or where its data came from."""
    provenance = evidence.provenance
    operand = _before_views(evidence, provenance.sample(operand), failure)
    site = provenance.site(operand) or provenance.root_site(operand, failure.frames)
    if site is None:
        return []
    declared = evidence.provenance.stored(operand) is not None or operand.origin in ("feed", "variable")
    own = Candidate(site, "declaration" if declared else "origin", why, operand.name)
    return [own] if declared else [own, *_computed(evidence, operand, site)]


def _before_views(evidence: Evidence, operand: Operand, failure: Failure) -> Operand:
    """Return what the failing line itself only turned or reshaped into `operand`."""
    node = evidence.provenance.node(operand.producer)
    while node is not None and node.family in ("reshape", "permute", "cast") and node.inputs:
        if node.site is None or failure.site is None or node.site.line != failure.site.line:
            break
        operand = node.inputs[0]
        node = evidence.provenance.node(operand.producer)
    return operand


def told_by(evidence: Evidence, node: Node, why: str) -> list[Candidate]:
    """Return the line that asked for `node`: its own, or the declaration of the layer that it only calls.

    A softmax that a layer was declared with runs on the line that calls the whole model; one that a helper was
    called with runs on a line of the helper that does not name it. One that is
    called on several lines is right on the others.
    """
    spoken = evidence.source.line(node.site).lower().replace("_", "")
    if node.function.replace("_", "") not in spoken:
        for one in last_layer(evidence, node.inputs[0]) if node.inputs else ():
            if _names(evidence.source.line(one.site), node.function):
                return [one, *made_by(node, why)]
        told = evidence.provenance.declared(node.module) if node.module else None  # its line is told below
        chosen = _chosen(evidence, node) if told is None or told.site is None else None
        if chosen is not None:
            asks = Candidate(chosen, "declaration", f"asks for the {node.function}", node.name)
            return [asks, *made_by(node, why)]
        for frame in node.callers:
            if _names(evidence.source.line(frame), node.function):
                asks = Candidate(frame, "caller", f"asks for the {node.function}", node.name)
                return [asks, *made_by(node, why)]
    declared = evidence.provenance.declared(node.module) if node.module else None
    if declared is None or declared.site is None or node.function.replace("_", "") in spoken:
        return made_by(node, why)
    layer = named_layer(evidence, node.module)
    own = [Candidate(declared.site, "declaration", f"declares {layer}", node.module)]
    calls = {
        (one.site.file, one.site.line) for one in evidence.run.step(node.step).nodes
        if one.module == node.module and one.phase == node.phase and one.site is not None
    }  # fmt: skip
    return [*made_by(node, why), *own] if len(calls) > 1 else [*own, *made_by(node, why)]


def _chosen(evidence: Evidence, node: Node) -> Site | None:
    """Return the line which wrote down the function that the line of `node` calls by another name."""
    site, source = node.site, evidence.source
    tree = source.tree(site.file) if site is not None else None
    for call_ in calls_on(tree, site.line) if tree is not None and site is not None else ():
        if not isinstance(call_, ast.Call):
            continue
        place_ = placed(source, call_.func, [*reversed(node.callers), site])  # type: ignore[list-item] # it is one
        way = leading(source, place_, lambda one: _refers(one.value, node.function))
        if way:
            return way[-1].line
    return None


def _refers(value: ast.expr, function: str) -> bool:
    """Whether a value as written is a function of that name, or its name: no layer that is made there."""
    return not isinstance(value, ast.Call) and _names(ast.unparse(value), function)


def _names(line: str, function: str) -> bool:
    """Whether a line names a function: as a word of its own, or behind a dot or in quotes."""
    return re.search(rf"(?<![a-z]){function.replace('_', '_?')}(?![a-z])", line.lower()) is not None


def compiled_with(evidence: Evidence, site: Site | None) -> list[Candidate]:
    """Return the line that told a model its loss, where `site` trains or judges a compiled model."""
    called = _TRAINING.search(evidence.source.line(site))
    if called is None or site is None:
        return []
    line = compiled_at(evidence) or evidence.source.method_line(called[1], "compile", site)
    return [Candidate(line, "declaration", "sets the loss")] if line is not None else []


def compiled_at(evidence: Evidence) -> Site | None:
    """Return the line that compiled a model, if there is only one: a helper may have, by another name."""
    found = {
        (one.site.file, one.site.line): one.site
        for one in evidence.provenance.declarations() if one.type == "Compiled" and one.site is not None
    }  # fmt: skip
    return next(iter(found.values())) if len(found) == 1 else None


def trained_on(evidence: Evidence, failure: Failure, role: str) -> list[Candidate]:
    """Return where a call that trains a compiled model got its inputs or labels, by their role."""
    site = failure.frames[-1] if failure.frames else failure.site
    if site is None or _TRAINING.search(evidence.source.line(site)) is None:
        return []
    given = Operand(TensorFact(None, ""), role=role)
    line = evidence.provenance.arguments.made_at(given, failure.frames or (site,))
    return [Candidate(line, "input", f"makes the {role}", "")] if line is not None else []


def decided_by(evidence: Evidence, declared: Declaration | None, size: int | None) -> list[Candidate]:
    """Return the call that decided on the size of a declaration whose line has it from a parameter."""
    if declared is None or declared.site is None or size is None:
        return []
    told = evidence.provenance.arguments.decided([*reversed(around(declared)), declared.site], size)
    return [Candidate(told, "declaration", f"decides on the {size}", declared.name)] if told is not None else []


def sized_by(evidence: Evidence, declared: Declaration | None, size: int | None, why: str) -> list[Candidate]:
    """Return a declaration's line and the one that set the size it is about.

    A size that a helper function was called with comes first: the helper makes any size.
    """
    if declared is None or not stack(declared):
        return []
    # made in a library's code: the user's line nearest to it
    site, outer = declared.site or declared.callers[0], around(declared)
    own = [Candidate(site, "declaration", why, declared.name)]
    frames = [*reversed(outer), site]
    arguments = evidence.provenance.arguments
    found = arguments.sized(frames, size) if size is not None else None
    made = _written(evidence, declared, size) if size is not None else None
    if made is not None and size in declared.attributes.values() and _shared(evidence, declared, size):
        made = None  # other layers were told the same, rightly
    if made is not None and made.site.line != site.line and not _both_ways(evidence, declared, size):
        places = dict.fromkeys((made.site, made.first))
        if made.site.line == evidence.source.function_line(site):  # a default, which stands for the function
            return [*own, Candidate(made.site, "declaration", f"sets the {size}", declared.name)]
        return [*(Candidate(one, "declaration", f"sets the {size}", declared.name) for one in places), *own]
    hands = handed(evidence.source, arguments, declared, frames, size) if size is not None else None
    giver = [Candidate(hands, "caller", f"gives it the {size}", declared.name)] if hands is not None else []
    if found is None:
        return [*giver, *own]
    place, passed = found
    if passed and place not in outer and _shared(evidence, declared, size):
        passed = False  # the constant has a name, and others use it rightly
    if passed and _both_ways(evidence, declared, size):
        passed = False  # the layer before takes the same number, and gives twice as much
    setter = [Candidate(place, "declaration", f"sets the {size}", declared.name)]
    instance = [Candidate(one, "declaration", f"passes the {size} on", declared.name) for one in outer[:1]]
    name = evidence.source.target(place)
    giving = [one for one in outer if name in evidence.source.names(one)]
    if (
        passed and giving and _read_elsewhere(evidence, place, name, outer)
    ):  # the constant suits what else reads it
        given = Candidate(giving[-1], "caller", f"gives {name} = {size}", declared.name)
        return [given, *setter, *own]
    return [*setter, *own, *instance] if passed else [*giver, *own, *setter]


def _written(evidence: Evidence, declared: Declaration, size: int) -> Written | None:
    """Return where the `size` of a declaration was written, if that is one place."""
    shape = next((fact.shape or () for fact in declared.tensors.values()), ())
    axes: list[int | None] = [axis for axis, one in enumerate(shape) if one == size] or [None]
    beside = {site.line for site in _failing(evidence)} | _biases(evidence, declared, size)
    lines = [*reversed(stack(declared))]
    found = {written(evidence.source, lines, size, axis, len(shape), beside) for axis in axes} - {None}
    return found.pop() if len(found) == 1 else _written_as(evidence, declared, size, lines, beside)


def _written_as(
    evidence: Evidence, declared: Declaration, size: int, frames: Sequence[Site], beside: set[int]
) -> Written | None:
    """Return where the first argument of a layer's constructor that has the `size` was written: others of its
    arguments (a kernel) may have it, too, and are not what is asked.
    """
    tree = evidence.source.tree(frames[-1].file)
    made = call_at(tree, frames[-1], declared.type) if tree is not None else None
    given = next(
        ((name, at) for at, (name, one) in enumerate(declared.attributes.items()) if one == size), None
    )
    value = argument(made, *given) if isinstance(made, ast.Call) and given is not None else None
    if value is None:
        return None
    place = placed(evidence.source, value, frames)
    return followed(evidence.source, place, size, beside) if size in numbers(evidence.source, place) else None


def _biases(evidence: Evidence, declared: Declaration, size: int) -> set[int]:
    """Return the lines that made the bias of a weight: it is as wide as the weight is, whatever that is."""
    every = [one for one in evidence.provenance.declarations() if one.attributes.get("trainable")]
    common = set.intersection(*({*stack(one)} for one in every)) if len(every) > 1 else set()
    near = {*stack(declared)[:2]} - common
    scope = declared.name.replace("/", ".").rpartition(".")[0]
    alike = (
        one for one in every if any(fact.shape == (size,) for fact in one.tensors.values())
        and (near & {*stack(one)[:2]} or (scope and one.name.replace("/", ".").rpartition(".")[0] == scope))
    )  # fmt: skip
    return {site.line for one in alike for site in stack(one)}


def _failing(evidence: Evidence) -> list[Site]:
    failures = evidence.run.failures
    return [one for failure in failures for one in (failure.site, failure.run_site) if one is not None]


def _read_elsewhere(evidence: Evidence, place: Site, name: str, outer: Sequence[Site]) -> bool:
    """Whether `name`, which the line at `place` gives a value, is read on others than these `outer` lines."""
    tree, lines = evidence.source.tree(place.file), {one.line for one in outer if one.file == place.file}
    if tree is None or not name.isidentifier():
        return False
    return any(one.lineno not in lines for one in reads(scopes_around(tree, place.line)[0], name))


def _both_ways(evidence: Evidence, declared: Declaration, size: int | None) -> bool:
    """Whether a recurrent layer beside a declaration has the same width, and goes both ways."""
    beside = declared.name.rpartition(".")[0]
    return any(
        one.attributes.get("bidirectional") and one.attributes.get("hidden_size") == size
        and one.name.rpartition(".")[0] == beside
        for one in evidence.provenance.declarations()
    )  # fmt: skip


def _shared(evidence: Evidence, declared: Declaration, size: int | None) -> bool:
    """Whether two other layers or more were declared with `size`, too."""
    name = declared.name.replace("/", ".")  # what it is a part of was declared with its size, too
    others = [
        one for one in evidence.provenance.declarations()
        if not f"{name}.".startswith(f"{one.name.replace('/', '.')}.")
    ]  # fmt: skip
    said = {one.name for one in others if any(type(v) is int and v == size for v in one.attributes.values())}
    return len({name for name in said if not name.startswith(f"{declared.name}.")}) > 1


def loss_made(evidence: Evidence, site: Site | None) -> list[Candidate]:
    """Return the line that made the loss which the line at `site` calls, where it is an object with a name."""
    tree = evidence.source.tree(site.file) if site is not None else None
    for node in ast.walk(tree) if tree is not None else ():
        if (
            isinstance(node, ast.Call)
            and site is not None
            and node.lineno <= site.line <= (node.end_lineno or 0)
        ):
            name = ast.unparse(node.func)
            made, value = evidence.source.assigned(name, site)
            if made is not None and isinstance(value, ast.Call) and "loss" in ast.unparse(value.func).lower():
                return [Candidate(made, "declaration", f"makes the loss {name}", name)]
    return []


def last_layer(evidence: Evidence, operand: Operand) -> list[Candidate]:
    """Return the declaration of the last layer with weights on the way to `operand`."""
    _, links = evidence.provenance.way(operand)
    for node, _ in reversed(links):
        for one in node.inputs:
            stored = evidence.provenance.stored(one) if node.family in ("linear", "matmul", "conv") else None
            site = evidence.provenance.site(stored) if stored is not None else None
            if site is not None:
                return [
                    Candidate(
                        site,
                        "declaration",
                        f"{named_layer(evidence, node.module) or node.function} declares the width",
                    )
                ]
    return []
