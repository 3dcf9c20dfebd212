"""Failures of compiled programs: the node that failed while dynamo captured it, or while its graph ran."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import fx
from torch._subclasses import FakeTensorMode

from graphdebug.backends.torch.code.callsite import frames_of
from graphdebug.backends.torch.code.stack import Place
from graphdebug.backends.torch.code.traced import sites_of_trace
from graphdebug.backends.torch.compiled.call import GraphCall
from graphdebug.backends.torch.compiled.graph import module_path, named_source
from graphdebug.backends.torch.compiled.region import trace_of_input
from graphdebug.backends.torch.eager import EagerRecorder
from graphdebug.backends.torch.failing.messages import category_of
from graphdebug.backends.torch.failing.operands import operation
from graphdebug.backends.torch.nodes.facts import kind_of
from graphdebug.backends.torch.nodes.origins import trace_of
from graphdebug.backends.torch.nodes.records import Raw, Record
from graphdebug.model.event import Failure, Site

__all__ = ["failure_of_call", "failure_of_capture"]


def failure_of_call(call: GraphCall, error: BaseException, recorder: EagerRecorder) -> Failure:
    """Return the failure of the last node of `call`, a graph that raised while it ran."""
    node = call.nodes()[-1]
    return _failure(
        recorder, error, error, mode="compiled", phase=node.phase, op=node.op, function=node.function,
        family=node.family, name=node.name, module=node.module, site=node.site, run_site=node.run_site,
        operands=node.inputs, attributes=node.attributes, node=node.seq,
    )  # fmt: skip


def failure_of_capture(recorder: EagerRecorder, error: BaseException) -> Failure | None:
    """Return the failure of a node that dynamo could not capture, since it can't run with these shapes.

    The graph captured up to there is run on tensors without data, so that the log holds its nodes
    (``inferred``) with their shapes. None if `error` is no such failure.
    """
    failing = _failing_node(error)
    if failing is None:
        return None
    module, outer = failing[2].get("self"), frames_of(error.__traceback__)
    if isinstance(module, torch.nn.Module):
        user = [frame for frame, _ in outer if recorder.sink.sites.is_user(frame.f_code.co_filename)]
        recorder.modules.captured(module, user[-1] if user else None)
    raised = _Rerun(recorder, *failing).run()
    if raised is None:
        return None
    raw, cause, sites = raised
    made = operation(recorder, raw, [frame for frame, _ in frames_of(cause.__traceback__)], None)
    frames = recorder.sink.sites.of_error(error)
    return _failure(
        recorder, error, cause, mode="compiled", phase="forward", op=made.op, function=made.function,
        family=made.family, module=module_path(failing[0]), site=sites[0] if sites else None,
        run_site=frames[-1] if frames else None, frames=(*frames, *reversed(sites)),
        operands=made.operands, attributes=made.attributes, node=raw.seq if raw is not None else None,
    )  # fmt: skip


def _failure(recorder: EagerRecorder, error: BaseException, cause: BaseException, **known: Any) -> Failure:
    category, detail = category_of(cause)
    kind = type(error)
    known.setdefault("frames", recorder.sink.sites.of_error(error))
    return Failure(
        recorder.sink.next_seq(),
        recorder.sink.step,
        kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}",
        str(error),
        category,
        detail,
        "torch",
        **known,
    )


class _Rerun:
    """Runs a partly captured graph on tensors without data, under the recorder.

    Args:
        recorder: the recorder of the block.
        failing: the node that could not be captured.
        sources: where dynamo read the graph's tensors, in the order of its inputs.
        arguments: the arguments of the compiled function by name.

    """

    def __init__(
        self, recorder: EagerRecorder, failing: fx.Node, sources: Sequence[Any], arguments: Mapping[str, Any]
    ) -> None:
        self._recorder = recorder
        self._failing = failing
        self._arguments = arguments
        inputs = [node for node in failing.graph.nodes if node.op == "placeholder"]
        tensors = [node for node in inputs if isinstance(node.meta.get("example_value"), torch.Tensor)]
        self._sources = dict(zip(tensors, sources, strict=False))

    def run(self) -> tuple[Raw | None, Exception, tuple[Site, ...]] | None:
        """Return the record of the op that raised (None if a call raised before any op), what was raised and
        its lines; None if nothing was.
        """
        recorder = self._recorder
        seen = recorder.take_raws()
        values: dict[fx.Node, Any] = {}
        recorder.__exit__(None, None, None)  # the mode must see the ops before the one without data does
        try:
            with _quiet(), FakeTensorMode(allow_non_fake_inputs=True) as fake, recorder, torch.enable_grad():
                for node in self._failing.graph.nodes:
                    values[node] = self._run(node, values, fake)
                    self._place(recorder.take_raws(), node, seen)
        except Exception as error:
            raws = recorder.take_raws()
            self._place(raws, node, seen)
            raw = Raw._make(seen[-1]) if recorder.raised_by(error) is not None else None
            return raw, error, self._lines(node)
        finally:
            recorder.__enter__()
            recorder.give_raws(seen)
        return None

    def _run(self, node: fx.Node, values: dict[fx.Node, Any], fake: FakeTensorMode) -> Any:
        if node.op == "placeholder":
            return self._input(node, fake)
        arguments, options = fx.map_arg((node.args, node.kwargs), values.__getitem__)
        if node.op == "call_method":
            return getattr(arguments[0], str(node.target))(*arguments[1:], **options)
        if node.op == "call_function":
            return node.target(*arguments, **options)
        raise NotImplementedError(node.op)

    def _input(self, node: fx.Node, fake: FakeTensorMode) -> Any:
        example = node.meta.get("example_value")
        if not isinstance(example, torch.Tensor):
            return _plain(example)
        shape = [_plain(size) for size in example.shape]
        with fake, self._recorder.muted():
            made = torch.empty(shape, dtype=example.dtype, device=example.device)
            made.requires_grad_(example.requires_grad)
        source = self._sources.get(node)
        name, origin = named_source(source)
        trace = trace_of(kind_of(made), None, named=(origin, name))
        real = self._arguments.get(name) if origin == "argument" else None
        if isinstance(real, torch.Tensor) and list(real.shape) == shape:
            trace = trace_of_input(self._recorder, real, name, origin)
        self._recorder.origins.put(made, trace)
        return made

    def _place(self, raws: Sequence[Record], node: fx.Node, seen: list[Record]) -> None:
        """Give the ops of one captured node its line and module, and keep them."""
        sites = self._recorder.sink.sites
        positions = tuple(sites.adopt(site) for site in self._lines(node))
        place = Place(positions, sites)
        for raw in map(Raw._make, raws):
            execution = "inferred" if raw.execution == "executed" else raw.execution
            placed = raw._replace(place=place, module=module_path(node), mode="compiled", execution=execution)
            seen.append(tuple(placed))

    def _lines(self, node: fx.Node) -> tuple[Site, ...]:
        return sites_of_trace(node.meta.get("stack_trace"), self._recorder.sink.sites)


def _failing_node(error: BaseException) -> tuple[fx.Node, list[Any], dict[str, Any]] | None:
    """The node that dynamo could not run, where it read the inputs of its graph, and the call's arguments."""
    arguments: dict[str, Any] = {}
    for link in _chain(error):
        for frame, _ in frames_of(link.__traceback__):
            held = frame.f_locals
            if frame.f_code.co_name == "_compile" and type(held.get("locals")) is dict:
                arguments = held["locals"]
            elif frame.f_code.co_name == "_get_fake_value_impl" and isinstance(held.get("node"), fx.Node):
                known = getattr(getattr(held.get("tx"), "output", None), "tracked_fakes_id_to_source", {})
                return held["node"], [sources[0] for sources in known.values() if sources], arguments
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


@contextmanager
def _quiet() -> Iterator[None]:
    """While inside, torch does not print the traceback of an op that fails on tensors without data."""
    log = logging.getLogger("torch._subclasses.fake_tensor")
    was, log.disabled = log.disabled, True
    try:
        yield
    finally:
        log.disabled = was


def _plain(size: Any) -> Any:
    """A symbolic size as the number it had."""
    hint = getattr(getattr(size, "node", None), "_hint", None)
    return size if hint is None else hint
