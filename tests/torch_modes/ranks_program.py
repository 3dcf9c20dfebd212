"""Run by torchrun on two ranks: trains plainly and recorded, in several ways, and compares the results.

usage: torchrun --nproc-per-node 2 ranks_program.py FOLDER
"""

import contextlib
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.distributed.tensor import Replicate, Shard, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

import graphdebug


def build(kind):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))
    if kind == "fsdp":
        for part in (net[0], net[2], net):
            fully_shard(part)
        return net
    if kind == "fsdp1":
        return FullyShardedDataParallel(net, device_id=torch.device("cpu"))
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


def shards():
    """Forward and backward of a weight that is split over the ranks."""
    torch.manual_seed(0)
    weight = distribute_tensor(torch.randn(8, 6), mesh, [Shard(0)]).requires_grad_()
    x = distribute_tensor(torch.randn(4, 6), mesh, [Replicate()])
    product = x @ weight.t()
    loss = product.relu().sum()
    loss.backward()
    return [loss.full_tensor().detach(), weight.grad.to_local(), product.to_local().detach()]


dist.init_process_group("gloo")
mesh = init_device_mesh("cpu", (2,))
plain = shards()
# on one rank only: a recorder that started a collective would wait for the other rank for ever
with (
    graphdebug.record(Path(sys.argv[1], "dtensor.jsonl"), level="stats")
    if dist.get_rank() == 0
    else (contextlib.nullcontext()) as run
):
    recorded = shards()
assert all(torch.equal(a, b) for a, b in zip(plain, recorded, strict=True))
if run is not None:
    product = next(node for node in run.nodes if node.function == "matmul" and node.phase == "forward")
    assert product.outputs[0].shape == (4, 8), product
    assert abs(product.outputs[0].stats.l2 - recorded[2].double().norm().item()) < 1e-5, product
for kind in ("ddp", "fsdp", "fsdp1", "nan", "module"):
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
