"""What recording costs a TF2 training step, eager and in a tf.function, beside the peers, in one run.

    python benchmarks/tf2_overhead.py [--rounds N] [--out FOLDER]

Every way of recording trains its own copy of a network in this process. A round times a block of steps in each
between two blocks of plain ones; the figure is the median over rounds of the ratio of their medians. Writes
tf2_overhead.json and tf2_overhead.svg into the folder and prints the table.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
    os.environ.setdefault(name, "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np  # noqa: E402 -- the numbers of threads are set before TensorFlow starts
import tensorflow as tf  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402
from tensorflow.python.framework import op_callbacks  # noqa: E402

import graphdebug  # noqa: E402

BLOCK = 12
WARM = 30
"""Steps before those that are timed: a recording's first ones trace and make plans, and Python's interpreter
takes some dozens to adapt to what was replaced, and to what was put back. A loop of thousands sees neither."""
TARGETS = {  # ratios on one core: of a function, of eager ops
    "shapes": (1.4, 1.02),
    "health": (1.5, 1.1),
    "stats": (2.0, 1.25),
}
OURS = {f"graphdebug: {level}": level for level in TARGETS}
DUMPS = {f"enable_dump_debug_info ({mode})": mode for mode in ("SHAPE", "CURT_HEALTH", "CONCISE_HEALTH")}
"""Peers that crash the process once they are switched off: each is measured in a process of its own."""


def variable(*shape):
    return tf.Variable(tf.random.stateless_normal(shape, [len(shape), shape[-1]]) * 0.1)


def small_cnn():
    kernels = [(variable(5, 5, 1, 16), variable(16)), (variable(5, 5, 16, 32), variable(32))]
    dense = (variable(1568, 10), variable(10))

    def forward(x):
        for kernel, bias in kernels:
            x = tf.nn.relu(tf.nn.bias_add(tf.nn.conv2d(x, kernel, 1, "SAME"), bias))
            x = tf.nn.max_pool2d(x, 2, 2, "SAME")
        return tf.matmul(tf.reshape(x, [-1, 1568]), dense[0]) + dense[1]

    return forward, [*(one for pair in kernels for one in pair), *dense], (32, 28, 28, 1)


def tiny_mlp():
    weights = [variable(16, 32), variable(32), variable(32, 10), variable(10)]

    def forward(x):
        return tf.matmul(tf.nn.relu(tf.matmul(x, weights[0]) + weights[1]), weights[2]) + weights[3]

    return forward, weights, (8, 16)


NETWORKS = {"small CNN": small_cnn, "tiny MLP": tiny_mlp}
COLUMNS = [(network, mode) for mode in ("function", "eager") for network in NETWORKS]


def training(network, mode):
    """Return a function that trains one step, after it has run twice."""
    forward, variables, shape = NETWORKS[network]()
    random = np.random.RandomState(0)
    x = tf.constant(random.randn(*shape).astype("f"))
    y = tf.constant(random.randint(0, 10, shape[0]))

    def step():
        with tf.GradientTape() as tape:
            rows = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=forward(x))
            loss = tf.reduce_mean(rows)
        for one, grad in zip(variables, tape.gradient(loss, variables), strict=True):
            one.assign_sub(0.01 * grad)
        return loss

    step = tf.function(step) if mode == "function" else step
    step()
    step()
    return step


@contextmanager
def check_numerics():
    tf.debugging.enable_check_numerics()
    try:
        yield
    finally:
        tf.debugging.disable_check_numerics()


@contextmanager
def empty_callback():
    """TensorFlow's own way to show eager ops to Python, with nothing behind it: what we can't go below."""

    def seen(*_, **__):
        return None

    op_callbacks.add_op_callback(seen)
    try:
        yield
    finally:
        op_callbacks.remove_op_callback(seen)


def timed(step, count=BLOCK):
    """Return the seconds of each of `count` steps, after some that are not counted."""
    for _ in range(WARM):
        step()
    seconds = []
    for _ in range(count):
        began = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - began)
    return seconds


def ways(network, mode, folder):
    """Return, by name, what wraps a block of steps and the steps themselves."""
    path = Path(folder) / "run.jsonl"
    found = {
        name: (partial(graphdebug.record, path, level=level), training(network, mode))
        for name, level in OURS.items()
    }
    found["empty op callback"] = (empty_callback, training(network, mode))
    with check_numerics():
        found["enable_check_numerics"] = (check_numerics, training(network, mode))
    return found


def measure(network, mode, rounds, folder):
    """Return the median ratio to plain of each way, and the seconds of a plain step."""
    plain, base = training(network, mode), []
    everything = ways(network, mode, folder)
    ratios = {name: [] for name in everything}
    for _ in range(rounds):
        for name, (around, step) in everything.items():
            before = timed(plain)
            with around():
                mine = timed(step)
            plainly = float(np.median(before + timed(plain)))
            ratios[name].append(float(np.median(mine)) / plainly)
            base.append(plainly)
    found = {name: float(np.median(some)) for name, some in ratios.items()}
    for name, dump in DUMPS.items():
        with suppress(subprocess.SubprocessError, json.JSONDecodeError, IndexError):
            found[name] = dump_in_a_process(network, mode, dump, rounds)
    return found, float(np.median(base))


def dump_in_a_process(network, mode, dump, rounds):
    command = [sys.executable, __file__, "--only", network, mode, dump, "--rounds", str(rounds)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    return json.loads(done.stdout.splitlines()[-1])


def measure_dump(network, mode, dump, rounds):
    """Print the ratio of Debugger V2 in this process: plain blocks come first, it can't be switched off."""
    plain = training(network, mode)
    base = float(np.median([second for _ in range(rounds) for second in timed(plain)]))
    with tempfile.TemporaryDirectory() as folder:
        tf.debugging.experimental.enable_dump_debug_info(folder, dump, circular_buffer_size=-1)
        step = training(network, mode)
        mine = float(np.median([second for _ in range(rounds) for second in timed(step)]))
        print(json.dumps(mine / base), flush=True)
        os._exit(0)  # its writer can crash at exit


