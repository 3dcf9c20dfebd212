"""Modes: a network that goes on being trained after it was set to evaluate."""

from __future__ import annotations

from collections.abc import Sequence

from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.learning.tracks import LEAST_STEPS
from graphdebug.model.event import Node
from graphdebug.model.finding import Candidate, Finding

__all__ = ["ModeWatch"]


class ModeWatch:
    """Looks at the batch norms that backward goes through: by batch statistics, or by the stored ones.

    Stored statistics alone prove nothing (fine-tuning freezes them): either all norms were trained before, or
    the model's dropouts, too, let everything pass.
    """

    families = ("norm", "dropout", "random")

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._steps: dict[bool, set[int]] = {True: set(), False: set()}
        """Steps in which backward went through norms that take the batch's statistics, or the stored ones."""
        self._last: Node | None = None
        self._dropped = False

    def see(self, node: Node) -> None:
        """Look at one node."""
        if node.family == "dropout" or (node.family == "random" and node.module):
            self._dropped |= node.family == "dropout" or self._is_dropout(node.module)
            return
        if node.phase != "backward" or not node.function.startswith("batch_norm"):
            return
        forward = self._evidence.provenance.node(node.forward)
        training = forward.attributes.get("training") if forward is not None else None
        if isinstance(training, bool):
            self._steps[training].add(node.step)
            self._last = node if not training else self._last

    def _is_dropout(self, module: str) -> bool:
        declared = self._evidence.provenance.declared(module)
        return declared is not None and "Dropout" in declared.type

    def findings(self) -> Sequence[Finding]:
        """Return the finding for training in the mode for evaluation."""
        trained, stored = self._steps[True], self._steps[False] - self._steps[True]
        if len(stored) < LEAST_STEPS or self._last is None:
            return []
        turned = bool(trained) and max(trained) < min(stored)
        dropouts = any("Dropout" in one.type for one in self._evidence.provenance.declarations())
        if not turned and (trained or self._dropped or not dropouts):
            return []
        forward = self._evidence.provenance.node(self._last.forward)
        site = forward.site if forward is not None else None
        if site is None:
            return []
        frames = [site, *(forward.callers if forward is not None else ())]
        called = (self._evidence.source.calls("eval", one) for one in frames)
        lines = [Candidate(one, "expression", "sets it to evaluate") for one in next(filter(None, called), [])]
        what = "it was trained by the batch's statistics before" if turned else "its dropouts let all pass, too"
        return [
            self._evidence.finding(
                "wrong_mode", what="the model is trained in the mode for evaluation",
                candidates=[*lines, Candidate(site, "caller", "the call of the model")],
                confidence=0.75 if turned else 0.65, failed=site,
                when=f"from step {min(stored)}; nothing failed",
                body=[f"  in {len(stored)} steps batch norm took its stored statistics; {what}"],
                tries=["model.train() at the start of each epoch"], evidence=(self._last.seq,),
            )
        ]  # fmt: skip
