"""Steps, filters, levels, every=N and the flight recorder over TensorFlow's training loops, as in PyTorch."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import graphdebug

BATCH = 16


def _net():
    keras.utils.set_random_seed(0)
    keras.backend.clear_session()
    parts = [keras.layers.Dense(8, activation="relu", name="encoder"), keras.layers.Dense(1, name="head")]
    return keras.Sequential([keras.Input((4,)), *parts], name="net")


def _loop(compiled):
    net, rng = _net(), np.random.default_rng(0)
    optimizer = keras.optimizers.SGD(1e-5)
    optimizer.build(net.trainable_variables)

    def update(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(net(x)))
        optimizer.apply_gradients(
            zip(tape.gradient(loss, net.trainable_variables), net.trainable_variables, strict=True)
        )

    run_update = tf.function(update, reduce_retracing=True) if compiled else update

    def train(steps, spoil=lambda step, x: x, before=lambda step: None):
        for step in range(steps):
            before(step)
            run_update(tf.constant(spoil(step, rng.standard_normal((BATCH, 4), "float32"))))

    return train


def _fit():
    net, rng = _net(), np.random.default_rng(0)
    net.compile(keras.optimizers.SGD(1e-5), "mse")

    def train(steps, spoil=lambda step, x: x, before=lambda step: None):
        batches = [spoil(step, rng.standard_normal((BATCH, 4), "float32")) for step in range(steps)]
        told = keras.callbacks.LambdaCallback(on_train_batch_begin=lambda step, logs: before(step))
        net.fit(
            np.concatenate(batches), np.zeros((BATCH * steps, 1), "float32"),
            batch_size=BATCH, epochs=1, shuffle=False, verbose=0, callbacks=[told],
        )  # fmt: skip

    return train


@pytest.fixture(params=["eager", "function", "fit"])
def trainer(request):
    """A function that trains `steps` steps; `spoil` changes a step's input, `before` is called before it."""
    return _fit() if request.param == "fit" else _loop(compiled=request.param == "function")


def _not_finite_at(bad):
    return lambda step, x: np.full_like(x, np.inf) if step == bad else x


