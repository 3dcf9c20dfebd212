"""The graphs with which TensorFlow tests its own debugger (they ship inside it): unharmed and explained."""

from __future__ import annotations

import contextlib
import tempfile

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python import tf2
from tensorflow.python.client.session import BaseSession
from tensorflow.python.debug.lib import session_debug_testlib as library

import graphdebug

tf1 = tf.compat.v1
CASES = [
    name for name in dir(library.SessionDebugTestBase) if name.startswith("test") and name != "test_session"
]


class Watched(library.SessionDebugTestBase):
    """TensorFlow's tests as they are: tfdbg watches the runs, and what it dumps is held to be right."""

    __test__ = False

    def _debug_urls(self, run_number=None):
        return [f"file://{self._debug_dump_dir(run_number)}"]

    def _debug_dump_dir(self, run_number=None):
        return self._dump_root if run_number is None else f"{self._dump_root}/run_{run_number}"

    def tearDown(self):
        """The graph is ours to leave."""


class Unwatched(Watched):
    """Their graphs alone, run as a program without tfdbg runs them."""

    def _debug_run_and_get_dump(self, sess, fetches, feed_dict=None, **_options):
        return sess.run(fetches, feed_dict=feed_dict), None


class Threads(library.DebugConcurrentRunCallsTest):
    """Three threads that each update one variable a hundred times, watched by tfdbg."""

    __test__ = False

    def setUp(self):
        self._num_concurrent_runs = 3
        self._dump_roots = [tempfile.mkdtemp() for _ in range(3)]

    def _get_concurrent_debug_urls(self):
        return [[f"file://{root}"] for root in self._dump_roots]


@contextlib.contextmanager
def as_in_tensorflow_1():
    """Build graphs as the library does: reference variables, control flow v1."""
    tf2.disable()
    tf1.disable_resource_variables()
    tf1.disable_control_flow_v2()
    np.random.seed(3)
    try:
        with tf.Graph().as_default():
            yield
    finally:
        tf2.enable()
        tf1.enable_resource_variables()
        tf1.enable_control_flow_v2()
        tf.debugging.enable_traceback_filtering()  # the library's own test cases switch it off


def outcome(kind, name):
    """Run one of TensorFlow's tests; return what its runs gave and how it ended."""
    given, run = [], BaseSession.run

    def noted(self, *arguments, **options):
        found = run(self, *arguments, **options)
        given.append([np.asarray(one).tobytes() for one in tf.nest.flatten(found) if one is not None])
        return found

    BaseSession.run = noted
    try:
        with as_in_tensorflow_1():
            kind.setUpClass()
            ended = kind(name).run()
    finally:
        BaseSession.run = run
    assert not ended.skipped
    return given, [text.splitlines()[-1] for _, text in [*ended.errors, *ended.failures]]


@pytest.mark.parametrize("name", CASES)
def test_tfdbg_and_its_tests_find_the_same_with_a_recording(name):
    plain, ended = outcome(Watched, name)
    assert ended == []
    with graphdebug.record(level="stats") as run:
        recorded, ended = outcome(Watched, name)
    assert ended == []
    assert recorded == plain
    assert not run.tool_errors
    assert run.nodes


def test_threads_that_tfdbg_watches_are_unharmed():
    with graphdebug.record() as run:
        assert outcome(Threads, "testDebugConcurrentVariableUpdates")[1] == []
    assert not run.tool_errors
    assert sum(node.op == "AssignAdd" for node in run.nodes) == 300


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("level", ["health", "values"])
def test_without_tfdbg_they_give_the_same_and_what_ran_is_recorded(name, level):
    plain, _ = outcome(Unwatched, name)
    with graphdebug.record(level=level, gradients="all") as run:
        recorded, _ = outcome(Unwatched, name)
    assert recorded == plain
    assert not run.tool_errors
    assert all(node.execution in ("executed", "inferred", "fused", "removed", "raised") for node in run.nodes)


def test_each_round_of_the_librarys_loop_is_recorded():
    with graphdebug.record(level="stats") as run:
        outcome(Unwatched, "testDebugWhileLoopWatchingWholeGraphWorks")
    rounds = [node.outputs[0].stats.max for node in run.nodes if node.name == "while/Add"]
    assert rounds == [12, 14, 16]


@pytest.mark.parametrize("name", ["testFindNodesWithBadTensorValues", "testFindInfOrNanWithOpNameExclusion"])
def test_of_the_librarys_bad_values_the_first_is_named(name):
    with graphdebug.record() as run:
        outcome(Unwatched, name)
    finding = run.findings[0]
    assert finding.kind == "nonfinite"
    assert run.node(finding.evidence[0]).name == f"{name}/x"


def test_the_librarys_failing_run_is_explained():
    class Failing(Watched):
        def assertRaises(self, _kind):
            return contextlib.nullcontext()  # let it go on to the user

    with pytest.raises(tf.errors.InvalidArgumentError), graphdebug.record() as run, as_in_tensorflow_1():
        case = Failing("testDebuggingDuringOpError")
        case.setUp()
        case.testDebuggingDuringOpError()
    (failure,) = run.failures
    assert (failure.category, failure.name) == ("shape", "mismatch/y")
    assert [one.fact.shape for one in failure.operands] == [(1, 2), (1, 2)]
