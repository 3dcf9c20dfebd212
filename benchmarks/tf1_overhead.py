"""What recording costs a TF1 training step, beside the peers, interleaved in one run.

    python benchmarks/tf1_overhead.py [--steps N] [--out FOLDER]

Each way of recording trains its own copy of each network in this process. A round times a block of steps in
each, one after the other; the figure is the median over rounds of (step with it) / (step plain in the same
round). Writes tf1_overhead.json and tf1_overhead.svg into the folder and prints the table.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path

for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
    os.environ.setdefault(name, "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np  # noqa: E402 -- the numbers of threads are set before TensorFlow starts
import tensorflow as tf  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

import graphdebug  # noqa: E402

tf1 = tf.compat.v1
WARM = 30
"""Steps before those that are timed: a recording's first ones make plans, and Python's interpreter takes some
dozens to adapt to what was replaced, and to what was put back. A loop of thousands sees neither."""
TARGETS = {  # issue: ratios on one core
    "failure only": (1.01, 1.01, 1.02),
    "shapes": (1.10, 1.10, 1.15),
    "health": (1.25, 1.25, 1.20),
    "stats": (1.60, 1.50, 1.90),
}


def variable(name, shape, seed):
    return tf1.get_variable(
        name, shape, initializer=tf1.truncated_normal_initializer(0, 0.1, seed=seed), use_resource=True
    )


def dense(x, name, rows, columns, seed):
    return tf.matmul(x, variable(f"{name}_w", [rows, columns], seed)) + variable(f"{name}_b", [columns], seed)


def conv(x, name, kernel, before, after, seed):
    x = tf.nn.conv2d(x, variable(f"{name}_w", [kernel, kernel, before, after], seed), 1, "SAME")
    return tf.nn.relu(tf.nn.bias_add(x, variable(f"{name}_b", [after], seed)))


def small_cnn():
    x = tf1.placeholder(tf.float32, [None, 28, 28, 1])
    h = tf.nn.max_pool2d(conv(x, "c1", 5, 1, 16, 1), 2, 2, "SAME")
    h = tf.nn.max_pool2d(conv(h, "c2", 5, 16, 32, 2), 2, 2, "SAME")
    return x, dense(tf.reshape(h, [-1, 1568]), "fc", 1568, 10, 3), (32, 28, 28, 1)


def deeper_cnn():
    x = tf1.placeholder(tf.float32, [None, 32, 32, 3])
    h, width = x, 3
    for layer, after in enumerate((16, 16, 32, 32, 64, 64)):
        h, width = conv(h, f"c{layer}", 3, width, after, layer), after
        h = tf.nn.max_pool2d(h, 2, 2, "SAME") if layer % 2 else h
    h = tf.nn.relu(dense(tf.reshape(h, [-1, 1024]), "f1", 1024, 64, 7))
    return x, dense(h, "f2", 64, 10, 8), (16, 32, 32, 3)


def tiny_mlp():
    x = tf1.placeholder(tf.float32, [None, 16])
    return x, dense(tf.nn.relu(dense(x, "f1", 16, 32, 1)), "f2", 32, 10, 2), (8, 16)


NETWORKS = {"small CNN": small_cnn, "deeper CNN": deeper_cnn, "tiny MLP": tiny_mlp}


class Training:
    """One network in its own graph and session; `step` trains on one batch."""

    def __init__(self, network, *, after_build=None, wrap=None, options=None, build_context=None):
        self.graph = tf.Graph()
        with self.graph.as_default(), build_context or ExitStack():
            x, logits, shape = NETWORKS[network]()
            labels = tf1.placeholder(tf.int64, [None])
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits))
            train = tf1.train.MomentumOptimizer(0.01, 0.9).minimize(loss)
            init = tf1.global_variables_initializer()
            extra = [after_build()] if after_build else []
        random = np.random.RandomState(0)
        self.feed = {x: random.randn(*shape).astype("f"), labels: random.randint(0, 10, shape[0])}
        config = tf1.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1)
        self.session = tf1.Session(graph=self.graph, config=config)
        self.session.run(init)
        self.session = wrap(self.session) if wrap else self.session
        self.fetches = [loss, train, *extra]
        self.keywords = options or {}

    def step(self):
        self.session.run(self.fetches, self.feed, **{key: make() for key, make in self.keywords.items()})


class Ours:
    """A recording that is entered for the steps it times only, as only one can be open."""

    def __init__(self, network, folder, **options):
        self.training = Training(network)
        self.options = options
        self.path = Path(folder) / "run.jsonl"

    def rounds(self, count):
        seconds = []
        with graphdebug.record(self.path, **self.options):
            for _ in range(WARM):
                self.training.step()
            for _ in range(count):
                began = time.perf_counter()
                self.training.step()
                seconds.append(time.perf_counter() - began)
        self.path.unlink()
        return seconds


def peers(network, folder):
    """The peers that can run in this process without touching the others' graphs."""
    from tensorflow.python.debug.wrappers import dumping_wrapper

    return {
        "FULL_TRACE": lambda: Training(
            network,
            options={
                "options": lambda: tf1.RunOptions(trace_level=tf1.RunOptions.FULL_TRACE),
                "run_metadata": tf1.RunMetadata,
            },
        ),
        "add_check_numerics_ops": lambda: Training(network, after_build=tf1.add_check_numerics_ops),
        "fetch all to numpy": lambda: _FetchAll(network),
        "tfdbg DumpingDebugWrapperSession": lambda: Training(
            network,
            wrap=lambda session: dumping_wrapper.DumpingDebugWrapperSession(
                session, tempfile.mkdtemp(dir=folder)
            ),
        ),
        "enable_check_numerics": lambda: Training(network, build_context=_check_numerics()),
    }


