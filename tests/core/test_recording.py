"""The context manager: nested, repeated, threads, generators, late imports, exceptions."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import textwrap
import threading
import traceback

import pytest

import graphdebug
from graphdebug.model.event import Failure
from graphdebug.model.site import SiteFinder


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"level": "everything"}, "unknown level 'everything': use one of shapes, health, stats, values"),
        ({"gradients": "some"}, "unknown gradients 'some': use one of none, parameters, all"),
        ({"phases": ["sideways"]},
         "unknown phases 'sideways': use one of forward, backward, optimizer, recompute, build"),
        ({"every": 0}, "every=0 must be 1 or more: it records every N-th step"),
        ({"keep_last": 0}, "keep_last=0 must be 1 or more steps"),
        ({"break_on": "nan"}, "unknown break_on 'nan': use one of nonfinite"),
        ({"modules": "fc*"}, "modules='fc*' must be a list of patterns, not one string"),
    ],
)  # fmt: skip
def test_an_unknown_option_names_the_ones_there_are(options, says):
    with pytest.raises(graphdebug.OptionError) as error:
        graphdebug.record(**options)
    assert str(error.value) == says


def test_an_inner_recording_pauses_the_outer_one():
    with graphdebug.record() as outer:
        with graphdebug.record() as inner:
            inner.step()
        assert inner.end is not None
        outer.step()
    assert [notice.text for notice in outer.notices] == ["an inner recording took over, into memory"]
    assert outer.end is not None


def test_a_recording_is_used_once():
    recording = graphdebug.record()
    with recording:
        pass
    with pytest.raises(graphdebug.RecordingError, match=r"call graphdebug\.record\(\.\.\.\) again"), recording:
        pass


def test_a_second_thread_is_refused_while_one_records():
    seen = []

    def other():
        try:
            with graphdebug.record():
                pass
        except graphdebug.RecordingError as error:
            seen.append(str(error))

    with graphdebug.record():
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert seen == ["another thread is recording (into memory): a process records one run at a time"]


def test_a_recording_in_a_generator_lasts_until_the_generator_is_closed():
    runs = []

    def steps():
        with graphdebug.record() as run:
            runs.append(run)
            yield 1
            yield 2

    generator = steps()
    assert next(generator) == 1
    assert runs[0].end is None
    generator.close()
    assert runs[0].end.status == "completed"
    assert list(steps()) == [1, 2]


@pytest.mark.parametrize(
    ("error", "status"),
    [(ValueError("x"), "failed"), (KeyboardInterrupt(), "interrupted"), (SystemExit(3), "exited")],
)
def test_the_end_says_how_the_block_was_left(error, status):
    with pytest.raises(type(error)), graphdebug.record() as run:
        raise error
    assert run.end.status == status


def test_the_exception_keeps_type_args_and_traceback():
    original = KeyError("weights", 3)
    with pytest.raises(KeyError) as caught, graphdebug.record() as run:
        raise original
    assert caught.value is original
    assert caught.value.args == ("weights", 3)
    assert caught.value.__cause__ is None
    assert not any("src/graphdebug" in frame.filename for frame in traceback.extract_tb(original.__traceback__))
    failure = run.failures[0]
    assert isinstance(failure, Failure)
    assert (failure.error, failure.site.file) == ("KeyError", __file__)
    assert "raise original" in run.source_lines(__file__)[failure.site.line - 1]


def test_the_traceback_has_no_frame_of_ours():
    import torch

    with pytest.raises(RuntimeError) as caught, graphdebug.record():
        torch.ones(2, 3) @ torch.ones(2, 3)
    files = [frame.filename for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert files[0] == __file__
    assert not any("graphdebug/backends" in file for file in files)


def test_a_framework_imported_inside_the_block_is_recorded():
    code = """
        import graphdebug, sys
        with graphdebug.record() as run:
            import torch
            torch.ones(3).sum()
        assert [one.name for one in run.frameworks] == ["torch"], run.frameworks
        assert "sum" in [node.function for node in run.nodes], run.nodes
        assert not any("graphdebug" in type(finder).__module__ for finder in sys.meta_path)
        assert type(torch.__spec__.loader).__name__ == "SourceFileLoader"
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_run_answers_the_questions_of_the_readme():
    with graphdebug.record() as run:
        run.step()
    assert run.nodes == []
    assert run.findings == ()
    assert list(run.step(0).nodes) == []
    assert run.start.schema == 2


def test_marking_a_step_outside_the_block_says_what_it_is_for():
    with pytest.raises(graphdebug.RecordingError, match="marks a step inside the `with` block"):
        graphdebug.record().step()


def test_the_script_that_starts_an_installed_program_is_not_the_users_code():
    finder = SiteFinder()
    assert not finder.is_user(os.path.join(sysconfig.get_path("scripts"), "graphdebug"))
    assert not finder.is_user(os.__file__)
    assert not finder.is_user(pytest.__file__)
    assert finder.is_user(__file__)
