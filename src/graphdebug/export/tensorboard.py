"""TensorBoard: scalars of every layer and gradient over the steps, and histograms where they were recorded."""

from __future__ import annotations

import math
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from graphdebug.errors import GraphDebugError, OptionError
from graphdebug.model.event import Stats, TensorFact
from graphdebug.model.run import Run
from graphdebug.view.select import Watch
from graphdebug.view.words import clean

__all__ = ["SUFFIX", "write"]

SUFFIX = ".tensorboard"
_SCALARS = ("l2", "mean", "std", "min", "max")


def write(run: Run, output: Path, watch: Watch) -> str:
    """Write an event file into the folder `output`; return what was written.

    Raises:
        GraphDebugError: tensorboard is not installed.
        OptionError: `output` is a file.

    """
    if output.is_file():
        raise OptionError(f"{output} is a file: TensorBoard reads a folder")
    writer = _Writer(output, run)
    layers: dict[str, tuple[int, float, TensorFact]] = {}
    for node in watch(run.nodes):
        name = node.module or node.name.rpartition("/")[0]
        if node.phase != "forward" or not name or not node.outputs:
            continue
        known = layers.get(name)
        if known is not None and known[0] != node.step:
            writer.add(f"activation/{name}", *known)
        layers[name] = node.step, node.time, node.outputs[0]
    for name, last in layers.items():
        writer.add(f"activation/{name}", *last)
    for one in run.gradients:
        if one.name:
            writer.add(f"gradient/{one.name}", one.step, 0.0, one.fact)
    writer.close()
    return f"{writer.scalars:,} scalars and {writer.histograms:,} histograms: tensorboard --logdir {output}"


class _Writer:
    def __init__(self, folder: Path, run: Run) -> None:
        try:
            from tensorboard.compat.proto import event_pb2, summary_pb2
            from tensorboard.plugins.histogram import metadata
            from tensorboard.summary.writer.record_writer import RecordWriter
            from tensorboard.util import tensor_util
        except ImportError as error:
            raise GraphDebugError(
                "this needs tensorboard: install it with `pip install 'graphdebug[tensorboard]'`"
            ) from error
        self._event, self._summary, self._metadata, self._tensor = event_pb2, summary_pb2, metadata, tensor_util
        self._began = _seconds(run)
        folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{int(self._began)}.graphdebug"
        self._writer = RecordWriter((folder / name).open("wb"))
        self._write(file_version="brain.Event:2", wall_time=self._began)
        self.scalars = self.histograms = 0

    def add(self, tag: str, step: int, at: float, fact: TensorFact) -> None:
        """Add what is known of a tensor under ``<tag>/l2`` and so on."""
        tag = clean(tag)
        values: list[Any] = []
        if fact.finite is not None:
            values.append(self._summary.Summary.Value(tag=f"{tag}/finite", simple_value=float(fact.finite)))
        for name in _SCALARS:
            value = getattr(fact.stats, name, None)
            if value is not None:
                shown = math.nan if fact.finite is False and name == "l2" else float(value)
                values.append(self._summary.Summary.Value(tag=f"{tag}/{name}", simple_value=shown))
        self.scalars += len(values)
        if fact.stats is not None and fact.stats.histogram:
            values.append(self._histogram(tag, fact.stats))
            self.histograms += 1
        if values:
            self._write(wall_time=self._began + at, step=step, summary=self._summary.Summary(value=values))

    def close(self) -> None:
        """Write out everything."""
        self._writer.close()

    def _write(self, **fields: Any) -> None:
        self._writer.write(self._event.Event(**fields).SerializeToString())

    def _histogram(self, tag: str, stats: Stats) -> Any:
        """Buckets as TensorBoard keeps them: left edge, right edge, count."""
        import numpy as np

        counts = np.asarray(stats.histogram, dtype=np.float64)
        edges = np.linspace(float(stats.min or 0), float(stats.max or 0), len(counts) + 1)
        buckets = np.stack([edges[:-1], edges[1:], counts], axis=1)
        kind = self._metadata.create_summary_metadata(display_name=None, description=None)
        made = self._tensor.make_tensor_proto(buckets, dtype=np.float64)
        return self._summary.Summary.Value(tag=f"{tag}/elements", metadata=kind, tensor=made)


def _seconds(run: Run) -> float:
    """When the run started, in seconds since 1970; now where the log does not say."""
    try:
        return datetime.fromisoformat(run.start.started).timestamp() if run.start else time.time()
    except (ValueError, OverflowError):
        return time.time()
