"""What the failure event says of an exception, in each way in which a TF1 program fails."""

from __future__ import annotations

import linecache

import numpy as np
import pytest
import tensorflow as tf

import graphdebug
from graphdebug.model.event import Site
from graphdebug.tensorflow import SessionRunHook

tf1 = tf.compat.v1


def failed(program) -> tuple[graphdebug.Run, BaseException]:
    """Run `program` under a recording; it must fail."""
    with pytest.raises(Exception) as caught, graphdebug.record() as run:  # noqa: PT011 -- any kind
        program()
    assert len(run.failures) == 1
    return run, caught.value


def line_of(site) -> str:
    return linecache.getline(site.file, site.line).strip()


def test_a_failing_node_inside_a_fused_op_is_the_one_named():
    def program():
        with tf.Graph().as_default(), tf1.Session() as session:
            x = tf1.placeholder(tf.float32, [None, None, None, 1], name="x")
            hidden = tf.nn.max_pool2d(x, 2, 2, "SAME")
            flat = tf.reshape(hidden, [tf.shape(hidden)[0], -1])
            weight = tf1.get_variable("weight", [196, 10], use_resource=False)
            bias = tf1.get_variable("bias", [10], use_resource=False)
            logits = tf.matmul(flat, weight) + bias
            session.run(tf1.global_variables_initializer())
            session.run(logits, {x: np.ones((2, 28, 28, 1))})
            session.run(logits, {x: np.ones((2, 100, 100, 1))})

    run, error = failed(program)
    failure = run.failures[0]
    assert (failure.category, failure.op, failure.function) == ("shape", "MatMul", "linear")
    assert failure.error == "tensorflow.errors.InvalidArgumentError"
    assert [one.fact.shape for one in failure.operands] == [(2, 2500), (196, 10)]
    assert failure.operands[1].name == "weight"
    assert line_of(failure.site) == "logits = tf.matmul(flat, weight) + bias"
    assert line_of(failure.run_site) == "session.run(logits, {x: np.ones((2, 100, 100, 1))})"
    assert [node.op for node in run.chain(failure.operands[0])] == ["Reshape", "MaxPool"]
    assert run.node(failure.node).execution == "raised"
    assert failure.step == 2
    assert error.__notes__[0].startswith("graphdebug: shape mismatch in linear")


def test_reading_out_of_range_gives_element_and_range():
    def program():
        with tf.Graph().as_default(), tf1.Session() as session:
            table = tf1.get_variable("table", [10, 4])
            index = tf1.placeholder(tf.int32, [None], name="index")
            rows = tf.nn.embedding_lookup(table, index)
            session.run(tf1.global_variables_initializer())
            session.run(rows, {index: [1, 12]})

    failure = failed(program)[0].failures[0]
    assert failure.category == "index"
    assert failure.detail == {"index": [1], "value": 12, "low": 0, "high": 10}
    assert line_of(failure.site).startswith("rows = ")


def misused(kind):
    graph = tf.Graph()
    with graph.as_default(), tf1.Session() as session:
        x = tf1.placeholder(tf.float32, [None, 784], name="x")
        double = tf1.placeholder(tf.float64, [None, 100], name="double")
        weight = tf1.get_variable("weight", [100, 10], use_resource=kind != "uninitialized reference")
        hidden = tf.nn.relu(x)
        total = tf.reduce_sum(hidden)
        if kind == "feed_shape":
            session.run(total, {x: np.ones((32, 28, 28))})
        elif kind == "unfed":
            session.run(total)
        elif kind.startswith("uninitialized"):
            session.run(tf.reduce_sum(weight * 2))
        elif kind == "shape":
            tf.matmul(hidden, weight)
        elif kind == "dtype":
            tf.matmul(double, weight)
        elif kind == "finalized":
            graph.finalize()
            session.run(total, {x: np.ones((1, 784))})
            tf.exp(hidden)
        elif kind == "other_graph":
            with tf.Graph().as_default():
                foreign = tf.constant(1.0)
            session.run(foreign)
        elif kind == "mixed graphs":
            with tf.Graph().as_default():
                foreign = tf.constant(1.0)
            foreign + x


