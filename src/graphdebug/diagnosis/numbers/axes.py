"""Axes: a softmax or argmax over one column or over the batch, and an activation applied twice."""

from __future__ import annotations

from collections.abc import Sequence

from graphdebug.diagnosis.account import compiled_with, made_by, told_by
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.numbers.softmaxes import softmax_of
from graphdebug.diagnosis.shapes.setters import setter
from graphdebug.diagnosis.words import shape_words
from graphdebug.model.event import Node, Operand, Site
from graphdebug.model.finding import Candidate, Finding

__all__ = ["AxisWatch"]

_A_LINE = 3
"""Nodes of one function that are judged of one line: the argmax of prediction and target stand together."""

_OTHERWISE = {
    ("nll_loss", True): "take cross_entropy of the scores before it",
    ("kl_div", True): "log() it where it can't be 0",
}
"""Another way out for a loss that was given probabilities."""
_ARITHMETIC = 8
"""Divisions and differences of one line that are looked at for a softmax spelled out."""


class AxisWatch:
    """Looks at softmax, argmax and losses on what a layer gave."""

    families = ("softmax", "reduce", "loss", "elementwise")

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._judged: dict[tuple[Site | None, str], int] = {}
        self._found: list[Finding] = []
        self._classes: dict[int, int] = {}
        """By the node that made scores: the axis over which a loss takes their classes."""
        self._guessed: list[tuple[Node, int]] = []
        """Guesses of the first steps, with the axis of the largest score."""
        self._turned: set[int | None] = set()
        """Nodes whose transposed scores a loss took, too: there both axes hold classes."""

    def see(self, node: Node) -> None:
        """Look at one node, a few times for each line and function; at arithmetic more often."""
        arithmetic = node.family == "elementwise"
        if (
            node.phase != "forward"
            or not node.inputs
            or (arithmetic and node.function not in ("div", "sub", "log1p"))
        ):
            return
        key = (node.site, node.function)
        times = self._judged.get(key, 0)
        if times >= (_ARITHMETIC if arithmetic else _A_LINE) or len(self._judged) > 10_000:
            return
        self._judged[key] = times + 1
        softmax = softmax_of(self._evidence.provenance, node)
        if softmax is not None:
            self._axis(node, softmax.operand, softmax.axis, "softmax")
        elif node.function == "argmax":
            self._guess(node)
        if softmax is not None and softmax.logarithm:
            self._class_axis(softmax.operand, softmax.axis)
            self._twice(node, softmax.operand, "log_softmax")
        elif node.function in ("cross_entropy", "sparse_cross_entropy", "bce_with_logits"):
            logits = next((one for one in node.inputs if one.role in ("logits", "input", "a")), node.inputs[0])
            self._twice(node, logits, node.function)
            self._halved(node, logits)
            self._single(node, logits)
        elif node.function == "log1p" and (scores := self._of_logits(node)) is not None:
            self._twice(node, scores, "bce_with_logits")
        elif node.function == "nll_loss":
            self._unlogged(node, node.inputs[0], "nll_loss")
        elif node.function == "sub" and (given := self._divergence(node)) is not None:
            self._unlogged(node, given, "kl_div")

    def _single(self, node: Node, logits: Operand) -> None:
        if node.function == "cross_entropy" and (logits.fact.shape or ())[-1:] == (1,):
            self._axis(node, logits, 1, "softmax")

    def findings(self) -> Sequence[Finding]:
        """What was found."""
        for node, axis in self._guessed:
            made = node.inputs[0].producer
            if made is not None and self._classes.get(made, axis) != axis and made not in self._turned:
                self._other_axis(node, axis)
        return self._found

    def _guess(self, node: Node) -> None:
        axis = node.attributes.get("axis")
        axis = axis[0] if isinstance(axis, list | tuple) and len(axis) == 1 else axis
        self._axis(node, node.inputs[0], axis, "argmax")
        if isinstance(axis, int) and len(node.inputs[0].fact.shape or ()) == 2:
            self._guessed.append((node, axis % 2))

    def _class_axis(self, scores: Operand, axis: int | None) -> None:
        """Note over which axis of a matrix of scores a softmax goes, and whether also over the other one."""
        if scores.producer is None or axis is None or len(scores.fact.shape or ()) != 2:
            return
        self._classes.setdefault(scores.producer, axis % 2)
        made = self._evidence.provenance.node(scores.producer)
        before = made.inputs[0].producer if made is not None and made.family == "permute" else None
        self._turned |= {before} - {None}

    def _other_axis(self, node: Node, axis: int) -> None:
        shape = shape_words(node.inputs[0].fact.shape)
        self._keep(
            node, "wrong_axis", f"argmax over axis {axis} of scores whose classes are on axis {1 - axis}",
            made_by(node, "the argmax"),
            [f"{shape}: the loss takes the softmax of these very scores over axis {1 - axis}"],
            [f"take it over axis {1 - axis}"], confidence=0.8,
        )  # fmt: skip

    def _axis(self, node: Node, operand: Operand, axis: object, function: str) -> None:
        if not isinstance(axis, int):
            return
        operand, axis = self._untransposed(node, operand, axis)
        shape = operand.fact.shape
        if shape is None or len(shape) != 2 or (shape[0] or 0) < 2:
            return
        layer = self._layer(operand)
        if layer is None:
            return
        size, over = shape[axis % 2], axis % 2
        if size == 1:
            body = f"{shape_words(shape)}: over one column it is always {0 if function == 'argmax' else 1}"
            tries = ["give the layer one output a class", "use a sigmoid and a threshold for one output"]
            self._report(node, layer, f"{function} over a single column", body, tries, 0.85)
        elif over == 0 and (shape[1] or 0) > 1 and self._is_batch(operand, shape[0]):
            body = f"{shape_words(shape)}: axis 0 is the batch, so the samples share one sum of 1"
            tries = ["take it over axis 1 (the classes)"]
            self._report(node, layer, f"{function} over the batch", body, tries, 0.65)

    def _untransposed(self, node: Node, operand: Operand, axis: int) -> tuple[Operand, int]:
        """Return what the line was given and the axis meant: over any axis but the last, some frameworks
        transpose a matrix first.
        """
        before = self._evidence.provenance.node(operand.producer)
        if before is None or before.family != "permute" or before.site != node.site or not before.inputs:
            return operand, axis
        given, turned = before.inputs[0].fact.shape or (), operand.fact.shape or ()
        if len(given) != 2 or given[0] == given[1] or given[::-1] != turned:
            return operand, axis
        return before.inputs[0], 1 - axis % 2

    def _twice(self, node: Node, operand: Operand, function: str) -> None:
        operand = self._evidence.provenance.unchanged(operand)
        before = self._evidence.provenance.node(operand.producer)
        known = softmax_of(self._evidence.provenance, before) if before is not None else None
        softmax = known is not None and not known.logarithm
        activation = "softmax" if softmax else before.function if before is not None else ""
        twice = activation == ("sigmoid" if function == "bce_with_logits" else "softmax")
        if before is None or not twice or before.site is None or not before.outputs:
            return
        if len(before.outputs[0].shape or ()) != 2 and function == "log_softmax":
            return
        candidates = [
            *told_by(self._evidence, before, f"the {activation}"),
            *compiled_with(self._evidence, node.site),
            *made_by(node, f"the {function}"),
        ]
        self._keep(
            node, "double_activation", f"{function} of what already went through {activation}", candidates,
            [f"{function} takes logits: it applies {activation} itself",
             "twice, it flattens the scores: the loss can't get near 0 and learns slowly"],
            [f"leave out the {activation}, or take the loss that expects probabilities"], (operand, before),
        )  # fmt: skip

    def _of_logits(self, node: Node) -> Operand | None:
        """Return x where `node` is log1p(exp(-|x|)) as a loss on logits writes it: -|x| chosen of x and -x."""
        exponent = self._evidence.provenance.node(node.inputs[0].producer)
        inner = exponent.inputs[0].producer if exponent is not None and exponent.function == "exp" else None
        chosen = self._evidence.provenance.node(inner)
        if chosen is None or chosen.family != "where":
            return None
        for one in chosen.inputs:
            turned = self._evidence.provenance.node(one.producer)
            if turned is not None and turned.function == "neg" and turned.inputs:
                return turned.inputs[0]
        return None

    def _divergence(self, node: Node) -> Operand | None:
        """Return what a Kullback-Leibler divergence, ``t log t - t x``, was given as log-probabilities x."""
        entropy, cross = (
            self._evidence.provenance.node(one.producer) for one in (*node.inputs, *node.inputs)[:2]
        )
        if entropy is None or entropy.function != "xlogy" or cross is None or cross.function != "mul":
            return None
        target = entropy.inputs[0].producer
        if target is None or target not in (one.producer for one in cross.inputs):
            return None
        return next((one for one in cross.inputs if one.producer != target), None)

    def _unlogged(self, node: Node, operand: Operand, function: str) -> None:
        """A loss on log-probabilities was given probabilities, or scores, by which it was negative."""
        provenance = self._evidence.provenance
        before = provenance.node(provenance.unchanged(operand).producer)
        if before is None or before.site is None:
            return
        known = softmax_of(provenance, before)
        squashed = before.function == "sigmoid" or (known is not None and not known.logarithm)
        stats = node.outputs[0].stats if node.outputs else None
        lowest = float(stats.min) if stats is not None and stats.min is not None else 0.0
        scores = function == "nll_loss" and before.family in ("linear", "matmul", "conv") and lowest < 0
        if not squashed and not scores:
            return
        word = "softmax" if known is not None else before.function
        gave = f"{word} gave probabilities" if squashed else f"{word} gave scores"
        lines = [*told_by(self._evidence, before, f"the {word}"), *made_by(node, f"the {function}")]
        if not squashed:
            lines = [*told_by(self._evidence, node, f"the {function}"), *made_by(before, f"the {word}")]
        sign = [f"it is {lowest:.3g}: no log-probabilities make it negative"] if lowest < 0 else []
        taken = "it takes no logarithm of it itself"
        taken += ": it only picks the score of each target, negated" if function == "nll_loss" else ""
        other = _OTHERWISE.get((function, squashed), "take cross_entropy")
        self._keep(
            node, "not_probabilities", f"{function} takes log-probabilities; {gave}", lines, [taken, *sign],
            ["give it log_softmax" + (f" in place of {word}" if squashed else " of them"), other],
            (operand, before),
        )  # fmt: skip

    def _halved(self, node: Node, operand: Operand) -> None:
        """A loss on logits was given what went through a ReLU: no score can be negative."""
        before = self._evidence.provenance.node(self._evidence.provenance.unchanged(operand).producer)
        shape = operand.fact.shape or ()
        if before is None or before.function != "relu" or before.site is None or len(shape) != 2:
            return
        if shape[-1] == 1 or not before.inputs or self._layer(before.inputs[0]) is None:
            return
        callers = [Candidate(one, "caller", "the call of it") for one in before.callers[:1]]
        lines = [*told_by(self._evidence, before, "the relu"), *callers]
        self._keep(
            node, "double_activation", f"the logits of {node.function} went through a relu",
            [*lines, *made_by(node, f"the {node.function}")],
            [f"{node.function} takes logits of both signs; the relu makes every negative one 0",
             "where the scores of all classes are 0, no gradient passes and nothing is learnt"],
            ["leave the relu out of the last layer"], (operand, before), 0.65,
        )  # fmt: skip

    def _keep(
        self, node: Node, kind: str, what: str, candidates: Sequence[Candidate], body: Sequence[str],
        tries: Sequence[str], given: tuple[Operand, Node] | None = None, confidence: float = 0.75,
    ) -> None:  # fmt: skip
        """Keep a finding on `node`, one of a kind for each line; it may show there and be born in what it was
        given, the operand and the node that made it.
        """
        found = self._evidence.finding(
            kind, what=what, candidates=candidates, confidence=confidence, tries=tries,
            failed=node.site if given is not None else None,
            when=f"{node.phase}, step {node.step}; nothing failed", body=[f"  {line}" for line in body],
            operands=given[:1] if given is not None else node.inputs[:1],
            evidence=(node.seq, given[1].seq) if given is not None else (node.seq,),
        )  # fmt: skip
        if all((one.kind, one.site) != (found.kind, found.site) for one in self._found):
            self._found.append(found)

    def _layer(self, operand: Operand) -> Node | None:
        """Return the layer with weights that gave `operand`, at most a bias and an activation before."""
        provenance = self._evidence.provenance
        _, links = provenance.way(operand)
        for node, _ in reversed(links[-4:]):
            if node.family in ("linear", "matmul") and any(
                provenance.stored(o) is not None for o in node.inputs
            ):
                return node
            if node.family not in ("elementwise", "softmax", "reshape"):
                return None
        return None

    def _is_batch(self, operand: Operand, rows: int | None) -> bool:
        by = setter(self._evidence, operand, 0)
        if (
            by.node is None
            and by.axis == 0
            and by.operand.origin == "feed"
            and len(by.operand.fact.shape or ()) > 1
        ):
            return True
        root, links = self._evidence.provenance.way(operand)
        for i in range(len(links) - 1, -1, -1):
            if _takes_rows(*links[i]):  # a batch is a part of the data, or joined of samples: it begins there
                root, links = Operand(links[i][0].outputs[0]), links[i + 1 :]
                break
        whole = all(n.outputs and n.outputs[0].shape and n.outputs[0].shape[0] == rows for n, _ in links)
        return bool(root.fact.shape) and root.fact.shape is not None and root.fact.shape[0] == rows and whole

    def _report(
        self, node: Node, layer: Node, what: str, body: str, tries: Sequence[str], confidence: float
    ) -> None:
        self._judged[node.site, node.function] = _ARITHMETIC
        candidates = told_by(self._evidence, node, f"the {what.partition(' ')[0]}")
        declared = self._evidence.provenance.declared(layer.module) if layer.module else None
        if declared is not None and declared.site is not None:
            candidates.append(Candidate(declared.site, "declaration", f"declares {layer.module}", layer.module))
        self._keep(node, "wrong_axis", what, candidates, [body], tries, confidence=confidence)


def _takes_rows(node: Node, through: int) -> bool:
    """Whether a node gives some rows of what it takes, or stacks samples."""
    given, made = node.inputs[through].fact.shape, node.outputs[0].shape if node.outputs else None
    if given is None or made is None or node.family not in ("index", "split", "cat"):
        return False
    return given[1:] == made[1:] or (node.family == "cat" and given == made[1:])
