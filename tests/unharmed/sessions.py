"""Twenty steps of training in each way that TensorFlow 1 programs run a graph."""

from __future__ import annotations

import contextlib
import threading
from types import SimpleNamespace

import numpy as np
import tensorflow as tf

from tests.tf1.networks import built

tf1 = tf.compat.v1
STEPS = 20


def data(step):
    random = np.random.RandomState(step)
    return random.randn(6, 4).astype("f"), random.randn(6, 2).astype("f")


def perceptron(x=None, y=None):
    """Build a small network with dropout and Adam in the default graph."""
    tf1.set_random_seed(3)
    x = tf1.placeholder(tf.float32, [None, 4], name="x") if x is None else x
    y = tf1.placeholder(tf.float32, [None, 2], name="y") if y is None else y
    hidden = tf.tanh(tf.matmul(x, tf1.get_variable("first", [4, 8])), name="hidden")
    out = tf.matmul(tf1.nn.dropout(hidden, rate=0.2), tf1.get_variable("second", [8, 2]))
    loss = tf.reduce_mean(tf.math.squared_difference(out, y), name="loss")
    step = tf1.train.get_or_create_global_step()
    train = tf1.train.AdamOptimizer(0.01).minimize(loss, global_step=step, name="train")
    init = tf1.global_variables_initializer()
    return SimpleNamespace(x=x, y=y, hidden=hidden, loss=loss, train=train, init=init)


@contextlib.contextmanager
def opened():
    """A network in a graph of its own, with a session whose variables are initialized."""
    with tf.Graph().as_default(), tf1.Session() as session:
        net = perceptron()
        session.run(net.init)
        yield net, session


def variables(session):
    return session.run(tf1.global_variables())


def feed(net, step):
    return dict(zip((net.x, net.y), data(step), strict=True))


def fetch_structures(_folder):
    found = []
    with opened() as (net, session):
        for step in range(STEPS):
            found.append(session.run({"loss": net.loss, "more": [(net.train,), net.hidden]}, feed(net, step)))
            given = {net.hidden: found[-1]["more"][1] * 2, net.y: data(step)[1]}
            found.append(session.run([net.loss, "loss:0"], given))  # from the middle of the graph
        return found, variables(session)


def make_callable(_folder):
    with opened() as (net, session):
        call = session.make_callable([net.loss, net.train], feed_list=[net.x, net.y])
        unfed = session.make_callable(tf1.trainable_variables())
        return [(call(*data(step)), unfed()) for step in range(STEPS)], variables(session)


def partial_run(_folder):
    found = []
    with opened() as (net, session):
        with tf.control_dependencies([net.train]):  # a partial run takes no target
            trained = tf.identity(net.loss)
        for step in range(STEPS):
            x, y = data(step)
            handle = session.partial_run_setup([net.hidden, trained], [net.x, net.y])
            found.append(session.partial_run(handle, net.hidden, {net.x: x}))
            found.append(session.partial_run(handle, trained, {net.y: y}))
        return found, variables(session)


def several_sessions_and_graphs(_folder):
    found = []
    with tf.Graph().as_default() as first:
        one = perceptron()
    with tf.Graph().as_default() as second:
        other = perceptron()
    with tf1.Session(graph=first) as a, tf1.Session(graph=first) as b, tf1.Session(graph=second) as c:
        for net, session in ((one, a), (one, b), (other, c)):
            session.run(net.init)
        for step in range(STEPS):
            for net, session in ((one, a), (other, c), (one, b)):
                found.append(session.run([net.loss, net.train], feed(net, step)))
        return found


def threads_and_queue_runners(_folder):
    found = []

    def train(net, session):
        found.extend(session.run([net.loss, net.train, net.x]) for _ in range(STEPS))

    with tf.Graph().as_default(), tf1.Session() as session:
        number = tf1.train.range_input_producer(100, shuffle=False).dequeue()
        row = tf.cast(number, tf.float32) / (tf.range(1.0, 7.0) + 50.0)
        rows = tf1.train.batch([row], 6, num_threads=1)
        net = perceptron(rows[:, :4], rows[:, 4:])
        session.run(net.init)
        coordinator = tf1.train.Coordinator()
        runners = tf1.train.start_queue_runners(session, coordinator)
        worker = threading.Thread(target=train, args=(net, session))
        worker.start()
        worker.join()
        coordinator.request_stop()
        coordinator.join(runners)
        return found, variables(session)


def interactive(_folder):
    found = []
    with tf.Graph().as_default():
        net = perceptron()
        session = tf1.InteractiveSession()
        net.init.run()
        for step in range(STEPS):
            net.train.run(feed(net, step))
            found.append(net.loss.eval(feed(net, step)))
        found.append(variables(session))
        session.close()
    return found


def monitored(_folder, hooks=()):
    with tf.Graph().as_default():
        net, known = perceptron(), tf1.global_variables()
        with tf1.train.MonitoredSession(hooks=hooks) as session:
            found = [session.run([net.loss, net.train], feed(net, step)) for step in range(STEPS)]
            return found, session.run(known)


