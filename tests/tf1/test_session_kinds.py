"""Sessions as they are really used: callables, partial runs, threads, queues, loops, imported graphs."""

from __future__ import annotations

import contextlib
import gc
import itertools
import linecache
import threading
import weakref

import numpy as np
import pytest
import tensorflow as tf

import graphdebug

tf1 = tf.compat.v1


def line_of(site) -> str:
    return linecache.getline(site.file, site.line).strip()


@contextlib.contextmanager
def control_flow(version):
    if version == "v1":
        tf1.disable_control_flow_v2()
    try:
        yield
    finally:
        tf1.enable_control_flow_v2()


def test_callables_and_fetch_structures_give_what_they_gave_and_are_recorded():
    def program():
        with tf.Graph().as_default(), tf1.Session() as session:
            x = tf1.placeholder(tf.float32, [2])
            weight = tf1.get_variable("weight", [2], initializer=tf1.ones_initializer(), use_resource=True)
            double, total = tf.identity(x * 2, name="double"), tf.reduce_sum(weight * 3)
            session.run(weight.initializer)
            structure = session.run({"a": [double, (total,)], "b": weight}, {x: [1, 2]})
            intermediate = session.run(double + 1, {double: [10, 20]})
            callables = [session.make_callable(total)(), session.make_callable([total, {"w": weight}])()]
            fed = session.make_callable(double, [x])([3, 4])
            session.make_callable(weight.initializer)()
            return str((structure, intermediate, callables, fed))

    plain = program()
    with graphdebug.record() as run:
        assert program() == plain
    assert not run.tool_errors
    by_step = {step: [node.op for node in run.step(step).nodes] for step in run.steps}
    assert "Mul" not in by_step[2], "the fed intermediate was not computed"
    plus = next(node for node in run.step(2).nodes if node.op == "AddV2")
    assert (plus.inputs[0].origin, plus.inputs[0].name) == ("feed", "double:0")
    assert "Sum" in by_step[3]
    assert len(by_step) == 7


def test_a_callable_of_before_the_block_is_recorded_in_it_and_works_after_it():
    with tf.Graph().as_default(), tf1.Session() as session:
        call = session.make_callable(tf.reduce_sum(tf.range(4)))
        with graphdebug.record() as run:
            assert call() == 6
        assert call() == 6
    assert [node.op for node in run.nodes if node.family == "reduce"] == ["Sum"]


def test_partial_runs_are_recorded_in_parts_with_their_numbers():
    with tf.Graph().as_default(), tf1.Session() as session, graphdebug.record(level="stats") as run:
        x, y = tf1.placeholder(tf.float32, [2], name="x"), tf1.placeholder(tf.float32, [2], name="y")
        first = x * 2
        second = tf.exp(first + y)
        handle = session.partial_run_setup([first, second], [x, y])
        assert session.partial_run(handle, first, {x: [1, 2]}).tolist() == [2, 4]
        session.partial_run(handle, second, {y: [0, 0]})
    found = [(node.op, node.execution, node.outputs[0].stats.max) for node in run.nodes if node.op != "Const"]
    assert found[:2] == [("Mul", "executed", 4.0), ("AddV2", "executed", 4.0)]
    assert found[2][2] == pytest.approx(np.exp(4.0))
    assert not run.tool_errors


def test_a_partial_run_that_can_not_be_repeated_has_shapes_only():
    with tf.Graph().as_default(), tf1.Session() as session, graphdebug.record() as run:
        x = tf1.placeholder(tf.float32, [2], name="x")
        noise = x + tf.random.uniform([2])
        handle = session.partial_run_setup([noise], [x])
        session.partial_run(handle, noise, {x: [1, 2]})
    node = next(node for node in run.nodes if node.op == "AddV2")
    assert (node.execution, node.outputs[0].shape, node.outputs[0].finite) == ("inferred", (2,), None)


def test_a_failing_partial_run_is_explained_with_what_was_fed_before():
    with (
        pytest.raises(tf.errors.InvalidArgumentError), tf.Graph().as_default(), tf1.Session() as session,
        graphdebug.record() as run,
    ):  # fmt: skip
        x, y = tf1.placeholder(tf.float32, [None], name="x"), tf1.placeholder(tf.float32, [None], name="y")
        first = x * 2
        second = first + y
        handle = session.partial_run_setup([first, second], [x, y])
        session.partial_run(handle, first, {x: [1, 2]})
        session.partial_run(handle, second, {y: [0, 0, 0]})
    (failure,) = run.failures
    assert (failure.op, [one.fact.shape for one in failure.operands]) == ("AddV2", [(2,), (3,)])
    assert line_of(failure.site) == "second = first + y"
    assert line_of(failure.run_site) == "session.partial_run(handle, second, {y: [0, 0, 0]})"


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_every_iteration_of_a_loop_is_recorded(version):
    with control_flow(version), tf.Graph().as_default(), tf1.Session() as session:
        x = tf1.placeholder(tf.float32, [])
        _, result = tf.while_loop(lambda i, _: i < 4, lambda i, r: (i + 1, tf.math.log(r)), [0, x])
        plain = session.run(result, {x: 3.0})
        with graphdebug.record(level="stats") as run:
            assert session.run(result, {x: 3.0}).tobytes() == plain.tobytes()
    logs = [node for node in run.nodes if node.op == "Log"]
    assert [node.outputs[0].finite for node in logs] == [True, True, True, False]
    assert logs[1].outputs[0].stats.min == pytest.approx(np.log(np.log(3.0)), rel=1e-4)
    for before, after in itertools.pairwise(logs):
        assert before in list(run.chain(after.inputs[0]))[:2], "made by the log of the iteration before"
    first = [logs[0], *run.chain(logs[0].inputs[0])][-1]
    assert first.inputs[0].origin == "feed"
    assert run.findings[0].kind == "nonfinite"
    assert "tf.while_loop(" in line_of(run.findings[0].site)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_only_the_branch_taken_is_recorded(version):
    with control_flow(version), tf.Graph().as_default(), tf1.Session() as session, graphdebug.record() as run:
        x = tf1.placeholder(tf.float32, [])
        result = tf1.cond(x > 0, lambda: tf.sqrt(x), lambda: tf.exp(x))
        session.run(result, {x: 4.0})
        session.run(result, {x: -4.0})
    taken = [[node.op for node in run.step(step).nodes if node.op in ("Sqrt", "Exp")] for step in (0, 1)]
    assert taken == [["Sqrt"], ["Exp"]]
    assert not run.tool_errors


