"""Pipelines: the functions that tf.data runs unseen: which op failed in one, and what may have made a NaN."""

from __future__ import annotations

import os
import re
import weakref
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Any

import numpy as np
from tensorflow.python.data.ops import dataset_ops, iterator_ops

from graphdebug.backends.tensorflow.facts import static_fact
from graphdebug.backends.tensorflow.messages import node_name
from graphdebug.backends.tensorflow.two.ledger import Made
from graphdebug.backends.tensorflow.two.observer import Observer
from graphdebug.backends.tensorflow.two.plan import Entry
from graphdebug.backends.tensorflow.two.planning import read_graph
from graphdebug.backends.tensorflow.two.playing import Records, Run
from graphdebug.backends.tensorflow.two.retracing import user_code
from graphdebug.model.event import Node, Notice, Site

__all__ = ["Pipelines", "named_in"]

_OF_DATA = re.compile(r"user-defined function passed to|\[Op:IteratorGetNext|IteratorGetNext")
_PLACE = re.compile(r"transformation with iterator: (\S+?):\s")
_MAPS = re.compile(r"::(?:Parallel)?Map(?:V2)?(?=::|\[|$)")
_FUNCTION = re.compile(r"\{\{function_node (\S+)\}\}")


class Pipelines:
    """The datasets that have been iterated over in this recording.

    Args:
        observer: the recording.

    """

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._told: weakref.WeakKeyDictionary[Any, Made | None] = weakref.WeakKeyDictionary()

    def iterated(self, handle: Any, frame: FrameType | None) -> None:
        """An iterator over a dataset was made: its elements come from the functions of the dataset."""
        dataset = _dataset_above(frame)
        if dataset is None:
            return
        if dataset not in self._told:
            self._told[dataset] = self._tell(dataset)
        made = self._told[dataset]
        if made is not None:
            self._observer.ledger.made[handle._id] = made

    def failing(self, message: str, frame: FrameType | None) -> tuple[Entry, Sequence[Made], int] | None:
        """Return the op of a dataset's function that an error is about, with what it was given, and its number.

        Nothing is returned where more than one op fits.
        """
        if not _OF_DATA.search(message):
            return None
        above = _dataset_above(frame)
        datasets = [*self._told, *([above] if above is not None and above not in self._told else [])]
        graphs = {id(one): (one, maps) for dataset in datasets for one, maps in _graphs(dataset)}
        found = [
            (plan, path, maps) for one, maps in graphs.values() for plan, path in self._named(one, message)
        ]  # fmt: skip
        place = _PLACE.search(message)
        if len(found) > 1 and place is not None:  # which of the maps, counted from the last one
            number = len(_MAPS.findall(place.group(1)))
            found = [one for one in found if one[2] == number]
        if len(found) != 1:
            return None
        graph, path, _ = found[0]
        run = self._run()
        raised = run.raised(path, self._arguments(graph, ()), {})
        self._observer.emit_all(run.events)
        return raised

    def _named(self, graph: Any, message: str) -> Iterator[tuple[Any, Any]]:
        plan, _ = read_graph(self._observer, graph)
        path = plan.find(lambda entry: named_in(message, entry.source.name, entry.home))
        if path:
            yield graph, path

    def _tell(self, dataset: Any) -> Made | None:
        """List what the functions of a dataset do, and return where its elements come from."""
        first = self._observer.sink.next_seq()
        functions: list[tuple[str, Site]] = []
        elements = self._elements(dataset, functions)
        if not functions:
            return None
        names = [f"{name} ({os.path.basename(site.file)}:{site.line})" for name, site in functions]
        text = (
            f"tf.data runs {', '.join(names)} out of sight: the ops are listed as they were traced, "
            "their values are not seen"
        )
        site = functions[-1][1]
        self._observer.emit(Notice(first, "blind", text, site))
        facts = sorted(
            (one for one in elements if one.fact.dtype), key=lambda one: "float" not in one.fact.dtype
        )
        if not facts:
            return None
        sink, outputs = self._observer.sink, tuple(one.fact for one in facts)
        seq = sink.next_seq()
        self._observer.emit(
            Node(
                seq, sink.step, type(dataset).__name__.strip("_"), "dataset", "other", "tensorflow", "function",
                site=site, inputs=tuple(one.operand("element") for one in facts), outputs=outputs,
                execution="inferred",
            )
        )  # fmt: skip
        return Made(outputs[0], "node", seq)

    def _elements(self, dataset: Any, functions: list[tuple[str, Site]]) -> list[Made]:
        """List the functions from the source on; return what made each part of an element, where known."""
        parts = [one for source in dataset._inputs() for one in self._elements(source, functions)]
        kind = type(dataset).__name__
        for wrapper in dataset._functions():
            graph = wrapper.function.graph
            plan, refs = read_graph(self._observer, graph)
            code = user_code(wrapper._func, self._observer.sink.sites)
            if code is not None:  # else it is one of TensorFlow's own
                site = self._observer.sink.sites.at(code.co_filename, code.co_firstlineno, code.co_name)
                functions.append((code.co_name, site))
            plan.outputs = [refs[tensor.name] for tensor in graph.outputs if tensor.name in refs]
            empty = Records(np.zeros(0, np.float32), np.zeros(0, np.int64), lambda _key, _dtypes: ())
            run = self._run()
            made = run.play(plan, empty, self._arguments(graph, parts))
            self._observer.emit_all(run.events)
            if "Filter" not in kind:
                parts = made if "MapDataset" in kind and "Flat" not in kind else []
        return parts

    def _arguments(self, graph: Any, parts: Sequence[Made]) -> list[Made]:
        if len(parts) == len(graph.inputs):
            return list(parts)
        external = {placeholder.name: outer for outer, placeholder in graph.captures}
        outers = [external.get(tensor.name) for tensor in graph.inputs]
        return [
            self._observer.made(outer) if hasattr(outer, "_numpy_internal")
            else Made(static_fact(tensor), "argument", name=tensor.op.name)
            for tensor, outer in zip(graph.inputs, outers, strict=True)
        ]  # fmt: skip

    def _run(self) -> Run:
        return Run(self._observer, None, self._observer.sink.now(), None)


def named_in(message: str, name: str, function: str) -> bool:
    """Whether a message of the runtime is about op `name` of a function of tf.data."""
    tags = [one for one in _FUNCTION.findall(message) if "__wrapped__" not in one]
    named = node_name(message)
    is_its = not tags or not function or tags[-1] == function
    return (named == name and is_its) or named.endswith(f"/{name}")


def _graphs(dataset: Any, maps: int = 0) -> Iterator[tuple[Any, int]]:
    """Yield the graphs of a dataset's functions, each with the number of maps from its own one to the end."""
    maps += type(dataset).__name__.endswith(("_MapDataset", "ParallelMapDataset"))
    for source in dataset._inputs():
        yield from _graphs(source, maps)
    for wrapper in dataset._functions():
        yield wrapper.function.graph, maps


def _dataset_above(frame: FrameType | None) -> Any:
    """Return the dataset of the iterator whose method is running above `frame`, or None."""
    for _ in range(8):
        if frame is None:
            return None
        local = frame.f_locals
        if isinstance(local.get("self"), iterator_ops.OwnedIterator):
            found = local.get("dataset") or getattr(local["self"], "_dataset", None)
            return found if isinstance(found, dataset_ops.DatasetV2) else None
        frame = frame.f_back
    return None
