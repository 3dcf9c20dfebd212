"""Packing: how the numbers of many tensors come back in a few fetches, by what is known of their sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from functools import partial
from math import prod
from typing import Any

from graphdebug.backends.tensorflow.facts import dtype_word
from graphdebug.backends.tensorflow.packs import CODES, ROOM, SMALL, VALUED, Pack, Place, kernel
from graphdebug.backends.tensorflow.sessions.plan import PlanNode
from graphdebug.backends.tensorflow.sessions.probed import Measured, Probed, inferred
from graphdebug.backends.tensorflow.sessions.probes import COUNTS, FLOATS, build_count, build_probe, width
from graphdebug.backends.tensorflow.sessions.scaffold import joined, once
from graphdebug.backends.tensorflow.sessions.whole import Whole
from graphdebug.model.event import Level, Shape

__all__ = ["Places", "add_fetched", "pack"]

Places = Sequence[tuple[PlanNode, int, Any]]
"""What is to be measured: (node, output number, tensor)."""


def add_fetched(probed: Probed, places: Places, shapes: Mapping[str, Sequence[Shape | None]]) -> None:
    """Fetch what tells of tensors outside frames: their elements, or numbers that are measured in the graph."""
    if probed.level == "values":
        for node, output, tensor in places:
            probed.measured.append(Measured(node.index, output, dtype_word(tensor.dtype), 0, 0))
            probed.fetches.append(tensor)
        return
    known = [place for place in places if _is_known(probed, place, shapes)]
    probed.known_shapes, probed.shape_fetch = pack(known, shapes, "shapes", Whole())
    here, in_graph = _split(probed, places, {(node.index, output) for node, output, _ in known}, shapes)
    probed.measured, packed = pack(
        in_graph, shapes, probed.level, probed.whole, {id(tensor) for _, _, tensor in known}
    )
    if packed is not None:
        probed.fetches.append(packed)
    _add_packs(probed, here, shapes)


def _is_known(
    probed: Probed, place: tuple[PlanNode, int, Any], shapes: Mapping[str, Sequence[Shape | None]]
) -> bool:
    """Whether a tensor's shape follows from the shapes of the feeds."""
    node, output, _ = place
    shape = inferred(shapes, node, output)
    return shape is not None and None not in shape and (node.index, output) not in probed.distrusted


def _split(
    probed: Probed, places: Places, known: set[Place], shapes: Mapping[str, Sequence[Shape | None]]
) -> tuple[Places, Places]:
    """Return what is fetched to be looked at here, and what is measured in the graph; others need neither."""
    here: list[tuple[PlanNode, int, Any]] = []
    in_graph: list[tuple[PlanNode, int, Any]] = []
    room = ROOM if probed.local and probed.level != "health" else 0
    for place in places:
        node, output, tensor = place
        dtype = dtype_word(tensor.dtype)
        if (node.index, output) not in known:
            in_graph.append(place)
            continue
        whole = (node.index, output) in probed.whole.places
        if probed.level == "shapes" or (probed.level == "health" and dtype not in FLOATS and not whole):
            continue
        elements = _elements(shapes, node, output) or 0
        size = elements * tensor.dtype.size
        if kernel is None or dtype not in CODES:
            in_graph.append(place)
        elif elements <= SMALL:
            here.append(place)
        elif size <= room and node.family != "copy":  # a variable's memory, held, is copied by its update
            room -= size
            here.append(place)
        else:
            in_graph.append(place)
    return here, in_graph


def _add_packs(probed: Probed, places: Places, shapes: Mapping[str, Sequence[Shape | None]]) -> None:
    """Fetch small tensors joined by dtype, the others as they are."""
    import tensorflow as tf

    alike: dict[str, tuple[list[tuple[PlanNode, int, Any]], list[tuple[PlanNode, int, Any]]]] = {}
    for node, output, tensor in places:
        dtype, elements = dtype_word(tensor.dtype), _elements(shapes, node, output) or 0
        whole = (node.index, output) in probed.whole.places
        few = SMALL if whole else VALUED if node.phase == "backward" else 1
        valued = probed.level == "health" and 0 < elements <= few
        if elements <= SMALL:
            alike.setdefault(dtype, ([], []))[not valued].append((node, output, tensor))
        else:
            probed.packs.append(Pack(dtype, len(probed.fetches), [(node.index, output)]))
            probed.fetches.append(tensor)
    for dtype, (first, rest) in alike.items():
        several = [*first, *rest]
        flat = [once(tensor, "flat", lambda tensor: tf.reshape(tensor, [-1])) for _, _, tensor in several]
        joint = [(node.index, output) for node, output, _ in several]
        probed.packs.append(Pack(dtype, len(probed.fetches), joint, len(first)))
        probed.fetches.append(joined(flat))


def _elements(shapes: Mapping[str, Sequence[Shape | None]], node: PlanNode, output: int) -> int | None:
    shape = inferred(shapes, node, output)
    return None if shape is None or None in shape else prod(size for size in shape if size is not None)


def pack(
    places: Places, shapes: Mapping[str, Sequence[Shape | None]], level: Level, whole: Whole,
    known: Set[int] = frozenset(),
) -> tuple[list[Measured], Any]:  # fmt: skip
    """Probe some tensors; return where their numbers stand in one vector, and the vector (None if empty).

    Args:
        places: what to probe.
        shapes: as inferred.
        level: how much to measure.
        whole: what is measured at level health, too.
        known: ids of the tensors whose shapes need not be measured.

    """
    measured: list[Measured] = []
    parts, start = [], 0
    for node, output, tensor in places:
        dtype = dtype_word(tensor.dtype)
        wanted = whole.level(level, node, output)
        counted = wanted == "health" and id(tensor) in known
        size = COUNTS if counted else width(wanted, dtype)
        elements = _elements(shapes, node, output)
        parts.append(
            once(tensor, "count", build_count) if counted
            else once(tensor, wanted, partial(build_probe, level=wanted, elements=elements, key=0))
        )  # fmt: skip
        measured.append(Measured(node.index, output, dtype, start, size, counted, wanted))
        start += size
    return measured, joined(parts) if parts else None
