"""compare_compiled(): a program run eagerly and compiled; the first value that differs is named."""

from __future__ import annotations

import copy
import inspect
import linecache
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import fx
from torch.utils._pytree import tree_leaves, tree_map

from graphdebug.backends.torch.comparing.graphs import ComparedGraph, Divergence
from graphdebug.backends.torch.comparing.values import Difference, difference_of, reach_of
from graphdebug.backends.torch.compiled.backend import recording_aot
from graphdebug.backends.torch.compiled.buffers import showing_buffers
from graphdebug.backends.torch.compiled.graph import GraphTable
from graphdebug.model.event import Site
from graphdebug.model.site import SiteFinder

__all__ = ["Comparison", "compare_compiled"]


_APART: dict[str, Any] = (
    {"isolate_recompiles": True} if "isolate_recompiles" in inspect.signature(torch.compile).parameters else {}
)
"""Keeps the programs made here from counting towards the user's recompilations, where torch can do that."""


@dataclass(frozen=True)
class Comparison:
    """What comparing gave; true where compiled and eager agree."""

    agrees: bool
    text: str
    """The report, at most 15 lines."""
    op: str = ""
    """The first op that differs; empty where none does, or where only results do."""
    site: Site | None = None
    """Its line in the user's code."""
    phase: str = ""
    """``forward`` or ``backward``."""
    difference: Difference | None = None
    compared: int = 0
    """How many values were compared."""

    def __bool__(self) -> bool:
        return self.agrees

    def __str__(self) -> str:
        return self.text


def compare_compiled(
    fn: Callable[..., Any],
    *args: Any,
    backend: str | Callable[..., Any] = "inductor",
    rtol: float | None = None,
    **kwargs: Any,
) -> Comparison:
    """Run `fn` eagerly and under torch.compile on the same arguments, and compare value by value.

    The captured graph is run op by op on what the compiled code was given, and each value that the compiled
    code leaves in memory is compared with it; forward, and backward where a result requires gradients. A
    module and tensors are copied first, no gradient is accumulated, and random numbers are the same in both
    runs (inductor is told to draw them as eager does). `fn` itself is called twice.

    Args:
        fn: a function or module.
        *args: its arguments.
        backend: the backend to compile with, as torch.compile takes it.
        rtol: largest difference that is accepted, as a part of the largest value of a tensor; by default
            1e-4 for float32, 1e-9 for float64, 1e-2 for float16, 5e-2 for bfloat16.
        **kwargs: more arguments of `fn`.

    """
    sites = SiteFinder()
    sites.ignore(str(Path(torch.__file__).parent))
    state = torch.get_rng_state()
    expected = _results(fn, args, kwargs)
    torch.set_rng_state(state)
    comparing = _ComparingBackend(backend, sites, rtol)
    found = _results(fn, args, kwargs, comparing)
    torch.set_rng_state(state)
    return _conclude(comparing, found, expected, rtol)


class _ComparingBackend:
    """Compiles as another backend does, and compares each graph when it runs."""

    def __init__(self, backend: str | Callable[..., Any], sites: SiteFinder, rtol: float | None) -> None:
        from torch._dynamo.backends.registry import lookup_backend

        self.original = lookup_backend(backend) if isinstance(backend, str) else backend
        self.name = backend if isinstance(backend, str) else getattr(backend, "__name__", "the backend")
        self.graphs: list[ComparedGraph] = []
        self._sites = sites
        self._rtol = rtol

    def __call__(self, module: fx.GraphModule, inputs: Sequence[Any]) -> Callable[..., Any]:
        with recording_aot(self._compared):
            compiled: Callable[..., Any] = self.original(module, inputs)
        return compiled

    def _compared(self, kind: str, compiler: Callable[..., Any]) -> Callable[..., Any]:
        def compile_graph(graph: fx.GraphModule, inputs: Sequence[Any]) -> Any:
            table = GraphTable(graph, self._sites, backward=kind == "bw_compiler")
            with showing_buffers(set()) if self.name == "inductor" else nullcontext():
                made = ComparedGraph(table, compiler(graph, inputs), self._rtol)
            self.graphs.append(made)
            return made

        return compile_graph


