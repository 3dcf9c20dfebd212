"""Parquet: typed tables, partitioned by rank and step, for DuckDB, Polars, Spark and Ray."""

from __future__ import annotations

from pathlib import Path

from graphdebug.errors import OptionError
from graphdebug.export.columns import GRADIENTS, NODES, arrow_batches, arrow_schema
from graphdebug.model.run import Run
from graphdebug.view.select import Watch

__all__ = ["SUFFIX", "write"]

SUFFIX = ".parquet"
_MOST_PARTITIONS = 10_000_000


def write(run: Run, output: Path, watch: Watch) -> str:
    """Write ``<output>/nodes/rank=R/step=S/*.parquet`` and ``<output>/gradients/...``; return what was written.

    Raises:
        OptionError: `output` is a file, or a folder that is not empty.
        GraphDebugError: pyarrow is not installed.

    """
    schemas = {"nodes": arrow_schema(NODES), "gradients": arrow_schema(GRADIENTS)}
    from pyarrow import dataset

    if output.is_file() or (output.is_dir() and any(output.iterdir())):
        raise OptionError(f"{output} exists: Parquet is written into a new or empty folder")
    parts = {
        "nodes": arrow_batches(run, watch(run.nodes), NODES),
        "gradients": arrow_batches(run, run.gradients, GRADIENTS),
    }
    for name, batches in parts.items():
        schema = schemas[name]
        keys = dataset.partitioning(schema.empty_table().select(["rank", "step"]).schema, flavor="hive")
        dataset.write_dataset(
            batches, output / name, schema=schema, format="parquet", partitioning=keys,
            max_partitions=_MOST_PARTITIONS, existing_data_behavior="overwrite_or_ignore",
        )  # fmt: skip
    return f"{len(run.nodes):,} nodes and {len(run.gradients):,} gradients by rank and step"
