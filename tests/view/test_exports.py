"""Exports are read back by the tools they are for."""

from __future__ import annotations

import csv
import json
import subprocess
import sys

import msgspec
import pytest
from click.testing import CliRunner

import graphdebug
from graphdebug.cli import main
from graphdebug.log.codec import encode
from graphdebug.model.run import Run
from graphdebug.model.store import MemoryStore
from tests.view.conftest import FINDING, make_events


def export(log, form, output, *more):
    done = CliRunner().invoke(main, ["export", str(log), "--to", form, "-o", str(output), *more])
    assert done.exit_code == 0, done.output
    return done.output


def test_parquet_reads_in_duckdb_and_polars_by_rank_and_step(log, tmp_path):
    duckdb, polars = pytest.importorskip("duckdb"), pytest.importorskip("polars")
    said = export(log, "parquet", tmp_path / "tables")
    assert said == f"wrote {tmp_path / 'tables'}: 15 nodes and 3 gradients by rank and step\n"
    assert sorted(one.name for one in (tmp_path / "tables/nodes/rank=0").iterdir()) == [
        "step=0",
        "step=1",
        "step=2",
    ]
    nodes = f"read_parquet('{tmp_path}/tables/nodes/**/*.parquet', hive_partitioning=true)"
    query = f"SELECT step, line, function, nan FROM {nodes} WHERE NOT finite AND phase = 'forward' ORDER BY seq"
    assert duckdb.sql(query).fetchall() == [(2, 10, "log", 3), (2, 11, "sum", 1)]
    types = dict(
        duckdb.sql(f"SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM {nodes})").fetchall()
    )
    assert types["l2"] == "DOUBLE"
    assert types["shape"] == types["producers"] == "BIGINT[]"
    assert types["inputs"] == "BIGINT[][]"
    assert types["finite"] == "BOOLEAN"
    frame = polars.read_parquet(tmp_path / "tables/gradients/**/*.parquet", hive_partitioning=True)
    assert frame.sort("step")["l2"].to_list() == [0.5, 1.5, 2.5]


def test_parquet_is_not_written_over_something_else(log, tmp_path):
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables/mine.txt").write_text("keep")
    done = CliRunner().invoke(main, ["export", str(log), "--to", "parquet", "-o", str(tmp_path / "tables")])
    assert done.exit_code == 2
    assert done.output == (
        f"graphdebug: {tmp_path / 'tables'} exists: Parquet is written into a new or empty folder\n"
    )


def test_a_trace_has_nodes_steps_and_arrows(log, tmp_path):
    export(log, "perfetto", tmp_path / "trace.json")
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    slices = [one for one in events if one["ph"] == "X"]
    assert [one["name"] for one in slices if one["cat"] == "step"] == ["step 0", "step 1", "step 2"]
    log_node = next(one for one in slices if one.get("args", {}).get("seq") == 31)
    assert (log_node["name"], log_node["ts"], log_node["dur"]) == ("log", 2.2e6, 20.0)
    assert log_node["args"]["line"] == "net.py:10"
    arrows = {(one["ph"], one["id"]) for one in events if one["ph"] in "sf"}
    assert {("s", 31), ("f", 31)} <= arrows
    for one in events:
        assert {"ph", "pid", "name"} <= set(one)
        assert one.get("ts", 0) >= 0


def test_a_trace_without_times_is_ordered_by_number(tmp_path):
    events = [
        msgspec.structs.replace(one, time=0.0, duration=0.0) if hasattr(one, "duration") else one
        for one in make_events()
    ]
    path = tmp_path / "run.jsonl"
    path.write_bytes(encode(events) + b"\n")
    export(path, "chrome", tmp_path / "trace.json")
    traced = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    starts = [one["ts"] for one in traced if one["ph"] == "X" and one["cat"] != "step"]
    assert starts == sorted(starts)
    assert len(set(starts)) == 15


def test_tensorboard_loads_scalars_and_histograms(tmp_path):
    pytest.importorskip("tensorboard")
    events = make_events()
    node = next(one for one in events if one.seq == 20)
    stats = msgspec.structs.replace(node.outputs[0].stats, histogram=(1, 5, 9, 1))
    fact = msgspec.structs.replace(node.outputs[0], stats=stats)
    events[events.index(node)] = msgspec.structs.replace(node, outputs=(fact,))
    path = tmp_path / "run.jsonl"
    path.write_bytes(encode(events) + b"\n")
    said = export(path, "tensorboard", tmp_path / "board")
    assert "scalars and 1 histograms" in said
    code = f"""
import sys; sys.modules["tensorflow"] = None
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
read = EventAccumulator({str(tmp_path / "board")!r}); read.Reload()
print([(one.step, one.value) for one in read.Scalars("gradient/fc.weight/l2")][:2])
print([(one.step, one.value) for one in read.Scalars("activation/fc/l2")])
one = read.Tensors("activation/fc/elements")[0]
from tensorboard.util import tensor_util
print(one.step, tensor_util.make_ndarray(one.tensor_proto)[:, 2].tolist())
"""
    read = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert read.splitlines() == [
        "[(0, 0.5), (1, 1.5)]",
        "[(0, 2.0), (1, 3.0), (2, 4.0)]",
        "1 [1.0, 5.0, 9.0, 1.0]",
    ]


