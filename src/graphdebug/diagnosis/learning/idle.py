"""Idle: an optimizer that goes on making its steps with a learning rate of next to nothing."""

from __future__ import annotations

from collections.abc import Sequence

from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.learning.optimizer import optimizer_line, step_size
from graphdebug.model.event import Site
from graphdebug.model.finding import Candidate, Finding

__all__ = ["idle"]


def idle(evidence: Evidence) -> Sequence[Finding]:
    """Return the finding for an optimizer whose learning rate went to nothing while training went on."""
    found = [one for one in evidence.run.notices if one.topic == "idle_optimizer" and one.site is not None]
    if not found or not evidence.steps:
        return []
    notice = found[0]
    first, last = int(notice.detail.get("first_step", 0)), evidence.steps[-1]
    if 4 * (last - first + 1) < last + 1:
        return []
    rate, most = float(notice.detail.get("rate", 0)), float(notice.detail.get("most", 0))
    name, schedule = str(notice.detail.get("optimizer", "")), str(notice.detail.get("schedule", ""))
    site = notice.site
    assert site is not None
    frames = [Site(**one) for one in notice.detail.get("frames", ())]
    named = (evidence.source.assignment(schedule, one) for one in frames if schedule)
    scheduled = next((one for one in named if one is not None), None)
    lines = [Candidate(scheduled, "declaration", "sets the learning rate", schedule)] if scheduled else []
    lines += step_size(evidence, optimizer_line(evidence, last))
    return [
        evidence.finding(
            "idle_optimizer", what=f"{name} makes its steps with a learning rate of {rate:.3g}",
            candidates=[*lines, Candidate(site, "step", "the step")], confidence=0.8, failed=site,
            when=f"from step {first}; nothing failed",
            body=[f"  it was {most:.3g}; {last - first + 1} of {last + 1} steps changed next to nothing"],
            tries=["step the schedule once an epoch, or let it end above 0", "end training with it"],
            evidence=(notice.seq,),
        )
    ]  # fmt: skip
