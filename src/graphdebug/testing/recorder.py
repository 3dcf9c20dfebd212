"""TestRecorder: a recording per test under pytest, and what it adds to the report of a test that fails."""

from __future__ import annotations

import doctest
import os
import re
import shutil
import zlib
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from graphdebug.errors import GraphDebugError, OptionError
from graphdebug.model.finding import Finding
from graphdebug.recording import Recording
from graphdebug.testing import assertions
from graphdebug.testing.settings import Settings

__all__ = ["RecordedTest", "TestRecorder"]

_MARKER = ("level", "nonfinite", "allow")


class RecordedTest(Recording):
    """The run of one test, as the fixture `graphdebug` gives it; its assertions are functions too."""

    assert_finite = assertions.assert_finite
    assert_gradients_flow = assertions.assert_gradients_flow
    assert_shapes = assertions.assert_shapes
    assert_no_broadcast = assertions.assert_no_broadcast
    assert_same_run = assertions.assert_same_run
    raises = assertions.raises


class TestRecorder:
    """Records each test from its setup to its teardown, and speaks up where one fails.

    A failure in here never fails the user's test: the test goes on unrecorded, and its section says why.
    """

    __test__ = False

    def __init__(self, config: pytest.Config) -> None:
        self._settings = Settings.of(config)
        self._item: pytest.Item | None = None
        self._run: RecordedTest | None = None
        self._said = self._trouble = ""
        self._paused = False
        if not any("GraphDebugWarning" in line for line in config.getini("filterwarnings")):
            config.addinivalue_line("filterwarnings", "default::graphdebug.errors.GraphDebugWarning")

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None]:
        """Start to record before the first fixture is made."""
        self._leave()
        self._trouble = ""
        if self._wants(item):
            self._enter(item)
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None]:
        """Hold a test that passed to what its marker asserts."""
        result = yield
        marked, found = _marked(item), ""
        if self._run is not None and marked.get("nonfinite") == "fail":
            try:
                self._run.assert_finite(allow=self._run.options.allow)
            except AssertionError as error:
                found = str(error)
        if found:
            pytest.fail(found, pytrace=False)
        return result

    @pytest.hookimpl(specname="pytest_runtest_makereport")
    def pytest_see_failure(self, item: pytest.Item, call: pytest.CallInfo[None]) -> None:
        """Take an exception down while all that led to it is still there, before pytest looks at it."""
        run = self._run if self._item is item else None
        if run is not None and call.excinfo is not None:
            error = _of_doctest(call.excinfo.value)
            if not isinstance(error, pytest.skip.Exception):
                self._try(lambda: run.fail(error))
            run.pause()  # a report shows local variables: what reading tensors runs is not the test's
            self._paused = True

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Explain a failure in its report; end the recording after teardown."""
        report = yield
        run = self._run
        if report.failed and self._item is item:
            if run is not None:
                self._try(lambda: self._explain(item, report, run))
            self._show(report, self._trouble)
            self._trouble = ""
        if run is not None and self._paused:
            self._paused = False
            run.resume()
        if call.when == "teardown":
            self._leave()
        return report

    def pytest_collection_finish(self) -> None:
        """Load what recording needs now, not within the first test and its timeout."""
        with suppress(GraphDebugError), Recording(None, self._settings.options("")):
            pass
        if self._settings.mode != "off":
            import graphdebug.log.writer  # noqa: F401 - loads structlog

    def pytest_sessionfinish(self) -> None:
        """End a recording that an interrupted session left open."""
        self._leave()

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self, config: pytest.Config) -> None:
        """Leave no empty folder behind."""
        if not hasattr(config, "workerinput"):
            with suppress(OSError):
                self._settings.folder.rmdir()

    def run_of(self, item: pytest.Item) -> RecordedTest:
        """Return the recording of the running test `item`, started now if that need is only now known.

        Raises:
            pytest.fail.Exception: the test says not to be recorded, or it can't be.

        """
        if item.get_closest_marker("no_graphdebug") is not None:
            pytest.fail(
                "the fixture graphdebug needs a recording, and this test is marked no_graphdebug", False
            )
        if self._run is None or self._item is not item:
            self._enter(item)
        if self._run is None:
            pytest.fail(self._trouble, pytrace=False)
        return self._run

    def check_marker(self, item: pytest.Item) -> None:
        """Raise pytest.UsageError if the test's marker says what can't be."""
        marked, where = _marked(item), f"{item.nodeid}: @pytest.mark.graphdebug"
        unknown = [name for name in marked if name not in _MARKER]
        if unknown:
            raise pytest.UsageError(f"{where}: unknown {unknown[0]!r}: use {', '.join(_MARKER)}")
        if marked.get("nonfinite", "fail") != "fail":
            raise pytest.UsageError(f"{where}: nonfinite={marked['nonfinite']!r} must be 'fail'")
        if isinstance(marked.get("allow"), str):
            raise pytest.UsageError(f"{where}: allow={marked['allow']!r} must be a list of patterns")
        try:
            self._settings.options(marked.get("level", ""))
        except OptionError as error:
            raise pytest.UsageError(f"{where}: {error}") from None

    def _wants(self, item: pytest.Item) -> bool:
        if item.get_closest_marker("no_graphdebug") is not None:
            return False
        asked = "graphdebug" in getattr(item, "fixturenames", ()) or "nonfinite" in _marked(item)
        return asked or self._settings.mode != "off"

    def _enter(self, item: pytest.Item) -> None:
        """Record `item` from here on. Its log is written as it runs, so that it outlives a crash."""
        asserts = "graphdebug" in getattr(item, "fixturenames", ())
        level = _marked(item).get("level") or ("stats" if asserts else "")
        path = None
        if self._settings.mode != "off":
            path = self._settings.folder / f"{_file_name(item.nodeid)}.jsonl"
        self._item, self._said = item, ""

        def enter() -> None:
            run = RecordedTest(path, self._settings.options(level, _marked(item).get("allow", ())))
            run.__enter__()
            self._run = run

        self._try(enter)

    def _leave(self) -> None:
        """End the running recording; its log stays if the test failed or all logs are wanted."""
        run, self._run, self._item = self._run, None, None
        if run is None:
            return
        self._try(lambda: run.__exit__(None, None, None))
        if run.path is None:
            return
        page = run.path.with_suffix(".html")
        if self._said and self._settings.report:
            self._try(lambda: page.write_text(_page([run]), "utf-8"))
        elif not self._said and self._settings.mode != "always":
            for left in (run.path, page) if self._settings.report else (run.path,):
                with suppress(OSError):
                    left.unlink()
            if run.options.level == "values":
                shutil.rmtree(f"{run.path}.tensors", ignore_errors=True)

    def _explain(self, item: pytest.Item, report: pytest.TestReport, run: RecordedTest) -> None:
        nodes = len(run.nodes)
        if not nodes and not any(failure.framework for failure in run.failures):
            return  # the test used no framework
        findings = run.findings
        text = (
            findings[0].text if findings else f"graphdebug: nothing wrong was found in {nodes} recorded nodes"
        )
        if text == self._said:
            return
        self._said = text
        log = "" if run.path is None else _shown(run.path)
        text = f"{text}\nlog: {log or 'not kept; pytest --graphdebug keeps it'}"
        if log and self._settings.report:
            text = f"{text}\nreport: {os.path.splitext(log)[0]}.html"
        self._show(report, text)
        for properties in (item.user_properties, report.user_properties):
            properties[:] = [one for one in properties if not one[0].startswith("graphdebug")]
            properties += _properties(findings[0] if findings else None, log)

    def _show(self, report: pytest.TestReport, text: str) -> None:
        if text:
            report.sections.append(("graphdebug", text))

    def _try(self, action: Callable[[], object]) -> None:
        """Do what must not harm the test: an exception becomes a line in the test's section."""
        try:
            action()
        except Exception as error:
            said = f"{error}" if isinstance(error, GraphDebugError) else f"{type(error).__name__}: {error}"
            self._trouble = f"graphdebug could not record this test: {said}"


