"""A backend of torch.compile around the user's own: it compiles as that one does, and records what runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

from torch import fx

from graphdebug.backends.torch.code.traced import sites_of_stack
from graphdebug.backends.torch.compiled.buffers import showing_buffers
from graphdebug.backends.torch.compiled.fused import FusedRun
from graphdebug.backends.torch.compiled.graph import GraphTable
from graphdebug.backends.torch.compiled.region import Region
from graphdebug.backends.torch.compiled.run import InterpretedRun
from graphdebug.backends.torch.eager import EagerRecorder

__all__ = ["RecordingBackend", "recording_aot"]

_COMPILERS = ("fw_compiler", "bw_compiler", "inference_compiler")
_INTERPRETERS = ("boxed_nop", "nop")


class RecordingBackend:
    """Stands in for one backend of the user's while a block records.

    Args:
        original: the user's backend.
        recorder: the recorder of the block.

    """

    def __init__(self, original: Callable[..., Any], recorder: EagerRecorder) -> None:
        self.original = original
        self.regions: list[Region] = []
        self._recorder = recorder
        name = getattr(original, "compiler_name", None) or getattr(original, "__name__", "a custom backend")
        self._name = self.compiler_name = self.__name__ = name

    def __call__(self, module: fx.GraphModule, inputs: Sequence[Any], **options: Any) -> Callable[..., Any]:
        """Compile `module` as the user's backend does."""
        region = Region(self._recorder, module)
        self.regions.append(region)
        self._note_break(region, module)
        with recording_aot(lambda kind, compiler: self._recorded(region, kind, compiler)):
            compiled: Callable[..., Any] = self.original(module, inputs, **options)
        return compiled

    def _recorded(self, region: Region, kind: str, compiler: Callable[..., Any]) -> Callable[..., Any]:
        """Return a compiler of graphs that does what `compiler` does, recorded when it runs."""

        def compile_graph(graph: fx.GraphModule, inputs: Sequence[Any]) -> Any:
            backward = kind == "bw_compiler"
            try:
                table = GraphTable(graph, self._recorder.sink.sites, backward=backward)
            except Exception as error:
                self._recorder.sink.tool_error("reading a captured graph", error)
                return compiler(graph, inputs)
            if self._interprets(compiler):
                return InterpretedRun(region, table, compiler(graph, inputs))
            shown: set[str] = set()
            with showing_buffers(shown) if self._name == "inductor" else nullcontext():
                plain = compiler(graph, inputs)
            run = FusedRun(region, table, plain, frozenset(shown))
            self._note_fusion(region, table, run)
            return run

        return compile_graph

    def _interprets(self, compiler: Callable[..., Any]) -> bool:
        return self._name == "aot_eager" or getattr(compiler, "__name__", "") in _INTERPRETERS

    def _note_break(self, region: Region, module: fx.GraphModule) -> None:
        reason = getattr(module, "compile_subgraph_reason", None)
        if reason is None or not reason.graph_break:
            return
        sites = sites_of_stack(reason.user_stack, self._recorder.sink.sites)
        first = str(reason.reason).strip().partition("\n")[0]
        region.notice("graph_break", f"torch.compile ended a graph here: {first}", sites[0] if sites else None)

    def _note_fusion(self, region: Region, table: GraphTable, run: FusedRun) -> None:
        which = "backward" if table.backward else "forward"
        site = next((step.site for step in table.steps if step.site is not None), None)
        if run.fused:
            text = (
                f"{self._name} fused {run.fused} of {len(table.steps)} nodes of this {which} graph: "
                "their values never reach memory, so they are checked only if a value that does is not finite; "
                "compile with backend='aot_eager' to see every one"
            )
            region.notice("fused", text, site)


@contextmanager
def recording_aot(recorded: Callable[[str, Callable[..., Any]], Callable[..., Any]]) -> Iterator[None]:
    """While inside, the compilers that a backend hands to AOTAutograd are wrapped by `recorded`."""
    from torch._dynamo.backends import common
    from torch._functorch import config

    original = common.aot_module_simplified

    def aot(module: fx.GraphModule, inputs: Sequence[Any], **options: Any) -> Any:
        wrapped = {kind: recorded(kind, options[kind]) for kind in _COMPILERS if options.get(kind) is not None}
        return original(module, inputs, **(options | wrapped))

    common.aot_module_simplified = aot
    try:
        with config.patch(enable_autograd_cache=False, donated_buffer=False):
            yield
    finally:
        common.aot_module_simplified = original
