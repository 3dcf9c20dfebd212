"""Mixing: which graph each part of a call that mixed two belongs to, how large it is, and who made the part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from graphdebug.backends.protocol import Sink
from graphdebug.backends.tensorflow.messages import Reading
from graphdebug.backends.tensorflow.sites import build_sites

__all__ = ["told_apart"]


def told_apart(sink: Sink, reading: Reading, parts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the detail of a failure that mixed graphs, with its `parts`: tensors, ops, variables or graphs.

    Each has its role, how many nodes of the user's its graph has, which graph it is (numbered in the order of
    the parts), and the lines that made it.
    """
    graphs: list[Any] = []
    told = []
    for role, part in parts.items():
        graph = getattr(part, "graph", part)
        if not hasattr(graph, "get_operations"):
            continue
        graphs += [graph] if not any(graph is one for one in graphs) else []
        op = getattr(part, "op", part) if part is not graph else None
        sites = build_sites(op, sink.sites) if op is not None else ()
        told.append(
            {
                "role": role, "name": getattr(part, "name", ""), "nodes": _count(graph),
                "graph": next(at for at, one in enumerate(graphs) if one is graph),
                "sites": [msgspec.to_builtins(one) for one in sites],
            }
        )  # fmt: skip
    return {**reading.detail, "parts": told} if len(graphs) > 1 else reading.detail


def _count(graph: Any) -> int:
    return sum(not op.name.startswith("graphdebug/") for op in graph.get_operations())
