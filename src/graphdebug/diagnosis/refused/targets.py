"""Targets and indices out of range: which element, which value, and the declaration that set the range."""

from __future__ import annotations

from math import prod

from graphdebug.diagnosis import feeds
from graphdebug.diagnosis.account import (
    call,
    data_entry,
    decided_by,
    loss_made,
    operand_origin,
    sized_by,
    trained_on,
)
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.ranking import held
from graphdebug.diagnosis.refused import loading, voids
from graphdebug.diagnosis.shapes.shape import operand_lines, when
from graphdebug.diagnosis.trails import steps
from graphdebug.model.event import Failure, Node, Operand
from graphdebug.model.finding import Candidate, Finding

__all__ = ["explain"]

_COMPARE = ("compare the indices with the size of what they select from",)
_VOID = 4
"""So many times the number of classes or more is no class that was forgotten: it marks what does not count. One
class alone is no choice to begin with."""


def explain(evidence: Evidence, failure: Failure) -> Finding:
    """Return the finding for a label, an index or an axis outside the range of what it selects from."""
    axis = failure.detail.get("axis")
    return _axis(evidence, failure, axis) if isinstance(axis, int) else _element(evidence, failure)


def _element(evidence: Evidence, failure: Failure) -> Finding:
    words = failure.detail
    labels = failure.family == "loss"
    high = words.get("high")
    table = next((one for one in failure.operands if one.role in ("weight", "logits", "input")), None)
    if high is None and table is not None and table.fact.shape:
        high = table.fact.shape[1 if labels and len(table.fact.shape) > 1 else 0]
    index = next((one for one in failure.operands if one.role in ("labels", "index")), None)
    declared = _declared(evidence, failure, table)
    entry = []
    if index is not None:
        root, links = evidence.provenance.way(index)
        entry = (trained_on(evidence, failure, "labels") if labels else []) or data_entry(
            evidence, root, failure, links
        )
    value = words.get("value")
    where = f" at element {words['index']}" if words.get("index") is not None else ""
    body = operand_lines(evidence, failure.operands)
    if value is not None:
        body.append(
            f"  value {value}{where} is outside [{words.get('low', 0)}, {'?' if high is None else high})"
        )
    tries, blamed = [], declared or entry
    if isinstance(value, int) and isinstance(high, int) and value >= high:
        tries = [f"declare it for at least {value + 1}"]
        if value == high and words.get("least") != 0:
            tries.insert(0, "count from 0, not from 1")
    if labels and isinstance(value, int) and isinstance(high, int) and value >= _VOID * high > _VOID:
        tries = [f"if {value} marks what does not count: ignore_index={value}", *tries]
        blamed = loss_made(evidence, failure.site) or entry
    if isinstance(value, int) and value < 0:
        void = voids.explain(evidence, failure, index, high) if labels and index is not None else None
        told, tries, blamed = void or ([], ["look for a negative index in the data"], entry)
        body += told
    from_one = _from_one(words.get("least"), index, high) or _all_from_one(evidence, high)
    if labels and value == high and from_one:
        body.append("  none of the labels is 0: they count from 1")
        entry = [*_fed(evidence, failure, index), *entry]
        blamed = entry
    elsewhere = _elsewhere(evidence, failure, value)
    if elsewhere is not None:
        line, tries, blamed = elsewhere
        body.append(line)
    kind, what = (
        ("target_range", "a target is out of range in")
        if labels
        else ("index_range", "an index is out of range in")
    )
    return evidence.finding(
        kind, what=f"{what} {failure.function or failure.op or 'a call'}",
        candidates=[*held(blamed or declared, "odd_one"), *held([*declared, *entry], "began"),
                    *held(call(failure), "refused")],
        failed=failure.site, when=when(failure), body=body, tries=tries or _COMPARE,
        operands=failure.operands, evidence=(failure.seq,),
    )  # fmt: skip


def _elsewhere(
    evidence: Evidence, failure: Failure, value: object
) -> tuple[str, list[str], list[Candidate]] | None:
    """Return what to say, try and blame where neither the index nor the table is at fault."""
    said = loading.promised(evidence, failure)
    if said:
        asks = "  a loader asks for each sample that the dataset says it has, and this one takes one more"
        return asks, ["let __len__ leave out what reaches beyond the data"], said
    along = _another_axis(evidence, failure, value)
    if along is None:
        return None
    fits = f"  along axis {along}, every index that it says would fit"
    return fits, [f"take them along axis {along}"], call(failure, "says along which axis")


