"""The documentation tells the truth about what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from graphdebug.cli import main

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "examples/README.md",
]
COMMANDS = main.list_commands(None)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_to_a_file_leads_somewhere(page):
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)[^)]*\)", page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_that_is_named_exists(page):
    named = set(re.findall(r"(?:^|[`$] ?)graphdebug ([a-z]+)\b", page.read_text(), re.MULTILINE))
    assert named <= set(COMMANDS)


def test_the_readme_gives_exactly_two_set_up_commands():
    commands = re.findall(r"^\$ (python3 .*)$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert [command.rsplit(" ", 1)[1] for command in commands] == ["demo", "tests"]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_text_has_an_example(name):
    shown = CliRunner().invoke(main, [name, "--help"])
    assert shown.exit_code == 0
    assert re.search(rf"Examples?: *graphdebug {name}", " ".join(shown.output.split()))


def test_an_unknown_command_is_one_clear_error():
    shown = CliRunner().invoke(main, ["explian"])
    assert shown.exit_code == 2
    assert "No such command 'explian'" in shown.stderr
