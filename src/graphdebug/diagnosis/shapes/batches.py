"""Batches: a state or constant that was made for another number of samples than came in."""

from __future__ import annotations

from collections.abc import Iterator

from graphdebug.diagnosis.account import Account, call, data_entry, made_by, sized_by
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.instances import around
from graphdebug.diagnosis.ranking import held
from graphdebug.diagnosis.shapes.ways import size_on
from graphdebug.diagnosis.words import shape_words
from graphdebug.model.event import Failure, Operand
from graphdebug.model.finding import Candidate

__all__ = ["fixed"]

_FURTHEST = 400
"""Nodes that are looked at behind an operand."""
_DATA = ("feed", "argument")


def fixed(evidence: Evidence, failure: Failure, odd: Operand, rest: Operand, axis: int) -> Account | None:
    """Account for two operands that differ in their first axis, where one was made for a fixed number of
    samples and the other has the number that was fed.
    """
    if axis != -len(odd.fact.shape or ()) or len(odd.fact.shape or ()) != len(rest.fact.shape or ()):
        return None
    for one, other in ((odd, rest), (rest, odd)):
        size, came = size_on(one, axis), size_on(other, axis)
        made = _made_for(evidence, one, size)
        fed = next((root for root in _roots(evidence, other, came) if root.origin in _DATA), None)
        if made is None or (fed is None and came is not None):
            continue
        shape = shape_words(made.fact.shape)
        body = [f"{shape} was made for {size} samples, whatever is fed; {came or 'any number of them'} came"]
        lines = [
            *held(_declared(evidence, made, size), "odd_one", "declares_size"),
            *held(call(failure), "refused"),
        ]
        lines += held(data_entry(evidence, fed, failure), "began") if fed is not None else []
        return Account(lines, body, ["take the size from the batch that comes in (its shape at run time)"],
                       confidence=0.8)  # fmt: skip
    return None


def _made_for(evidence: Evidence, operand: Operand, size: int | None) -> Operand | None:
    """Return the constant or filled tensor of `size` samples that `operand` began as; None if data did too."""
    roots = list(_roots(evidence, operand, size)) if size is not None else []
    if any(one.origin in _DATA for one in roots):
        return None
    return next((one for one in roots if _declared(evidence, one, size)), None)


def _declared(evidence: Evidence, operand: Operand, size: int | None) -> list[Candidate]:
    node = evidence.provenance.node(operand.producer)
    why = f"makes {shape_words(operand.fact.shape)}"
    if node is not None:
        return made_by(node, why)
    declared = evidence.provenance.declared(operand.name) if operand.name else None
    lines = sized_by(evidence, declared, size, why)
    if declared is None or not lines or lines[0].site == declared.site or not around(declared):
        return lines
    passed = Candidate(around(declared)[0], "caller", f"passes {size} for the batch", operand.name)
    return [passed, *lines[::-1]]


def _roots(evidence: Evidence, operand: Operand, size: int | None) -> Iterator[Operand]:
    """Yield what `operand` was computed of, at the beginning of each way on which the first axis is `size`."""
    waiting, seen = [operand], set[int]()
    while waiting and len(seen) < _FURTHEST:
        one = waiting.pop()
        node = evidence.provenance.node(one.producer)
        if node is None or node.family in ("fill", "random"):
            yield one
        elif node.seq not in seen:
            seen.add(node.seq)
            waiting += [
                part for part in node.inputs
                if part.fact.shape and part.fact.shape[0] == size and evidence.provenance.stored(part) is None
            ]  # fmt: skip