@pytest.mark.parametrize("scale", [2.0**10, 2.0**60], ids=["applied", "skipped"])
@pytest.mark.parametrize("mode", ["function", "fit"])
def test_steps_of_a_loss_scaler_that_updates_in_a_branch_are_counted(mode, scale):
    keras.utils.set_random_seed(0)
    half = keras.layers.Dense(3, dtype="mixed_float16")
    net = keras.Sequential([keras.Input((4,)), half, keras.layers.Dense(1, dtype="float32")])
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.01), scale, dynamic_growth_steps=2)
    optimizer.build(net.trainable_variables)
    x, y = np.ones((BATCH, 4), "float32"), np.ones((BATCH, 1), "float32")
    before = net.get_weights()

    @tf.function
    def update(x, y):
        with tf.GradientTape() as tape:
            loss = optimizer.scale_loss(tf.reduce_mean(tf.square(net(x) - y)))
        optimizer.apply(tape.gradient(loss, net.trainable_variables))

    net.compile(optimizer, "mse")
    with graphdebug.record() as run:
        if mode == "fit":
            net.fit(x, y, batch_size=BATCH // 4, verbose=0)
        else:
            for at in range(4):
                update(x[at::4], y[at::4])
    changed = any((one != other).any() for one, other in zip(before, net.get_weights(), strict=True))
    assert changed == (scale == 2.0**10)  # what the scaler made infinite it does not apply: still a step
    counts = [sum(node.phase == "optimizer" for node in run.step(step).nodes) for step in run.steps]
    assert [count > 0 for count in counts][:4] == [True] * 4
    assert not any(counts[4:])  # Keras looks for a fifth batch
    assert run.tool_errors == []


def _notices(run, topic):
    return [one.text for one in run.notices if one.topic == topic]


def test_steps_are_found_from_the_update(trainer):
    with graphdebug.record() as run:
        trainer(3)
    assert list(run.steps)[:3] == [0, 1, 2]
    for step in range(3):
        assert {node.phase for node in run.step(step).nodes} >= {"forward", "backward", "optimizer"}
        names = {one.name for one in run.step(step).gradients}
        assert {name.removeprefix("net/") for name in names} == {
            "encoder/kernel", "encoder/bias", "head/kernel", "head/bias",
        }  # fmt: skip


def test_the_users_word_counts_for_steps(trainer):
    with graphdebug.record() as run:
        for steps in (1, 2, 3):
            trainer(steps)
            run.step()
    products = [sum(n.op == "MatMul" and n.phase == "forward" for n in run.step(s).nodes) for s in run.steps]
    assert [count for count in products if count] == [2, 4, 6]


def test_every_third_step_is_recorded(trainer, tmp_path):
    path = tmp_path / "run.jsonl"
    with graphdebug.record(path, every=3):
        trainer(7)
    run = graphdebug.load(path)
    trained = [step for step in run.steps if any(n.phase == "optimizer" for n in run.step(step).nodes)]
    assert trained == [0, 3, 6]


@pytest.mark.parametrize(
    ("filters", "kept"),
    [
        ({"modules": ["net/encoder*"], "phases": ["forward"]}, lambda node: node.module == "net/encoder"),
        ({"ops": ["Relu", "MatMul"]}, lambda node: node.op in ("Relu", "MatMul")),
        ({"phases": ["backward"]}, lambda node: node.phase == "backward"),
    ],
    ids=["modules", "ops", "phases"],
)
def test_filters_keep_what_they_name_and_nothing_else(trainer, filters, kept):
    with graphdebug.record(**filters) as run:
        trainer(1)
    assert run.nodes
    assert [(node.op, node.module, node.phase) for node in run.nodes if not kept(node)] == []


@pytest.mark.parametrize("level", ["shapes", "health", "stats"])
def test_levels_hold_what_they_promise(trainer, level):
    with graphdebug.record(level=level) as run:
        trainer(2)
    products = [node for node in run.step(1).nodes if node.op == "MatMul"]
    assert {node.phase for node in products} == {"forward", "backward"}
    assert all(node.outputs[0].shape for node in products)
    facts = [
        node.outputs[0] for node in products if node.execution == "executed"
    ]  # of a fused one only the shape
    assert {fact.finite for fact in facts} == {None if level == "shapes" else True}
    assert {fact.stats is not None for fact in facts} == {level == "stats"}


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
        trainer(5, spoil=_not_finite_at(4))
    run = graphdebug.load(path)
    assert [step for step in run.steps if list(run.step(step).nodes)] == [3, 4]
    assert _notices(run, "flight") == [
        "the flight recorder wrote steps 3 to 4: a value in step 4 is not finite"
    ]
    assert {node.phase for node in run.step(4).nodes} >= {"forward", "backward", "optimizer"}
    assert run.findings[0].kind == "nonfinite"


def _steps(trainer, path, **options):
    """The steps that have nodes in the log of a run whose fourth step never begins."""

    def before(step):
        if step == 3:
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"), graphdebug.record(path, **options):
        trainer(4, before=before)
    run = graphdebug.load(path)
    assert run.end.status == "failed"
    return {step: len(run.step(step).nodes) for step in run.steps if len(run.step(step).nodes)}


def test_the_flight_recorder_writes_the_last_steps_when_an_exception_leaves_the_block(trainer, tmp_path):
    whole = _steps(trainer, tmp_path / "whole.jsonl")
    held = _steps(trainer, tmp_path / "held.jsonl", keep_last=2)
    assert len(whole) >= 3
    assert list(held) == list(whole)[-2:]  # Keras looks for the next batch before it says that a step begins


def test_the_flight_recorder_writes_when_asked(trainer, tmp_path):
    path = tmp_path / "run.jsonl"
    with graphdebug.record(path, keep_last=2) as run:
        trainer(5, before=lambda step: run.dump() if step == 3 else None)
    run = graphdebug.load(path)
    (written,) = _notices(run, "flight")
    steps = [step for step in run.steps if len(run.step(step).nodes)]
    assert written == f"the flight recorder wrote steps {steps[0]} to {steps[1]}: asked for"
    assert len(steps) == 2
    assert {node.phase for node in run.step(2).nodes} >= {"forward", "backward", "optimizer"}
