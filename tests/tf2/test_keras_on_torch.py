"""Keras 3 on PyTorch: its own process, since Keras chooses its backend once."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

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


def test_fit_on_torch_has_steps_layers_and_lines(tmp_path):
    _run(PROGRAM, tmp_path)


def _run(program, tmp_path):
    script = tmp_path / "on_torch.py"
    script.write_text(textwrap.dedent(program))
    environment = {**os.environ, "KERAS_BACKEND": "torch", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, script],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
