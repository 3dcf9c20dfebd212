"""The terminal view: golden pages at fixed widths."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

import graphdebug
from graphdebug.errors import OptionError
from graphdebug.log.codec import encode
from graphdebug.view import page, terminal
from graphdebug.view.select import Selection, parse_line, parse_steps
from graphdebug.view.where import Condition
from tests.view.conftest import make_events

GOLDEN = Path(__file__).parent / "golden"


def matches_golden(name, text):
    """Compare with tests/view/golden/<name>.txt; a missing file is written and fails once."""
    path = GOLDEN / f"{name}.txt"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
        pytest.fail(f"{path} was written: review it")
    assert text == path.read_text("utf-8")


@pytest.mark.parametrize("width", [60, 80, 120, 160])
def test_the_first_screen_fits_the_width(run, width):
    text = terminal.draw(terminal.page_view(page.page(run), width), width=width, color=False)
    assert max(map(len, text.splitlines())) <= width
    matches_golden(f"page-{width}", text)


def test_colour_adds_escapes_only(run):
    view = terminal.page_view(page.page(run), 120)
    colored = terminal.draw(view, width=120, color=True)
    assert "\x1b[" in colored
    bare = [line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", colored).splitlines()]
    assert bare == terminal.draw(view, width=120, color=False).splitlines()


def seqs(run, **wanted):
    return [row.seq for row in page.table(run, Selection(**wanted), limit=0).rows]


def test_filters_select_nodes(run):
    assert seqs(run, modules=("fc",)) == [10, 14, 20, 24, 30, 34]
    assert seqs(run, modules=("f*",), steps=(1, 1)) == [20, 24]
    assert seqs(run, ops=("aten::log",)) == seqs(run, ops=("log",)) == [11, 21, 31]
    assert seqs(run, line=("net.py", 11)) == [12, 22, 32]
    assert seqs(run, line=("et.py", 11)) == []
    assert seqs(run, phases=("backward",), steps=(0, 1)) == [13, 14, 23, 24]
    assert seqs(run, nonfinite=True) == [31, 32, 33, 34]
    assert seqs(run, nonfinite=True, where=Condition("phase == 'forward' and nan > 1")) == [31]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("l2 > 8", [13, 23, 33]),
        ("2.5 < l2 <= 3 and not nan", [11, 20, 21]),
        ("step in (0, 2) and function == 'sum'", [12, 32]),
        ("like(function, '*_backward') and step == 2", [33, 34]),
        ("'net.py' in line and size == 1", [12, 22, 32]),
        ("abs(min) * 2 > 17", [13, 23, 33]),
        ("not finite and phase == 'forward'", [31, 32]),
    ],
)
def test_where_is_a_small_expression(run, expression, expected):
    assert seqs(run, where=Condition(expression)) == expected


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("__import__('os').system('x')", "can't be used here: call abs(x) or like(text, pattern)"),
        ("op.__class__", "'op.__class__' can't be used here: use names, numbers, text and comparisons"),
        ("[x for x in op]", "can't be used here"),
        ("l3 > 1", "there is no 'l3': use device, dtype, "),
        ("9 ** 9 ** 9 > l2", "can't be used here: calculate with + - * /"),
        ("l2 >", "is not an expression: write for example"),
        ("(" * 500 + "l2" + ")" * 400, "is not an expression"),
        ("1 < " * 400 + "l2", "is longer than 1000 characters"),
    ],
)
def test_where_refuses_anything_else(expression, message):
    with pytest.raises(OptionError) as caught:
        Condition(expression)
    assert message in str(caught.value)


def test_where_says_when_text_meets_a_number(run):
    with pytest.raises(OptionError, match="--where \"op > 1\": '>' not supported between".replace('"', "'")):
        seqs(run, where=Condition("op > 1"))


def test_places_and_steps_are_parsed():
    assert parse_line("a/net.py:31") == ("a/net.py", 31)
    assert parse_line("net.py") == ("net.py", 0)
    assert parse_steps("7") == (7, 7)
    assert parse_steps("3-9") == (3, 9)
    with pytest.raises(
        OptionError, match=r"--line 'net.py:x' is not a place in a file: write it as net\.py:31"
    ):
        parse_line("net.py:x")
    with pytest.raises(
        OptionError, match=r"--step '1-' is not a step: write a number \(7\) or a range \(3-9\)"
    ):
        parse_steps("1-")


def test_a_folder_of_ranks_is_one_run_and_says_which_rank(tmp_path):
    for rank in (0, 1):
        events = make_events()
        events[0] = msgspec.structs.replace(events[0], rank=rank, world_size=2)
        (tmp_path / f"run.rank{rank}.jsonl").write_bytes(encode(events) + b"\n")
    run = graphdebug.load(tmp_path)
    assert page.summary(run).place.endswith("rank 0, 1 of 2")
    rows = page.table(run, Selection(nonfinite=True), limit=2).rows
    assert [(row.seq, row.rank) for row in rows] == [(62, 0), (63, 1)]
    text = terminal.draw(terminal.table_view(page.table(run, Selection(), limit=2), 80), width=80, color=False)
    assert text.splitlines()[1].split()[:4] == ["seq", "step", "rank", "phase"]
