"""What recording costs a compiled training step, and whether the program is as fast afterwards.

usage: python benchmarks/torch_compiled.py [--backend inductor] [--rounds 30]

Prints the median CPU time of a step plain, recorded at each level (log written to disk) as a ratio to plain,
and after all blocks, on one thread: each level between two plain series. Compilation is not counted.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch
from torch import nn

import graphdebug

LEVELS = ("shapes", "health", "stats")


def make(backend):
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(128, 4, 512, dropout=0.1, batch_first=True)
    net = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
    model = torch.compile(net, backend=backend)
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-3)
    x = torch.randn(8, 128, 128)

    def step():
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()

    return step


def timed(step, repeat=3):
    began = time.process_time()
    for _ in range(repeat):
        step()
    return (time.process_time() - began) / repeat


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backend", default="inductor")
    parser.add_argument("--rounds", type=int, default=30)
    options = parser.parse_args()
    torch.set_num_threads(1)
    step = make(options.backend)
    step()
    times = {name: [] for name in ("plain", *LEVELS)}
    with tempfile.TemporaryDirectory() as folder:
        for level in LEVELS:
            with graphdebug.record(Path(folder, f"{level}.jsonl"), level=level):
                step()  # compiled anew with its graphs watched: not counted
                for _ in range(options.rounds):
                    times[level].append(timed(step))
            for _ in range(options.rounds):
                times["plain"].append(timed(step))
    plain = statistics.median(times["plain"][: options.rounds])
    print(f"{options.backend}, 1-layer transformer, plain {plain * 1e3:.2f} ms a step")
    for level in LEVELS:
        print(f"  {level:<7} {statistics.median(times[level]) / plain:.2f}")
    print(f"  after   {statistics.median(times['plain'][-options.rounds :]) / plain:.2f}")


if __name__ == "__main__":
    main()
