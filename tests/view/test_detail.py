"""One node, the modules, the source: golden pages."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from graphdebug.log.writer import LogWriter
from graphdebug.view import follow, terminal, terminal_detail
from graphdebug.view.detail import detail
from graphdebug.view.select import Selection
from graphdebug.view.source import annotated_sources
from graphdebug.view.tree import module_tree
from tests.view.conftest import make_events
from tests.view.test_terminal import matches_golden


def drawn(view, width=100):
    text = terminal.draw(view, width=width, color=False)
    assert max(map(len, text.splitlines())) <= width
    return text


@pytest.mark.parametrize("seq", [30, 31, 41])
def test_a_node_or_failure_is_shown_whole(run, seq):
    matches_golden(f"seq-{seq}", drawn(terminal_detail.detail_view(detail(run, seq), 100)))


def test_what_is_no_node_has_no_detail(run):
    assert detail(run, 0) is None
    assert detail(run, 999) is None


def test_modules_are_a_tree(run):
    matches_golden("tree", drawn(terminal_detail.tree_view(module_tree(run, 2), 2)))


@pytest.mark.parametrize("width", [60, 100])
def test_source_is_annotated(run, width):
    view = terminal_detail.source_view(annotated_sources(run, 2), 2, width)
    matches_golden(f"source-{width}", drawn(view, width))


def test_follow_shows_nodes_as_they_are_written(tmp_path):
    path = tmp_path / "live.jsonl"
    events = make_events()
    writer = LogWriter(path)
    writer.write(events[:6])
    waits = []

    def wait():
        waits.append(len(waits))
        writer.write(events[6 + 4 * len(waits) - 4 : 6 + 4 * len(waits)])

    tables = list(follow.follow(path, Selection(), wait))
    seen = [row.seq for table in tables for row in table.rows]
    assert seen == [*range(10, 15), *range(20, 25), *range(30, 35)]
    assert tables[-1].said.startswith("failed after 3 steps")
    assert len(tables) > 3


def test_a_follower_in_another_process_ends_with_the_run(tmp_path):
    path = tmp_path / "live.jsonl"
    events = make_events()
    writer = LogWriter(path)
    writer.write(events[:8])
    reader = subprocess.Popen(
        [sys.executable, "-c", "from graphdebug.cli import main; main()", "view", str(path), "--follow"],
        stdout=subprocess.PIPE,
        text=True,
    )
    timer = threading.Timer(1.0, lambda: writer.write(events[8:]))
    timer.start()
    output, _ = reader.communicate(timeout=60)
    assert reader.returncode == 0
    assert "linear_backward" in output
    assert output.rstrip().endswith("(8x5 and 4x2)")