DUMPS = {f"enable_dump_debug_info ({mode})": mode for mode in ("SHAPE", "CURT_HEALTH", "CONCISE_HEALTH")}
"""Peers that crash the process once they are switched off: each is measured in a process of its own."""


class _FetchAll(Training):
    """What people write: fetch every float tensor and compute statistics in numpy."""

    def __init__(self, network):
        super().__init__(network)
        self.tensors = [
            tensor for op in self.graph.get_operations() for tensor in op.outputs
            if tensor.dtype == tf.float32 and self.graph.is_fetchable(tensor) and _needed(op, self.fetches)
        ]  # fmt: skip

    def step(self):
        for array in self.session.run([*self.fetches, self.tensors], self.feed)[-1]:
            if array.size:
                array.min(), array.max(), array.mean(), array.std(), np.isnan(array).sum()


def _needed(op, fetches):
    seen, waiting = set(), [getattr(fetch, "op", fetch) for fetch in fetches]
    while waiting:
        one = waiting.pop()
        if one.name not in seen:
            seen.add(one.name)
            waiting += [tensor.op for tensor in one.inputs] + list(one.control_inputs)
    return op.name in seen and op.type != "Placeholder"


def _check_numerics():
    stack = ExitStack()
    tf.debugging.enable_check_numerics()
    stack.callback(tf.debugging.disable_check_numerics)
    return stack


def measure_dump(network, mode, rounds):
    """Median ratio to plain of Debugger V2 in one of its modes, in this process."""
    plain = Training(network)
    with tempfile.TemporaryDirectory() as folder:
        tf.debugging.experimental.enable_dump_debug_info(folder, mode, circular_buffer_size=-1)
        way = Training(network)
        ratios = [against(plain, lambda: timed(way, 12))[0] for _ in range(rounds)]
        print(json.dumps(float(np.median(ratios))), flush=True)
        os._exit(0)  # its writer can crash at exit


