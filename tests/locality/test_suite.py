"""The suite on a few programs, in real processes."""

import json
import re
import subprocess
import sys

import pytest
from click.testing import CliRunner

from graphdebug.cli import main
from graphdebug.errors import GraphDebugError, OptionError
from graphdebug.locality.hosts import Host
from graphdebug.locality.program import MODES
from graphdebug.locality.suite import Result, run_suite, select

EAGER = next(mode for mode in MODES if mode.name == "torch eager")


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> dict[str, Result]:
    cases = ["reshape_fold", "dense_width", "labels_float", "fold_metric"]
    folder = tmp_path_factory.mktemp("suite")
    return {result.case: result for result in run_suite(select(cases, ["torch eager"]), folder)}


def test_the_native_output_never_names_a_silent_fold_and_ours_names_it_first(results):
    for case in ("reshape_fold", "fold_metric"):
        assert not results[case].columns["native"].hit
        assert results[case].columns["native"].rank is None
        assert results[case].columns["graphdebug"].rank == 1


def test_what_raises_natively_raises_with_graphdebug(results):
    for result in results.values():
        assert result.returncodes == {"native": 1, "best flags": 1, "graphdebug": 1}
        assert result.columns["native"].lines < result.columns["graphdebug"].lines


def test_clean_twins_are_not_accused(results):
    assert [result.false_alarms for result in results.values()] == [()] * len(results)
    assert [result.twin_returncode for result in results.values()] == [0] * len(results)


def test_the_fold_is_some_hops_and_nodes_before_the_loss_that_fails(results):
    fold = results["reshape_fold"].columns
    assert fold["native"].graph == 2  # view -> linear -> the loss that failed
    assert fold["graphdebug"].graph == 0
    assert fold["native"].nodes is None  # no time to a report that never names it
    assert fold["graphdebug"].nodes > 0


def test_a_hosts_child_prints_what_python_prints(tmp_path):
    pair = select(["dense_width"], ["torch eager"])[0]
    script = tmp_path / "net.py"
    script.write_text(pair.program.text(EAGER).source)
    plain = subprocess.run(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    with Host(*EAGER.imports) as host:
        forked = host.run(script)
        (tmp_path / "exit.py").write_text("import sys\nprint('bye')\nsys.exit(3)\n")
        left = host.run(tmp_path / "exit.py")
        (tmp_path / "loop.py").write_text("while True:\n    pass\n")
        slow = host.run(tmp_path / "loop.py", timeout=0.5)
    assert (forked.text, forked.returncode) == (plain.stdout, plain.returncode)
    assert (left.text, left.returncode) == ("bye\n", 3)
    assert slow.returncode == -9


def test_a_framework_that_is_not_there_is_one_clear_error(tmp_path):
    (tmp_path / "a.py").write_text("")
    with (
        Host("no_such_framework") as host,
        pytest.raises(GraphDebugError, match=r"^no_such_framework can't be imported here"),
    ):
        host.run(tmp_path / "a.py")


def test_a_pattern_that_matches_nothing_lists_what_there_is():
    with pytest.raises(
        OptionError, match=r"^no mode matches 'jax': there are torch eager, torch.compile, TF eager"
    ):
        select(modes=["jax"])


def test_the_command_prints_the_table_and_writes_json_and_picture(tmp_path):
    pytest.importorskip("matplotlib", reason="the picture is an optional extra")
    done = CliRunner().invoke(
        main,
        ["locality", "--case", "matmul_vector", "--mode", "torch eager", "--json", str(tmp_path / "r.json"),
         "--picture", str(tmp_path / "r.svg"), "--markdown", str(tmp_path / "r.md")],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert re.search(r"torch eager\s+native\s+1\s+1 \(100 %\)\s+1 \(100 %\)", done.output)
    written = json.loads((tmp_path / "r.json").read_text())
    assert written["results"][0]["case"] == "matmul_vector"
    assert written["results"][0]["columns"]["native"]["rank"] == 1
    assert (tmp_path / "r.svg").read_text().startswith("<?xml")
    assert "| shape | matmul_vector | 1 / 1 / 1 |" in (tmp_path / "r.md").read_text()


def test_a_pattern_that_matches_nothing_exits_with_2():
    done = CliRunner().invoke(main, ["locality", "--case", "no_such"])
    assert done.exit_code == 2
    assert done.output.startswith("graphdebug: no case matches 'no_such': there are ")


@pytest.mark.parametrize(
    ("option", "path", "reason"),
    [
        ("--json", "nowhere/r.json", "there is no such folder"),
        ("--markdown", ".", "it is a folder"),
        ("--keep", "file.txt/kept", "Not a directory"),
        ("--picture", "r.xyz", "its name must end in .svg, .png or .pdf"),
    ],
)
def test_what_can_not_be_written_is_refused_before_anything_is_run(tmp_path, option, path, reason, monkeypatch):
    pytest.importorskip("matplotlib", reason="the picture is an optional extra")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file.txt").write_text("")
    done = CliRunner().invoke(main, ["locality", "--case", "matmul_vector", option, path])
    assert done.exit_code == 2
    picture = "the picture " if option == "--picture" else ""
    assert done.output == f"graphdebug: can't write {picture}{path}: {reason}\n"


def test_no_jobs_at_a_time_are_refused():
    done = CliRunner().invoke(main, ["locality", "--jobs", "0"])
    assert done.exit_code == 2
    assert "Invalid value for '--jobs': 0 is not in the range x>=1" in done.output


def test_the_list_names_every_pair_without_running_any():
    done = CliRunner().invoke(main, ["locality", "--list", "--mode", "TF1*"])
    assert done.exit_code == 0
    assert len(done.output.splitlines()) == len(select(modes=["TF1*"]))


def test_a_fault_is_named_in_every_mode_of_tensorflow_and_on_no_twin(tmp_path):
    pytest.importorskip("tensorflow", reason="the CI job of torch alone has no TensorFlow")
    found = run_suite(select(["softmax_axis"], ["TF eager", "tf.function", "TF1 session"]), tmp_path)
    assert [result.columns["native"].rank for result in found] == [None, None, None]
    assert [result.columns["graphdebug"].rank for result in found] == [1, 1, 1]
    assert [result.false_alarms for result in found] == [(), (), ()]
