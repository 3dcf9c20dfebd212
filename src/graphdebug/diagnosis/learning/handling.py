"""Handling: what a program does with gradients between backward and step: it clears, clips, unscales them."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from graphdebug.diagnosis.calls import called
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.learning.optimizer import optimizer_line
from graphdebug.diagnosis.learning.tracks import LEAST_STEPS, optimizers, some
from graphdebug.diagnosis.scopes import own_statements, scopes_around
from graphdebug.model.event import Gradient, Node, Site
from graphdebug.model.finding import Candidate, Finding

__all__ = ["HandlingWatch"]

_LOOKED_AT = 64
"""Steps from the first that are looked at: a loop that clears nothing does so from the start."""


class HandlingWatch:
    """Follows what each parameter's gradient was added to, who changed it, and whether an optimizer took it.

    Backward adds to a gradient in place. It is an oversight where the sum goes back to what an optimizer took
    in an earlier step, and an optimizer takes it again; sums within one step are meant, and so are those that
    another model's loss leaves behind and that are cleared before they are used.
    """

    families = ("elementwise", "copy", "fill", "other")

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._last: Node | None = None
        """The node of backward seen last: of a gradient that is reported next, the one that kept it."""
        self._held: dict[int, tuple[str, int, int]] = {}
        """By the node that wrote a gradient: the parameter, the steps it was begun in and last added to."""
        self._taken: dict[str, set[int]] = {}
        """Steps in which an optimizer took the sum of several steps."""
        self._backward: Site | None = None
        self._clipped: dict[int, Node] = {}
        """What changed a gradient by its size in the running step."""
        self._scaled: tuple[Node, Node] | None = None
        """What clipped gradients that were unscaled only then, and what unscaled them."""
        self._empty: dict[Site, set[int]] = {}
        """Steps in which clipping found no gradient at all, by line; backward ran only then."""
        self._clipping: tuple[int, Site] | None = None
        self._optimized = False
        self._given: dict[str, set[int]] = {}
        """Steps in which backward gave each parameter a gradient."""
        self._ran: Site | None = None

    def see(self, node: Node) -> None:
        """Look at one node that may keep, change or take a gradient."""
        if node.step > _LOOKED_AT:
            return
        self._optimized = self._optimized or node.phase == "optimizer"
        if node.phase == "backward":
            self._last = node
            if self._clipping is not None and self._clipping[0] == node.step:
                self._empty.setdefault(self._clipping[1], set()).add(node.step)
            self._clipping = None
        elif node.function == "constant" and "clip_grad" in self._evidence.source.line(node.site):
            assert node.site is not None
            self._clipping = node.step, node.site
        if self._held:
            for index, one in enumerate(node.inputs):
                if one.producer in self._held:
                    self._used(node, index, one.producer)

    def _used(self, node: Node, index: int, seq: int) -> None:
        """A node takes a gradient that is held."""
        name, begun, added = self._held[seq]
        if node.phase == "optimizer":
            if begun < added and index not in node.mutates:
                self._taken.setdefault(name, set()).add(node.step)
        elif index in node.mutates and node.phase == "forward":
            if "unscale" in node.function and self._scaled is None and seq in self._clipped:
                self._scaled = self._clipped[seq], node
            if "zero" in node.function or node.family == "fill" or node.step != added:  # or it fades on purpose
                del self._held[seq]
            else:
                self._held[node.seq] = self._held[seq]
                if "clamp" in node.function or any(o.producer not in self._held for o in node.inputs):
                    self._clipped[seq] = node

    def gradient(self, gradient: Gradient) -> None:
        """Note which node keeps a parameter's gradient, and what it was added to."""
        node = self._last
        if node is None or not gradient.name or gradient.stage or gradient.step > _LOOKED_AT:
            return
        self._given.setdefault(gradient.name, set()).add(gradient.step)
        self._ran = node.run_site or node.site
        before = self._held.get(node.inputs[0].producer or -1) if node.mutates == (0,) else None
        begun = before[1] if before is not None and before[0] == gradient.name else gradient.step
        if len(self._held) > 50_000:
            self._held.clear()
            self._clipped.clear()
        self._held[node.seq] = gradient.name, begun, gradient.step
        self._clipped.pop(node.seq, None)
        self._backward = node.run_site or node.site if begun < gradient.step else self._backward

    def findings(self) -> Sequence[Finding]:
        """Return what was found: gradients never cleared, cleared or clipped at the wrong time."""
        ways = (self._uncleared(), self._cleared(), self._clipped_scaled(), self._clipped_empty())
        return [one for one in ways if one is not None]

    def _uncleared(self) -> Finding | None:
        names = [name for name, steps in self._taken.items() if len(steps) >= LEAST_STEPS]
        if not names or self._backward is None:
            return None
        step = max(max(self._taken[name]) for name in names)
        made = optimizer_line(self._evidence, step)
        taking = next((one.site for one in self._evidence.last_of_phase("optimizer", step)), None)
        lines = [Candidate(self._backward, "caller", "adds to the gradients of the steps before")]
        lines += [Candidate(taking, "step", "takes their sum")] if taking is not None else []
        lines += [Candidate(made, "declaration", "makes the optimizer")] if made is not None else []
        return self._evidence.finding(
            "uncleared_gradient", what="gradients are never cleared: each step adds to those before it",
            candidates=lines, confidence=0.9, when="nothing failed",
            body=[f"  {some(names)}: {len(self._taken[names[0]])} steps took a sum that earlier steps began",
                  "  within a step, several backward passes may add up; across steps, old gradients steer"],
            tries=["call optimizer.zero_grad() once in each step, before backward"],
        )  # fmt: skip

    def _cleared(self) -> Finding | None:
        """Optimizers stepped, backward gave their parameters gradients, and no step had anything to do."""
        held = [name for one in optimizers(self._evidence) for name in one.attributes.get("parameters", ())]
        names = [name for name in held if len(self._given.get(name, ())) >= LEAST_STEPS]
        site = self._cleared_at() if names and not self._optimized else None
        if site is None:
            return None
        return self._evidence.finding(
            "cleared_too_early", what="gradients are cleared before the optimizer takes them",
            candidates=[Candidate(site, "expression", "clears them between backward and step")],
            confidence=0.9, when="nothing failed",
            body=[f"  {some(names)}: backward gave gradients in {len(self._given[names[0]])} steps",
                  "  the optimizer stepped, and ran no op: no parameter ever changed"],
            tries=["call zero_grad() before backward, or after step()"],
        )  # fmt: skip

    def _cleared_at(self) -> Site | None:
        """Return the line after that of backward which clears gradients, if the step comes only after it."""
        tree = self._evidence.source.tree(self._ran.file) if self._ran is not None else None
        if tree is None or self._ran is None:
            return None
        words = {name: word for word in ("step", "zero_grad") for name in _asking(tree, word)}
        calls = [
            (one.lineno, words.get(called(one), ""), ast.unparse(getattr(one.func, "value", one.func)))
            for one in own_statements(scopes_around(tree, self._ran.line)[0])
            if isinstance(one, ast.Call)
        ]
        after = sorted(one for one in calls if one[0] > self._ran.line and one[1])
        steps = [owner for _, name, owner in after if name == "step"]
        if not steps or after[0][1] != "zero_grad" or after[0][2] in steps[1:]:
            return None
        return Site(self._ran.file, after[0][0])

    def _clipped_scaled(self) -> Finding | None:
        if self._scaled is None or self._scaled[0].site is None:
            return None
        clipping, unscaling = self._scaled
        assert clipping.site is not None
        after = [Candidate(unscaling.site, "step", "unscales them")] if unscaling.site is not None else []
        return self._evidence.finding(
            "clipped_too_early", what="gradients are clipped while they are still those of the scaled loss",
            candidates=[Candidate(clipping.site, "expression", f"the {clipping.function}"), *after],
            confidence=0.9, when=f"step {clipping.step}; nothing failed",
            body=["  the loss scaler divides them by its scale only afterwards: next to nothing is left"],
            tries=["scaler.unscale_(optimizer) before clipping"], evidence=(clipping.seq, unscaling.seq),
        )  # fmt: skip

    def _clipped_empty(self) -> Finding | None:
        site = next((site for site, steps in self._empty.items() if len(steps) >= LEAST_STEPS), None)
        if site is None:
            return None
        return self._evidence.finding(
            "clipped_too_early", what="gradients are clipped before backward has made them",
            candidates=[Candidate(site, "expression", "the clipping")], confidence=0.8, when="nothing failed",
            body=[f"  in {len(self._empty[site])} steps there was no gradient to clip when it ran",
                  "  the optimizer then took gradients of any size"],
            tries=["clip between backward and the optimizer's step"],
        )  # fmt: skip


def _asking(tree: ast.Module, word: str) -> set[str]:
    """Return the names by which the program asks for what `word` does: that, and functions that call it."""
    functions = (one for one in ast.walk(tree) if isinstance(one, ast.FunctionDef))
    return {word} | {
        one.name for one in functions
        if any(isinstance(node, ast.Call) and called(node) == word for node in own_statements(one))
    }  # fmt: skip