def dump_in_a_process(network, mode, rounds):
    command = [sys.executable, __file__, "--network", network, "--dump", mode, "--steps", str(rounds)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    return json.loads(done.stdout.splitlines()[-1])


OURS = {
    "failure only": {"ops": ["no such op"]},
    "shapes": {"level": "shapes"},
    "health": {"level": "health"},
    "stats": {"level": "stats"},
}


def measure(network, rounds, folder):
    """Median ratio to plain of each way, and the seconds of a plain step."""
    plain = Training(network)
    ways = {f"graphdebug: {name}": Ours(network, folder, **options) for name, options in OURS.items()}
    for name, make in peers(network, folder).items():
        try:
            ways[name] = make()
        except Exception as error:
            print(f"{name} can't run on {network}: {type(error).__name__}: {str(error)[:80]}", file=sys.stderr)
    ratios = {name: [] for name in ways}
    base = []
    for _ in range(rounds):
        for name, way in ways.items():
            block, warm = (3, 1) if "tfdbg" in name else (12, WARM)
            run = (
                (lambda way=way, block=block: way.rounds(block))
                if isinstance(way, Ours)
                else (lambda way=way, block=block, warm=warm: timed(way, block, warm))
            )
            ratio, plainly = against(plain, run)
            ratios[name].append(ratio)
            base.append(plainly)
    found = {name: float(np.median(some)) for name, some in ratios.items()}
    for name, mode in DUMPS.items():
        with suppress(subprocess.SubprocessError, json.JSONDecodeError, IndexError):
            found[name] = dump_in_a_process(network, mode, rounds)
    return found, float(np.median(base))


def against(plain, run):
    """Time a block of steps between two blocks of plain ones; return the ratio and the plain seconds."""
    before = timed(plain, 12)
    mine = run()
    plainly = float(np.median(before + timed(plain, 12)))
    return float(np.median(mine)) / plainly, plainly


def timed(training, count, warm=WARM):
    for _ in range(warm):
        training.step()
    seconds = []
    for _ in range(count):
        began = time.perf_counter()
        training.step()
        seconds.append(time.perf_counter() - began)
    return seconds


def show(results, base):
    """Print the table."""
    table = Table(title="TF1 training step, ratio to plain (target in brackets)")
    table.add_column("")
    for network in results:
        table.add_column(f"{network}, {base[network] * 1e3:.2f} ms", justify="right")
    names = list(dict.fromkeys(name for found in results.values() for name in found))
    for name in names:
        targets = TARGETS.get(name.removeprefix("graphdebug: "))
        cells = []
        for position, found in enumerate(results.values()):
            value = f"{found[name]:.2f}" if name in found else "-"
            cells.append(f"{value} ({targets[position]:.2f})" if targets else value)
        table.add_row(name, *cells)
    Console(width=120).print(table)


def picture(results):
    """Return the ratios as bars, log scale, in an SVG."""
    names = list(dict.fromkeys(name for found in results.values() for name in found))
    colours = ("#4477aa", "#ee6677", "#228833")
    height, left, unit = 22 * len(names) + 60, 290, 150
    rows = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="800" height="{height}" font-size="11">',
        '<text x="10" y="18" font-size="13">TF1 training step, ratio to plain (log scale)</text>',
    ]
    for position, network in enumerate(results):
        rows.append(f'<text x="{330 + 110 * position}" y="18" fill="{colours[position]}">{network}</text>')
    for row, name in enumerate(names):
        y = 34 + 22 * row
        rows.append(f'<text x="{left - 6}" y="{y + 13}" text-anchor="end">{name}</text>')
        for position, found in enumerate(results.values()):
            if name in found:
                width = max(1.0, unit * np.log10(max(found[name], 1.001)) + 1)
                top = y + 6 * position
                rows.append(
                    f'<rect x="{left}" y="{top}" width="{width:.1f}" height="5" fill="{colours[position]}"/>'
                )
                rows.append(
                    f'<text x="{left + width + 3:.1f}" y="{top + 6}" font-size="7">{found[name]:.2f}</text>'
                )
    return "\n".join([*rows, "</svg>\n"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=7, help="rounds of 12 steps each")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    parser.add_argument("--network", choices=list(NETWORKS), action="append")
    parser.add_argument("--dump", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.dump:
        measure_dump(chosen.network[0], chosen.dump, chosen.steps)
    results, base = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for network in chosen.network or NETWORKS:
            results[network], base[network] = measure(network, chosen.steps, folder)
    show(results, base)
    chosen.out.mkdir(parents=True, exist_ok=True)
    with suppress(OSError):
        found = {"ratios": results, "plain_seconds": base, "tensorflow": tf.__version__}
        (chosen.out / "tf1_overhead.json").write_text(json.dumps(found, indent=1) + "\n")
        (chosen.out / "tf1_overhead.svg").write_text(picture(results))


if __name__ == "__main__":
    main()