@pytest.mark.parametrize(
    ("kind", "category", "detail", "site"),
    [
        ("feed_shape", "feed_shape", {"placeholder": "x:0", "expected": [None, 784], "found": [32, 28, 28]},
         "session.run(total, {x: np.ones((32, 28, 28))})"),
        ("unfed", "unfed", {"placeholder": "x"}, 'x = tf1.placeholder(tf.float32, [None, 784], name="x")'),
        ("uninitialized", "uninitialized", {"variable": "weight"}, "session.run(tf.reduce_sum(weight * 2))"),
        ("uninitialized reference", "uninitialized", {"variable": "weight"}, 'weight = tf1.get_variable('),
        ("shape", "shape", {"expected": 784, "found": 100}, "tf.matmul(hidden, weight)"),
        ("dtype", "dtype", {"expected": "float64", "found": "float32"}, "tf.matmul(double, weight)"),
        ("finalized", "finalized", {}, "tf.exp(hidden)"),
        ("other_graph", "other_graph", {}, "session.run(foreign)"),
        ("mixed graphs", "other_graph", {}, "foreign + x"),
    ],
)  # fmt: skip
def test_misuse_has_its_category_and_the_users_line(kind, category, detail, site):
    failure = failed(lambda: misused(kind))[0].failures[0]
    said = {key: one for key, one in failure.detail.items() if key != "parts"}
    assert (failure.category, said) == (category, detail)
    assert line_of(failure.site).startswith(site)
    assert failure.framework == "tensorflow"
    assert failure.frames


def test_a_call_that_mixes_graphs_says_which_part_is_in_which_and_who_made_it():
    run, _ = failed(lambda: misused("mixed graphs"))
    parts = run.failures[0].detail["parts"]
    assert [(one["graph"], one["name"]) for one in parts] == [(0, "Const:0"), (1, "x:0")]
    assert parts[0]["nodes"] == 1 < parts[1]["nodes"]
    assert line_of(Site(**parts[0]["sites"][0])) == "foreign = tf.constant(1.0)"


def test_a_failure_at_graph_build_has_static_shapes_and_producers():
    run, _ = failed(lambda: misused("shape"))
    failure = run.failures[0]
    assert (failure.phase, failure.op, failure.function) == ("build", "MatMul", "matmul")
    a, b = failure.operands
    assert (a.fact.shape, a.origin, b.fact.shape, b.name) == ((None, 784), "node", (100, 10), "weight")
    relu = run.producer(a)
    assert (relu.op, relu.phase, relu.execution) == ("Relu", "build", "inferred")
    assert (relu.inputs[0].origin, relu.inputs[0].name) == ("feed", "x:0")
    assert run.declaration("x:0").attributes["shape"] == [None, 784]


def test_a_failing_assertion_names_its_line_and_its_data():
    def program():
        with tf.Graph().as_default(), tf1.Session() as session:
            x = tf1.placeholder(tf.float32, [None], name="x")
            check = tf1.debugging.assert_positive(x, message="x must be positive")
            with tf.control_dependencies([check]):
                session.run(tf.math.log(x), {x: [1, -1]})

    failure = failed(program)[0].failures[0]
    assert (failure.category, failure.op, failure.family) == ("assertion", "Assert", "check")
    assert line_of(failure.site).startswith("check = ")
    assert failure.operands[-1].name == "x:0"


