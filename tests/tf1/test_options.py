"""Steps, filters, levels, every=N and the flight recorder over sessions: the same meaning as in PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import graphdebug

tf1 = tf.compat.v1


@pytest.fixture(params=["Session", "MonitoredSession", "make_callable"])
def trainer(request):
    """A function that trains `steps` steps; `spoil` changes the input of a step."""

    def train(steps, spoil=lambda step, x: x, before=lambda step: None):
        with tf.Graph().as_default():
            tf1.set_random_seed(1)
            x = tf1.placeholder(tf.float32, [None, None], name="x")
            with tf1.variable_scope("encoder"):
                weight = tf1.get_variable("weight", [4, 8])
                hidden = tf.nn.relu(tf.matmul(x, weight))
            with tf1.variable_scope("head"):
                out = tf.matmul(hidden, tf1.get_variable("weight", [8, 1]))
            loss = tf.reduce_mean(tf.square(out))
            update = tf1.train.GradientDescentOptimizer(1e-5).minimize(loss)
            init = tf1.global_variables_initializer()
            if request.param == "MonitoredSession":
                opened = tf1.train.MonitoredSession()
            else:  # a run of an initializer of the user's own would count as a step
                opened = tf1.train.SessionManager().prepare_session("", init_op=init)
            with opened as session:
                if request.param == "make_callable":
                    call = session.make_callable([loss, update], feed_list=[x])
                else:
                    call = lambda batch: session.run([loss, update], {x: batch})  # noqa: E731 -- one of two
                for step in range(steps):
                    before(step)
                    batch = np.random.RandomState(step).rand(16, 4).astype("f") + 0.5
                    call(spoil(step, batch))

    return train


def poisoned(at):
    return lambda step, x: x * np.float32("nan") if step == at else x


def notices(run, topic):
    return [one.text for one in run.notices if one.topic == topic]


def test_each_run_of_a_train_op_is_a_step_with_all_its_phases(trainer):
    with graphdebug.record() as run:
        trainer(3)
    assert list(run.steps) == [0, 1, 2]
    for step in range(3):
        assert {node.phase for node in run.step(step).nodes} >= {"forward", "backward", "optimizer"}
        assert {one.name for one in run.step(step).gradients} == {"encoder/weight", "head/weight"}


def test_the_users_word_counts_for_steps(trainer):
    with graphdebug.record() as run:
        for steps in (1, 2, 3):
            trainer(steps)
            run.step()
    nodes = [run.step(step).nodes for step in run.steps]
    assert [sum(node.op == "Relu" for node in each) for each in nodes] == [1, 2, 3]


def test_every_third_step_is_recorded(trainer, tmp_path):
    path = tmp_path / "run.jsonl"
    with graphdebug.record(path, every=3):
        trainer(7)
    assert list(graphdebug.load(path).steps) == [0, 3, 6]


@pytest.mark.parametrize(
    ("filters", "kept"),
    [
        ({"modules": ["encoder*"], "phases": ["forward"]}, lambda node: node.module.startswith("encoder")),
        ({"ops": ["relu", "Mean"]}, lambda node: node.function == "relu" or node.op == "Mean"),
        ({"phases": ["backward"]}, lambda node: node.phase == "backward"),
    ],
    ids=["modules", "ops", "phases"],
)
def test_filters_keep_what_they_name_and_nothing_else(trainer, filters, kept):
    with graphdebug.record(**filters) as run:
        trainer(2)
    assert run.nodes
    assert [(node.op, node.module) for node in run.nodes if not kept(node)] == []


@pytest.mark.parametrize("level", ["shapes", "health", "stats", "values"])
def test_a_level_has_its_facts_and_none_of_a_higher_one(trainer, level):
    with graphdebug.record(level=level) as run:
        trainer(2)
    for step in run.steps:
        (fact,) = [node.outputs[0] for node in run.step(step).nodes if node.op == "Relu"]
        assert fact.shape == (16, 8)
        known = (fact.finite is not None, fact.stats is not None, bool(fact.values))
        assert known == {
            "shapes": (False, False, False),
            "health": (True, False, False),
            "stats": (True, True, False),
            "values": (True, True, True),
        }[level]  # fmt: skip


def test_the_flight_recorder_writes_nothing_of_a_run_that_goes_well(trainer, tmp_path):
    path = tmp_path / "run.jsonl"
    with graphdebug.record(path, keep_last=2):
        trainer(5)
    run = graphdebug.load(path)
    assert list(run.nodes) == []
    assert run.end.status == "completed"


def test_the_flight_recorder_writes_the_last_steps_when_a_value_is_not_finite(trainer, tmp_path):
    path = tmp_path / "run.jsonl"
    with graphdebug.record(path, keep_last=2):
        trainer(5, spoil=poisoned(4))
    run = graphdebug.load(path)
    assert list(run.steps) == [3, 4]
    assert notices(run, "flight") == ["the flight recorder wrote steps 3 to 4: a value in step 4 is not finite"]
    assert {node.phase for node in run.step(4).nodes} >= {"forward", "backward", "optimizer"}
    assert run.findings[0].kind == "nonfinite"


def test_the_flight_recorder_writes_the_last_steps_when_an_exception_leaves_the_block(trainer, tmp_path):
    path = tmp_path / "run.jsonl"
    with pytest.raises(tf.errors.InvalidArgumentError) as caught, graphdebug.record(path, keep_last=2):
        trainer(4, spoil=lambda step, x: x[:, :3] if step == 3 else x)
    run = graphdebug.load(path)
    assert list(run.steps) == [2, 3]
    assert run.end.status == "failed"
    assert caught.value.__notes__[0].startswith("graphdebug: shape mismatch in linear")


def test_the_flight_recorder_writes_the_last_steps_when_gradients_spike(trainer, tmp_path):
    path = tmp_path / "run.jsonl"
    with graphdebug.record(path, keep_last=3, level="stats"):
        trainer(7, spoil=lambda step, x: x * 30 if step == 5 else x)
    run = graphdebug.load(path)
    assert list(run.steps) == [3, 4, 5]
    (text,) = notices(run, "flight")
    assert text.startswith("the flight recorder wrote steps 3 to 5: the gradient norm of step 5, ")


def test_the_flight_recorder_writes_when_asked(trainer, tmp_path):
    path = tmp_path / "run.jsonl"
    with graphdebug.record(path, keep_last=1) as run:
        trainer(4, before=lambda step: run.dump() if step == 2 else None)
    assert list(graphdebug.load(path).steps) == [1]
