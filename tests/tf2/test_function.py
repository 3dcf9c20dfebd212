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


def test_the_function_is_untouched_after_it():
    _, step, _ = _net()
    with graphdebug.record(level="values"):
        step(X, Y)
    names = [node.op for node in step.get_concrete_function(X, Y).graph.as_graph_def().node]
    assert not {"DebugNumericSummaryV2", "Stage", "L2Loss"} & set(names)


W = tf.Variable([0.0, 4.0], name="w")


def _line(site):
    return Path(site.file).read_text().splitlines()[site.line - 1].strip()


def _roots_in_a_loop():
    @tf.function
    def step(flag):
        with tf.GradientTape() as tape:
            h = W * 1.0
            for _ in tf.range(3):
                h = tf.sqrt(h)  # each round
                if flag > 0.0:
                    h = h + tf.sqrt(h)  # in the branch
            loss = tf.reduce_sum(h)
        return tape.gradient(loss, W)

    return step


def test_the_backward_of_a_loop_and_its_branch_is_tied_round_by_round():
    step = _roots_in_a_loop()
    with graphdebug.record() as run:
        step(tf.constant(1.0))
    forward = [node for node in run.nodes if node.op == "Sqrt"]
    backward = [node for node in run.nodes if node.op == "SqrtGrad"]
    assert [run.node(node.forward).seq for node in backward] == [node.seq for node in reversed(forward)]
    assert _line(run.findings[0].site) == "h = h + tf.sqrt(h)  # in the branch"
    assert run.node(run.findings[0].evidence[0]).forward == forward[-1].seq


def test_gradients_all_gives_the_gradient_of_each_forward_tensor_that_has_one():
    _, step, _ = _net()
    with graphdebug.record(gradients="all", level="stats") as run:
        step(X, Y)
    inner = [one for one in run.gradients if not one.name]
    ops = {run.node(one.node).op for one in inner}
    assert ops >= {"Conv2D", "BiasAdd", "Relu", "MaxPool", "MatMul", "SparseSoftmaxCrossEntropyWithLogits"}
    for one in inner:
        node = run.node(one.node)
        assert node.phase == "forward"
        assert node.outputs[one.output].shape == one.fact.shape
        assert run.node(one.producer).phase == "backward"
    assert [one.name for one in run.gradients if one.name] == ["kernel", "bias", "dense"]
    with graphdebug.record() as run:
        step(X, Y)
    assert all(one.name for one in run.gradients)


def test_gradients_of_forward_tensors_have_their_values_in_eager_code_and_in_functions():
    def step(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            first, second = tf.split(tf.exp(x), 2)
            loss = tf.reduce_sum(first * second + first)
        return tape.gradient(loss, x, output_gradients=tf.constant(2.0))  # a factor of 1 is optimized away

    x = tf.constant([0.5, 1.0, 1.5, 2.0])
    found = []
    for work in (step, tf.function(step)):
        with graphdebug.record(gradients="all", level="values") as run:
            work(x)
        found.append(
            {
                (run.node(one.node).op, one.output): one.fact.values
                for one in run.gradients
                if one.node is not None
            }
        )
    eager, traced = found
    exp = np.exp(x.numpy())
    expected = {
        ("Exp", 0): np.concatenate([exp[2:] + 1, exp[:2]]), ("Split", 0): exp[2:] + 1, ("Split", 1): exp[:2],
        ("Mul", 0): np.ones(2), ("AddV2", 0): np.ones(2),
    }  # fmt: skip
    for seen in (eager, traced):
        assert seen.keys() == expected.keys()
        for place, values in expected.items():
            np.testing.assert_allclose(seen[place], 2 * values, rtol=1e-6, err_msg=str(place))


def test_gradients_in_a_loop_belong_to_their_round():
    step = _roots_in_a_loop()
    with graphdebug.record(gradients="all") as run:
        step(tf.constant(-1.0))
    roots = [node.seq for node in run.nodes if node.op == "Sqrt"]
    assert [one.node for one in run.gradients if one.node in roots] == roots[::-1]
