"""The pytest plugin: options, markers and the fixture. What records is imported only when a test needs it."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from graphdebug.testing.recorder import RecordedTest, TestRecorder

MODES = ("on-fail", "always", "off")
_RECORDER = pytest.StashKey["TestRecorder"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--graphdebug`` and its companions, each with an ini setting of the same name."""
    group = parser.getgroup("graphdebug", "recording the computation graphs of tests")
    group.addoption("--graphdebug", nargs="?", const="on-fail", metavar="MODE",
                    help="Record each test and explain the ones that fail: on-fail (default), always (keep "
                         "the logs of passing tests too) or off.")  # fmt: skip
    group.addoption("--graphdebug-level", metavar="LEVEL",
                    help="What to record of each tensor: shapes, health (default), stats, values.")  # fmt: skip
    group.addoption("--graphdebug-log", metavar="DIR", help="Folder for the logs; default: .graphdebug.")
    group.addoption("--graphdebug-report", action="store_true", default=None,
                    help="Write an HTML report beside the log of each failing test.")  # fmt: skip
    group.addoption("--graphdebug-filter", action="append", metavar="PATTERN",
                    help="Record only nodes of modules that match, or module:, op: or phase: before the "
                         "pattern; may be repeated.")  # fmt: skip
    group.addoption("--graphdebug-allow", action="append", metavar="PATTERN",
                    help="May give NaN or Inf: a function, op, module, node name or file.py:line; may be "
                         "repeated.")  # fmt: skip
    parser.addini("graphdebug", "on-fail, always or off: as --graphdebug", default="off")
    parser.addini("graphdebug_level", "As --graphdebug-level", default="")
    parser.addini("graphdebug_log", "As --graphdebug-log", default=".graphdebug")
    parser.addini("graphdebug_report", "As --graphdebug-report", type="bool", default=False)
    parser.addini("graphdebug_allow", "As --graphdebug-allow, one a line", type="linelist", default=[])
    parser.addini("graphdebug_filter", "As --graphdebug-filter, one a line", type="linelist", default=[])


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config, args: list[str]) -> None:
    """Read ``pytest --graphdebug tests/`` as the flag and a path, not as a mode of that name."""
    for at, (option, following) in enumerate(pairwise(args)):
        if option == "--graphdebug" and not following.startswith("-") and following not in MODES:
            args[at] = "--graphdebug=on-fail"
            early_config.known_args_namespace.file_or_dir.append(following)


def pytest_configure(config: pytest.Config) -> None:
    """Check the settings and start recording if asked to."""
    config.addinivalue_line(
        "markers",
        "graphdebug(level, nonfinite, allow): how to record this test; nonfinite='fail' fails it where a NaN "
        "or Inf comes up in a place that no pattern of `allow` matches",
    )
    config.addinivalue_line("markers", "no_graphdebug: do not record this test")
    mode = config.getoption("graphdebug") or config.getini("graphdebug")
    if mode not in MODES:
        raise pytest.UsageError(f"unknown --graphdebug {mode!r}: use one of {', '.join(MODES)}")
    if mode != "off" or any(config.getoption(f"graphdebug_{name}") for name in ("level", "filter", "report")):
        recorder_of(config)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Check the markers; without the flag, start recording if a test asserts something."""
    from_marker = [item for item in items if item.get_closest_marker("graphdebug") is not None]
    if from_marker or any("graphdebug" in getattr(item, "fixturenames", ()) for item in items):
        recorder = recorder_of(config)
        for item in from_marker:
            recorder.check_marker(item)


@pytest.fixture
def graphdebug(request: pytest.FixtureRequest) -> RecordedTest:
    """The run of this test as recorded so far: nodes, gradients, findings, and assertions on them."""
    return recorder_of(request.config).run_of(request.node)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """In GitHub Actions, annotate the culprit line of each failing test."""
    if os.environ.get("GITHUB_ACTIONS") != "true":
        return
    for status in ("failed", "error"):
        for report in terminalreporter.getreports(status):
            properties = dict(report.user_properties)
            if "graphdebug_site" in properties:
                text = _annotation(str(properties["graphdebug_site"]), str(properties["graphdebug"]))
                terminalreporter.write_line(text)


def recorder_of(config: pytest.Config) -> TestRecorder:
    """Return the session's recorder, made and registered as a plugin when first asked for."""
    recorder = config.stash.get(_RECORDER, None)
    if recorder is None:
        from graphdebug.testing.recorder import TestRecorder

        recorder = config.stash[_RECORDER] = TestRecorder(config)
        config.pluginmanager.register(recorder, "graphdebug-recorder")
    return recorder


def _annotation(site: str, text: str) -> str:
    """Return the workflow command that marks a line in GitHub's view of the change."""
    file, _, line = site.rpartition(":")
    root = Path(os.environ.get("GITHUB_WORKSPACE", Path.cwd()))
    shown = os.path.relpath(file, root) if Path(file).is_relative_to(root) else file
    title, _, rest = text.removeprefix("graphdebug: ").partition("\n")
    place = _escaped(shown, {":": "%3A", ",": "%2C"})
    return (
        f"::error file={place},line={line},title={_escaped(title, {':': '%3A', ',': '%2C'})}::{_escaped(rest)}"
    )


def _escaped(text: str, more: dict[str, str] | None = None) -> str:
    for plain, code in {"%": "%25", "\r": "%0D", "\n": "%0A", **(more or {})}.items():
        text = text.replace(plain, code)
    return text
