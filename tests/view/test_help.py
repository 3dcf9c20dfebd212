"""Every command says what it does and shows an example."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from graphdebug.cli import main

COMMANDS = sorted(main.list_commands(None))


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(command):
    done = CliRunner().invoke(main, [command, "--help"])
    assert done.exit_code == 0
    assert "Example" in done.output
    assert f"graphdebug {command}" in done.output
    assert "\\b" not in done.output


@pytest.mark.parametrize("command", ["view", "report", "browse", "export"])
def test_a_missing_log_is_one_line(command, tmp_path):
    more = ["--to", "csv"] if command == "export" else []
    done = CliRunner().invoke(main, [command, str(tmp_path / "no.jsonl"), *more])
    assert done.exit_code == 2
    assert done.output == (
        f"graphdebug: there is no log at {tmp_path / 'no.jsonl'}: record one with "
        f"graphdebug.record({str(tmp_path / 'no.jsonl')!r})\n"
    )


def test_views_need_no_framework(log):
    import subprocess
    import sys

    code = (
        "import sys; sys.modules['torch'] = sys.modules['tensorflow'] = sys.modules['numpy'] = None\n"
        "from graphdebug.cli import main\n"
        "for command in (['view'], ['view', '--tree'], ['view', '--seq', '31'], ['report', '-o', 'r.html'],\n"
        "                ['export', '--to', 'csv'], ['export', '--to', 'chrome']):\n"
        f"    main([command[0], {str(log)!r}, *command[1:]], standalone_mode=False)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=log.parent
    )
    assert done.returncode == 0, done.stderr
    assert (log.parent / "r.html").stat().st_size > 100_000
