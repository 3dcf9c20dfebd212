"""Wording: what a report says of a birth: of what it was made, what became of it, the ways out."""

from __future__ import annotations

from collections.abc import Sequence

from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.numbers.causes import only_grows, ways_out
from graphdebug.diagnosis.numbers.nonfinite import Birth, inexact
from graphdebug.diagnosis.words import listing, node_name, place, shape_words
from graphdebug.model.event import Node, Operand

__all__ = ["combined", "inputs", "of_what", "story", "ways"]


def of_what(node: Node) -> str:
    """Say what a node gave its result of, and which of its inputs were not looked at."""
    blind = [_word(one, node) for one in node.inputs if one.fact.finite is None and inexact(one.fact)]
    unseen = f"{listing(blind)} {'was' if len(blind) == 1 else 'were'} not looked at"
    if any(one.fact.finite is False for one in node.inputs):  # it stands for a mask
        return "of infinities that are meant" + (f"; {unseen}" if blind else "")
    if len(blind) == len(node.inputs) and blind:
        return f"and {unseen}"
    return "of finite inputs" + (f"; {unseen}" if blind else "")


def _word(operand: Operand, node: Node) -> str:
    """Return what to call an input of `node`."""
    return operand.expression or operand.name or (operand.role if len(node.inputs) > 1 else "") or "its input"


def inputs(evidence: Evidence, node: Node) -> list[str]:
    """Return a line for each of the first inputs: its shape, its range, where it came from."""
    lines = []
    for one in node.inputs[:3]:
        word = one.expression or (one.role if len(node.inputs) > 1 else "") or "input"
        stats = one.fact.stats
        spread = ""
        if stats is not None and stats.min is not None and stats.max is not None:
            spread = f" in [{float(stats.min):.4g}, {float(stats.max):.4g}]" + " and -inf" * (stats.neg_inf > 0)
        words = f"{word}  {shape_words(one.fact.shape)}{spread}"
        lines.append(f"{words} <- {evidence.provenance.origin_words(one)}")
    return lines


def combined(birth: Birth, node: Node) -> str:
    """Say how arithmetic makes NaN of infinities; nothing where they are meant, or came with the data."""
    if birth.meant or birth.data is not None:
        return ""
    words = {
        "mul": "0 * inf is NaN",
        "sub": "inf - inf is NaN",
        "add": "inf - inf is NaN",
        "div": "inf/inf is NaN",
    }
    return words.get(node.function, "")


def story(birth: Birth) -> list[str]:
    """Return what became of the value: where it turned NaN, what hid it, what it reached."""
    lines = []
    if birth.became_nan is not None:
        lines.append(f"  it became NaN in {node_name(birth.became_nan)}, {place(birth.became_nan.site)}")
    hidden = birth.hidden_by is not None and birth.hidden_by.phase == "forward"
    if hidden and birth.hidden_by is not None and birth.node.phase == "forward" and "gradient" in birth.harms:
        hider = birth.hidden_by
        lines.append(f"  {hider.function}, {place(hider.site)}, hid it in forward; in backward 0 * inf is NaN")
    if "value" in birth.harms and birth.hidden_by is not None:
        lines.append(f"  {birth.hidden_by.function}, {place(birth.hidden_by.site)}, divided by it and got 0")
    reached = [word for word in ("loss", "gradient", "weights") if word in birth.harms]
    if reached:
        lines.append(f"  it reached the {', the '.join(reached)}")
    return lines


def ways(birth: Birth, source: Node) -> Sequence[str]:
    """Return the ways out."""
    function = source.function.removesuffix("_backward")
    tries = ways_out(function)
    if not tries and only_grows(source):
        narrow = any(fact.dtype == "float16" for fact in source.outputs)
        tries = ["compute it in float32 or bfloat16" if narrow else "a smaller step size or initialisation",
                 "scale its input down"]  # fmt: skip
    hider = birth.hidden_by
    if hider is not None and hider.family == "where" and hider.phase == "forward":
        tries.insert(0, f"mask the input of {function}, not its output: where(ok, x, 1) before it")
    return tries or [f"keep what {function} is given where it is defined, and small enough"]
