"""Keras 3 on PyTorch: its own process, since Keras chooses its backend once."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

PROGRAM = """
    import keras
    import numpy as np
    from keras import layers
    import graphdebug

    X = np.random.default_rng(0).random((16, 6)).astype("float32")
    Y = np.random.default_rng(0).integers(0, 3, 16)

    def train():
        keras.utils.set_random_seed(1)
        keras.backend.clear_session()
        model = keras.Sequential(
            [
                keras.Input((6,)),
                layers.Dense(4, activation="relu"),
                layers.Dense(3),  # the head
            ],
            name="net",
        )
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        model.fit(X, Y, batch_size=8, epochs=2, verbose=0, shuffle=False)
        return model

    plain = train()
    with graphdebug.record() as run:
        model = train()
    for one, other in zip(plain.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert not run.tool_errors, run.tool_errors
    assert list(run.steps)[:4] == [0, 1, 2, 3], run.steps
    nodes = run.step(1).nodes
    assert {"forward", "backward", "optimizer"} <= {node.phase for node in nodes}
    products = [node for node in nodes if node.phase == "forward" and node.family in ("linear", "matmul")]
    assert [node.module for node in products] == ["net/dense", "net/dense_1"], products
    lines = open(__file__).read().splitlines()
    head = run.declaration("net/dense_1")
    assert lines[head.site.line - 1].strip() == "layers.Dense(3),  # the head", head
    try:
        with graphdebug.record() as run:
            model.fit(np.zeros((16, 9), "float32"), Y, batch_size=8, verbose=0)
    except ValueError as error:
        note = error.__notes__[0]
        assert "net/dense" in note and "6 features" in note, note
    else:
        raise AssertionError("it should have failed")
"""


TWENTY_STEPS = """
    import sys
    import keras
    import numpy as np
    import torch
    from keras import layers
    import graphdebug

    X = np.random.default_rng(0).random((80, 8, 8, 2)).astype("float32")
    Y = np.random.default_rng(0).integers(0, 3, 80)

    def train():
        keras.utils.set_random_seed(1)
        keras.backend.clear_session()
        model = keras.Sequential(
            [
                keras.Input((8, 8, 2)),
                layers.Conv2D(4, 3, activation="relu"),
                layers.BatchNormalization(),
                layers.Flatten(),
                layers.Dropout(0.3),
                layers.Dense(3),
            ]
        )
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(0.01), loss, run_eagerly=sys.argv[1] == "eagerly")
        losses = model.fit(X, Y, batch_size=8, epochs=2, verbose=0).history["loss"]
        kept = [*model.get_weights(), *map(keras.ops.convert_to_numpy, model.optimizer.variables)]
        return losses, kept, torch.random.get_rng_state(), np.random.get_state()[1]

    assert keras.backend.backend() == "torch"
    plain = train()
    for level in ("shapes", "stats"):
        with graphdebug.record(level=level) as run:
            recorded = train()
        assert plain[0] == recorded[0], (plain[0], recorded[0])
        for one, other in zip(plain[1], recorded[1], strict=True):
            assert one.tobytes() == other.tobytes()
        assert torch.equal(plain[2], recorded[2])
        assert (plain[3] == recorded[3]).all()
        assert sum(any(n.phase == "optimizer" for n in run.step(s).nodes) for s in run.steps) == 20
        assert not run.tool_errors, run.tool_errors
"""


@pytest.mark.parametrize("mode", ["default", "eagerly"])
def test_twenty_steps_on_torch_are_bit_identical(mode, tmp_path):
    _run(TWENTY_STEPS, tmp_path, mode)


def test_fit_on_torch_has_steps_layers_and_lines(tmp_path):
    _run(PROGRAM, tmp_path)


def _run(program, tmp_path, *arguments):
    script = tmp_path / "on_torch.py"
    script.write_text(textwrap.dedent(program))
    environment = {**os.environ, "KERAS_BACKEND": "torch", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, script, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
