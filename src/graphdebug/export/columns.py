"""Columns: nodes and gradients as typed columns, for Arrow, Parquet, pandas and CSV."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from graphdebug.errors import GraphDebugError
from graphdebug.model.event import Gradient, Node, Number, Shape, Stats, TensorFact
from graphdebug.model.run import Run

if TYPE_CHECKING:
    import pyarrow

__all__ = ["GRADIENTS", "NODES", "Column", "arrow_batches", "arrow_schema", "arrow_table", "pandas_frame"]

_BATCH = 50_000


class Column(NamedTuple):
    """One column: its name, its Arrow type, and how a value is read off an event."""

    name: str
    type: str
    get: Callable[[Any], Any]


def _worst(facts: Sequence[TensorFact]) -> TensorFact | None:
    return next((fact for fact in facts if fact.finite is False), facts[0] if facts else None)


def _sizes(shape: Shape | None) -> list[int] | None:
    """Sizes as integers; -1 is a size that is not known."""
    return None if shape is None else [-1 if size is None else size for size in shape]


def _float(value: Number | None) -> float | None:
    return None if value is None else float(value)


def _of_fact(fact_of: Callable[[Any], TensorFact | None]) -> list[Column]:
    """The columns that describe one tensor."""

    def stat(name: str, convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def get(event: Any) -> Any:
            fact = fact_of(event)
            stats: Stats | None = fact.stats if fact is not None else None
            return None if stats is None else convert(getattr(stats, name))

        return get

    def of(name: str) -> Callable[[Any], Any]:
        return lambda event: getattr(fact_of(event), name, None)

    return [
        Column("shape", "list", lambda event: _sizes(of("shape")(event))),
        Column("dtype", "text", of("dtype")),
        Column("device", "text", of("device")),
        Column("finite", "bool", of("finite")),
        *(Column(name, "int", stat(name, int)) for name in ("nan", "pos_inf", "neg_inf", "zero")),
        *(Column(name, "float", stat(name, _float)) for name in ("min", "max", "mean", "std", "l2")),
    ]


NODES: list[Column] = [
    Column("seq", "int", lambda node: node.seq),
    Column("step", "int", lambda node: node.step),
    Column("phase", "text", lambda node: node.phase),
    Column("op", "text", lambda node: node.op),
    Column("function", "text", lambda node: node.function),
    Column("family", "text", lambda node: node.family),
    Column("framework", "text", lambda node: node.framework),
    Column("mode", "text", lambda node: node.mode),
    Column("name", "text", lambda node: node.name),
    Column("module", "text", lambda node: node.module),
    Column("file", "text", lambda node: node.site.file if node.site else None),
    Column("line", "int", lambda node: node.site.line if node.site else None),
    Column("inputs", "lists", lambda node: [_sizes(one.fact.shape) for one in node.inputs]),
    Column("producers", "list", lambda node: [one.producer for one in node.inputs if one.producer is not None]),
    Column("forward", "int", lambda node: node.forward),
    Column("execution", "text", lambda node: node.execution),
    Column("time", "float", lambda node: node.time),
    Column("duration", "float", lambda node: node.duration),
    *_of_fact(lambda node: _worst(node.outputs)),
]
"""Nodes; the tensor columns are those of the first output that is not finite, else of the first."""

GRADIENTS: list[Column] = [
    Column("seq", "int", lambda one: one.seq),
    Column("step", "int", lambda one: one.step),
    Column("name", "text", lambda one: one.name),
    Column("node", "int", lambda one: one.node),
    Column("producer", "int", lambda one: one.producer),
    *_of_fact(lambda one: one.fact),
]
"""Gradients of parameters and of forward tensors."""


def arrow_schema(columns: Sequence[Column]) -> pyarrow.Schema:
    """Return the Arrow schema of `columns`, with the rank first.

    Raises:
        GraphDebugError: pyarrow is not installed.

    """
    arrow = _arrow()
    types = {
        "int": arrow.int64(), "float": arrow.float64(), "text": arrow.string(), "bool": arrow.bool_(),
        "list": arrow.list_(arrow.int64()), "lists": arrow.list_(arrow.list_(arrow.int64())),
    }  # fmt: skip
    return arrow.schema([("rank", arrow.int32()), *((one.name, types[one.type]) for one in columns)])


def arrow_batches(
    run: Run, events: Iterable[Node | Gradient], columns: Sequence[Column], size: int = _BATCH
) -> Iterator[pyarrow.RecordBatch]:
    """Yield `events` as batches of at most `size` rows; a run without ranks has rank 0."""
    schema, arrow = arrow_schema(columns), _arrow()
    iterator = iter(events)
    while rows := list(islice(iterator, size)):
        arrays = [
            [run.rank(one) or 0 for one in rows],
            *([one.get(event) for event in rows] for one in columns),
        ]
        made = [arrow.array(values, field.type) for values, field in zip(arrays, schema, strict=True)]
        yield arrow.RecordBatch.from_arrays(made, schema=schema)


def arrow_table(run: Run) -> pyarrow.Table:
    """Return the nodes of `run` as an Arrow table."""
    return _arrow().Table.from_batches(arrow_batches(run, run.nodes, NODES), arrow_schema(NODES))


def pandas_frame(run: Run) -> Any:
    """Return the nodes of `run` as a pandas frame, integers that may be missing as nullable ones.

    Raises:
        GraphDebugError: pandas or pyarrow is not installed.

    """
    try:
        import pandas
    except ImportError as error:
        raise GraphDebugError(
            "this needs pandas: install it with `pip install 'graphdebug[pandas]'`"
        ) from error
    nullable = {_arrow().int64(): pandas.Int64Dtype(), _arrow().bool_(): pandas.BooleanDtype()}
    return arrow_table(run).to_pandas(types_mapper=nullable.get)


def _arrow() -> Any:
    try:
        import pyarrow
    except ImportError as error:
        raise GraphDebugError(
            "this needs pyarrow: install it with `pip install 'graphdebug[arrow]'`"
        ) from error
    return pyarrow
