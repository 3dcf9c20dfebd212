"""Sides: how each layer on a way set the sides of an image or the steps of a sequence, and the one layer which,
declared otherwise in one word, would have made those that are wanted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from graphdebug.diagnosis.account import Account, call, last_layer, made_by, named_layer
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.ranking import held
from graphdebug.diagnosis.shapes.changes import WINDOWS, Change, Stage, changes, fixed
from graphdebug.diagnosis.shapes.chosen import chosen
from graphdebug.diagnosis.shapes.geometry import Link, Sizes, concrete, spatial_axes
from graphdebug.diagnosis.shapes.padded import padding_set
from graphdebug.diagnosis.words import node_name, shape_words
from graphdebug.model.event import Failure, Operand
from graphdebug.model.finding import Candidate

__all__ = ["explain", "of_classes"]


def explain(evidence: Evidence, failure: Failure, odd: Operand, rest: Operand) -> Account | None:
    """Account for a tensor that went through layers and does not have the sides of the data it is to meet."""
    for one, other in ((odd, rest), (rest, odd)):
        wanted, given = concrete(other.fact.shape), concrete(one.fact.shape)
        if (
            wanted is None
            or given is None
            or len(wanted) != len(given)
            or len(given) < 3
            or _layers(evidence, other)
        ):
            continue
        axes = [axis for axis in range(1, len(given)) if given[axis] != wanted[axis]]
        axes = [axis for axis in axes if wanted[axis] != 1] or axes  # a size of 1 is for all
        stages = _stages(evidence, one)
        if not axes or not stages or not any(one.before != one.after for one in stages):
            continue
        account = _solved(evidence, failure, stages, wanted, axes)
        if account is not None:
            return account
    return None


def of_classes(evidence: Evidence, failure: Failure, guess: Operand, target: Operand) -> Account | None:
    """Account for a prediction with a score for each class whose sides are not those of its class numbers."""
    node = next((n for n, _ in reversed(evidence.provenance.way(guess)[1]) if n.family in WINDOWS), None)
    wanted, given = target.fact.shape or (), guess.fact.shape or ()
    if node is None or len(given) != len(wanted) + 1:
        return None
    axis = 1 if 1 not in spatial_axes(node, len(given)) else len(given) - 1
    shape = (*wanted[:axis], given[axis], *wanted[axis:])
    whole = msgspec.structs.replace(target, fact=msgspec.structs.replace(target.fact, shape=shape))
    return explain(evidence, failure, guess, whole)


def _layers(evidence: Evidence, operand: Operand) -> bool:
    """Whether layers or windows made an operand: its sides are then no more certain than the other's."""
    return any(
        node.family in ("conv", "pool", "linear", "matmul", "upsample")
        for node, _ in evidence.provenance.way(operand)[1]
    )


def _stages(evidence: Evidence, operand: Operand) -> list[Stage]:
    """Return the stages on the way to an operand from the last one on that gave it as many axes as it has."""
    rank, found = len(operand.fact.shape or ()), list[Stage]()
    groups: list[list[Link]] = []
    for link in evidence.provenance.way(operand)[1]:
        module = link[0].module
        joined = bool(groups) and bool(module) and groups[-1][-1][0].module == module
        joined = joined and evidence.provenance.declared(module) is not None
        joined = joined and sum(node.family in WINDOWS for node, _ in [*groups[-1], link]) < 2
        groups[-1].append(link) if joined else groups.append([link])
    for group in reversed(groups):
        node, through = group[0]
        before = concrete(node.inputs[through].fact.shape)
        after = concrete(group[-1][0].outputs[0].shape) if group[-1][0].outputs else None
        if before is None or after is None or len(after) != rank:
            break
        declared = evidence.provenance.declared(node.module) if node.module else None
        found.insert(0, Stage(tuple(group), declared, before, after))
        if len(before) != rank:
            break
    return found


def _solved(
    evidence: Evidence, failure: Failure, stages: Sequence[Stage], wanted: Sizes, axes: Sequence[int]
) -> Account | None:
    """Account for the one stage which, changed in one word, makes the sides that are wanted."""

    def fits(shape: Sizes | None) -> bool:
        return shape is not None and all(shape[axis] == wanted[axis] for axis in axes)

    singly: list[tuple[Change, ...]] = [
        (change,) for stage in stages for change in changes(stage, stages, wanted, axes)
    ]
    found = [many for many in singly if fits(_ended(evidence, stages, many))]
    found = found or [many for many in _together(singly) if fits(_ended(evidence, stages, many))]
    given, last = stages[-1].after, stages[-1].links[-1][0]
    body = [f"it has the sides {shape_words(given[1:])}; {shape_words(wanted[1:])} is wanted"]
    short = _short(stages, wanted, axes)
    certain = _certain([many[0] for many in found], steps=short == 0)
    if certain:
        change = certain[0]
        lines = _lines(evidence, change)
        name = _name(evidence, change.stage)
        body.append(f"with {_said(change)} in {name}, everything behind it fits")
        clues = ["repairs", *(["odd_one"] if change.votes > 0 else [])]
        lines = [
            *held(lines[:1], *clues),
            *held(lines[1:], "declares_size", "beside"),
            *held(call(failure), "refused"),
        ]
        return Account(lines, body, [f"{_said(change)} in {name}"], confidence=0.8)
    if not short:
        return None
    layer = last_layer(evidence, Operand(last.outputs[0], "node", last.seq))
    body.append(f"that is {short} times as much on each side: the way back up lacks a step")
    lines = [*held(layer, "lacks_step"), *held(call(failure), "refused")]
    return Account(lines, body, ["bring it to that size before the last layer (upsample it)"], confidence=0.7)