def _results(
    fn: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any], backend: Any = None
) -> list[torch.Tensor]:
    """Run the program on copies; return the tensors that it returns, and the gradients of their sums."""
    own = copy.deepcopy(fn) if isinstance(fn, torch.nn.Module) else fn
    args, kwargs = tree_map(_copied, (tuple(args), kwargs))
    parameters = list(own.parameters()) if isinstance(own, torch.nn.Module) else []
    leaves = [one for one in (*parameters, *_tensors((args, kwargs))) if one.requires_grad]
    if backend is None:
        return _run(own, args, kwargs, leaves)
    from torch._inductor import config

    with config.patch(fallback_random=True):
        return _run(torch.compile(own, backend=backend, **_APART), args, kwargs, leaves)


def _run(
    program: Callable[..., Any], args: Any, kwargs: Any, leaves: Sequence[torch.Tensor]
) -> list[torch.Tensor]:
    outputs = _tensors(program(*args, **kwargs))
    wanted = [one for one in outputs if one.requires_grad]
    gradients: Sequence[torch.Tensor | None] = ()
    if wanted and leaves:
        ones = [torch.ones_like(one) for one in wanted]
        gradients = torch.autograd.grad(wanted, leaves, ones, allow_unused=True)
    return [one.detach() for one in (*outputs, *gradients) if one is not None]


def _conclude(
    backend: _ComparingBackend,
    found: Sequence[torch.Tensor],
    expected: Sequence[torch.Tensor],
    rtol: float | None,
) -> Comparison:
    compared = sum(graph.compared for graph in backend.graphs)
    first = next((graph.first for graph in backend.graphs if graph.first is not None), None)
    if first is not None:
        phase = "backward" if first.backward else "forward"
        text = _report(backend.name, first, phase)
        return Comparison(False, text, first.step.op.name, first.step.site, phase, first.difference, compared)
    reach = reach_of(expected, max([1, *(one.numel() for one in expected)]))
    for index, (mine, theirs) in enumerate(zip(found, expected, strict=False)):
        difference = difference_of(mine, theirs, rtol, reach)
        if difference is not None:
            text = "\n".join([
                f"graphdebug: compiled ({backend.name}) differs from eager in result {index}",
                *_numbers(difference),
                f"  all {compared} values agree with the captured graph: it arose in capture or decomposition",
                "  try: backend='eager', then 'aot_eager', to see which of the two",
            ])  # fmt: skip
            return Comparison(False, text, difference=difference, compared=compared)
    counts = f"{compared} values and {len(expected)} results"
    text = f"graphdebug: compiled ({backend.name}) and eager agree in {counts}"
    return Comparison(True, text, compared=compared)


def _report(backend: str, first: Divergence, phase: str) -> str:
    step, difference = first.step, first.difference
    words = f"graphdebug: compiled ({backend}) differs from eager at {step.op.function}"
    if step.site is not None:
        words += f", at {step.site.file}:{step.site.line}"
    lines = [f"{words} ({phase})"]
    if step.site is not None:
        text = linecache.getline(step.site.file, step.site.line).strip()
        lines.append(f"{step.site.line:>6} |  {text}")
    lines += _numbers(difference)
    if first.fused:
        named = [f"{one.op.function} {_place(one.site)}" for one in first.fused]
        lines.append(f"  computed from, in the same kernel and so not compared: {', '.join(named[:6])}")
    lines.append("  every value before it agrees")
    if first.fused and difference.dtype in ("float16", "bfloat16"):
        lines.append(
            f"  try: torch._inductor.config.emulate_precision_casts = True: eager rounds to {difference.dtype} "
            "after each op, a kernel once"
        )
    else:
        lines.append("  try: a float64 run of both, to see which is right; then report it with these inputs")
    return "\n".join(lines)


def _numbers(difference: Difference) -> list[str]:
    shape = "x".join(map(str, difference.shape)) or "scalar"
    where = f" at {list(difference.index)}" if difference.index else ""
    apart, beyond = difference.relative, difference.tolerance
    return [
        f"  eager     {difference.eager:.8g}{where} of {shape} {difference.dtype}",
        f"  compiled  {difference.compiled:.8g}",
        f"  apart by {apart:.3g} of the largest value; {difference.count} elements by more than {beyond:g}",
    ]


def _place(site: Site | None) -> str:
    return f"{Path(site.file).name}:{site.line}" if site is not None else "(no line)"


def _copied(value: Any) -> Any:
    if not isinstance(value, torch.Tensor):
        return value
    return value.detach().clone().requires_grad_(value.requires_grad)


def _tensors(tree: Any) -> list[torch.Tensor]:
    return [one for one in tree_leaves(tree) if isinstance(one, torch.Tensor)]