def test_a_failure_inside_a_function_names_the_real_op():
    def program():
        with tf.Graph().as_default(), tf1.Session() as session:
            x = tf1.placeholder(tf.float32, [None, 3])
            weight = tf1.get_variable("weight", [4, 2])

            @tf.function
            def layer(values):
                hidden = tf.nn.relu(values)
                return tf.matmul(hidden, weight[: tf.shape(values)[0]])

            result = layer(x)
            session.run(tf1.global_variables_initializer())
            session.run(result, {x: np.ones((3, 3))})
            session.run(result, {x: np.ones((2, 3))})

    run, _ = failed(program)
    failure = run.failures[0]
    assert (failure.category, failure.op) == ("shape", "MatMul")
    assert line_of(failure.site) == "return tf.matmul(hidden, weight[: tf.shape(values)[0]])"
    assert [one.fact.shape for one in failure.operands] == [(2, 3), (2, 2)]
    assert run.producer(failure.operands[0]).op == "Relu"


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_failure_in_a_loop_has_the_shapes_of_its_iteration(version):
    def program():
        with tf.Graph().as_default(), tf1.Session() as session:
            x = tf1.placeholder(tf.float32, [None, None])
            weight = tf1.placeholder(tf.float32, [None, None], name="weight")

            def body(i, state):
                return i + 1, tf.matmul(tf.concat([state, state], 0), weight)

            shapes = [tf.TensorShape([]), tf.TensorShape([None, None])]
            _, result = tf.while_loop(lambda i, _: i < 4, body, [0, x], shape_invariants=shapes)
            session.run(result, {x: np.ones((2, 3)), weight: np.ones((3, 4))})

    try:
        if version == "v1":
            tf1.disable_control_flow_v2()
        run, _ = failed(program)
    finally:
        tf1.enable_control_flow_v2()
    failure = run.failures[0]
    assert (failure.category, failure.op) == ("shape", "MatMul")
    assert line_of(failure.site).startswith("return i + 1, tf.matmul(")
    assert [one.fact.shape for one in failure.operands] == [(8, 4), (3, 4)]
    assert failure.operands[1].name == "weight:0"


def monitored(hooks, rows):
    with tf.Graph().as_default():
        x = tf1.placeholder(tf.float32, [None, 3])
        weight = tf1.get_variable("weight", [3, 2], use_resource=False)
        scores = tf.matmul(x, weight)
        loss = tf.reduce_sum(tf.square(scores - np.ones((4, 2), "f")))
        step = tf1.train.get_or_create_global_step()
        train = tf1.train.AdamOptimizer(0.1).minimize(loss, global_step=step)
        with tf1.train.MonitoredSession(hooks=hooks) as session:
            for count in rows:
                session.run(train, {x: np.ones((count, 3))})


def test_the_hook_records_a_monitored_session():
    hook = SessionRunHook(level="stats")
    monitored([hook], [4, 4])
    assert hook.run.end.status == "completed"
    assert [one.name for one in hook.run.gradients] == ["weight", "weight"]
    assert hook.run.declaration("weight").site is not None


def test_the_hook_explains_what_ends_a_monitored_session():
    from tensorflow.python.training.monitored_session import _MonitoredSession

    before = _MonitoredSession.__exit__
    hook = SessionRunHook()
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        monitored([hook], [4, 5])
    failure = hook.run.failures[0]
    assert (failure.op, [one.fact.shape for one in failure.operands]) == ("Sub", [(5, 2), (4, 2)])
    assert line_of(failure.site).startswith("loss = tf.reduce_sum(")
    assert any(note.startswith("graphdebug:") for note in caught.value.__notes__)
    assert _MonitoredSession.__exit__ is before


def test_no_replay_where_the_run_may_have_changed_a_variable():
    def program():
        with tf.Graph().as_default(), tf1.Session() as session:
            x = tf1.placeholder(tf.float32, [None])
            weight = tf1.get_variable("weight", [3], use_resource=True, initializer=tf1.ones_initializer())
            with tf.control_dependencies([weight.assign_add([1.0, 1.0, 1.0])]):
                result = weight.read_value() * x
            session.run(tf1.global_variables_initializer())
            session.run(result, {x: np.ones(2)})

    run, _ = failed(program)
    replay = [notice.text for notice in run.notices if notice.topic == "replay"]
    assert len(replay) == 1
    assert "changes state" in replay[0] or "changed weight" in replay[0]
    assert [one.fact.shape for one in run.failures[0].operands] == [(3,), (2,)]