def _short(stages: Sequence[Stage], wanted: Sizes, axes: Sequence[int]) -> int:
    """Return how many times as large each side has to be, where some were made larger on the way; else 0."""
    given = stages[-1].after
    times = {wanted[axis] // given[axis] if wanted[axis] % given[axis] == 0 else 0 for axis in axes}
    windows = [stage.window for stage in stages]
    grown = any(one.repeats() for one in stages) or any(
        one is not None and one.attributes.get("transposed") for one in windows
    )
    return times.pop() if len(times) == 1 and grown else 0


def _together(singly: Sequence[tuple[Change, ...]]) -> Iterator[tuple[Change, ...]]:
    """Yield one change of all the windows that one line made, where there are several of one."""
    alike: dict[tuple[object, str, object], list[Change]] = {}
    for change, *_ in singly:
        if change.stage.window is not None:
            key = change.stage.line(), change.word, fixed(change.value)
            alike.setdefault(key, []).append(change)
    yield from (tuple(many) for many in alike.values() if len(many) > 1)


def _ended(evidence: Evidence, stages: Sequence[Stage], changes: Sequence[Change]) -> Sizes | None:
    """Return the shape at the end with some stages changed; None where what it is joined with does not fit."""
    first = next(place for place, stage in enumerate(stages) if stage is changes[0].stage)
    shape: Sizes | None = stages[first].before
    changed = {node.seq for change in changes for node, _ in change.stage.links}
    made = {id(change.stage): change.made for change in changes}
    for stage in stages[first:]:
        if id(stage) in made:
            shape = made[id(stage)](shape) if shape is not None else None
            continue
        if shape is not None and shape != stage.before and _clashes(evidence, stage, shape, changed):
            return None
        shape = stage.made(shape) if shape is not None else None
    return shape


def _clashes(evidence: Evidence, stage: Stage, shape: Sizes, changed: set[int]) -> bool:
    """Whether a stage, given `shape`, joins it with what came by another way, on which nothing changed."""
    axes = [axis for axis, (new, old) in enumerate(zip(shape, stage.before, strict=True)) if new != old]
    for node, through in stage.links:
        for place, one in enumerate(node.inputs if node.family in ("cat", "elementwise") else ()):
            sizes = one.fact.shape or ()
            if place == through or len(sizes) != len(shape) or all(sizes[axis] == 1 for axis in axes):
                continue
            if not changed & {before.seq for before, _ in evidence.provenance.way(one)[1]}:
                return True
    return False


def _certain(found: Sequence[Change], *, steps: bool) -> list[Change]:
    """Return the changes of the only stage that can be meant: the odd one of its kind, else the only one that
    would do and not be the odd one then.

    Args:
        found: the changes that would do.
        steps: whether it can also be a step that makes the sides larger or smaller, though no other of its kind
            says so. Where a whole step is missing, many could do more.

    """
    odd = [one for one in found if one.votes > 0]
    rest = [one for one in found if steps or one.word not in ("stride", "factor")]
    for some in (odd, [one for one in rest if one.votes == 0], rest):
        if some and len({id(one.stage) for one in some}) == 1:
            return list(some)
    return []


def _lines(evidence: Evidence, change: Change) -> list[Candidate]:
    """Return the lines that chose the word: where a layer's was set, and its declaration; else a node's own."""
    declared, node = change.stage.declared, change.stage.links[0][0]
    if declared is None or declared.site is None:
        return [*(padding_set(evidence, node) if change.word == "padding" else []), *made_by(node)]
    return chosen(evidence, declared, change.word, f"sets the {change.word} of {_name(evidence, change.stage)}")


def _name(evidence: Evidence, stage: Stage) -> str:
    node = stage.links[0][0]
    return named_layer(evidence, node.module) if stage.declared is not None else node_name(node)


def _said(change: Change) -> str:
    value = change.value
    if change.word == "rows":
        return f"{value:+d} rows"
    if isinstance(value, list | tuple):
        value = str(value[0]) if len(set(value)) == 1 else shape_words(value)
    return f"{change.word} {value}"
