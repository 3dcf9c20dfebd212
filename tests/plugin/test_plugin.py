"""The plugin with real torch: sections, logs, options, markers, kinds of tests."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

import graphdebug
from tests.plugin.sessions import run

pytestmark = pytest.mark.usefixtures("warm")

FAILING = """
    import torch

    def test_it():
        a = torch.ones(2, 3)
        a @ torch.ones(2, 3)
"""

PASSING = """
    import torch

    def test_it():
        assert torch.ones(2, 3).sum() == 6
"""


def logs(pytester: pytest.Pytester, folder: str = ".graphdebug") -> list[str]:
    return sorted(path.name for path in (pytester.path / folder).glob("*"))


def finding_text(path: Path) -> str:
    return graphdebug.load(path).findings[0].text


def test_a_failing_test_shows_the_finding_and_the_log(pytester):
    pytester.makepyfile(FAILING)
    result = run(pytester, "--graphdebug")
    result.assert_outcomes(failed=1)
    [log] = logs(pytester)
    assert log == "test_a_failing_test_shows_the_finding_and_the_log.py.test_it.jsonl"
    text = finding_text(pytester.path / ".graphdebug" / log)
    assert text.startswith("graphdebug: shape mismatch in matmul, at test_a_failing_test_shows_the_finding")
    result.stdout.fnmatch_lines(["*- graphdebug -*", "graphdebug: shape mismatch in matmul, at *:5 *"])
    assert f"{text}\nlog: .graphdebug/{log}\n" in result.stdout.str()
    end = graphdebug.load(pytester.path / ".graphdebug" / log).end
    assert end is not None
    assert end.status == "failed"


def test_the_traceback_is_as_without_the_plugin(pytester):
    pytester.makepyfile(FAILING)
    plain = run(pytester, "--tb=long").stdout.str().split("= FAILURES =")[1].split("= short test")[0]
    ours = run(pytester, "--tb=long", "--graphdebug").stdout.str().split("= FAILURES =")[1]
    assert ours.split("---- graphdebug")[0].rstrip("-") == plain.rstrip("=")


def test_local_variables_in_the_report_are_not_recorded(pytester):
    pytester.makepyfile(FAILING)
    run(pytester, "--graphdebug", "--showlocals")
    log = graphdebug.load(pytester.path / ".graphdebug" / logs(pytester)[0])
    assert [node.function for node in log.nodes] == ["ones", "ones", "matmul"]


def test_passing_tests_leave_no_files(pytester):
    pytester.makepyfile(PASSING)
    run(pytester, "--graphdebug=on-fail").assert_outcomes(passed=1)
    assert not (pytester.path / ".graphdebug").exists()


def test_always_keeps_the_logs_of_passing_tests(pytester):
    pytester.makepyfile(PASSING)
    run(pytester, "--graphdebug=always", "--graphdebug-log=kept/here").assert_outcomes(passed=1)
    [log] = logs(pytester, "kept/here")
    recorded = graphdebug.load(pytester.path / "kept" / "here" / log)
    assert [node.function for node in recorded.nodes][:2] == ["ones", "sum"]
    assert recorded.end is not None
    assert recorded.end.status == "completed"


def test_a_log_is_removed_when_its_test_passes_again(pytester):
    path = pytester.makepyfile(FAILING)
    run(pytester, "--graphdebug")
    assert len(logs(pytester)) == 1
    path.write_text(path.read_text().replace("ones(2, 3)\n    a @", "ones(2, 2)\n    a @"))
    run(pytester, "--graphdebug").assert_outcomes(passed=1)
    assert not (pytester.path / ".graphdebug").exists()


def test_without_the_flag_nothing_is_recorded(pytester):
    pytester.makepyfile(FAILING)
    result = run(pytester)
    result.assert_outcomes(failed=1)
    assert "graphdebug" not in result.stdout.str().split("FAILURES")[1].replace("test_without", "")
    assert not (pytester.path / ".graphdebug").exists()


def test_failures_of_setup_and_teardown_are_explained(pytester):
    pytester.makepyfile(
        """
        import pytest, torch

        @pytest.fixture
        def broken():
            return torch.ones(2, 3) @ torch.ones(2, 3)

        @pytest.fixture
        def late():
            yield
            torch.ones(4, 3) @ torch.ones(4, 3)

        def test_setup(broken): pass
        def test_teardown(late): pass
        """
    )
    result = run(pytester, "--graphdebug")
    result.assert_outcomes(errors=2, passed=1)
    result.stdout.fnmatch_lines(
        [
            "*ERROR at setup of test_setup*",
            "graphdebug: shape mismatch in matmul, at *.py:5 *",
            "log: .graphdebug/*.test_setup.jsonl",
            "*ERROR at teardown of test_teardown*",
            "graphdebug: shape mismatch in matmul, at *.py:10 *",
            "log: .graphdebug/*.test_teardown.jsonl",
        ]
    )


def test_a_failure_with_nothing_wrong_in_the_graph_says_so(pytester):
    pytester.makepyfile(
        """
        import torch

        def test_graph():
            assert torch.ones(2).sum().item() == 3

        def test_none():
            assert 1 == 2
        """
    )
    result = run(pytester, "--graphdebug")
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["log: .graphdebug/*.test_graph.jsonl"])
    assert result.stdout.str().count("log: ") == 1
    assert len(logs(pytester)) == 1


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--graphdebug=sometimes"], "unknown --graphdebug 'sometimes': use one of on-fail, always, off"),
        (
            ["--graphdebug", "--graphdebug-level=all"],
            "--graphdebug: unknown level 'all': use one of shapes, health, stats, values",
        ),
        (
            ["--graphdebug", "--graphdebug-filter=layer:x"],
            "unknown --graphdebug-filter 'layer:x': use a pattern of module paths, op:PATTERN or phase:NAME",
        ),
        (
            ["--graphdebug", "--graphdebug-filter=phase:x"],
            "--graphdebug: unknown phases 'x': use one of forward, backward, optimizer, recompute, build",
        ),
    ],
)
def test_a_wrong_option_is_a_usage_error_with_the_allowed_values(pytester, args, message):
    pytester.makepyfile(PASSING)
    result = run(pytester, *args)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert result.stderr.lines[0] == f"ERROR: {message}"


def test_the_report_of_a_failing_test_is_written_beside_its_log(pytester):
    path = pytester.makepyfile(test_page=FAILING)
    result = run(pytester, "--graphdebug", "--graphdebug-report")
    result.stdout.fnmatch_lines(
        ["log: .graphdebug/test_page.py.test_it.jsonl", "report: .graphdebug/test_page.py.test_it.html"]
    )
    page = (pytester.path / ".graphdebug" / "test_page.py.test_it.html").read_text()
    assert "shape mismatch in matmul" in page
    path.write_text("def test_it(): pass")
    run(pytester, "--graphdebug", "--graphdebug-report").assert_outcomes(passed=1)
    assert not (pytester.path / ".graphdebug").exists()
    result = run(pytester, "--graphdebug-report")
    assert result.stderr.lines[0] == (
        "ERROR: --graphdebug-report needs --graphdebug: without it no test is recorded"
    )


def test_a_file_in_place_of_the_log_folder_is_a_usage_error(pytester):
    path = pytester.makepyfile(PASSING)
    result = run(pytester, "--graphdebug", f"--graphdebug-log={path.name}/logs")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert result.stderr.lines[0] == f"ERROR: --graphdebug-log={path}/logs: {path} is a file; name a folder"


def test_the_flag_before_a_path_is_not_a_mode(pytester):
    pytester.makepyfile(**{"sub/test_one": FAILING})
    run(pytester, "--graphdebug", "sub").assert_outcomes(failed=1)
    assert logs(pytester) == ["sub.test_one.py.test_it.jsonl"]


def test_the_ini_file_sets_all_options_and_the_command_line_overrides_it(pytester):
    pytester.makepyfile(FAILING)
    pytester.makeini(
        """
        [pytest]
        graphdebug = always
        graphdebug_level = shapes
        graphdebug_log = from_ini
        graphdebug_filter =
            op:matmul
            phase:forward
        """
    )
    run(pytester)
    [log] = logs(pytester, "from_ini")
    start = graphdebug.load(pytester.path / "from_ini" / log).start
    assert start is not None
    assert (start.options["level"], start.options["ops"]) == ("shapes", ["matmul"])
    assert start.options["phases"] == ["forward"]
    run(pytester, "--graphdebug=off", "--graphdebug-log=none")
    assert not (pytester.path / "none").exists()
    run(pytester, "--graphdebug-level=values", "--graphdebug-log=more")
    start = graphdebug.load(pytester.path / "more" / log).start
    assert start is not None
    assert start.options["level"] == "values"


def test_names_that_no_file_can_have_get_a_checksum(pytester):
    pytester.makepyfile(
        test_names="""
        import pytest, torch

        @pytest.mark.parametrize("name", ["a/b", "a*b", "x" * 300])
        def test_it(name):
            torch.ones(2, 3) @ torch.ones(2, 3)
        """
    )
    run(pytester, "--graphdebug").assert_outcomes(failed=3)
    names = logs(pytester)
    assert "test_names.py.test_it[a.b].jsonl" in names
    assert len(names) == 3
    assert all(len(name) < 200 for name in names)


def test_every_kind_of_test_is_recorded(pytester):
    pytester.makepyfile(
        test_kinds="""
        import unittest, pytest, torch

        def mismatch():
            torch.ones(2, 3) @ torch.ones(2, 3)

        class TestClass:
            def test_method(self): mismatch()

        class TestUnit(unittest.TestCase):
            def test_unit(self): mismatch()

        @pytest.mark.parametrize("n", [2, 3])
        def test_parametrized(n): mismatch()

        @pytest.mark.anyio
        async def test_anyio(): mismatch()

        @pytest.mark.asyncio
        async def test_asyncio(): mismatch()

        @pytest.fixture
        def anyio_backend(): return "asyncio"

        def documented():
            '''
            >>> mismatch()
            '''
        """
    )
    result = run(pytester, "--graphdebug", "--doctest-modules", "-p", "anyio")
    result.assert_outcomes(failed=7)
    assert result.stdout.str().count("graphdebug: shape mismatch in matmul, at test_kinds.py:4") == 7
    assert len(logs(pytester)) == 7


def test_outcomes_of_skips_and_expected_failures_are_unchanged(pytester):
    pytester.makepyfile(
        """
        import pytest, torch

        def mismatch():
            torch.ones(2, 3) @ torch.ones(2, 3)

        def test_skipped(): pytest.skip("no")
        @pytest.mark.xfail
        def test_expected(): mismatch()
        @pytest.mark.xfail(strict=True)
        def test_unexpected(): torch.ones(2)
        def test_raises():
            with pytest.raises(RuntimeError, match="mat1 and mat2") as info:
                mismatch()
            assert not getattr(info.value, "__notes__", [])
        def test_exit(): raise SystemExit(3)
        """
    )
    for args in ([], ["--graphdebug"]):
        result = run(pytester, *args)
        result.assert_outcomes(skipped=1, xfailed=1, failed=2, passed=1)


def test_a_rerun_is_recorded_anew(pytester):
    pytester.makepyfile(
        """
        import torch
        tries = []

        def test_flaky():
            tries.append(1)
            torch.ones(2, 3) @ torch.ones(2 if len(tries) == 1 else 3, 3)
        """
    )
    run(pytester, "--graphdebug", "--reruns=1", "-p", "rerunfailures").assert_outcomes(passed=1)
    assert not (pytester.path / ".graphdebug").exists()


def test_a_timeout_is_an_ordinary_failure(pytester):
    pytester.makepyfile(
        """
        import time, pytest, torch

        @pytest.mark.timeout(0.5)
        def test_slow():
            torch.ones(2)
            time.sleep(5)
        """
    )
    result = run(pytester, "--graphdebug")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*- graphdebug -*", "log: .graphdebug/*.test_slow.jsonl"])


def test_workers_of_xdist_record_and_report(pytester):
    pytester.makepyfile(
        test_par="""
        import pytest, torch

        @pytest.mark.parametrize("n", range(4))
        def test_it(n):
            torch.ones(n + 1, 3) @ torch.ones(2 if n % 2 else 3, 3)
        """
    )
    result = pytester.runpytest_subprocess("-n2", "--graphdebug", "-p", "randomly", "--junitxml=out.xml")
    result.assert_outcomes(failed=2, passed=2)
    assert result.stdout.str().count("graphdebug: shape mismatch in matmul, at test_par.py:5") == 2
    assert logs(pytester) == ["test_par.py.test_it[1].jsonl", "test_par.py.test_it[3].jsonl"]
    assert (pytester.path / "out.xml").read_text().count('<property name="graphdebug_kind"') == 2


def test_junit_xml_has_the_finding_as_a_property(pytester):
    path = pytester.makepyfile(test_junit=FAILING)
    run(pytester, "--graphdebug", "--junitxml=out.xml")
    properties = {
        one.get("name"): one.get("value")
        for one in ElementTree.parse(pytester.path / "out.xml").iter("property")
    }
    log = ".graphdebug/test_junit.py.test_it.jsonl"
    assert properties == {
        "graphdebug": finding_text(pytester.path / log),
        "graphdebug_kind": "shape_mismatch",
        "graphdebug_site": f"{path}:5",
        "graphdebug_log": log,
    }


def test_github_actions_gets_an_annotation_on_the_culprit_line(pytester, monkeypatch):
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(pytester.path))
    pytester.makepyfile(test_ci=FAILING)
    result = run(pytester, "--graphdebug")
    [line] = [line for line in result.stdout.lines if line.startswith("::error")]
    first, _, rest = finding_text(pytester.path / ".graphdebug/test_ci.py.test_it.jsonl").partition("\n")
    title = first.removeprefix("graphdebug: ").replace(":", "%3A").replace(",", "%2C")
    expected = rest.replace("%", "%25").replace("\n", "%0A")
    assert line == f"::error file=test_ci.py,line=5,title={title}::{expected}"


def test_a_recording_that_fails_leaves_the_test_alone(pytester):
    pytester.makepyfile(
        """
        import pathlib, torch

        def test_breaks_the_folder():
            torch.ones(2)
            log = pathlib.Path(".graphdebug")
            for one in log.iterdir(): one.unlink()
            log.rmdir()
            log.write_text("in the way")

        def test_passes(): torch.ones(2)
        def test_fails(): torch.ones(2, 3) @ torch.ones(2, 3)
        """
    )
    result = run(pytester, "--graphdebug", "-p", "no:asyncio", "-W", "error")
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(
        ["*- graphdebug -*", "graphdebug could not record this test: can't write the log *; choose a path *"]
    )


def test_loading_the_plugin_loads_nothing_heavy():
    code = "import sys, pytest, graphdebug.testing.plugin\nprint([m for m in {!r} if m in sys.modules])"
    heavy = ("torch", "tensorflow", "keras", "numpy", "rich", "structlog", "click", "msgspec")
    done = subprocess.run(
        [sys.executable, "-c", code.format(heavy)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_loading_the_plugin_costs_less_than_5_ms_of_cpu():
    code = (
        "import pytest, time; start = time.process_time(); import graphdebug.testing.plugin; "
        "print((time.process_time() - start) * 1000)"
    )
    costs = [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
        for _ in range(3)
    ]
    assert min(costs) < 5
