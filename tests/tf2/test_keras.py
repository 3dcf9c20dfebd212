"""Keras 3 on TensorFlow: layers with their lines, `fit` compiled and run eagerly, and its failures."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

import graphdebug
import graphdebug.keras
from graphdebug.model.event import Failure

X = np.random.default_rng(0).random((16, 12, 12, 1)).astype("float32")
Y = np.random.default_rng(0).integers(0, 5, 16)
MODES = pytest.mark.parametrize("eagerly", [False, True], ids=["compiled", "eagerly"])


def _model(eagerly, seed=1):
    keras.utils.set_random_seed(seed)
    keras.backend.clear_session()
    model = keras.Sequential(
        [
            keras.Input((12, 12, 1)),
            layers.Conv2D(3, 3, activation="relu"),
            layers.MaxPool2D(),
            layers.Flatten(),
            layers.Dropout(0.2),
            layers.Dense(5),  # the head
        ],
        name="net",
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=keras.optimizers.Adam(0.01), loss=loss, run_eagerly=eagerly)
    return model


def _line(site):
    return Path(site.file).read_text().splitlines()[site.line - 1].strip()


@MODES
def test_fit_is_recorded_by_layer_and_step(eagerly):
    model = _model(eagerly)
    with graphdebug.record() as run:
        model.fit(X, Y, batch_size=8, epochs=1, verbose=0, shuffle=False)
    nodes = run.step(1).nodes
    by_op = {node.op: node for node in nodes if node.phase == "forward"}
    assert by_op["Conv2D"].module == "net/conv2d"
    assert by_op["MaxPool"].module == "net/max_pooling2d"
    assert by_op["MatMul"].module == "net/dense"
    assert by_op["MatMul"].inputs[1].name == "net/dense/kernel"
    assert by_op["MatMul"].mode == ("eager" if eagerly else "function")
    backward = [node for node in nodes if node.op == "Conv2DBackpropFilter"]
    assert run.node(backward[0].forward).op == "Conv2D"
    assert {one.name for one in run.step(1).gradients} == {one.path for one in model.trainable_weights}
    assert any(node.phase == "optimizer" and node.family == "assign" for node in nodes)
    head = run.declaration("net/dense")
    assert _line(head.site) == "layers.Dense(5),  # the head"
    assert (head.type, head.attributes["in_features"], head.attributes["out_features"]) == ("Dense", 75, 5)
    assert run.tool_errors == []


@MODES
def test_a_width_that_does_not_fit_names_the_layer_and_its_line(eagerly):
    model = _model(eagerly)
    wide = np.zeros((16, 20, 20, 1), "float32")
    with pytest.raises(ValueError, match="incompatible with the layer"), graphdebug.record() as run:
        model.fit(wide, Y, batch_size=8, verbose=0)
    (failure,) = run.store.of_kind(Failure)
    assert (failure.category, failure.op, failure.module) == ("shape", "Dense", "net/dense")
    assert failure.detail == {"dimension": -1, "expected": 75, "found": 243}
    assert _line(failure.site) == "layers.Dense(5),  # the head"
    assert "model.fit" in _line(failure.run_site)


@MODES
def test_a_label_out_of_range_shows_the_real_logits(eagerly):
    model = _model(eagerly)
    with pytest.raises(Exception, match="Received a label value"), graphdebug.record() as run:
        model.fit(X, Y + 5, batch_size=8, verbose=0)
    (failure,) = run.store.of_kind(Failure)
    assert (failure.category, failure.family) == ("index", "loss")
    assert [(one.role, one.fact.shape) for one in failure.operands] == [("logits", (8, 5)), ("labels", (8,))]
    assert run.producer(failure.operands[0]) is not None


def test_the_callback_records_and_explains_like_the_block(tmp_path):
    model = _model(eagerly=False)
    before = model.train_function
    callback = graphdebug.keras.Callback(tmp_path / "run.jsonl", level="shapes")
    model.fit(X, Y, batch_size=8, verbose=0, callbacks=[callback])
    run = graphdebug.load(tmp_path / "run.jsonl")
    assert run.end.status == "completed"
    assert any(node.module == "net/dense" for node in run.nodes)
    assert before is None
    failing = graphdebug.keras.Callback()
    with pytest.raises(Exception, match="Received a label value") as info:
        model.fit(X, Y + 5, batch_size=8, verbose=0, callbacks=[failing])
    assert failing.run.end.status == "failed"
    assert any(note.startswith("graphdebug: ") for note in info.value.__notes__)


def test_nothing_of_ours_is_left_in_keras():
    kind = keras.layers.Layer
    before = kind.__new__, kind.__call__, keras.optimizers.Optimizer.apply
    with graphdebug.record():
        assert kind.__call__ is not before[1]
    assert before == (kind.__new__, kind.__call__, keras.optimizers.Optimizer.apply)
