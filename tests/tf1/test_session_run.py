"""What a recording of plain `Session.run` holds, and that it changes nothing."""

from __future__ import annotations

import linecache

import numpy as np
import pytest
import tensorflow as tf

import graphdebug

tf1 = tf.compat.v1


def cnn(*, references: bool = False, optimizer: str = "GradientDescentOptimizer"):
    """A small CNN for 28x28 images; returns graph, feeds, loss, train op, initializer."""
    graph = tf.Graph()
    with graph.as_default(), tf1.variable_scope("net", use_resource=not references):
        tf1.set_random_seed(7)
        images = tf1.placeholder(tf.float32, [None, None, None, 1], name="images")
        labels = tf1.placeholder(tf.int64, [None], name="labels")
        kernel = tf1.get_variable("kernel", [5, 5, 1, 8], initializer=tf1.truncated_normal_initializer(0, 0.1))
        bias = tf1.get_variable("bias", [8], initializer=tf1.zeros_initializer())
        weight = tf1.get_variable(
            "weight", [14 * 14 * 8, 10], initializer=tf1.truncated_normal_initializer(0, 0.1)
        )
        hidden = tf.nn.conv2d(images, kernel, 1, "SAME")
        hidden = tf.nn.relu(tf.nn.bias_add(hidden, bias))
        hidden = tf.nn.max_pool2d(hidden, 2, 2, "SAME")
        hidden = tf.reshape(hidden, [tf.shape(hidden)[0], -1])
        hidden = tf1.nn.dropout(hidden, rate=0.2)
        logits = tf.matmul(hidden, weight)
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits))
        train = getattr(tf1.train, optimizer)(0.01).minimize(loss)
        init = tf1.global_variables_initializer()
    return graph, (images, labels), loss, train, init


def batch(seed: int, side: int = 28):
    random = np.random.RandomState(seed)
    return random.randn(4, side, side, 1).astype("f"), random.randint(0, 10, 4)


def trained(steps: int, **options) -> list[np.ndarray]:
    """Losses of each step and all variables after the last."""
    graph, feeds, loss, train, init = cnn(**options)
    with tf1.Session(graph=graph) as session:
        session.run(init)
        losses = [
            session.run([loss, train], dict(zip(feeds, batch(step), strict=True)))[0] for step in range(steps)
        ]
        with graph.as_default():
            return [*losses, *session.run(tf1.global_variables())]


def line_of(site) -> str:
    return linecache.getline(site.file, site.line).strip()


@pytest.fixture(scope="module", params=["resource", "reference"])
def trained_run(request):
    with graphdebug.record(level="stats", gradients="all") as run:
        trained(2, references=request.param == "reference", optimizer="AdamOptimizer")
    return run


def test_each_node_has_the_line_that_built_it_and_the_line_that_ran_it(trained_run):
    conv = next(node for node in trained_run.nodes if node.op == "Conv2D")
    assert line_of(conv.site).startswith("hidden = tf.nn.conv2d(images")
    assert "session.run([loss, train]" in line_of(conv.run_site)
    assert conv.callers
    assert (conv.function, conv.family, conv.framework, conv.mode) == (
        "conv2d",
        "conv",
        "tensorflow",
        "session",
    )
    assert conv.attributes["padding"] == "same"
    assert conv.attributes["stride"] == [1, 1]


def test_operands_are_known_by_what_made_them(trained_run):
    conv = next(node for node in trained_run.nodes if node.op == "Conv2D")
    image, kernel = conv.inputs
    assert (image.origin, image.name, image.role, image.fact.shape) == (
        "feed",
        "net/images:0",
        "input",
        (4, 28, 28, 1),
    )
    assert (kernel.origin, kernel.name, kernel.role) == ("variable", "net/kernel", "weight")
    linear = next(node for node in trained_run.nodes if node.function == "linear")
    assert linear.attributes["weight_layout"] == "IO"
    assert [node.function for node in trained_run.chain(linear.inputs[0])][-2:] == ["add", "conv2d"]


def test_shapes_and_statistics_are_those_of_the_run(trained_run):
    relu = [node for node in trained_run.nodes if node.op == "Relu"][-1]
    fact = relu.outputs[0]
    assert fact.shape == (4, 28, 28, 8)
    assert fact.finite is True
    assert fact.stats.min == 0
    assert 0 < fact.stats.zero < 4 * 28 * 28 * 8
    assert relu.execution == "executed"


def test_statistics_agree_with_numpy():
    values = np.random.RandomState(0).randn(50, 7).astype("f") + 3
    with tf.Graph().as_default(), tf1.Session() as session, graphdebug.record(level="stats") as run:
        x = tf1.placeholder(tf.float32, [None, 7])
        session.run(tf.abs(x) * 2.0, {x: values})
    stats = next(node for node in run.nodes if node.op == "Mul").outputs[0].stats
    expected = np.abs(values).astype("d") * 2
    found = [stats.min, stats.max, stats.mean, stats.std, stats.l2]
    assert found == pytest.approx(
        [expected.min(), expected.max(), expected.mean(), expected.std(), np.sqrt((expected**2).sum())],
        rel=1e-5,
    )


