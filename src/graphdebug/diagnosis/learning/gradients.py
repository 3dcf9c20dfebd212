"""Gradient pathologies over steps: exploding, vanishing, missing gradients, dead units, steps of a wrong size.

Sources of the thresholds: Glorot and Bengio 2010 (gradients of equal size in all layers), Pascanu, Mikolov
and Bengio 2013 (exploding and vanishing gradients), Lu et al. 2019 (dying ReLU), the CS231n notes (an
update of about a thousandth of the weights), IEEE 754 (an update below the spacing of the weights is lost).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod, sqrt
from statistics import median

from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.learning import untrained, updates
from graphdebug.diagnosis.learning.dead import blocked
from graphdebug.diagnosis.learning.frozen import frozen
from graphdebug.diagnosis.learning.idle import idle
from graphdebug.diagnosis.learning.optimizer import optimizer_line, step_size
from graphdebug.diagnosis.learning.tracks import LEAST_STEPS, Track, declared_by
from graphdebug.diagnosis.learning.unstepped import unstepped
from graphdebug.model.event import Gradient, Node, Operand, Site
from graphdebug.model.finding import Candidate, Finding

__all__ = ["EXPLODED", "LEAST_STEPS", "TOO_LARGE", "VANISHED", "GradientWatch"]

EXPLODED = 1e3
"""Growth of the norm of all gradients over the run, from the median of the first steps."""
VANISHED = 1e-5
"""Mean size of a gradient element in the first layer, relative to the last layer's."""
TOO_LARGE = 1.0
"""Size of an update relative to the weights it changes; healthy is about 1e-3."""
_LOST = {"float16": 2.0**-12, "bfloat16": 2.0**-9, "float32": 2.0**-25, "float64": 2.0**-54}
"""Half the spacing of numbers relative to their size: a smaller update changes nothing."""
_KEPT = 32


