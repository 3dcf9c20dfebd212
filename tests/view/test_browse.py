"""The interactive browser, driven by its keys."""

from __future__ import annotations

import asyncio

import pytest
from click.testing import CliRunner

from graphdebug.cli import main
from graphdebug.log.codec import encode
from tests.view.conftest import make_events

pytest.importorskip("textual")


def browse(run, *keys, seq=None):
    """Press `keys`; return the browser and the text beside the table."""
    from textual.widgets import Static

    from graphdebug.view.browse import Browser

    async def drive():
        app = Browser(run, seq)
        async with app.run_test(size=(160, 50)) as pilot:
            await pilot.pause()
            await pilot.press(*keys)
            await pilot.pause()
            about = app.query_one("#detail", Static)
            lines = [strip.text for strip in about.render_lines(about.size.region)] if about.size else []
        return app, "\n".join(lines)

    return asyncio.run(drive())


def test_it_starts_at_the_finding(run):
    app, about = browse(run)
    assert (app.step, app.seq) == (2, 31)
    assert about.startswith("#31 log")
    assert "nan 3" in about


def test_keys_lead_to_producer_consumer_and_back(run):
    assert browse(run, "p")[0].seq == 30
    assert browse(run, "c")[0].seq == 32
    assert browse(run, "p", "b")[0].seq == 31
    assert browse(run, "p", "p")[0].seq == 30


def test_brackets_travel_through_the_steps(run):
    app, about = browse(run, "left_square_bracket")
    assert (app.step, app.seq) == (1, 21)
    assert about.startswith("#21 log")
    app, _ = browse(run, "left_square_bracket", "left_square_bracket", "left_square_bracket")
    assert (app.step, app.seq) == (0, 11)
    app, _ = browse(run, "left_square_bracket", "right_square_bracket")
    assert (app.step, app.seq) == (2, 31)


def test_search_narrows_the_table_and_a_number_jumps(run):
    app, _ = browse(run, "slash", *"backward", "enter")
    assert [row.seq for row in app.rows] == [33, 34]
    app, _ = browse(run, "slash", "number_sign", *"12", "enter")
    assert (app.step, app.seq) == (0, 12)


def test_n_goes_to_the_next_sick_node_and_f_to_the_finding(run):
    assert browse(run, "n")[0].seq == 32
    assert browse(run, "f")[1].startswith("graphdebug: NaN is born in log")


def test_a_log_without_nodes_is_one_line(tmp_path):
    path = tmp_path / "run.jsonl"
    path.write_bytes(encode(make_events()[:2]) + b"\n")
    done = CliRunner().invoke(main, ["browse", str(path)])
    assert done.exit_code == 2
    assert done.output == f"graphdebug: {path} has no nodes to browse: look at it with graphdebug view\n"
