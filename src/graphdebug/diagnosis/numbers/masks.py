"""Masks: a fill with a large negative number that hides what it should keep, or leaves a place with nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from graphdebug.diagnosis.account import made_by
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.words import place, shape_words
from graphdebug.model.event import Node, Operand, Site
from graphdebug.model.finding import Candidate, Finding

__all__ = ["Hidden", "MaskWatch", "emptied", "hidden_by", "lines_of"]

_HIDING = -1e3
"""A score of this or less has no weight after a softmax."""
_FURTHEST = 24
"""Nodes that a mask is followed back through."""
_SAME = ("reshape", "permute", "copy", "cast", "split")
_NOT = ("logical_not", "bitwise_not")
_COMPARED = ("eq", "ne", "gt", "ge", "lt", "le")
_WORDS = {
    "equal": "eq", "not_equal": "ne", "greater": "gt", "greater_equal": "ge", "less": "lt", "less_equal": "le",
}  # fmt: skip
_ATTENTIONS = ("softmax", "log_softmax", "scaled_dot_product_attention")
_BEFORE = 80
"""Nodes before a softmax among which its mask is looked for."""
_TRIANGLES = ("tril", "triu")


@dataclass(frozen=True, slots=True)
class Hidden:
    """What made a mask that hides the wrong places."""

    node: Node
    """The comparison or the triangle."""
    fill: Node
    why: str
    ids: Operand | None = None
    """The tokens that were compared with one of them; the mask is wrong if a layer looks them up."""
    turned: bool = True
    """Whether it is the other way round; else one place is left with nothing."""


class MaskWatch:
    """Looks at fills of scores, and at the tokens that layers look up."""

    families = ("where", "index")

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._judged: set[Site | None] = set()
        self._tokens: dict[Site, set[int | None]] = {}
        """What was looked up in weights: the nodes that it began as, by the line of the lookup."""
        self._hidden: list[Hidden] = []

    def see(self, node: Node) -> None:
        """Look at one node, once for each line."""
        if node.phase != "forward" or node.site is None:
            return
        if node.family == "index":
            if node.site not in self._tokens:
                self._look_up(node)
        elif node.site not in self._judged and len(self._hidden) < 3:
            self._judged.add(node.site)
            found = hidden_by(self._evidence, node)
            if found is not None:
                self._hidden.append(found)

    def findings(self) -> Sequence[Finding]:
        """Return the masks that hide what they should keep."""
        return [self._finding(one) for one in self._hidden if one.ids is None or self._is_token(one.ids)]

    def _look_up(self, node: Node) -> None:
        index = next((one for one in node.inputs if one.role == "index"), None)
        table = next((one for one in node.inputs if one.role != "index"), None)
        if index is None or table is None or self._evidence.provenance.stored(table) is None:
            return
        assert node.site is not None
        self._tokens[node.site] = set(_origins(self._evidence, index))

    def _is_token(self, ids: Operand) -> bool:
        own = set(_origins(self._evidence, ids))
        return any(own & known for known in self._tokens.values())

    def _finding(self, hidden: Hidden) -> Finding:
        node, fill = hidden.node, hidden.fill
        fact = fill.inputs[0].fact if fill.inputs else None
        scores = f" of {shape_words(fact.shape)}" if fact is not None else ""
        turned = hidden.turned
        what = "this mask hides what it should keep" if turned else "this mask leaves a place with nothing"
        tries = "turn the comparison round, or the mask (~mask)"
        return self._evidence.finding(
            "inverted_mask", what=what, candidates=lines_of(hidden), confidence=0.8, failed=fill.site,
            when=f"step {fill.step}; nothing failed",
            body=[f"  {hidden.why}", f"  {fill.function}{scores}, {place(fill.site)}, hides where it is True"],
            tries=[tries if turned else "leave each place itself: diagonal=1 for what is hidden"],
            operands=fill.inputs, evidence=(fill.seq, node.seq),
        )  # fmt: skip


def lines_of(hidden: Hidden) -> list[Candidate]:
    """Return the line that made the mask and the one that hides."""
    return [*made_by(hidden.node, "makes the mask"), *made_by(hidden.fill, "hides where it is True")]


def hidden_by(evidence: Evidence, fill: Node) -> Hidden | None:
    """Return what is wrong with the mask of a fill with a large negative number; None if nothing is known."""
    condition = next((one for one in fill.inputs if one.role == "condition"), None)
    value = fill.attributes.get("value")
    if condition is None or not isinstance(value, int | float | str) or not float(value) <= _HIDING:
        return None
    made, holds = _compared(evidence, condition)
    return _judged(evidence, fill, made, holds=holds) if made is not None else None


def emptied(evidence: Evidence, attention: Node) -> Hidden | None:
    """Return the mask that leaves a place with nothing, of a softmax or attention that made NaN of it."""
    if attention.function not in _ATTENTIONS or attention.phase != "forward":
        return None
    for count, node in enumerate(evidence.before(attention.seq, attention.step)):
        if count > _BEFORE or node.step != attention.step:
            break
        if node.family == "where" and (found := hidden_by(evidence, node)) is not None:
            return found
    return None


def _compared(evidence: Evidence, mask: Operand) -> tuple[Node | None, bool]:
    """Return the comparison or triangle that a mask is, and whether the mask is True where that holds."""
    holds = True
    node = evidence.provenance.node(mask.producer)
    for _ in range(_FURTHEST):
        if node is None or not node.inputs:
            break
        before = evidence.provenance.node(node.inputs[0].producer)
        function = _WORDS.get(node.function, node.function)
        if node.family in _SAME or node.function in ("slice", "expand"):
            node = before
        elif function in _NOT:
            holds, node = not holds, before
        elif function in ("eq", "ne") and _of_mask(evidence, node, before):
            holds, node = holds != ((function == "eq") == (node.attributes["scalar"] == 0)), before
        else:
            return (node, holds) if function in _COMPARED or function in _TRIANGLES else (None, holds)
    return None, holds


def _of_mask(evidence: Evidence, node: Node, before: Node | None) -> bool:
    """Whether a comparison with 0 or 1 only reads what is a mask already."""
    if node.attributes.get("scalar") not in (0, 1) or len(node.inputs) != 1:
        return False
    if node.inputs[0].fact.dtype == "bool":
        return True
    return before is not None and _compared(evidence, node.inputs[0])[0] is not None


def _judged(evidence: Evidence, fill: Node, made: Node, *, holds: bool) -> Hidden | None:
    """Judge a mask that hides where `made` is True (`holds`) or where it is not."""
    function = _WORDS.get(made.function, made.function)
    if function in _TRIANGLES:
        return _triangle(evidence, fill, made, holds=holds)
    operand, scalar = made.inputs[0], made.attributes.get("scalar")
    if len(made.inputs) == 1 and isinstance(scalar, int) and operand.fact.dtype in ("int64", "int32"):
        others = (function == "ne") == holds if function in ("eq", "ne") else function == "gt" and holds
        if others and (function != "gt" or scalar == 0):
            why = f"it hides every token but {scalar}, and keeps the places that hold {scalar}"
            return Hidden(made, fill, why, operand)
    if len(made.inputs) == 2 and function in ("lt", "le", "gt", "ge"):
        return _lengths(evidence, fill, made, holds=holds)
    return None


def _lengths(evidence: Evidence, fill: Node, made: Node, *, holds: bool) -> Hidden | None:
    """Judge a comparison of places 0, 1, 2 ... with the length of each sample."""
    counted = [_counts(evidence, one) for one in made.inputs]
    if counted[0] == counted[1]:
        return None
    function = _WORDS.get(made.function, made.function)
    within = (function in ("lt", "le")) == counted[0]
    if within != holds:
        return None
    return Hidden(made, fill, "it hides the places before each length, and keeps those after it")


def _triangle(evidence: Evidence, fill: Node, made: Node, *, holds: bool) -> Hidden | None:
    """Judge a triangle of ones: each place may see those up to itself, or those from itself on."""
    ones = evidence.provenance.node(made.inputs[0].producer)
    shape, diagonal = made.inputs[0].fact.shape or (), made.attributes.get("diagonal")
    square = len(shape) >= 2 and shape[-1] == shape[-2] and (shape[-1] or 0) > 1
    if ones is None or ones.family != "fill" or not square or not isinstance(diagonal, int):
        return None
    lower = (made.function == "tril") == holds  # what is hidden: the places before, or those behind
    itself = (diagonal >= 0 if made.function == "tril" else diagonal <= 0) == holds
    if not itself:
        return None
    if lower:
        return Hidden(made, fill, "it hides from each place what is before it and the place itself")
    why = "it hides from each place what comes after it and the place itself: the first has nothing"
    return Hidden(made, fill, why, turned=False)


def _counts(evidence: Evidence, operand: Operand) -> bool:
    """Whether an operand counts places: 0, 1, 2 ..."""
    root, links = evidence.provenance.way(operand)
    nodes = [evidence.provenance.node(root.producer), *(node for node, _ in links)]
    return any(node is not None and node.function in ("arange", "range") for node in nodes)


def _origins(evidence: Evidence, operand: Operand) -> list[int]:
    """Return the nodes that `operand` came through."""
    root, links = evidence.provenance.way(operand)
    seqs = [node.seq for node, _ in links]
    return [*seqs, *([root.producer] if root.producer is not None else [])]