class GradientWatch:
    """Collects the gradients and updates of each parameter; the sizes need the level ``stats``."""

    families = ("elementwise", "assign", "copy")

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._tracks: dict[str, Track] = {}
        self._nameless: list[Gradient] = []
        self._norms: list[float] = []
        self._squares = 0.0
        self._steps = 0
        self._sizes: dict[str, float] = {}
        """L2 norms of variables as they were last read or written whole."""
        self._dead: dict[Site, tuple[Node, int]] = {}

    def gradient(self, gradient: Gradient) -> None:
        """Look at one parameter's gradient."""
        if gradient.stage == "given":  # again, with its size
            self._sized(gradient)
            return
        if not gradient.name:
            if not self._nameless or self._nameless[-1].step != gradient.step:
                self._nameless = [*self._nameless[-LEAST_STEPS:], gradient]
            return
        fact = gradient.fact
        track = self._tracks.get(gradient.name)
        if track is None:
            shape = fact.shape or ()
            track = Track(prod(size or 1 for size in shape), len(shape), fact.dtype, gradient)
            self._tracks[gradient.name] = track
        track.steps += 1
        self._sized(gradient)

    def _sized(self, gradient: Gradient) -> None:
        fact, track = gradient.fact, self._tracks.get(gradient.name)
        if track is None or fact.stats is None or fact.stats.l2 is None or fact.finite is False:
            return
        norm = float(fact.stats.l2)
        track.norms.append(norm)
        del track.norms[2:-_KEPT]
        self._squares += norm * norm

    def see(self, node: Node) -> None:
        """Look at one node: an update or a read of a parameter, or a unit that may be dead."""
        if node.mutates and node.phase != "backward":
            self._note_changes(node)
        if node.family in ("assign", "copy"):
            self._variable(node)
            return
        stats = node.outputs[0].stats if node.outputs else None
        if stats is None:
            return
        if node.phase == "optimizer" and node.mutates and node.mutates[0] < len(node.inputs):
            track = self._tracks.get(node.inputs[node.mutates[0]].name)
            if track is not None and stats.l2 is not None:
                track.weights.append(float(stats.l2))
                del track.weights[:-_KEPT]
        elif node.function == "relu" and node.site is not None and len(self._dead) < 10_000:
            _, dead = self._dead.get(node.site, (node, 0))
            whole = stats.zero >= prod(size or 1 for size in node.outputs[0].shape or ())
            self._dead[node.site] = node, dead + 1 if whole else 0

    def _note_changes(self, node: Node) -> None:
        """Note the parameters that a node writes into, under their own name or through a view."""
        for place in node.mutates:
            written = self._evidence.provenance.stored(node.inputs[place]) if place < len(node.inputs) else None
            track = self._tracks.get(written.name) if written is not None else None
            if track is not None:
                track.changed = True

    def _variable(self, node: Node) -> None:
        """Look at a read of a variable, or at an op that writes one."""
        operand = node.inputs[0] if node.inputs else None
        if operand is None or operand.origin not in ("variable", "parameter"):
            return
        size = self._norm(node.inputs[-1]) if node.mutates == (0,) else None
        if node.family == "copy" or node.function == "assign":
            read = node.outputs[0].stats if node.outputs else None
            size = (
                size if node.mutates else float(read.l2) if read is not None and read.l2 is not None else None
            )
            if size is not None:
                self._sizes[operand.name] = size
                self._weigh(operand.name, size)
            return
        track, weight = self._tracks.get(operand.name), self._sizes.get(operand.name)
        if track is None:
            return
        rate = next((one for one in node.inputs if one.role == "learning_rate"), None)
        if rate is not None:
            track.rate, track.rule = rate, node.function
        elif size is not None and weight and node.function in ("assign_sub", "assign_add"):
            track.updates.append(size / weight)
            del track.updates[:-_KEPT]
            self._sizes[operand.name] = weight + size  # at most, until it is read

    def _weigh(self, name: str, size: float) -> None:
        track = self._tracks.get(name)
        if track is not None:
            track.weights.append(size)
            del track.weights[:-_KEPT]

    def _norm(self, operand: Operand) -> float | None:
        made = self._evidence.provenance.node(operand.producer)
        fact = made.outputs[operand.output] if made is not None and operand.output < len(made.outputs) else None
        stats = operand.fact.stats or (fact.stats if fact is not None else None)
        return float(stats.l2) if stats is not None and stats.l2 is not None else None

    def end_step(self) -> None:
        """Close the sums of a step."""
        if self._squares > 0:
            self._norms.append(sqrt(self._squares))
            del self._norms[4:-_KEPT]
        self._steps += self._squares > 0
        self._squares = 0.0

    def first_updates(self) -> dict[str, float]:
        """Return how large the first steps are for the weights that they change, by matrix."""
        return updates.first(self._evidence, self._tracks)

    def findings(self) -> Sequence[Finding]:
        """Return what the steps show, missing gradients first."""
        ways = (self._exploding, self._dead_units, self._vanishing, self._too_large, self._lost)
        found = [one for way in ways if (one := way()) is not None]
        return [
            *untrained.findings(self._evidence, self._tracks, self._nameless),
            *idle(self._evidence),
            *unstepped(self._evidence, self._tracks),
            *frozen(self._evidence),
            *found,
        ]

    def _exploding(self) -> Finding | None:
        if len(self._norms) < 2 * LEAST_STEPS:
            return None
        before, last = median(self._norms[:LEAST_STEPS]), median(self._norms[-2:])
        line = self._optimizer()
        if before <= 0 or last < EXPLODED * before or line is None:
            return None
        worst = max(
            self._tracks, key=lambda name: self._tracks[name].norms[-1] if self._tracks[name].norms else 0.0
        )
        return self._evidence.finding(
            "exploding_gradient", what=f"gradients grew {last / before:.2g}-fold over {self._steps} steps",
            candidates=[*step_size(self._evidence, line), *self._declared(worst)], confidence=0.65,
            when="nothing failed",
            body=[f"  norm of all gradients: {before:.3g} in the first steps, {last:.3g} in the last",
                  f"  the largest is that of {worst}: {self._tracks[worst].norms[-1]:.3g}"],
            tries=["a smaller learning rate", "clip the norm of the gradients"],
            evidence=(self._tracks[worst].first.seq,),
        )  # fmt: skip

    def _vanishing(self) -> Finding | None:
        layers = [(name, t) for name, t in self._tracks.items() if t.rank >= 2 and len(t.norms) >= LEAST_STEPS]
        if len(layers) < 3:
            return None
        order = {one.name: i for i, one in enumerate(self._evidence.provenance.declarations())}
        layers.sort(key=lambda pair: order.get(pair[0].rpartition(".")[0], 10**9))
        (first, early), (last, late) = layers[0], layers[-1]
        if late.size <= 0 or early.size > VANISHED * late.size:
            return None
        candidates = [*self._declared(first), *self._declared(last)]
        return self._evidence.finding(
            "vanishing_gradient", what=f"the gradient vanishes on its way to {first}", candidates=candidates,
            confidence=0.6, when="nothing failed",
            body=[f"  size of a gradient's element: {late.size:.2g} in {last}, {early.size:.2g} in {first}"],
            tries=["ReLU-like activations for sigmoid and tanh", "normalisation or residual connections",
                   "an initialisation scaled to the width"], evidence=(early.first.seq, late.first.seq),
        )  # fmt: skip

    def _dead_units(self) -> Finding | None:
        dead = [(site, node) for site, (node, times) in self._dead.items() if times >= LEAST_STEPS]
        if not dead:
            return blocked(self._evidence, self._tracks, self._optimizer())
        site, node = dead[0]
        before = self._evidence.provenance.node(node.inputs[0].producer) if node.inputs else None
        declared = self._declared(f"{before.module}.weight") if before is not None and before.module else []
        line = self._optimizer()
        return self._evidence.finding(
            "dead_units", what=f"every output of this {node.function} is 0, step after step",
            candidates=[Candidate(site, "expression", f"the {node.function}"), *declared,
                        *step_size(self._evidence, line)],
            confidence=0.7, when=f"to step {node.step}; nothing failed",
            body=["  no gradient passes it: nothing before it learns any more"],
            tries=["a smaller learning rate", "leaky ReLU", "look at the bias and scale of the layer before"],
            evidence=(node.seq,),
        )  # fmt: skip

    def _too_large(self) -> Finding | None:
        every = updates.ratios(self._evidence, self._tracks)
        ratios = {name: ratio for name, ratio in every.items() if ratio >= TOO_LARGE}
        line = self._optimizer()
        if not ratios or line is None or len(ratios) * 2 < len(every):
            return None
        worst = max(ratios, key=lambda name: ratios[name])
        return self._evidence.finding(
            "update_too_large", what="each update is as large as the weights it changes",
            candidates=[*step_size(self._evidence, line), *self._declared(worst)], confidence=0.6,
            when="nothing failed", body=[f"  {worst}: update / weights = {ratios[worst]:.2g}, not about 1e-3"],
            tries=["a smaller learning rate"], evidence=(self._tracks[worst].first.seq,),
        )  # fmt: skip

    def _lost(self) -> Finding | None:
        ratios = updates.ratios(self._evidence, self._tracks)
        lost = {n: r for n, r in ratios.items() if 0 < r < _LOST.get(self._tracks[n].dtype, 0.0)}
        line = self._optimizer()
        if not lost or line is None or len(lost) * 2 < len(ratios):
            return None
        worst = min(lost, key=lambda name: lost[name])
        dtype = self._tracks[worst].dtype
        return self._evidence.finding(
            "update_too_small", what=f"updates are below the spacing of {dtype}: the weights do not change",
            candidates=[*step_size(self._evidence, line), *self._declared(worst)], confidence=0.6,
            when="nothing failed",
            body=[f"  {worst}: update / weights = {lost[worst]:.2g}; below {_LOST[dtype]:.2g} it is lost"],
            tries=["a larger learning rate", "weights in float32"], evidence=(self._tracks[worst].first.seq,),
        )  # fmt: skip

    def _optimizer(self) -> Site | None:
        steps = self._evidence.steps
        return optimizer_line(self._evidence, steps[-1]) if steps else None

    def _declared(self, name: str) -> list[Candidate]:
        return declared_by(self._evidence, name)
