"""Detail: all about one node: its line, what it took and made, who used it, how it went over the steps."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from itertools import islice

import msgspec

from graphdebug.model.event import (
    Declaration,
    Failure,
    Gradient,
    Node,
    Operand,
    Site,
    Stats,
    TensorFact,
)
from graphdebug.model.run import Run
from graphdebug.view.history import History, history
from graphdebug.view.path import data_path
from graphdebug.view.rows import worst
from graphdebug.view.words import clean, health, number_text, shape_text, site_text

__all__ = [
    "Detail",
    "Snippet",
    "TensorRow",
    "consumers",
    "detail",
    "snippet",
]

_LONGEST_CHAIN = 12
_MOST_CONSUMERS = 20


class Snippet(msgspec.Struct, frozen=True):
    """Some lines of source around one place."""

    title: str
    lines: tuple[tuple[int, str], ...]
    line: int
    column: int
    end_column: int


class TensorRow(msgspec.Struct, frozen=True):
    """One tensor that a node took or made."""

    role: str
    shape: str
    dtype: str
    health: str
    stats: str
    origin: str
    """What made it, in words: ``#41 conv2d net.py:30``, ``parameter fc.weight``."""
    producer: int | None
    values: str


class Detail(msgspec.Struct, frozen=True):
    """All about one node or failing call."""

    title: str
    facts: tuple[tuple[str, str], ...]
    ran: Snippet | None
    declared: tuple[tuple[str, Snippet | None], ...]
    """Layers, parameters and variables it used, in words, with the lines that made them."""
    inputs: tuple[TensorRow, ...]
    outputs: tuple[TensorRow, ...]
    gradients: tuple[TensorRow, ...]
    chain: tuple[tuple[int, str], ...]
    """Producers of its data in the same step, nearest first: number and words."""
    consumers: tuple[tuple[int, str], ...]
    history: History | None


def detail(run: Run, seq: int) -> Detail | None:
    """Return all about the node or failure with this number, or None if there is neither."""
    event = run.event(seq)
    if isinstance(event, Failure):
        return _of_failure(run, event)
    if not isinstance(event, Node):
        return None
    beside = run.step(event.step)
    return Detail(
        title=f"#{seq} {clean(event.function or event.op)}",
        facts=_facts(run, event),
        ran=snippet(run, event.site),
        declared=_declared(run, [event.module, *(one.name for one in event.inputs)]),
        inputs=tuple(_operand_row(run, one) for one in event.inputs),
        outputs=tuple(_fact_row(fact, f"output {at}") for at, fact in enumerate(event.outputs)),
        gradients=tuple(_gradient_row(run, one) for one in beside.gradients if one.node == seq),
        chain=_chain(run, event.inputs, event.step),
        consumers=tuple(
            (one.seq, in_words(one, shapes=True)) for one in consumers(run, event)[:_MOST_CONSUMERS]
        ),
        history=history(run, event),
    )


def _of_failure(run: Run, failure: Failure) -> Detail:
    place = failure.function or failure.op or "the program"
    return Detail(
        title=f"#{failure.seq} {clean(failure.error)} in {clean(place)}",
        facts=tuple(
            (name, clean(text))
            for name, text in (
                ("message", failure.message),
                ("category", failure.category),
                ("step", f"{failure.step}, {failure.phase}"),
                ("op", failure.op),
                ("module", failure.module or failure.name),
                ("frames", " > ".join(f"{site_text(one)} {one.function}".strip() for one in failure.frames)),
                ("attributes", _attributes(failure.attributes)),
                ("detail", _attributes(failure.detail)),
            )
            if text
        ),
        ran=snippet(run, failure.site),
        declared=_declared(run, [failure.module, *(one.name for one in failure.operands)]),
        inputs=tuple(_operand_row(run, one) for one in failure.operands),
        outputs=(),
        gradients=(),
        chain=_chain(run, failure.operands, failure.step),
        consumers=(),
        history=None,
    )


def snippet(run: Run, site: Site | None, around: int = 2) -> Snippet | None:
    """Return the source around `site`; without its text only the place."""
    if site is None:
        return None
    lines = run.source_lines(site.file)
    shown = [
        (number, clean(lines[number - 1], lines=True))
        for number in range(
            max(1, site.line - around), min(len(lines), max(site.line, site.end_line) + around) + 1
        )
    ]
    title = f"{clean(site.file)}:{site.line}" + (f" in {clean(site.function)}" if site.function else "")
    one_line = site.end_line in (0, site.line)
    return Snippet(title, tuple(shown), site.line, site.column, site.end_column if one_line else -1)