def _of_doctest(error: BaseException) -> BaseException:
    """Return the exception that an example in a docstring raised, which doctest wraps into its own."""
    error = next(iter(getattr(error, "failures", ())), error)
    return error.exc_info[1] if isinstance(error, doctest.UnexpectedException) else error


def _marked(item: pytest.Item) -> dict[str, Any]:
    marker = item.get_closest_marker("graphdebug")
    return {} if marker is None else dict(marker.kwargs)


def _properties(finding: Finding | None, log: str) -> list[tuple[str, object]]:
    """Return what the Junit XML and the annotations of GitHub Actions are made of."""
    properties: list[tuple[str, object]] = []
    if finding is not None:
        properties = [("graphdebug", finding.text), ("graphdebug_kind", finding.kind)]
        if finding.site is not None:
            properties.append(("graphdebug_site", f"{finding.site.file}:{finding.site.line}"))
    return [*properties, ("graphdebug_log", log)] if log else properties


def _page(runs: Sequence[Recording]) -> str:
    """Return the HTML report of some runs."""
    from graphdebug.view.html import html
    from graphdebug.view.report import report

    return html([report(run, str(run.path)) for run in runs])


def _shown(path: Path) -> str:
    """Return `path` as short as can be from here."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _file_name(nodeid: str) -> str:
    """Return a file name for a test, with a checksum where letters of its name had to go."""
    plain = nodeid.replace("::", ".").replace("/", ".")
    name = re.sub(r"[^\w.\[\]-]+", "_", plain)[:150]
    return name if name == plain else f"{name}-{zlib.crc32(nodeid.encode()):08x}"
