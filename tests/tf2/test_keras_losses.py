"""Targets and images that do not go with a Keras model: its layer or the data is named, in every mode."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import graphdebug

X = np.ones((16, 8, 8, 1), "float32")
MODES = pytest.mark.parametrize("mode", ["compiled", "jit", "eagerly"])


def _model(loss, mode):
    keras.backend.clear_session()
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(4, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(5),  # the head
        ]
    )
    model.compile("sgd", loss, run_eagerly=mode == "eagerly", jit_compile=mode == "jit")
    return model


def _own(y, p):
    return tf.reduce_mean(tf.square(p - y), -1)  # their own loss


def _line(site):
    return Path(site.file).read_text().splitlines()[site.line - 1].strip()


def _found(work):
    refused = pytest.raises((ValueError, tf.errors.InvalidArgumentError), match=r"shape|Dimensions")
    with refused, graphdebug.record() as run:
        work()
    assert run.tool_errors == []
    return run.findings[0]


def _fit_wide(loss, mode):
    model = _model(loss, mode)
    wide = np.ones((16, 7), "float32")
    model.fit(X, wide, batch_size=8, verbose=0)


@MODES
@pytest.mark.parametrize("loss", ["mse", "mae", "huber"])
def test_the_head_of_another_width_than_the_target_is_named(loss, mode):
    first = _found(lambda: _fit_wide(loss, mode))
    assert first.kind == "target_mismatch"
    assert _line(first.site) == "layers.Dense(5),  # the head"
    assert "prediction 8x5 against target 8x7" in first.text
    assert "makes the labels" in first.text


@MODES
def test_in_a_loss_of_the_users_own_no_layer_on_the_way_is_accused(mode):
    first = _found(lambda: _fit_wide(_own, mode))
    assert _line(first.site).endswith("# their own loss") or _line(first.site).endswith("# the head")
    assert "declares the width" in first.text


@MODES
def test_images_of_another_size_to_predict_are_named(mode):
    def work():
        model = _model("mse", mode)
        model.fit(X, np.ones((16, 5), "float32"), batch_size=8, verbose=0)
        larger = np.ones((4, 10, 10, 1), "float32")  # the images
        model.predict(larger, verbose=0)

    first = _found(work)
    assert (first.kind, _line(first.site).endswith("# the images")) == ("shape_mismatch", True), first.text
    assert "144 features; it was given 256" in first.text
