"""Logs that are torn, foreign, corrupt or meant to harm: what is readable is shown, nothing else happens."""

from __future__ import annotations

import json
import os
import re

import msgspec
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import graphdebug
from graphdebug.cli import main
from graphdebug.errors import GraphDebugError, LogError
from graphdebug.export import chrome, csv, github, sarif
from graphdebug.export.columns import arrow_table
from graphdebug.log.codec import encode
from graphdebug.model.event import (
    Declaration,
    Failure,
    Gradient,
    Node,
    Notice,
    Operand,
    Site,
    Source,
    Stats,
    TensorFact,
    ToolError,
    number,
)
from graphdebug.model.run import Run
from graphdebug.model.store import MemoryStore
from graphdebug.view import page, terminal, terminal_detail
from graphdebug.view.detail import detail
from graphdebug.view.html import html
from graphdebug.view.notebook import fragment
from graphdebug.view.report import report
from graphdebug.view.source import annotated_sources
from graphdebug.view.tree import module_tree
from tests.view.conftest import make_events

FUZZ = int(os.environ.get("GRAPHDEBUG_FUZZ", "40"))
"""Examples a property; the same ones every time, unless another number is asked for."""
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")

HARMFUL = [
    "\x1b[2J\x1b]0;owned\x07",
    "</script><script>alert(1)</script>",
    "../../../etc/passwd",
    "=1+1",
    "\u202egnp.exe",
    "[bold]markup[/bold]",
    "{{7*7}}",
    "a.b.c",
    "a/b",
    "\r\nforged line",
    "%0A::error::x",
    "x" * 300,
]
texts = st.one_of(
    st.text(max_size=20),
    st.sampled_from(HARMFUL),
)
numbers = st.floats(width=64).map(number)
small = st.integers(0, 8)
sites = st.builds(
    Site, texts, st.integers(0, 10**6), st.integers(-1, 500), st.integers(0, 10**6), st.integers(-1, 500), texts
)
stats = st.builds(
    Stats,
    nan=small,
    pos_inf=small,
    zero=small,
    min=st.none() | numbers,
    max=st.none() | numbers,
    mean=st.none() | numbers,
    std=st.none() | numbers,
    l2=st.none() | numbers,
    histogram=st.lists(small, max_size=4).map(tuple),
)
facts = st.builds(
    TensorFact,
    st.none() | st.lists(st.none() | st.integers(0, 2**62), max_size=4).map(tuple),
    texts,
    texts,
    texts,
    st.none() | small,
    st.none() | st.booleans(),
    texts,
    st.none() | stats,
    st.lists(texts | numbers, max_size=3).map(tuple),
)
operands = st.builds(
    Operand,
    facts,
    st.sampled_from(["node", "parameter", "feed", "unknown"]),
    st.none() | small,
    small,
    texts,
    st.sampled_from(["", "input", "weight"]) | texts,
    texts,
)
some_operands = st.lists(operands, max_size=3).map(tuple)
details = st.dictionaries(texts, texts | numbers | st.none() | st.lists(small), max_size=3)
nodes = st.builds(
    Node,
    small,
    st.integers(0, 3),
    texts,
    texts,
    st.sampled_from(["linear", "elementwise", "other"]),
    texts,
    texts,
    st.sampled_from(["forward", "backward", "optimizer", "build"]),
    texts,
    texts,
    texts,
    st.none() | sites,
    st.none() | sites,
    st.lists(sites, max_size=2).map(tuple),
    some_operands,
    st.lists(facts, max_size=2).map(tuple),
    st.none() | small,
    st.just(()),
    details,
    st.sampled_from(["executed", "raised", "fused"]),
    st.floats(0, 1e9),
    st.floats(0, 1e9),
    texts,
    st.integers(-5, 2**62),
)
events = st.one_of(
    nodes,
    st.builds(Gradient, small, st.integers(0, 3), facts, texts, st.none() | small, small, st.none() | small),
    st.builds(
        Failure,
        small,
        st.integers(0, 3),
        texts,
        texts,
        texts,
        details,
        texts,
        texts,
        st.just("forward"),
        texts,
        texts,
        st.just("linear"),
        texts,
        texts,
        st.none() | sites,
        st.none() | sites,
        st.lists(sites, max_size=2).map(tuple),
        some_operands,
        details,
        st.none() | small,
    ),
    st.builds(Source, small, texts, texts),
    st.builds(Declaration, small, texts, texts, st.none() | sites, texts, details),
    st.builds(Notice, small, texts, texts, st.none() | sites),
    st.builds(ToolError, small, texts, texts),
)
hostile = settings(
    max_examples=FUZZ,
    deadline=None,
    derandomize=FUZZ == 40,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def draw_everything(run, folder):
    """Draw every view and write every light export; return the texts."""
    shown = [terminal.draw(terminal.page_view(page.page(run), 80), width=80, color=False)]
    for seq in range(9):
        about = detail(run, seq)
        if about is not None:
            shown.append(terminal.draw(terminal_detail.detail_view(about, 80), width=80, color=False))
    step = page.last_step(run)
    if step is not None:
        shown.append(
            terminal.draw(terminal_detail.tree_view(module_tree(run, step), step), width=80, color=False)
        )
        shown.append(
            terminal.draw(
                terminal_detail.source_view(annotated_sources(run, step), step, 80), width=80, color=False
            )
        )
    for form in (chrome, csv, sarif, github):
        form.write(run, folder / "out", iter)
    json.loads(html_data(html([report(run, "run")])))
    fragment(run)
    arrow_table(run)
    return shown


def html_data(text):
    assert len(re.findall("<script", text)) == 3
    return text.partition('id="data">')[2].partition("</script>")[0]


@hostile
@given(st.lists(events, max_size=12))
def test_any_events_are_drawn_without_control_characters(tmp_path_factory, some):
    folder = tmp_path_factory.mktemp("hostile")
    unique = {one.seq: one for one in some}
    run = Run(MemoryStore([make_events()[0], *unique.values()]))
    for text in draw_everything(run, folder):
        assert not CONTROL.search(text), repr(text)


@hostile
@given(st.data())
def test_a_damaged_log_is_read_around_the_damage(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("damaged")
    whole = encode(make_events()) + b"\n"
    start = whole.index(b"\n") + 1
    at = data.draw(st.integers(start, len(whole)))
    junk = data.draw(
        st.binary(max_size=60)
        | st.sampled_from(
            [b"[" * 5000, b'{"event":"node","seq":1e400}\n', b'{"event":"node"}\n', b"\n\n\n", b"\xff\xfe"]
        )
    )
    cut = data.draw(st.integers(0, 200))
    path = folder / "run.jsonl"
    path.write_bytes(whole[:at] + junk + whole[at + cut :])
    run = graphdebug.load(path)
    for text in draw_everything(run, folder):
        assert not CONTROL.search(text), repr(text)
    kept = {one.seq for one in make_events()} & {one.seq for one in run.events}
    lost = len(make_events()) - len(kept)
    assert not lost or run.damage or cut > 0
    for line in run.damage:
        assert str(path) in line
        assert "\n" not in line


@hostile
@given(st.binary(max_size=300))
def test_a_foreign_file_is_one_line(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("foreign") / "foreign.jsonl"
    path.write_bytes(content)
    done = CliRunner().invoke(main, ["view", str(path)])
    assert done.exit_code == 2
    assert done.output.count("\n") == 1
    assert str(path) in done.output


def test_other_spellings_of_the_same_json_are_read(tmp_path):
    path = tmp_path / "respaced.jsonl"
    lines = [json.dumps(msgspec.json.decode(line)) for line in encode(make_events()).splitlines()]
    path.write_text("\n".join(lines) + "\n")
    run = graphdebug.load(path)
    assert list(run.events) == make_events()
    assert run.damage == []
    assert [node.seq for node in run.step(1).nodes] == [20, 21, 22, 23, 24]


def test_a_log_of_a_newer_format_says_so_and_shows_what_it_can(tmp_path):
    path = tmp_path / "newer.jsonl"
    text = (
        encode(make_events())
        .replace(b'"schema":1', b'"schema":99')
        .replace(b'"event":"notice"', b'"event":"omen"')
    )
    path.write_bytes(text + b"\n")
    done = CliRunner().invoke(main, ["view", str(path)])
    assert done.exit_code == 0
    assert "15 nodes" in done.output
    assert (
        "has format 99, this graphdebug reads up to 2: upgrade with `pip install -U graphdebug`" in done.output
    )
    assert f"{path}: 1 line is not an event (the first is line 23); the rest was read" in done.output


def test_a_gigantic_line_is_passed_over(tmp_path):
    path = tmp_path / "gigantic.jsonl"
    lines = encode(make_events()).splitlines()
    big = encode([Source(5, "big.py", "x" * 3_000_000)])
    with path.open("wb") as file:
        file.write(b"\n".join([*lines[:4], big, *lines[4:8]]) + b"\n" + b'{"event":"node","seq":6,"op":"')
        file.write(b"y" * 5_000_000 + b"\n" + b"\n".join(lines[8:]) + b"\n")
    run = graphdebug.load(path)
    assert len(run.source_lines("big.py")[0]) == 3_000_000
    assert [node.seq for node in run.nodes] == [one.seq for one in make_events() if isinstance(one, Node)]
    assert any("line 10: an event could not be read" in line for line in run.damage)


def test_deep_nesting_does_not_crash(tmp_path):
    path = tmp_path / "deep.jsonl"
    deep = (
        b'{"event":"notice","seq":7,"topic":"a","text":"b","detail":{"x":'
        + b"[" * 100_000
        + b"]" * 100_000
        + b"}}"
    )
    path.write_bytes(encode(make_events()) + b"\n" + deep + b"\n")
    run = graphdebug.load(path)
    assert len(run.nodes) == 15
    list(run.events)
    assert len(run.damage) == 1


@pytest.mark.parametrize("kind", ["folder of nothing", "pipe", "missing", "empty"])
def test_what_is_no_file_is_one_line(tmp_path, kind):
    path = tmp_path / "thing"
    if kind == "folder of nothing":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "empty":
        path.touch()
    with pytest.raises(LogError) as caught:
        graphdebug.load(path)
    assert str(path) in str(caught.value)
    for command in ("view", "report", "browse"):
        done = CliRunner().invoke(main, [command, str(path)])
        assert (done.exit_code, done.output.count("\n")) == (2, 1)


def test_a_log_written_anew_while_it_is_read_harms_nobody(tmp_path):
    path = tmp_path / "run.jsonl"
    path.write_bytes(encode(make_events()) + b"\n")
    run = graphdebug.load(path)
    path.write_bytes(b"")
    assert list(run.nodes) == []
    assert run.event(31) is None
    with pytest.raises(GraphDebugError):
        graphdebug.load(path)


def test_a_report_is_not_written_over_another_file(log, tmp_path):
    target = tmp_path / "thesis.html"
    target.write_text("<!doctype html><title>my thesis</title>")
    done = CliRunner().invoke(main, ["report", str(log), "-o", str(target)])
    assert done.exit_code == 2
    assert done.output == (
        f"graphdebug: {target} exists and is not a report: choose another file, or overwrite it with --force\n"
    )
    assert CliRunner().invoke(main, ["report", str(log), "-o", str(target), "--force"]).exit_code == 0
    assert CliRunner().invoke(main, ["report", str(log), "-o", str(target)]).exit_code == 0


def test_norms_too_large_to_square_are_still_norms():
    huge = TensorFact((2,), "float32", finite=True, stats=Stats(l2=1e300))
    events = [*make_events()[:10], Gradient(99, 0, huge, "fc.weight"), Gradient(98, 0, huge, "fc.bias")]
    run = Run(MemoryStore(events))
    assert module_tree(run, 0).children[0].gradient == "1.414e+300"
    assert report(run, "run").series.layers[0].gradient[0] == pytest.approx(2**0.5 * 1e300)
