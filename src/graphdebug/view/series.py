"""Series: activations and gradients of each layer over the steps, for heat maps and curves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import msgspec

from graphdebug.model.event import Gradient, Number, TensorFact, number
from graphdebug.model.run import Run
from graphdebug.view.rows import worst
from graphdebug.view.select import Watch
from graphdebug.view.words import clean

__all__ = ["Layer", "Series", "layer_series"]

_MOST_LAYERS = 150
_MOST_COLUMNS = 300


class Layer(msgspec.Struct, frozen=True):
    """One layer over the steps: a value a column, None where it did not run or nothing is known."""

    name: str
    activation: tuple[Number | None, ...]
    """L2 norm of its last forward output; NaN where that is not finite."""
    gradient: tuple[Number | None, ...]
    """L2 norm of the gradients of its parameters together; NaN where one is not finite."""
    low: tuple[Number | None, ...]
    mean: tuple[Number | None, ...]
    std: tuple[Number | None, ...]
    high: tuple[Number | None, ...]
    seqs: tuple[int | None, ...]
    """The node whose output it is."""
    histograms: tuple[tuple[int, ...], ...]
    """Counts of elements in equal bins from `low` to `high`; empty where not recorded."""


class Series(msgspec.Struct, frozen=True):
    """All layers over the steps."""

    steps: tuple[int, ...]
    """First step of each column."""
    layers: tuple[Layer, ...]
    said: str
    """What was left out or put together; empty if nothing was."""


class _Collected:
    def __init__(self) -> None:
        self.outputs: dict[int, tuple[int, TensorFact]] = {}
        self.norms: dict[int, float] = {}


def layer_series(run: Run, watch: Watch | None = None) -> Series:
    """Return every layer's output and gradient norms over all steps; many steps are put together."""
    layers: dict[str, _Collected] = {}
    steps: set[int] = set()
    for node in watch(run.nodes) if watch else run.nodes:
        name = node.module or node.name.rpartition("/")[0]
        if node.phase == "forward" and name:
            fact = worst(node.outputs)
            if fact is not None and (fact.stats is not None or fact.finite is not None):
                layers.setdefault(name, _Collected()).outputs[node.step] = node.seq, fact
                steps.add(node.step)
    for gradient in run.gradients:
        if gradient.name:
            _add_gradient(layers.setdefault(_layer_of(gradient.name), _Collected()), gradient)
            steps.add(gradient.step)
    columns = _columns(sorted(steps))
    shown = dict(list(layers.items())[:_MOST_LAYERS])
    said = [f"the first {_MOST_LAYERS} of {len(layers)} layers"] if len(layers) > _MOST_LAYERS else []
    if len(steps) > len(columns):
        said.append(f"{len(steps)} steps in {len(columns)} columns, each drawn by its worst step")
    made = tuple(_layer(clean(name), one, columns) for name, one in shown.items())
    return Series(tuple(group[0] for group in columns), made, "; ".join(said))


def _layer_of(parameter: str) -> str:
    return parameter.rpartition("/" if "/" in parameter else ".")[0] or parameter


def _add_gradient(layer: _Collected, gradient: Gradient) -> None:
    fact = gradient.fact
    if fact.finite is False:
        norm = math.nan
    elif fact.stats is None or fact.stats.l2 is None:
        return
    else:
        norm = float(fact.stats.l2)
    layer.norms[gradient.step] = math.hypot(layer.norms.get(gradient.step, 0.0), norm)


def _columns(steps: Sequence[int]) -> list[Sequence[int]]:
    if len(steps) <= _MOST_COLUMNS:
        return [[step] for step in steps]
    edges = [at * len(steps) // _MOST_COLUMNS for at in range(_MOST_COLUMNS + 1)]
    return [steps[low:high] for low, high in pairwise(edges)]


def _layer(name: str, one: _Collected, columns: Sequence[Sequence[int]]) -> Layer:
    chosen = [_loudest(one.outputs, group) for group in columns]
    facts = [None if pair is None else pair[1] for pair in chosen]
    return Layer(
        name=name,
        activation=tuple(_norm(fact) for fact in facts),
        gradient=tuple(_gradient(one.norms, group) for group in columns),
        low=_stat(facts, "min"),
        mean=_stat(facts, "mean"),
        std=_stat(facts, "std"),
        high=_stat(facts, "max"),
        seqs=tuple(None if pair is None else pair[0] for pair in chosen),
        histograms=tuple(fact.stats.histogram if fact and fact.stats else () for fact in facts),
    )


def _loudest(outputs: dict[int, tuple[int, TensorFact]], group: Sequence[int]) -> tuple[int, TensorFact] | None:
    found = [outputs[step] for step in group if step in outputs]
    return max(found, key=lambda pair: _loudness(_norm(pair[1])), default=None)


def _loudness(norm: Number | None) -> float:
    if norm is None:
        return -1.0
    value = float(norm)
    return value if math.isfinite(value) else math.inf


def _norm(fact: TensorFact | None) -> Number | None:
    if fact is None:
        return None
    if fact.finite is False:
        return "NaN"
    return fact.stats.l2 if fact.stats else None


def _gradient(norms: dict[int, float], group: Sequence[int]) -> Number | None:
    found = [norms[step] for step in group if step in norms]
    if not found:
        return None
    return number(math.nan if any(math.isnan(one) for one in found) else max(found))


def _stat(facts: Sequence[TensorFact | None], name: str) -> tuple[Number | None, ...]:
    return tuple(getattr(fact.stats, name) if fact is not None and fact.stats else None for fact in facts)
