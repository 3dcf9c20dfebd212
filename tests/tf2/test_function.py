"""tf.function: each op each time it runs, in branches and loops too, and the user's function untouched."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf

import graphdebug
from graphdebug.model.event import Gradient


def _net():
    kernel = tf.Variable(tf.random.stateless_normal([3, 3, 1, 4], [1, 2]), name="kernel")
    bias = tf.Variable(tf.zeros([4]), name="bias")
    dense = tf.Variable(tf.random.stateless_normal([4 * 49, 10], [3, 4]) * 0.1, name="dense")

    @tf.function
    def inner(h):
        return tf.matmul(h, dense)

    @tf.function
    def forward(x):
        h = tf.nn.relu(tf.nn.bias_add(tf.nn.conv2d(x, kernel, 2, "SAME"), bias))
        h = tf.reshape(tf.nn.max_pool2d(h, 2, 2, "SAME"), [-1, 4 * 49])
        total = tf.constant(0.0)
        for i in tf.range(3):
            total += tf.reduce_sum(h) * tf.cast(i, tf.float32)
        if total > 0:
            h = h * 2.0
        elif total < 0:
            h = tf.exp(h)
        return inner(h)

    @tf.function
    def step(x, y):
        with tf.GradientTape() as tape:
            rows = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=forward(x))
            loss = tf.reduce_mean(rows)
        variables = [kernel, bias, dense]
        for variable, grad in zip(variables, tape.gradient(loss, variables), strict=True):
            variable.assign_sub(0.05 * grad)
        return loss

    return forward, step, [kernel, bias, dense]


X = tf.random.stateless_normal([8, 28, 28, 1], [5, 6])
Y = tf.zeros([8], tf.int32)


def test_a_function_traced_before_the_block_is_recorded_with_its_lines():
    forward, _, _ = _net()
    forward(X)
    with graphdebug.record() as run:
        forward(X)
    nodes = run.step(0).nodes
    by_op = {node.op: node for node in nodes}
    assert {node.mode for node in nodes} == {"function"}
    assert by_op["Conv2D"].inputs[1].name == "kernel"
    assert by_op["Conv2D"].execution == "fused"
    assert by_op["Relu"].outputs[0].finite is True
    assert by_op["MatMul"].name == "StatefulPartitionedCall/MatMul"
    assert all(node.site.file == __file__ and node.run_site.file == __file__ for node in nodes)
    lines = Path(__file__).read_text().splitlines()
    assert "tf.nn.max_pool2d" in lines[by_op["MaxPool"].site.line - 1]
    assert lines[by_op["MaxPool"].run_site.line - 1] == "        forward(X)"


def test_every_iteration_and_only_the_branch_taken_are_recorded():
    forward, _, _ = _net()
    with graphdebug.record() as run:
        forward(X)
    nodes = run.step(0).nodes
    sums = [node for node in nodes if node.op == "Sum"]
    assert len(sums) == 3
    assert all(node.inputs[0].producer is not None for node in sums)
    branch = [node for node in nodes if node.name.startswith("cond/")]
    assert {node.op for node in branch} in ({"Mul"}, {"Exp"})
    product = next(node for node in nodes if node.op == "MatMul")
    ops = [node.op for node in run.chain(product.inputs[0])]
    assert ops[0] in ("If", "StatelessIf")


def test_a_training_function_ties_backward_to_forward_and_ends_a_step_each_call():
    _, step, _ = _net()
    with graphdebug.record() as run:
        for _ in range(3):
            step(X, Y)
    assert list(run.steps) == [0, 1, 2]
    nodes = {node.seq: node for node in run.step(1).nodes}
    backward = [node for node in nodes.values() if node.phase == "backward"]
    tied = {nodes[node.forward].op for node in backward if node.forward}
    assert tied >= {"Conv2D", "BiasAdd", "Relu", "MatMul"}
    assert [one.name for one in run.store.of_kind(Gradient) if one.step == 1] == ["kernel", "bias", "dense"]


def test_unknown_sizes_are_seen_at_run_time():
    @tf.function(input_signature=[tf.TensorSpec([None, None])])
    def root(x):
        return tf.sqrt(x) + 1.0

    with graphdebug.record(level="stats") as run:
        root(tf.constant([[4.0, -1.0, 9.0]]))
        root(tf.constant([[4.0], [9.0]]))
    first, _, second, _ = run.step(0).nodes
    assert (first.outputs[0].shape, first.outputs[0].stats.nan) == ((1, 3), 1)
    assert (second.outputs[0].shape, second.outputs[0].stats.max) == ((2, 1), 3.0)
    assert second.outputs[0].stats.mean == 2.5


def test_the_tape_outside_a_function_ties_its_backward_function():
    w = tf.Variable(tf.zeros([3]), name="w")

    @tf.function
    def root(x):
        return tf.sqrt(x * w)

    with graphdebug.record() as run:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(root(tf.ones([3])))
        tape.gradient(loss, w)
    nodes = {node.seq: node for node in run.step(0).nodes}
    born = next(node for node in nodes.values() if any(fact.finite is False for fact in node.outputs))
    assert (born.op, nodes[born.forward].op, nodes[born.forward].mode) == ("SqrtGrad", "Sqrt", "function")


def test_twenty_steps_are_bit_identical_and_the_function_is_untouched_after():
    def train():
        _, step, variables = _net()
        losses = [step(X, Y).numpy() for _ in range(20)]
        return [*losses, *(variable.numpy() for variable in variables)], step

    plain, _ = train()
    for level in ("shapes", "health", "stats", "values"):
        with graphdebug.record(level=level):
            recorded, step = train()
        for one, other in zip(plain, recorded, strict=True):
            np.testing.assert_array_equal(one, other)
        names = [node.op for node in step.get_concrete_function(X, Y).graph.as_graph_def().node]
        assert not {"DebugNumericSummaryV2", "Stage", "L2Loss"} & set(names)


def test_a_compiled_function_is_said_to_be_unseen_and_listed():
    @tf.function(jit_compile=True)
    def double(x):
        return tf.exp(x) * 2.0

    x = tf.ones([2, 2])
    with graphdebug.record() as run:
        double(x)
    assert [node.op for node in run.step(0).nodes] == ["Exp", "Mul"]
    assert {node.execution for node in run.step(0).nodes} == {"inferred"}
    notice = next(one for one in run.notices if one.topic == "blind")
    assert notice.text.endswith(
        "is compiled by XLA (jit_compile=True): its ops are listed with inferred shapes, "
        "their values are not seen; jit_compile=False shows them"
    )
