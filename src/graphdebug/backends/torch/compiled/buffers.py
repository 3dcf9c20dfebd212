"""Seeing the buffers of inductor's code: each is shown once it is written; kernels stay as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

__all__ = ["showing_buffers", "watching_buffers"]


@contextmanager
def showing_buffers(shown: set[str]) -> Iterator[None]:
    """While inside, inductor generates code that shows each buffer, under its node's name, after writing it.

    The kernels' own source does not change: a call is added to the wrapper code after each kernel's.

    Args:
        shown: filled with the names of the nodes whose values are shown.

    """
    from torch._inductor import config
    from torch._inductor.codegen.wrapper import PythonWrapperCodegen

    kernel_call = PythonWrapperCodegen.generate_kernel_call
    extern_call = PythonWrapperCodegen.generate_extern_kernel_out

    def with_buffers(self: Any, kernel_name: str, call_args: Any, **options: Any) -> None:
        kernel_call(self, kernel_name, call_args, **options)
        for name in call_args:
            _show(self, name, shown)

    def with_output(self: Any, node: Any) -> None:
        extern_call(self, node)
        _show(self, node.get_name(), shown)

    if config.cpp_wrapper:
        yield
        return
    PythonWrapperCodegen.generate_kernel_call = with_buffers
    PythonWrapperCodegen.generate_extern_kernel_out = with_output
    try:
        with config.patch(generate_intermediate_hooks=True, fx_graph_cache=False):
            yield
    finally:
        PythonWrapperCodegen.generate_kernel_call = kernel_call
        PythonWrapperCodegen.generate_extern_kernel_out = extern_call


@contextmanager
def watching_buffers(watch: Callable[[str, torch.Tensor], None]) -> Iterator[None]:
    """While inside, `watch` is called with each shown buffer and its node's name."""
    from torch._inductor import hooks

    hooks.INTERMEDIATE_HOOKS.append(watch)
    try:
        yield
    finally:
        hooks.INTERMEDIATE_HOOKS.remove(watch)


def _show(wrapper: Any, name: Any, shown: set[str]) -> None:
    """Add the call that shows buffer `name`, the first time a kernel has it among its arguments."""
    from torch._inductor.virtualized import V

    buffer = V.graph.name_to_buffer.get(name) if isinstance(name, str) else None
    origin = buffer.get_origin_node() if buffer is not None else None
    if origin is not None and origin.name not in shown:
        shown.add(origin.name)
        wrapper.writeline(f"run_intermediate_hooks({origin.name!r}, {name})")
