"""Divergence: values that grew step after step until they overflowed, and losses that only run away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

from graphdebug.diagnosis.account import made_by
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.learning.optimizer import optimizer_line, step_size
from graphdebug.diagnosis.numbers.causes import OVERFLOWING, came_out, only_grows, reason
from graphdebug.diagnosis.numbers.losses import LossWatch
from graphdebug.model.event import Failure, Node, Site
from graphdebug.model.finding import Candidate, Finding

__all__ = ["OVERSHOT", "diverged", "divergence", "overshot", "runaway"]

OVERSHOT = 0.3
"""Size of a first step relative to the weights it changes, of a loss that gets worse; healthy is about 1e-3."""
_REPLACED = 1.0
"""Size of a first step that leaves little of the weights as they were initialized."""


def divergence(
    evidence: Evidence, node: Node, line: Site, losses: LossWatch, story: Sequence[str],
    failure: Failure | None,
) -> Finding:  # fmt: skip
    """Return the finding for values that grew over the steps until `node` overflowed.

    Args:
        evidence: what is known of the run.
        node: what overflowed.
        line: the line that made the optimizer.
        losses: the losses over the steps.
        story: what became of the value.
        failure: the exception that ended the run, if one did.

    """
    fact = node.outputs[0]
    went = "overflowed" if only_grows(node) or node.function in ("pow", "exp") else "was not finite"
    body = [f"  {came_out(fact)}: the values have grown too large for {fact.dtype}", f"  {losses.story()}"]
    return evidence.finding(
        "divergence", what=f"training diverged until {node.function} {went}",
        candidates=[*step_size(evidence, line), *made_by(node, "what overflowed")],
        confidence=0.75, failed=failure.site if failure is not None else node.site,
        when=f"step {node.step}", body=[text for text in body if text.strip()] + [*story],
        tries=["a smaller learning rate (a tenth)", "scale inputs and targets to about 1", "clip gradients"],
        operands=node.inputs, evidence=(node.seq,),
    )  # fmt: skip


def runaway(evidence: Evidence, losses: LossWatch) -> Finding | None:
    """Return the finding for a loss that grew a thousandfold without ever leaving the finite numbers."""
    found = losses.runaway()
    if found is None:
        return _stuck(evidence, losses)
    line = optimizer_line(evidence, found[1][-1][0])
    if line is None:
        return None
    site, series = found
    return evidence.finding(
        "divergence", what=f"the loss grew from {series[0][1]:.3g} to {series[-1][1]:.3g}",
        candidates=[*step_size(evidence, line), Candidate(site, "expression", "the loss")],
        confidence=0.75, failed=site, when=f"to step {series[-1][0]}; nothing failed",
        body=[f"  {losses.story()}"], tries=["a smaller learning rate (a tenth)", "scale inputs and targets"],
    )  # fmt: skip


def overshot(evidence: Evidence, losses: LossWatch, updates: Mapping[str, float]) -> Finding | None:
    """Return the finding for a loss that leapt and stays above where it began, after first steps that
    were large for the weights they changed.

    Args:
        evidence: what is known of the run.
        losses: the losses over the steps.
        updates: how large the first steps were, relative to the weights, by matrix.

    """
    large = [size for size in updates.values() if size >= OVERSHOT]
    replaced = 2 * sum(size >= _REPLACED for size in large) >= len(updates)
    found = losses.worse(0.9 if replaced else 0.98) if large and 2 * len(large) >= len(updates) else None
    line = optimizer_line(evidence, found[1][-1][0]) if found is not None else None
    if found is None or line is None:
        return None
    site, series, most = found
    last = median(value for _, value in series[-5:])
    worst = max(updates, key=lambda name: updates[name])
    ended = "never came back to" if last >= series[0][1] else "came back at most to"
    return evidence.finding(
        "divergence",
        what=f"the loss went from {series[0][1]:.3g} up to {most:.3g} and {ended} where it began",
        candidates=[*step_size(evidence, line), Candidate(site, "expression", "the loss")],
        confidence=0.75, failed=site, when=f"to step {series[-1][0]}; nothing failed",
        body=[f"  it is {last:.3g} in the last steps",
              f"  a first step as large as {updates[worst]:.2g} of {worst}, where about 1e-3 is healthy"],
        tries=["a smaller learning rate (a tenth, or less)", "scale inputs and targets to about 1"],
    )  # fmt: skip


def _stuck(evidence: Evidence, losses: LossWatch) -> Finding | None:
    """Return the finding for a first step so large that the network gave one and the same ever after."""
    found = losses.stuck() or losses.thrown()
    line = optimizer_line(evidence, found[1][-1][0]) if found is not None else None
    if found is None or line is None:
        return None
    site, series = found
    most = max(abs(value) for _, value in series)
    still = len({value for _, value in series[-3:]}) == 1
    last = f"it is {series[-1][1]:.6g} in each of the last steps: the units that learn are dead"
    if not still:
        last = f"it is {series[-1][1]:.6g} in the last step: what the first steps did is not made good"
    return evidence.finding(
        "divergence",
        what=f"the loss leapt from {series[0][1]:.3g} to {most:.3g} and "
        + ("then never changed" if still else "stayed there"),
        candidates=[*step_size(evidence, line), Candidate(site, "expression", "the loss")],
        confidence=0.7, failed=site, when=f"to step {series[-1][0]}; nothing failed",
        body=[f"  {last}"],
        tries=["a smaller learning rate (a tenth)", "scale inputs and targets to about 1",
               "record with the level stats to see the dead units"],
    )  # fmt: skip


def diverged(node: Node, losses: LossWatch) -> bool:
    """Whether values grew until an op that only overflows overflowed, over steps."""
    overflow = node.function in OVERFLOWING and not reason(node).endswith("is NaN")
    exponent = node.attributes.get("exponent")
    if node.function == "pow":  # squares of what has grown
        infinite = came_out(node.outputs[0]).startswith("inf")
        overflow = only_grows(node) or (infinite and (not isinstance(exponent, int | float) or exponent > 1))
    return node.step >= 1 and (losses.growing() or (overflow and node.step >= 2))