def show(results, base):
    """Print the table."""
    table = Table(title="TF2 training step, ratio to plain (target in brackets)")
    table.add_column("")
    for network, mode in results:
        table.add_column(f"{network}, {mode}, {base[network, mode] * 1e3:.2f} ms", justify="right")
    for name in dict.fromkeys(name for found in results.values() for name in found):
        targets = TARGETS.get(name.removeprefix("graphdebug: "))
        cells = []
        for (_, mode), found in results.items():
            value = f"{found[name]:.2f}" if name in found else "-"
            cells.append(f"{value} ({targets[mode == 'eager']:.2f})" if targets else value)
        table.add_row(name, *cells)
    Console(width=120).print(table)


def picture(results):
    """Return the ratios as bars on a logarithmic scale, in an SVG."""
    names = list(dict.fromkeys(name for found in results.values() for name in found))
    colours = ("#4477aa", "#ee6677", "#228833", "#aa3377")
    height, left, unit = 30 * len(names) + 60, 240, 260
    rows = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="800" height="{height}" font-size="11">',
        '<text x="10" y="18" font-size="13">TF2 training step, ratio to plain (log scale)</text>',
    ]
    for position, (network, mode) in enumerate(results):
        text = f'<text x="{300 + 125 * position}" y="18" fill="{colours[position]}">{network}, {mode}</text>'
        rows.append(text)
    for row, name in enumerate(names):
        y = 34 + 30 * row
        rows.append(f'<text x="{left - 6}" y="{y + 15}" text-anchor="end">{name}</text>')
        for position, found in enumerate(results.values()):
            if name in found:
                width, top = max(1.0, unit * np.log10(max(found[name], 1.001))), y + 6 * position
                bar = f'<rect x="{left}" y="{top}" width="{width:.1f}" height="5" fill="{colours[position]}"/>'
                at = f'x="{left + width + 3:.1f}" y="{top + 6}"'
                figure = f'<text {at} font-size="7">{found[name]:.2f}</text>'
                rows += [bar, figure]
    return "\n".join([*rows, "</svg>\n"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="rounds of 12 steps each")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    parser.add_argument("--only", nargs=3, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.only:
        measure_dump(*chosen.only, chosen.rounds)
    results, base = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for column in COLUMNS:
            results[column], base[column] = measure(*column, chosen.rounds, folder)
    show(results, base)
    chosen.out.mkdir(parents=True, exist_ok=True)
    ratios = {", ".join(column): found for column, found in results.items()}
    plain = {", ".join(column): seconds for column, seconds in base.items()}
    found = {"ratios": ratios, "plain_seconds": plain, "tensorflow": tf.__version__}
    (chosen.out / "tf2_overhead.json").write_text(json.dumps(found, indent=1) + "\n")
    (chosen.out / "tf2_overhead.svg").write_text(picture(results))


if __name__ == "__main__":
    main()