def monitored_training(folder, hooks=()):
    with tf.Graph().as_default():
        net, known = perceptron(), tf1.global_variables()
        tf1.summary.scalar("loss", net.loss)
        hooks = [
            tf1.train.SummarySaverHook(4, output_dir=str(folder), summary_op=tf1.summary.merge_all()),
            tf1.train.LoggingTensorHook([net.loss], every_n_iter=9),
            tf1.train.StopAtStepHook(last_step=STEPS), *hooks,
        ]  # fmt: skip
        found, step = [], 0
        with tf1.train.MonitoredTrainingSession(
            checkpoint_dir=str(folder), hooks=hooks, save_checkpoint_steps=7, log_step_count_steps=5
        ) as session:
            while not session.should_stop():
                found.append(session.run([net.loss, net.train], feed(net, step)))
                step += 1
        assert step == STEPS
        with tf1.Session() as session:  # what was saved is what was trained
            tf1.train.Saver().restore(session, tf1.train.latest_checkpoint(str(folder)))
            return found, session.run(known)


def imported_graph_def(_folder):
    with tf.Graph().as_default() as source:
        net = perceptron()
        init = net.init.name
    with tf.Graph().as_default(), tf1.Session() as session:
        tf.import_graph_def(source.as_graph_def(), name="")
        session.run(init)
        found = [
            session.run(["loss:0", "train"], dict(zip(("x:0", "y:0"), data(step), strict=True)))
            for step in range(STEPS)
        ]
        names = ("first", "second", "first/Adam", "second/Adam_1")
        return found, session.run([f"{name}/Read/ReadVariableOp:0" for name in names])


def imported_meta_graph(folder):
    with opened() as (net, session):
        tf1.add_to_collection("steps", net.train)
        tf1.add_to_collection("steps", net.loss)
        before = [session.run([net.loss, net.train], feed(net, step)) for step in range(STEPS // 2)]
        saved = tf1.train.Saver().save(session, str(folder / "model"))
    with tf.Graph().as_default(), tf1.Session() as session:
        tf1.train.import_meta_graph(f"{saved}.meta").restore(session, saved)
        train, loss = tf1.get_collection("steps")
        found = [
            session.run([loss, train], dict(zip(("x:0", "y:0"), data(step), strict=True)))
            for step in range(STEPS // 2, STEPS)
        ]
        return before, found, variables(session)


def pipeline(kind):
    def train(_folder):
        with tf.Graph().as_default(), tf1.Session() as session:
            x, y = (np.concatenate(parts) for parts in zip(*map(data, range(STEPS)), strict=True))
            rows = tf.data.Dataset.from_tensor_slices((x, y)).map(lambda one, other: (one * 0.5, other + 1.0))
            rows = rows.shuffle(32, seed=5).batch(6)
            make = (
                tf1.data.make_one_shot_iterator if kind == "one shot" else tf1.data.make_initializable_iterator
            )
            batches = make(rows)
            net = perceptron(*batches.get_next())
            session.run(net.init)
            if kind != "one shot":
                session.run(batches.initializer)
            found = []
            with contextlib.suppress(tf.errors.OutOfRangeError):
                while True:
                    found.append(session.run([net.loss, net.train]))
            assert len(found) == STEPS
            return found, variables(session)

    return train


def functions(_folder):
    """A graph that calls functions: one that is called twice, one with a loop."""
    with tf.Graph().as_default(), tf1.Session() as session:
        tf1.set_random_seed(3)
        weight = tf1.get_variable("weight", [4, 4])

        @tf.function
        def layer(values):
            return tf.tanh(tf.matmul(values, weight))

        @tf.function
        def repeated(values):
            for _ in tf.range(3):
                values = layer(values)
            return values

        x = tf1.placeholder(tf.float32, [None, 4])
        loss = tf.reduce_mean(tf.square(repeated(layer(x)) - 0.5))
        train = tf1.train.MomentumOptimizer(0.1, 0.9).minimize(loss)
        session.run(tf1.global_variables_initializer())
        found = [session.run([loss, train], {x: data(step)[0]}) for step in range(STEPS)]
        return found, variables(session)


def network(name, version="v2", *, references=False):
    def train(_folder):
        with built(name, version, references=references) as net, tf1.Session() as session:
            session.run(tf1.global_variables_initializer())
            return [session.run(net.fetches, net.feeds(step)) for step in range(STEPS)], variables(session)

    return train


def built_before(_folder):
    graph = tf.Graph()
    with graph.as_default():
        net, known = perceptron(), tf1.global_variables()
    graph.finalize()
    session = tf1.Session(graph=graph)
    session.run(net.init)

    def train():
        found = [session.run([net.loss, net.train], feed(net, step)) for step in range(STEPS)]
        return found, session.run(known)

    return train


MODES = {
    "run": fetch_structures,
    "make_callable": make_callable,
    "partial_run": partial_run,
    "several sessions and graphs": several_sessions_and_graphs,
    "threads and queue runners": threads_and_queue_runners,
    "InteractiveSession": interactive,
    "MonitoredSession": monitored,
    "MonitoredTrainingSession": monitored_training,
    "imported GraphDef": imported_graph_def,
    "imported MetaGraph": imported_meta_graph,
    "one-shot iterator": pipeline("one shot"),
    "initializable iterator": pipeline("initializable"),
    "functions": functions,
    "cnn": network("cnn"),
    "deeper cnn": network("deeper_cnn"),
    "word2vec": network("word2vec"),
    "GAN": network("gan"),
    "GAN, reference variables": network("gan", references=True),
    "control flow v1": network("lstm", "v1"),
    "control flow v1, reference variables": network("lstm", "v1", references=True),
    "control flow v2": network("lstm", "v2"),
}
HOOKED = {"MonitoredSession": monitored, "MonitoredTrainingSession": monitored_training}
"""Those that a hook can record."""
BEFORE = {"graph built before, finalized": built_before}
"""Those that were set up before the recording: they return what is to be recorded."""
