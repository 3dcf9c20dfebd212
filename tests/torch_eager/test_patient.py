"""The patient is not harmed: what a program computes, and what it leaves behind, is as without us."""

from __future__ import annotations

import gc
import sys
import threading
import weakref

import pytest
import torch
import torch.nn.functional as F
from benchmarks.torch_models import lenet, resnet, tiny_mlp, transformer
from torch import nn

import graphdebug

LEVELS = ("shapes", "health", "stats", "values")


def trained(make, steps, **options):
    """Losses, weights and random state after `steps`, recorded if options are given."""
    torch.manual_seed(0)
    training = make()
    if options:
        with graphdebug.record(**options) as run:
            losses = [training.step() for _ in range(steps)]
        assert not run.tool_errors
    else:
        losses = [training.step() for _ in range(steps)]
    return [*losses, *training.net.state_dict().values(), torch.get_rng_state()]


@pytest.mark.parametrize(
    "make",
    [
        tiny_mlp, lenet, lambda: resnet(size=32, batch=2, width=4),
        lambda: transformer(layers=1, width=16, length=5, batch=2),
    ],
    ids=["mlp", "lenet", "resnet", "transformer with dropout"],
)  # fmt: skip
def test_losses_weights_and_random_state_are_bit_identical_after_20_steps(make):
    plain = trained(make, 20)
    for options in ({"level": "stats", "gradients": "all"}, {"level": "values"}):
        seen = trained(make, 20, **options)
        assert all(torch.equal(a, b) for a, b in zip(plain, seen, strict=True)), options


def test_an_exception_keeps_its_type_arguments_and_frames():
    net = nn.Linear(3, 4)

    def fails():
        return net(torch.randn(2, 5))

    with pytest.raises(RuntimeError) as plain:
        fails()
    with pytest.raises(RuntimeError) as seen, graphdebug.record():
        fails()
    assert type(seen.value) is type(plain.value)
    assert seen.value.args == plain.value.args
    names = [frame.name for frame in plain.traceback][-3:]
    assert [frame.name for frame in seen.traceback if "graphdebug/" not in str(frame.path)][-3:] == names


def test_hooks_of_the_users_own_work_and_are_not_ours():
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
    calls = []
    net[0].register_forward_hook(lambda *_: calls.append("forward"))
    net[0].register_full_backward_hook(lambda *_: calls.append("backward"))
    net[0].weight.register_hook(lambda gradient: calls.append("tensor") or gradient * 2)
    with graphdebug.record(gradients="all") as run:
        net(torch.randn(2, 3)).sum().backward()
    assert calls == ["forward", "backward", "tensor"] or sorted(calls) == ["backward", "forward", "tensor"]
    doubled = next(node for node in run.nodes if node.function == "mul" and node.phase == "backward")
    assert "lambda gradient" in run.source_lines(doubled.site.file)[doubled.site.line - 1]


def test_a_thousand_entries_do_not_grow_memory():
    x = torch.randn(3, requires_grad=True)
    objects, blocks = [], []
    for _ in range(3):
        for number in range(334):
            with graphdebug.record(level=LEVELS[number % 4], gradients="all"):
                (x * 2).sum().backward()
        gc.collect()
        objects.append(len(gc.get_objects()))
        blocks.append(sys.getallocatedblocks())
    assert objects[2] - objects[1] < 400, objects
    assert blocks[2] - blocks[1] < 1000, blocks
    assert torch._C._len_torch_dispatch_stack() == 0


@pytest.mark.parametrize("level", LEVELS)
def test_a_loop_of_2000_steps_has_flat_memory(level, tmp_path):
    torch.manual_seed(0)
    training = tiny_mlp()
    objects, blocks = [], []
    with graphdebug.record(tmp_path / "run.jsonl", level=level):
        for step in range(2000):
            training.step()
            if step >= 600 and step % 50 == 0:
                gc.collect()
                objects.append(len(gc.get_objects()))
                blocks.append(sys.getallocatedblocks())
    # what waits for the next batch to be written makes each count vary; a leak lifts the lowest ones, too
    half = len(objects) // 2
    assert min(objects[half:]) - min(objects[:half]) < 500, objects
    assert min(blocks[half:]) - min(blocks[:half]) < 3000, blocks


def test_no_tensor_is_kept_alive():
    with graphdebug.record(level="values", gradients="all"):
        net = nn.Linear(3, 4)
        x = torch.randn(2, 3)
        y = F.relu(net(x))
        y.sum().backward()
        gone = [weakref.ref(one) for one in (x, y, net, net.weight)]
        del x, y, net
        gc.collect()
        assert [ref() for ref in gone] == [None] * 4


def test_parameters_can_still_be_swapped():
    net = nn.Linear(3, 4)
    with graphdebug.record():
        net(torch.randn(2, 3)).sum().backward()
        torch.utils.swap_tensors(net.weight, nn.Parameter(torch.zeros(4, 3)))


def test_threads_of_the_user_are_recorded_and_end_as_they_would():
    made = []

    def work():
        made.append(torch.ones(3).log1p())  # work in a thread

    with graphdebug.record() as run:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert torch.equal(made[0], torch.ones(3).log1p())
    node = next(node for node in run.nodes if node.function == "log1p")
    assert node.thread != threading.get_ident()
    assert "run" not in vars(thread)


def test_a_failure_of_ours_is_reported_and_the_program_goes_on(monkeypatch):
    from graphdebug.backends.torch.nodes import writing as nodes

    monkeypatch.setattr(nodes, "fact_of_operand", lambda *_: 1 / 0)
    with pytest.warns(graphdebug.GraphDebugWarning, match="building a node"), graphdebug.record() as run:
        total = (torch.ones(3) * 2).sum().item()
    assert total == 6.0
    assert run.tool_errors[0].where == "building a node"
