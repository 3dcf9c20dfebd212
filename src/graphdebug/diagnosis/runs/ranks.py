"""Ranks: the first node where the ranks of a distributed run, which do the same work, differ."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.words import node_name, shape_words
from graphdebug.model.event import Gradient, Node, Shape, Site, TensorFact
from graphdebug.model.finding import Candidate, Finding

__all__ = ["compare_ranks"]

_TOLERANCE = {"float16": 1e-2, "bfloat16": 1e-2}
"""Relative difference between norms of one gradient on two ranks that rounding explains; others 1e-4."""

_Key = tuple[object, ...]


def compare_ranks(evidence: Evidence) -> Iterator[Finding]:
    """Yield the first difference between ranks in what should agree; nothing for a run without ranks.

    Nodes are matched by phase, op, module and line, in order within a step. Data differ between ranks, and
    so may batch sizes; dtypes, all other sizes, whether values are finite, and gradients after they were
    combined over the ranks may not.
    """
    run = evidence.run
    if len(run.ranks) < 2:
        return
    cooperating = False
    batch = _Batch()
    for step in run.steps:
        nodes = run.step(step).nodes
        cooperating = cooperating or any(node.family == "collective" for node in nodes)
        found = _of_nodes(evidence, nodes, batch)
        if found is None and cooperating:
            found = _of_gradients(evidence, run.step(step).gradients)
        if found is not None:
            yield found
            return


class _Batch:
    """The batch sizes of two ranks, where they differ: every size that follows from them may differ alike."""

    def __init__(self) -> None:
        self._pairs: dict[tuple[int | None, int | None], tuple[int, int]] = {}

    def allows(self, ranks: tuple[int | None, int | None], one: Shape | None, other: Shape | None) -> bool:
        """Whether two shapes are the same but for sizes that follow from the batch."""
        if one is None or other is None or one == other:
            return True
        if len(one) != len(other):
            return False
        different = [(axis, a, b) for axis, (a, b) in enumerate(zip(one, other, strict=True)) if a != b]
        if any(a is None or b is None for _, a, b in different):
            return True
        first, a, b = different[0]
        if ranks not in self._pairs and first == 0 and a and b:
            self._pairs[ranks] = a, b
        mine, theirs = self._pairs.get(ranks, (1, 1))
        return all((a or 0) * theirs == (b or 0) * mine for _, a, b in different)


def _of_nodes(evidence: Evidence, nodes: Sequence[Node], batch: _Batch) -> Finding | None:
    run = evidence.run
    matched: dict[_Key, list[Node]] = defaultdict(list)
    counts: Counter[_Key] = Counter()
    for node in nodes:
        rank = run.rank(node)
        same = (node.phase, node.op, node.overload, node.module, _line(node.site))
        matched[*same, counts[rank, same]].append(node)
        counts[rank, same] += 1
    for group in matched.values():
        for other in group[1:]:
            why = _difference(batch, (run.rank(group[0]), run.rank(other)), group[0], other)
            if why:
                return _node_finding(evidence, group, why)
    return None


def _difference(batch: _Batch, ranks: tuple[int | None, int | None], one: Node, other: Node) -> str:
    for mine, theirs in zip(one.outputs, other.outputs, strict=False):
        if mine.dtype != theirs.dtype:
            return "dtype"
        if {mine.finite, theirs.finite} == {True, False}:
            return "values that are not finite"
        if not batch.allows(ranks, mine.shape, theirs.shape):
            return "shape"
    return ""


def _node_finding(evidence: Evidence, group: Sequence[Node], why: str) -> Finding:
    run, first = evidence.run, group[0]
    body = [f"  rank {run.rank(node)}  {_facts_words(node.outputs)}" for node in group]
    odd = _odd_one(group)
    candidates = [Candidate(odd.site, "expression", "the first node that differs")] if odd.site else []
    return evidence.finding(
        "rank_mismatch",
        what=f"ranks differ in {why} of {node_name(first)}",
        candidates=candidates,
        confidence=0.6,
        when=f"{first.phase}, step {first.step}",
        body=body,
        tries=[f"look at what only rank {run.rank(odd)} was given: its part of the data, its seed, its branch"],
        evidence=[odd.seq, *(node.seq for node in group if node is not odd)],
    )


def _odd_one(group: Sequence[Node]) -> Node:
    """The node of the rank that is alone: with values that are not finite, else with its own dtype or shape."""
    bad = [node for node in group if any(fact.finite is False for fact in node.outputs)]
    if 0 < len(bad) < len(group):
        return bad[0]
    kinds = Counter(_kind(node) for node in group)
    return min(group, key=lambda node: (kinds[_kind(node)], -node.seq))


def _kind(node: Node) -> tuple[object, ...]:
    return tuple((fact.dtype, fact.shape) for fact in node.outputs)


def _of_gradients(evidence: Evidence, gradients: Iterable[Gradient]) -> Finding | None:
    by_name: dict[str, list[Gradient]] = defaultdict(list)
    local: dict[str, Gradient] = {}
    for gradient in gradients:
        if gradient.stage == "combined":
            by_name[gradient.name].append(gradient)
        else:
            local.setdefault(gradient.name, gradient)
    for name, group in by_name.items():
        if any(_gradients_differ(group[0].fact, other.fact) for other in group[1:]):
            return _gradient_finding(evidence, name, group, local.get(name))
    return None


def _gradients_differ(one: TensorFact, other: TensorFact) -> bool:
    if (one.shape, one.dtype) != (other.shape, other.dtype):
        return True
    if one.finite is not None and other.finite is not None and one.finite != other.finite:
        return True
    if one.stats is None or other.stats is None or one.stats.l2 is None or other.stats.l2 is None:
        return False
    a, b = float(one.stats.l2), float(other.stats.l2)
    return abs(a - b) > _TOLERANCE.get(one.dtype, 1e-4) * max(abs(a), abs(b))


def _gradient_finding(
    evidence: Evidence, name: str, group: Sequence[Gradient], local: Gradient | None
) -> Finding:
    run = evidence.run
    node = run.node(local.node) if local is not None else None
    declared = run.declaration(name.rpartition(".")[0])
    sites = [
        (node.site if node is not None else None, "used here"),
        (declared.site if declared is not None else None, "declared here"),
    ]
    return evidence.finding(
        "rank_mismatch",
        what=f"ranks step with different gradients of {name}",
        candidates=[Candidate(site, "declaration", why, name) for site, why in sites if site is not None],
        confidence=0.6,
        when=f"optimizer, step {group[0].step}",
        body=[f"  rank {run.rank(one)}  {_fact_words(one.fact)}" for one in group],
        tries=[
            "call the wrapped model, not its .module, so that backward combines gradients",
            "leave no_sync() for the last backward before the step",
            "step the same parameters on every rank",
        ],
        evidence=[one.seq for one in group],
    )


def _facts_words(facts: Sequence[TensorFact]) -> str:
    return ", ".join(map(_fact_words, facts)) or "no output"


def _fact_words(fact: TensorFact) -> str:
    words = [f"{shape_words(fact.shape)} {fact.dtype}"]
    if fact.stats is not None:
        bad = {"NaN": fact.stats.nan, "inf": fact.stats.pos_inf, "-inf": fact.stats.neg_inf}
        words += [f"{count} {name}" for name, count in bad.items() if count]
        if fact.stats.l2 is not None:
            words.append(f"norm {float(fact.stats.l2):.6g}")
    elif fact.finite is not None:
        words.append("finite" if fact.finite else "not finite")
    return ", ".join(words)


def _line(site: Site | None) -> tuple[str, int]:
    return (site.file, site.line) if site is not None else ("", 0)
