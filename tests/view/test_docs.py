"""The queries in the documentation give what they say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import graphdebug
from graphdebug.export import parquet

DOCS = Path(__file__).parents[2] / "docs"


def blocks(name, language):
    return re.findall(rf"```{language}\n(.*?)```", (DOCS / name).read_text("utf-8"), re.S)


def test_the_documented_duckdb_queries_answer(log, tmp_path, monkeypatch):
    duckdb = pytest.importorskip("duckdb")
    monkeypatch.chdir(tmp_path)
    parquet.write(graphdebug.load(log), tmp_path / "tables", iter)
    first, norms = (duckdb.sql(query).fetchall() for query in blocks("scale.md", "sql"))
    assert first == [(0, 2, "/home/ann/net.py", 10, "log", "")]
    assert sorted(norms) == [("fc.weight", 0, 0.5, 0.0), ("fc.weight", 1, 1.5, 0.0), ("fc.weight", 2, 2.5, 0.0)]
    found = duckdb.sql(f"SELECT count(*) FROM read_json_auto('{log}') WHERE event = 'node'").fetchall()
    assert found == [(15,)]


def test_the_documented_python_answers(log, monkeypatch):
    pytest.importorskip("pandas")
    monkeypatch.chdir(log.parent)
    (code,) = blocks("view.md", "python")
    lines = [line for line in code.splitlines() if line and "findings[0]" not in line]
    known = {}
    for line in lines:
        exec(line, known)
    frame = known["frame"]
    born = frame[~frame.finite.fillna(True)].groupby(["file", "line"]).step.min()
    assert born.to_dict() == {
        ("/home/ann/net.py", 9): 2,
        ("/home/ann/net.py", 10): 2,
        ("/home/ann/net.py", 11): 2,
    }