def test_sarif_and_annotations_name_the_line(tmp_path):
    from graphdebug.export import github, sarif

    run = Run(MemoryStore(make_events()), diagnose=lambda _: [FINDING])
    sarif.write(run, tmp_path / "out.sarif", iter)
    result = json.loads((tmp_path / "out.sarif").read_text())["runs"][0]["results"][0]
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "net.py"
    assert place["region"] == {"startLine": 10, "startColumn": 9, "endLine": 10, "endColumn": 23}
    assert result["ruleId"] == "nonfinite"
    assert github.write(run, tmp_path / "out.txt", iter) == "1 annotation"
    assert (tmp_path / "out.txt").read_text() == (
        "::error file=net.py,line=10,title=graphdebug%3A NaN is born in log%2C at net.py%3A10 "
        "(forward%2C step 2)::    10 |  x = torch.log(x)%0A  try: clamp\n"
    )


def test_csv_cells_never_become_formulas(tmp_path):
    events = [
        msgspec.structs.replace(one, module='=cmd|"/c calc"!A1', op="@SUM(1)") if hasattr(one, "op") else one
        for one in make_events()
    ]
    path = tmp_path / "run.jsonl"
    path.write_bytes(encode(events) + b"\n")
    export(path, "csv", tmp_path / "nodes.csv")
    with (tmp_path / "nodes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 15
    assert rows[0]["module"] == '\'=cmd|"/c calc"!A1'
    assert rows[0]["op"] == "'@SUM(1)"
    assert float(rows[0]["min"]) == -2.0
    assert rows[0]["gradient"] == "0.5"


def test_an_export_never_writes_over_its_log(log):
    done = CliRunner().invoke(main, ["export", str(log), "--to", "csv", "-o", str(log)])
    assert done.exit_code == 2
    assert done.output == f"graphdebug: {log} is the log itself: give another name with -o\n"


def test_a_missing_folder_is_one_line(log, tmp_path):
    done = CliRunner().invoke(main, ["export", str(log), "--to", "csv", "-o", str(tmp_path / "no/such.csv")])
    assert done.exit_code == 2
    assert done.output == f"graphdebug: can't write {tmp_path / 'no/such.csv'}: No such file or directory\n"


def test_a_run_becomes_a_table(log):
    run = graphdebug.load(log)
    pytest.importorskip("pyarrow")
    table = run.to_arrow()
    assert table.num_rows == 15
    assert table.column("shape").to_pylist()[2] == []
    pytest.importorskip("pandas")
    frame = run.to_pandas()
    assert frame[(frame["finite"] == False) & (frame["phase"] == "forward")]["line"].tolist() == [10, 11]  # noqa: E712
    assert frame.groupby("step")["l2"].max().tolist() == [9.0, 9.0, 9.0]
    assert str(frame.dtypes["nan"]) == "Int64"


@pytest.mark.parametrize(
    ("module", "act", "extra"),
    [
        ("pyarrow", "graphdebug.load(path).to_arrow()", "arrow"),
        ("pandas", "graphdebug.load(path).to_pandas()", "pandas"),
        ("jinja2", "main(['report', path])", "html"),
        ("tensorboard", "main(['export', path, '--to', 'tensorboard'])", "tensorboard"),
        ("pyarrow", "main(['export', path, '--to', 'parquet'])", "arrow"),
    ],
)
def test_a_missing_library_is_one_line_with_its_extra(log, module, act, extra):
    code = (
        f"import sys; sys.modules[{module!r}] = None; sys.argv[0] = 'graphdebug'\n"
        f"import graphdebug; from graphdebug.cli import main; path = {str(log)!r}\n{act}"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=log.parent
    )
    assert done.returncode != 0
    assert (
        f"needs {module}: install it with `pip install 'graphdebug[{extra}]'`" in done.stderr.splitlines()[-1]
    )
    if act.startswith("main"):
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)


def test_a_notebook_shows_the_finding_and_escapes_everything(log):
    evil = msgspec.structs.replace(FINDING, text="graphdebug: <script>alert(1)</script>")
    store = graphdebug.load(log).store
    from graphdebug.showing import SHOWING

    html = Run(store, diagnose=lambda _: [evil], showing=SHOWING)._repr_html_()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "<script" not in html
    assert html.count("<tr") == 6
    assert Run(store)._repr_html_() is None
    with pytest.raises(graphdebug.GraphDebugError, match=r"read it with graphdebug\.load, or record it"):
        Run(store).to_arrow()
