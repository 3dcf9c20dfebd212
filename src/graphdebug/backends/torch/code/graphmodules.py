"""Lines in the code of fx GraphModules and exported programs, led back to the lines that were traced."""

from __future__ import annotations

from types import CodeType, FrameType
from typing import Any

from torch import fx

from graphdebug.backends.torch.code.traced import sites_of_trace
from graphdebug.model.site import SiteFinder

__all__ = ["GENERATED", "TracedLines"]

GENERATED = "<eval_with_key>"
"""How the file names of generated code begin."""


class TracedLines:
    """Positions for frames of generated code, each looked up once."""

    def __init__(self, sites: SiteFinder) -> None:
        self._sites = sites
        self._known: dict[tuple[CodeType, int], tuple[Any, ...]] = {}

    def of(self, frame: FrameType) -> tuple[Any, ...]:
        """Return code and offset of the traced lines, innermost first, as one flat tuple.

        Where the graph does not know them (``fx.symbolic_trace`` keeps none), those of the generated line;
        none where torch traced code of its own, as it does to run a ``cond`` eagerly.
        """
        own = frame.f_code, frame.f_lasti
        found = self._known.get(own)
        if found is None:
            traced = self._traced(frame)
            found = self._known[own] = own if traced is None else traced
        return found

    def _traced(self, frame: FrameType) -> tuple[Any, ...] | None:
        """Return none of the user's lines where torch's own code was traced, None where that is not known."""
        module = frame.f_locals.get("self")
        if not isinstance(module, fx.GraphModule) or not getattr(module, "_lineno_map", None):
            return None
        index = module._lineno_map.get(frame.f_lineno - module._prologue_start)
        nodes = list(module.graph.nodes)
        if index is None or index >= len(nodes) or nodes[index].stack_trace is None:
            return None
        sites = sites_of_trace(nodes[index].stack_trace, self._sites)
        return tuple(part for site in sites for part in self._sites.adopt(site))