def test_the_exception_is_the_users_own():
    def program():
        with tf.Graph().as_default(), tf1.Session() as session:
            x = tf1.placeholder(tf.float32, [None])
            session.run(x + tf.ones([3]), {x: np.ones(2)})

    with pytest.raises(tf.errors.InvalidArgumentError) as plain:
        program()
    _, recorded = failed(program)
    assert type(recorded) is plain.type
    assert recorded.message.splitlines()[-2:] == plain.value.message.splitlines()[-2:]
    assert recorded.op.name == plain.value.op.name
    with pytest.raises(ValueError, match="Dimensions must be equal") as plain_build:
        misused("shape")
    _, build = failed(lambda: misused("shape"))
    assert str(build) == str(plain_build.value)
    assert not [name for name in vars(build) if "graphdebug" in name]


def test_a_caught_failure_is_in_the_log_and_a_queues_end_is_not():
    with tf.Graph().as_default(), tf1.Session() as session, graphdebug.record() as run:
        x = tf1.placeholder(tf.float32, [None])
        with pytest.raises(tf.errors.InvalidArgumentError):
            session.run(x + tf.ones([3]), {x: np.ones(2)})
        dataset = tf1.data.make_one_shot_iterator(tf.data.Dataset.range(1)).get_next()
        session.run(dataset)
        with pytest.raises(tf.errors.OutOfRangeError):
            session.run(dataset)
        session.run(x, {x: np.ones(2)})
    assert [failure.category for failure in run.failures] == ["shape"]


@pytest.mark.parametrize("references", [False, True])
def test_tf_debugging_raises_where_the_number_was_born(references):
    def program():
        with tf.Graph().as_default(), tf1.Session() as session:
            x = tf1.placeholder(tf.float32, [None, 3])
            weight = tf1.get_variable(
                "weight", [3, 1], initializer=tf1.zeros_initializer(), use_resource=not references
            )
            logs = tf.math.log(tf.matmul(x, weight))
            loss = tf.reduce_mean(logs)
            train = tf1.train.AdamOptimizer(0.1).minimize(loss)
            session.run(tf1.global_variables_initializer())
            session.run([loss, train], {x: np.ones((4, 3))})

    with (
        pytest.raises(tf.errors.InvalidArgumentError, match=r"Log.*Tensor had -Inf values"),
        graphdebug.record(tf_debugging=True, level="shapes") as run,
    ):
        program()
    failure = run.failures[0]
    assert (failure.category, failure.detail, failure.op) == ("nonfinite", {"values": "-Inf"}, "Log")
    assert line_of(failure.site).startswith("logs = ")


def test_operands_that_python_refuses_are_named_too():
    def program():
        with tf.Graph().as_default():
            x = tf1.placeholder(tf.float32, [None, 4], name="x")
            y = tf1.placeholder(tf.float32, [None, 2], name="y")
            tf1.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=tf.nn.relu(x))

    run, _ = failed(program)
    failure = run.failures[0]
    assert (failure.category, failure.function, failure.family) == ("shape", "sparse_cross_entropy", "loss")
    assert line_of(failure.site).startswith("tf1.nn.sparse_softmax")
    by_role = {one.role: (one.name or run.producer(one).op, one.fact.shape) for one in failure.operands}
    assert by_role == {"labels": ("y:0", (None, 2)), "logits": ("Relu", (None, 4))}


def test_a_number_of_inputs_keep_their_order_and_their_axis():
    def program():
        with tf.Graph().as_default():
            made = [tf1.placeholder(tf.float32, [None, size], name=f"part{size}") for size in (4, 5)]
            tf.concat(made, 0)

    failure = failed(program)[0].failures[0]
    assert (failure.op, failure.category, failure.detail["dimension"]) == ("ConcatV2", "shape", 0)
    assert [one.name for one in failure.operands][:2] == ["part4:0", "part5:0"]
