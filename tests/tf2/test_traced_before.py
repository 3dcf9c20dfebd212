"""Functions that were traced before the block: gradients by variable, lines, failures, random numbers."""

from __future__ import annotations

import linecache

import keras
import numpy as np
import pytest
import tensorflow as tf

import graphdebug


def line_of(site):
    return linecache.getline(site.file, site.line).strip()


class Net:
    """Two layers of square weights, one used twice; its gradients are known from the tape."""

    def __init__(self):
        self.square = tf.Variable(tf.random.stateless_normal([4, 4], [1, 2]), name="square")
        self.bias = tf.Variable(tf.zeros([4]), name="bias")
        self.head = tf.Variable(tf.random.stateless_normal([4, 2], [3, 4]), name="head")
        self.variables = [self.square, self.bias, self.head]

    def loss(self, x):
        hidden = tf.tanh(tf.nn.bias_add(tf.matmul(x, self.square), self.bias))
        hidden = tf.sqrt(tf.matmul(hidden, self.square) ** 2 + 1.0)
        return tf.reduce_mean(tf.matmul(hidden, self.head))

    def gradients(self, x):
        with tf.GradientTape() as tape:
            loss = self.loss(x)
        return loss, tape.gradient(loss, self.variables)

    def step(self, x):
        loss, gradients = self.gradients(x)
        for variable, gradient in zip(self.variables, gradients, strict=True):
            variable.assign_sub(0.1 * gradient)
        return loss


X = tf.random.stateless_normal([4, 4], [5, 6])


@pytest.mark.parametrize("kind", ["step", "gradients"])
def test_gradients_have_the_names_of_their_variables(kind):
    net = Net()
    function = tf.function(getattr(net, kind))
    before = [one.numpy() for one in net.variables]
    function(X)
    for variable, value in zip(net.variables, before, strict=True):
        variable.assign(value)
    expected = {
        variable.name.partition(":")[0]: gradient.numpy()
        for variable, gradient in zip(net.variables, net.gradients(X)[1], strict=True)
    }
    with graphdebug.record(level="stats") as run:
        function(X)
    found = {one.name: one.fact for one in run.gradients}
    assert set(found) == {"square", "bias", "head"}
    for name, gradient in expected.items():
        assert found[name].shape == gradient.shape
        assert found[name].stats.l2 == pytest.approx(np.sqrt((gradient.astype("d") ** 2).sum()), rel=1e-4)


def test_gradients_that_an_optimizer_of_keras_applies_have_names_too():
    net, optimizer = Net(), keras.optimizers.Adam(0.1)
    optimizer.build(net.variables)

    @tf.function
    def step(x):
        loss, gradients = net.gradients(x)
        optimizer.apply_gradients(zip(gradients, net.variables, strict=True))
        return loss

    step(X)
    with graphdebug.record() as run:
        step(X)
    assert sorted(one.name for one in run.gradients) == ["bias", "head", "square"]
    assert list(run.steps)[:1] == [0]


def test_a_gradient_that_is_not_finite_is_told_by_the_line_of_its_op():
    weight = tf.Variable(tf.ones([4, 2]), name="weight")

    @tf.function
    def step(x):
        with tf.GradientTape() as tape:
            root = tf.sqrt(tf.matmul(x, weight))  # no slope at 0
            loss = tf.reduce_mean(tf.square(root - x[:, :2]))
        weight.assign_sub(tape.gradient(loss, weight))
        return loss

    step(tf.abs(X))
    weight.assign(tf.zeros([4, 2]))
    with graphdebug.record() as run:
        step(tf.abs(X))
    assert line_of(run.findings[0].site) == "root = tf.sqrt(tf.matmul(x, weight))  # no slope at 0"


def test_a_failure_has_its_line_and_operands():
    @tf.function(input_signature=[tf.TensorSpec([None, None])] * 2)
    def layer(x, y):
        hidden = tf.nn.relu(x)
        return tf.matmul(hidden, y)

    layer(tf.ones([2, 3]), tf.ones([3, 2]))
    with pytest.raises(tf.errors.InvalidArgumentError), graphdebug.record() as run:
        layer(tf.ones([2, 3]), tf.ones([4, 2]))
    (failure,) = run.failures
    assert (failure.category, failure.op) == ("shape", "MatMul")
    assert line_of(failure.site) == "return tf.matmul(hidden, y)"
    assert [one.fact.shape for one in failure.operands] == [(2, 3), (4, 2)]


def test_one_that_draws_by_a_seed_goes_on_drawing_what_it_would_have_drawn():
    def drawn(recorded):
        tf.random.set_seed(5)
        draw = tf.function(lambda: tf.random.uniform([3]) * 2.0)
        found = [draw().numpy().tobytes() for _ in range(2)]
        with graphdebug.record() if recorded else tf.name_scope(""):
            found += [draw().numpy().tobytes() for _ in range(2)]
        return [*found, draw().numpy().tobytes()]

    plain = drawn(recorded=False)
    assert len(set(plain)) == 5
    assert drawn(recorded=True) == plain
    draw = tf.function(lambda: tf.random.uniform([3]) * 2.0)
    tf.random.set_seed(5)
    draw()
    with graphdebug.record() as run:
        draw()
    assert [node.execution for node in run.nodes] == ["inferred"] * len(run.nodes)
    (notice,) = [one for one in run.notices if one.topic == "blind"]
    assert "draws random numbers by a seed" in notice.text


def test_one_without_a_seed_is_looked_at():
    draw = tf.function(lambda x: tf.exp(x))
    draw(X)
    with graphdebug.record() as run:
        draw(X)
    assert [node.execution for node in run.nodes] == ["executed"]