def _facts(run: Run, node: Node) -> tuple[tuple[str, str], ...]:
    rank = run.rank(node)
    forward = run.node(node.forward)
    rows = (
        ("step", f"{node.step}, {node.phase}" + ("" if rank is None else f", rank {rank}")),
        (
            "op",
            f"{'.'.join(filter(None, (node.op, node.overload)))} ({node.family}, {node.framework} {node.mode})",
        ),
        ("name", node.name),
        ("module", node.module),
        ("line", f"{node.site.file}:{node.site.line}" if node.site else "unknown"),
        ("run by", f"{node.run_site.file}:{node.run_site.line}" if node.run_site else ""),
        ("called by", " < ".join(site_text(one) for one in node.callers)),
        ("forward", in_words(forward) if forward else ""),
        ("writes", "input " + ", ".join(map(str, node.mutates)) + " in place" if node.mutates else ""),
        ("attributes", _attributes(node.attributes)),
        ("execution", "" if node.execution == "executed" else node.execution),
        ("duration", f"{node.duration * 1e6:.0f} us on the host" if node.duration else ""),
    )
    return tuple((name, clean(text)) for name, text in rows if text)


def _declared(run: Run, names: Iterable[str]) -> tuple[tuple[str, Snippet | None], ...]:
    """The declarations of some names; of a dotted name also those of its parents, while none is found."""
    known = _declarations(run)
    found: dict[str, Declaration] = {}
    for name in names:
        while name and name not in known:
            name = name.rpartition(".")[0]
        if name:
            found[name] = known[name]
    return tuple((_declaration_text(one), snippet(run, one.site, 0)) for one in found.values())


def _declarations(run: Run) -> dict[str, Declaration]:
    return {one.name: one for one in run.declarations}


def _declaration_text(one: Declaration) -> str:
    said = _attributes(one.attributes)
    return clean(
        f"{one.name}: {one.type}({said})" + (f", found in the {one.how}" if one.how == "source" else "")
    )


def _attributes(attributes: dict[str, object]) -> str:
    return ", ".join(f"{name}={value}" for name, value in attributes.items())


def _operand_row(run: Run, operand: Operand) -> TensorRow:
    made = run.producer(operand)
    if made is not None:
        origin = in_words(made)
    else:
        origin = f"{operand.origin} {operand.name}".strip()
        origin += f" #{operand.producer} (not recorded)" if operand.producer is not None else ""
    role = operand.role or "input"
    if operand.expression:
        role += f" ({operand.expression})"
    return _fact_row(operand.fact, role, origin, operand.producer if made else None)


def _gradient_row(run: Run, gradient: Gradient) -> TensorRow:
    made = run.node(gradient.producer)
    role = f"gradient of {gradient.name or f'output {gradient.output}'}"
    return _fact_row(gradient.fact, role, in_words(made) if made else "", made.seq if made else None)


def _fact_row(fact: TensorFact, role: str, origin: str = "", producer: int | None = None) -> TensorRow:
    more = " ".join(one for one in (fact.layout, "" if fact.device == "cpu" else fact.device) if one)
    shown = ", ".join(number_text(v) if isinstance(v, float) else str(v) for v in fact.values[:8])
    return TensorRow(
        role=clean(role),
        shape=shape_text(fact.shape),
        dtype=clean(f"{fact.dtype} {more}".strip()),
        health=health(fact),
        stats=_stats_text(fact.stats),
        origin=clean(origin + (f", a view of #{fact.alias_of}" if fact.alias_of is not None else "")),
        producer=producer,
        values=clean(
            shown + (", ..." if len(fact.values) > 8 else "") + (f" {fact.saved}" if fact.saved else "")
        ),
    )


def _stats_text(stats: Stats | None) -> str:
    if stats is None:
        return ""
    numbers = (f"{name} {number_text(getattr(stats, name))}" for name in ("min", "max", "mean", "std", "l2")
               if getattr(stats, name) is not None)  # fmt: skip
    counts = (f"{getattr(stats, name)} {name}" for name in ("zero",) if getattr(stats, name))
    return ", ".join((*numbers, *counts))


def _chain(run: Run, operands: Sequence[Operand], step: int) -> tuple[tuple[int, str], ...]:
    path = islice(data_path(run, operands, step), _LONGEST_CHAIN)
    return tuple((node.seq, in_words(node, shapes=True)) for node in path)


def consumers(run: Run, node: Node) -> list[Node]:
    """Return the nodes of the same step that take an output of `node`, or are its backward."""
    return [
        one
        for one in run.step(node.step).nodes
        if one.forward == node.seq or any(operand.producer == node.seq for operand in one.inputs)
    ]


def in_words(node: Node, *, shapes: bool = False) -> str:
    """Return ``#41 conv2d net.py:30``, with the shape it made and what is wrong with it."""
    words = [f"#{node.seq}", node.function or node.op, site_text(node.site) or os.path.basename(node.name)]
    if shapes:
        fact = worst(node.outputs)
        words.append("" if fact is None else shape_text(fact.shape))
        words.append("" if fact is None or fact.finite is not False else health(fact))
    return clean(" ".join(word for word in words if word))