def test_function_bodies_are_opened_to_their_real_ops_and_lines():
    with tf.Graph().as_default(), tf1.Session() as session:
        weight = tf1.get_variable("weight", [3, 2], initializer=tf1.ones_initializer())

        @tf.function
        def layer(values):
            hidden = tf.nn.relu(values)
            return tf.matmul(hidden, weight)

        x = tf1.placeholder(tf.float32, [None, 3])
        loss = tf.reduce_sum(layer(x))
        train = tf1.train.GradientDescentOptimizer(0.5).minimize(loss)
        session.run(tf1.global_variables_initializer())
        with graphdebug.record(level="stats") as run:
            session.run([loss, train], {x: np.ones((4, 3))})
    relu = next(node for node in run.nodes if node.op == "Relu")
    assert line_of(relu.site) == "hidden = tf.nn.relu(values)"
    assert (relu.inputs[0].origin, relu.outputs[0].shape) == ("feed", (4, 3))
    product = next(node for node in run.nodes if node.op == "MatMul" and node.phase == "forward")
    assert product.outputs[0].stats.max == 3.0, "with the weights of before the update"
    assert any(node.op == "MatMul" and node.phase == "backward" for node in run.nodes)


def test_threads_and_queue_runners_are_recorded_and_only_the_users_runs_are_steps():
    with tf.Graph().as_default(), tf1.Session() as session, graphdebug.record() as run:
        queue = tf1.FIFOQueue(8, [tf.float32], [[]])
        enqueue = queue.enqueue(tf.random.uniform([]))
        runner = tf1.train.QueueRunner(queue, [enqueue] * 2)
        result = queue.dequeue() * 2
        coordinator = tf1.train.Coordinator()
        threads = runner.create_threads(session, coordinator, start=True)
        values = []

        def consume():
            values.extend(session.run(result) for _ in range(5))

        workers = [threading.Thread(target=consume) for _ in range(2)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        coordinator.request_stop()
        session.run(queue.close(cancel_pending_enqueues=True))
        coordinator.join(threads)
    assert len(values) == 10
    assert not run.tool_errors
    assert len({node.thread for node in run.nodes if node.op == "Mul"}) == 2
    assert run.end.steps <= 12


def test_several_graphs_sessions_and_an_interactive_one():
    first, second = tf.Graph(), tf.Graph()
    with first.as_default():
        a = tf.constant([1.0, 2.0]) * 2
    with second.as_default():
        b = tf1.get_variable("b", [3], initializer=tf1.ones_initializer())
    with graphdebug.record() as run, tf1.Session(graph=first) as one, tf1.Session(graph=second) as other:
        one.run(a)
        other.run(b.initializer)
        other.run(b)
        with tf.Graph().as_default():
            session = tf1.InteractiveSession()
            assert tf.reduce_sum(tf.ones([4])).eval() == 4
            session.close()
    assert {"Mul", "Sum"} <= {node.op for node in run.nodes}
    assert run.declaration("b").attributes["shape"] == [3]


def test_an_imported_graph_names_node_and_scope_without_lines():
    with tf.Graph().as_default() as source:
        x = tf1.placeholder(tf.float32, [None, 3], name="x")
        with tf1.name_scope("layer"):
            tf.matmul(x, tf.ones([3, 2]), name="product")
    with tf.Graph().as_default(), tf1.Session() as session, graphdebug.record() as run:
        tf.import_graph_def(source.as_graph_def(), name="")
        session.run("layer/product:0", {"x:0": np.ones((2, 3))})
    product = next(node for node in run.nodes if node.op == "MatMul")
    assert (product.name, product.module) == ("layer/product", "layer")
    assert product.site is None
    assert line_of(product.run_site).startswith('session.run("layer/product:0"')


def test_a_finalized_graph_is_recorded_and_stays_finalized():
    with tf.Graph().as_default() as graph, tf1.Session() as session:
        result = tf.exp(tf.constant([1.0, 2.0]) * 3)
        graph.finalize()
        with graphdebug.record() as run:
            session.run(result)
    assert graph.finalized
    assert any(node.op == "Exp" for node in run.nodes)


def test_a_recording_keeps_no_graph_and_no_session_alive():
    def program():
        with tf.Graph().as_default() as graph, tf1.Session() as session:
            session.run(tf.exp(tf.constant([1.0])))
            return weakref.ref(graph), weakref.ref(session)

    with graphdebug.record():
        graph, session = program()
        gc.collect()
        assert session() is None
        assert graph() is None


def test_user_options_and_metadata_are_filled_as_without_us():
    with tf.Graph().as_default(), tf1.Session() as session, graphdebug.record():
        metadata = tf1.RunMetadata()
        options = tf1.RunOptions(trace_level=tf1.RunOptions.FULL_TRACE)
        session.run(tf.exp(tf.constant([1.0, 2.0])), options=options, run_metadata=metadata)
    assert metadata.step_stats.dev_stats