def test_backward_nodes_belong_to_forward_nodes(trained_run):
    backward = next(node for node in trained_run.nodes if node.op == "Conv2DBackpropFilter")
    forward = trained_run.node(backward.forward)
    assert forward.op == "Conv2D"
    assert (backward.phase, backward.function, backward.family) == ("backward", "conv2d_backward", "conv")
    assert forward.step == backward.step


def test_updates_are_the_optimizers(trained_run):
    update = [node for node in trained_run.nodes if node.op in ("ApplyAdam", "ResourceApplyAdam")]
    assert {node.phase for node in update} == {"optimizer"}
    assert {node.inputs[0].name for node in update} == {"net/kernel", "net/bias", "net/weight"}


def test_gradients_of_variables_and_of_tensors(trained_run):
    step = trained_run.step(max(one.step for one in trained_run.gradients))
    by_name = {one.name: one for one in step.gradients if one.name}
    assert by_name["net/weight"].fact.shape == (14 * 14 * 8, 10)
    assert trained_run.node(by_name["net/weight"].node).function == "linear"
    assert trained_run.node(by_name["net/weight"].producer).phase == "backward"
    of_tensors = {trained_run.node(one.node).op: one.fact.shape for one in step.gradients if not one.name}
    assert of_tensors["Relu"] == (4, 28, 28, 8)


def test_variables_and_placeholders_are_declared_with_their_lines(trained_run):
    weight = trained_run.declaration("net/weight")
    assert weight.attributes == {"shape": [1568, 10], "dtype": "float32", "trainable": True}
    assert line_of(weight.site).startswith("weight = tf1.get_variable")
    images = trained_run.declaration("net/images:0")
    assert images.attributes["shape"] == [None, None, None, 1]


def test_fused_and_removed_nodes_are_named_as_such(trained_run):
    how = {node.name: node.execution for node in trained_run.nodes}
    assert how["net/Conv2D"] == "fused"
    assert how["net/BiasAdd"] == "fused"
    conv = next(node for node in trained_run.nodes if node.op == "Conv2D")
    assert conv.outputs[0].shape == (4, 28, 28, 8)
    assert conv.outputs[0].finite is None
    assert conv.outputs[0].unchecked == "computed inside a fused op"
    assert any(
        notice.topic == "fused" and "net/Conv2D" in notice.detail["fused"] for notice in trained_run.notices
    )


def test_the_graph_does_not_grow_with_steps():
    graph, feeds, loss, train, init = cnn()
    sizes = []
    with graphdebug.record(), tf1.Session(graph=graph) as session:
        session.run(init)
        for step in range(4):
            session.run([loss, train], dict(zip(feeds, batch(step), strict=True)))
            sizes.append(len(graph.get_operations()))
    assert len(set(sizes)) == 1
    with graphdebug.record(), tf1.Session(graph=graph) as session:
        session.run(init)
        session.run([loss, train], dict(zip(feeds, batch(9), strict=True)))
    assert len(graph.get_operations()) <= sizes[0] + 8, "a second recording uses the probes of the first"


def test_leaving_the_block_restores_tensorflow():
    from tensorflow.python.client.session import BaseSession
    from tensorflow.python.framework import op_def_library
    from tensorflow.python.util import traceback_utils

    def state():
        names = ("_do_run", "_call_tf_sessionrun")
        return [vars(BaseSession)[name] for name in names] + [
            op_def_library._apply_op_helper, traceback_utils._EXCLUDED_PATHS,
        ]  # fmt: skip

    before = state()
    graph, *_, init = cnn()
    with graphdebug.record(), tf1.Session(graph=graph) as session:
        assert state() != before
        session.run(init)
    assert state() == before
    assert not [name for name in dir(graph) if "graphdebug" in name]


def test_filters_levels_and_every_have_their_meaning():
    with graphdebug.record(level="shapes", ops=["conv2d", "MatMul"], phases=["forward"], every=2) as run:
        trained(3)
    assert {node.op for node in run.nodes} == {"Conv2D", "MatMul"}
    assert {node.step % 2 for node in run.nodes} == {0}
    assert all(node.outputs[0].finite is None for node in run.nodes)


def test_values_level_keeps_elements():
    with tf.Graph().as_default(), tf1.Session() as session, graphdebug.record(level="values") as run:
        x = tf1.placeholder(tf.float32, [2])
        session.run(tf.square(x), {x: [3, float("inf")]})
    square = next(node for node in run.nodes if node.op == "Square")
    assert square.outputs[0].values == (9.0, "Infinity")
    assert square.outputs[0].finite is False
    assert square.outputs[0].stats.pos_inf == 1
