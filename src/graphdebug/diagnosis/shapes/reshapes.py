"""Reshapes: elements that do not fit the shape asked for: who asked, who made them, and who wrote the size."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from graphdebug.diagnosis.account import Account, call, data_entry, made_by
from graphdebug.diagnosis.evidence import Evidence
from graphdebug.diagnosis.ranking import held
from graphdebug.diagnosis.shapes import repairs
from graphdebug.diagnosis.shapes.asked import asked, declared_so
from graphdebug.diagnosis.shapes.geometry import Sizes, concrete, solve
from graphdebug.diagnosis.words import arithmetic, shape_words, telling
from graphdebug.model.event import Failure, Operand
from graphdebug.model.finding import Candidate

__all__ = ["explain"]


def explain(evidence: Evidence, failure: Failure, data: Operand) -> Account | None:
    """Account for a reshape that cannot be."""
    shape, target = concrete(data.fact.shape), failure.attributes.get("target")
    if shape is None or not isinstance(target, list | tuple) or not all(isinstance(n, int) for n in target):
        return _unknown(failure)
    total, fixed = prod(shape), prod(size for size in target if size != -1)
    words = "x".join(str(size) for size in target)
    if fixed and total % fixed == 0 and (-1 in target or total == fixed):
        return _in_memory(evidence, failure, data, words)
    body = [f"{shape_words(shape)} has {arithmetic(total, shape)} elements; {words} takes "
            + (f"a multiple of {fixed}" if -1 in target else str(fixed))]  # fmt: skip
    tries = [f"keep the batch and compute the rest: ({shape[0]}, -1)"]
    root, links = evidence.provenance.way(data)
    agrees = declared_so(evidence, root)
    fits, repaired = _solved(evidence, data, target)
    if agrees and fits:
        each, row = prod(shape[1:]), prod(target[1:])
        body.append(f"each sample was fed as declared, and has {arithmetic(each, shape[1:])} here")
        tries, fits = [f"ask for {each} in the place of {row}", *tries], ()
    elif fits:
        tries.insert(0, f"feed {shape_words(fits)}")
    good = evidence.good_call(failure)
    was = good.inputs[0].fact.shape if good is not None and good.inputs else None
    if was and was[1:] == shape[1:]:
        body.append(f"the shape asked for holds {was[0]} samples, as before; this batch has {shape[0]}")
        tries = [f"ask for ({shape[0]}, -1) by the batch's own size, or drop the last, smaller batch"]
    written = _written(evidence, failure, fixed)
    passes = agrees and bool(written)  # else the data may be what is wrong, and the line stands for the size
    lines = [
        *held(repaired, "repairs"),
        *held(written[:1], "declares_size" if passes else "made_operand"),
        *held(call(failure, f"asks for {words}"), "declares_size", *(["passes_on"] if passes else [])),
        *held(written[1:], "began"),
        *held([] if agrees else data_entry(evidence, root, failure, links), "began"),
    ]
    return Account(lines, body, tries, fits, 0.8)


def _unknown(failure: Failure) -> Account | None:
    """The shape that was asked for is not known: the line that asks."""
    own = held(call(failure, "the shape asked for"), "declares_size")
    tries = ["ask for as many elements as there are: -1 for one axis finds its size"]
    if failure.function not in ("reshape", "view"):
        tries = [f"compare this with what {failure.function} takes"]
    return Account(own, telling(failure.message, 1), tries, confidence=0.7) if failure.site else None


def _solved(evidence: Evidence, data: Operand, target: Sequence[int]) -> tuple[Sizes, Sequence[Candidate]]:
    """Return the input that would have made as many elements a sample as are asked for, and the padding that
    would, if they can be solved for.
    """
    root, links = evidence.provenance.way(data)
    batch = (concrete(root.fact.shape) or (0,))[0]
    rows, row = batch if target[0] in (-1, batch) else 0, prod(target[1:])
    if not rows or -1 in target[1:]:
        return (), ()

    def accepts(sizes: Sizes) -> bool:
        return sizes[0] == rows and prod(sizes) == rows * row

    solved = solve(links, root.fact.shape, accepts)
    return solved[0] if solved is not None else (), repairs.padding(evidence, links, root.fact.shape, accepts)


def _written(evidence: Evidence, failure: Failure, size: int) -> Sequence[Candidate]:
    """Return the lines that wrote down the size that the failing line asks for, where it did not itself."""
    if failure.site is None:
        return ()
    node = evidence.provenance.node(failure.node)
    outer = node.callers if node is not None else failure.frames[:-1][::-1]
    return asked(evidence, [*reversed(outer), failure.site], size)


def _in_memory(evidence: Evidence, failure: Failure, data: Operand, asked: str) -> Account:
    """The elements fit the shape asked for, but they do not lie in memory in that order."""
    turned = evidence.provenance.node(data.producer)
    made = made_by(turned, f"the {turned.function} leaves gaps") if turned is not None else []
    body = [
        f"{shape_words(data.fact.shape)} has the elements for {asked}, but they are not contiguous in memory"
    ]
    tries = ["use reshape, which copies where it must, or call contiguous() first"]
    lines = [*held(call(failure, f"asks for {asked}"), "said"), *held(made, "made_operand")]
    return Account(lines, body, tries, confidence=0.85)
