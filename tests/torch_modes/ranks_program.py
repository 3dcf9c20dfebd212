"""Run by torchrun on two ranks: trains plainly and recorded, in several ways, and compares the results.

usage: torchrun --nproc-per-node 2 ranks_program.py FOLDER
"""

import contextlib
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

import graphdebug


def build(kind):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))
    if kind == "fsdp":
        for part in (net[0], net[2], net):
            fully_shard(part)
        return net
    return DistributedDataParallel(net)


def train(kind):
    model, rank = build(kind), dist.get_rank()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    torch.manual_seed(rank)
    for step in range(2):
        x = torch.randn(4 if step == 0 or rank == 0 else 3, 8)
        if kind == "nan" and (rank, step) == (1, 1):
            x = x.clamp(min=0).log().neg().log()
        optimizer.zero_grad()
        forward = model.module if kind == "module" and step == 1 else model
        out = forward(x)
        out.log_softmax(-1).sum().backward()
        optimizer.step()
    return [getattr(p, "to_local", lambda p=p: p)().detach().clone() for p in model.parameters()]


dist.init_process_group("gloo")
for kind in ("ddp", "fsdp", "nan", "module"):
    results = []
    for recording in (
        contextlib.nullcontext(),
        graphdebug.record(Path(sys.argv[1], kind, "run.jsonl"), level="stats"),
    ):
        with recording:
            results.append(train(kind))
    assert all(torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in zip(*results, strict=True)), kind
if dist.get_rank() == 1:
    with graphdebug.record(Path(sys.argv[1], "dead", "run.jsonl")):
        torch.ones(2, 3) @ torch.ones(2, 3)
with graphdebug.record(Path(sys.argv[1], "dead", "run.jsonl")):
    torch.ones(3)
