"""Programs of many kinds give the same bits with and without a recording."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
import tensorflow as tf

import graphdebug

tf1 = tf.compat.v1


def random(*shape):
    return np.random.RandomState(1).randn(*shape).astype("f")


def trained(loss, feeds, extra=()):
    """Bits of three losses and of all variables after them."""
    train = tf1.train.AdamOptimizer(0.01).minimize(loss)
    with tf1.Session() as session:
        session.run(tf1.global_variables_initializer())
        losses = [session.run([loss, train, *extra], feeds)[0] for _ in range(3)]
        return [one.tobytes() for one in [*losses, *session.run(tf1.global_variables())]]


def recurrent():
    x = tf1.placeholder(tf.float32, [3, 3, 4])
    kernel, weight = tf1.get_variable("kernel", [12, 8]), tf1.get_variable("weight", [8, 2])

    def body(i, state, states):
        state = tf.tanh(tf.matmul(tf.concat([x[:, i], state], 1), kernel))
        return i + 1, state, states.write(i, state)

    start = [0, tf.zeros([3, 8]), tf.TensorArray(tf.float32, 3)]
    states = tf.while_loop(lambda i, *_: i < 3, body, start)[2]
    return trained(tf.reduce_mean(tf.square(tf.matmul(states.stack()[-1], weight) - 1.0)), {x: random(3, 3, 4)})


def branches():
    x, choice = tf1.placeholder(tf.float32, [4]), tf1.placeholder(tf.bool, [])
    weight = tf1.get_variable("weight", [4])
    y = tf1.cond(choice, lambda: tf.sqrt(tf.abs(weight * x)), lambda: tf.exp(weight * x))
    return trained(tf.reduce_sum(y), {x: random(4), choice: True})


def nested_loops():
    x = tf1.placeholder(tf.float32, [])

    def inner(j, b):
        return j + 1, tf1.cond(b > 1.0, lambda: tf.sqrt(b), lambda: b * 3.0)

    def outer(i, a):
        return i + 1, tf.while_loop(lambda j, _: j < 2, inner, [0, a])[1]

    result = tf.while_loop(lambda i, _: i < 3, outer, [0, x])[1]
    with tf1.Session() as session:
        return [one.tobytes() for one in session.run([result, tf1.gradients(result, x)[0]], {x: 2.0})]


def batch_norm():
    x = tf1.placeholder(tf.float32, [None, 8, 8, 3])
    scale, offset = tf1.get_variable("scale", [3]), tf1.get_variable("offset", [3])
    moving = tf1.get_variable("moving", [3], trainable=False)
    y, mean, _ = tf1.nn.fused_batch_norm(x, scale, offset, is_training=True)
    update = tf1.assign(moving, moving * 0.9 + mean * 0.1)
    return trained(tf.reduce_mean(tf.square(y - 1.0)), {x: random(4, 8, 8, 3)}, [update])


def embedding():
    table, index = tf1.get_variable("table", [10, 4]), tf1.placeholder(tf.int32, [None])
    return trained(tf.reduce_mean(tf.square(tf.nn.embedding_lookup(table, index) - 1)), {index: [1, 2, 2]})


def gradient_penalty():
    x = tf1.placeholder(tf.float32, [3])
    weight = tf1.get_variable("weight", [3], initializer=tf1.ones_initializer())
    gradient = tf1.gradients(tf.reduce_sum(tf.pow(weight * x, 3.0)), weight)[0]
    return trained(tf.reduce_sum(tf.square(gradient)), {x: random(3)})


def random_numbers():
    uniform = tf.random.uniform([5])
    made = [
        uniform,
        tf1.random_normal([3], seed=5),
        tf1.nn.dropout(uniform, rate=0.5),
        tf1.random_shuffle(tf.range(5)),
    ]
    with tf1.Session() as session:
        return [one.tobytes() for _ in range(4) for one in session.run(made)]


def dataset_to_its_end():
    batches = tf1.data.make_initializable_iterator(tf.data.Dataset.from_tensor_slices(random(8, 3)).batch(3))
    result, found = tf.reduce_sum(batches.get_next(), 0), []
    with tf1.Session() as session, contextlib.suppress(tf.errors.OutOfRangeError):
        session.run(batches.initializer)
        while True:
            found.append(session.run(result).tobytes())
    return found


def functions_with_state():
    weight, x = tf1.get_variable("weight", [4, 4], use_resource=True), tf1.placeholder(tf.float32, [None, 4])

    @tf.function
    def noisy(values):
        return tf.nn.dropout(tf.matmul(values, weight), 0.5, seed=3)

    @tf.function
    def looping(values, count):
        for _ in tf.range(count):
            values = tf.tanh(tf.matmul(values, weight))
        return values

    return trained(tf.reduce_mean(noisy(x) + looping(x, 3)), {x: random(2, 4)})


def kinds_of_tensors():
    x = tf1.placeholder(tf.float32, [None] * 8)
    sparse = tf1.sparse_placeholder(tf.float32)
    made = [
        tf.transpose(x, list(range(7, -1, -1))) * 2,
        tf.sparse.sparse_dense_matmul(sparse, tf.ones([4, 2])),
        tf.numpy_function(lambda a: a + 1, [x], tf.float32),
        tf.unique(tf.constant([1, 2, 1])).y,
        tf.reduce_mean(tf.zeros([0, 3])),
        tf.cast(tf.complex(1.0, 2.0), tf.complex128) * 2,
        tf.strings.as_string(tf.range(3)),
    ]
    value = tf1.SparseTensorValue([[0, 1], [1, 2]], [3.0, 4.0], [2, 4])
    with tf1.Session() as session:
        return [
            one.tobytes() for one in session.run(made, {x: random(1, 2, 1, 2, 1, 2, 1, 3), sparse: value})[:-1]
        ]


def mixed_steps():
    weight = tf1.get_variable("weight", [4, 2])
    x = tf1.placeholder(tf.float32, [None, 4])
    loss = tf.reduce_mean(tf.square(tf.matmul(x, weight)))
    optimizer = tf1.train.RMSPropOptimizer(0.1)
    gradients, variables = zip(*optimizer.compute_gradients(loss), strict=True)
    clipped, _ = tf.clip_by_global_norm(gradients, 1.0)
    average = tf1.train.ExponentialMovingAverage(0.9)
    with tf.control_dependencies([optimizer.apply_gradients(zip(clipped, variables, strict=True))]):
        train = average.apply([weight])
    with tf1.Session() as session:
        session.run(tf1.global_variables_initializer())
        losses = [session.run([loss, train], {x: random(2, 4)})[0] for _ in range(3)]
        return [one.tobytes() for one in [*losses, session.run(average.average(weight))]]


V1_TOO = (recurrent, branches, nested_loops)
PROGRAMS = [
    *V1_TOO, batch_norm, embedding, gradient_penalty, random_numbers, dataset_to_its_end, functions_with_state,
    kinds_of_tensors, mixed_steps,
]  # fmt: skip


@pytest.mark.parametrize(
    ("program", "version"),
    [*((program, "v2") for program in PROGRAMS), *((program, "v1") for program in V1_TOO)],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_program_gives_the_same_bits_with_a_recording(program, version):
    def result():
        with tf.Graph().as_default():
            tf1.set_random_seed(1)
            return program()

    if version == "v1":
        tf1.disable_control_flow_v2()
    try:
        plain = result()
        with graphdebug.record(level="stats", gradients="all") as run:
            assert result() == plain
    finally:
        tf1.enable_control_flow_v2()
    assert run.nodes
    assert not run.tool_errors
    assert not run.failures


@pytest.mark.parametrize("level", ["shapes", "health", "stats", "values"])
def test_a_sum_of_many_adds_in_the_order_in_which_it_adds_without_recording(level):
    draw = np.random.default_rng(0)
    parts = [draw.normal(size=100).astype("float32") for _ in range(3)]
    with tf.Graph().as_default(), tf1.Session() as session:
        x, y, z = feeds = [tf1.placeholder(tf.float32, [100]) for _ in range(3)]
        _, last = tf1.while_loop(lambda i, z: i < 2, lambda i, z: (i + 1, tf.sin(z)), [0, z])  # not probed
        total, given = tf.add_n([tf.sin(x), tf.sin(y), last]), dict(zip(feeds, parts, strict=True))
        plain = session.run([total], given)[0]
        with graphdebug.record(level=level) as run:
            assert session.run([total], given)[0].tobytes() == plain.tobytes()
    seen = [node.outputs[0] for node in run.nodes if node.op == "Sin" and not node.attributes.get("loop")]
    assert level == "shapes" or "another order" in " ".join(fact.unchecked for fact in seen)