def _another_axis(evidence: Evidence, failure: Failure, value: object) -> int | None:
    """Return the only axis of data, behind the first, that is long enough for an index, where the call says by
    name that it means another one.
    """
    data = next((one for one in failure.operands if one.role == "input"), None)
    if failure.family != "index" or data is None or evidence.provenance.stored(data) is not None:
        return None
    shape, axis = data.fact.shape or (), failure.attributes.get("axis")
    written = failure.site is not None and evidence.source.keyword_values(failure.site, "axis") is not None
    if not written or not isinstance(value, int) or not isinstance(axis, int) or not shape:
        return None
    large = [i for i, size in enumerate(shape) if i and i != axis % len(shape) and (size or 0) > value]
    return large[0] if len(large) == 1 else None


def _axis(evidence: Evidence, failure: Failure, axis: int) -> Finding:
    """Return the finding for a call that was told an axis which what it was given does not have."""
    low, high = failure.detail.get("low", 0), failure.detail.get("high", 0)
    origins = [
        line
        for one in failure.operands[:1]
        for line in operand_origin(evidence, one, failure, "makes its operand")
    ]
    return evidence.finding(
        "index_range", what=f"an axis is out of range in {failure.function or failure.op or 'a call'}",
        candidates=[*held(call(failure, f"says axis {axis}"), "declares_size"), *held(origins, "began")],
        failed=failure.site, when=when(failure),
        body=[*operand_lines(evidence, failure.operands[:1]),
              f"  axis {axis} was asked for; it takes {low} to {high - 1}"],
        tries=[f"take an axis from {low} to {high - 1}", "give it a tensor with more axes"],
        operands=failure.operands, evidence=(failure.seq,),
    )  # fmt: skip


def _fed(evidence: Evidence, failure: Failure, index: Operand | None) -> list[Candidate]:
    """Return the lines that made the labels of which a run was fed a part: it has the values of the whole."""
    site, run = (evidence.provenance.site(index) if index is not None else None), failure.run_site
    if index is None or index.origin != "feed" or site is None or run is None:
        return []
    value = feeds.fed_value(evidence.source, run, site, evidence.provenance.own_name(index))
    lines = [one.site for one in steps(evidence.source, value)] if value is not None else []
    return [Candidate(one, "input", "makes the labels", index.name) for one in lines[::-1]]


def _from_one(least: object, index: Operand | None, high: object) -> bool:
    """Whether no label is 0, among so many that one would be."""
    shape = index.fact.shape if index is not None else None
    many = prod(size or 0 for size in shape or ())
    return isinstance(least, int) and least == 1 and isinstance(high, int) and many >= high


def _all_from_one(evidence: Evidence, high: object) -> bool:
    """Whether all labels of the training call are class numbers from 1 to `high`."""
    told = [one.attributes for one in evidence.provenance.declarations() if one.type == "Data"]
    return any(
        one.get("role") == "labels" and (one.get("low"), one.get("high")) == (1, high) and one.get("whole")
        for one in told
    )


def _declared(evidence: Evidence, failure: Failure, table: Operand | None) -> list[Candidate]:
    """Return the declaration that set the range: the embedding's, or the last layer's."""
    stored = evidence.provenance.stored(table) if table is not None else None
    if stored is not None:
        site = evidence.provenance.site(stored)
        if site is None and table is not None:
            site = evidence.provenance.arguments.made_at(table, failure.frames, failure.function)
        size = stored.fact.shape[0] if stored.fact.shape else None
        set_by = sized_by(evidence, evidence.provenance.declaration(stored), size, f"declares {stored.name}")
        own = [Candidate(site, "declaration", f"declares {stored.name}", stored.name)] if site else []
        decided = decided_by(evidence, evidence.provenance.declaration(stored), size)
        return [*(decided if len(set_by) < 2 else []), *(set_by or own)]
    if table is None or failure.family != "loss":
        return []
    for node, _ in reversed(evidence.provenance.way(table)[1]):
        weight = next((w for one in node.inputs if (w := evidence.provenance.stored(one)) is not None), None)
        site = evidence.provenance.site(weight) if weight is not None else None
        if site is None and weight is not None and node.site is not None:
            frames = [*reversed(node.callers), node.site]
            site = evidence.provenance.arguments.made_at(_as_weight(node, weight), frames, node.function)
        if site is not None:
            why = f"{_name(node)} sets the number of classes"
            declared = evidence.provenance.declaration(weight) if weight is not None else None
            size = table.fact.shape[-1] if table.fact.shape else None
            set_by = sized_by(evidence, declared, size, why) if declared is not None and declared.site else []
            return set_by or [Candidate(site, "declaration", why, _name(node))]
    return []


def _as_weight(node: Node, weight: Operand) -> Operand:
    """Return the operand of `node` that `weight` came in as: its role tells its place in the call."""
    return next((one for one in node.inputs if one.name == weight.name), weight)


def _name(node: Node) -> str:
    return node.module or node.function
