"""TorchScript, fx, exported programs, functional transforms, DataParallel and DataLoader workers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, vmap
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, Dataset

import graphdebug

LINES = Path(__file__).read_text().splitlines()
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.*is deprecated")


def line_of(text):
    return next(i for i, line in enumerate(LINES, 1) if line.strip() == text)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 3)

    def forward(self, x):
        h = self.fc(x)
        return torch.relu(h).sum()


def functions(run, phase="forward"):
    return [node.function for node in run.nodes if node.phase == phase]


@pytest.mark.parametrize("make", [torch.jit.script, lambda net: torch.jit.trace(net, torch.ones(2, 4))])
def test_a_torchscript_module_is_recorded_forward_and_backward_with_the_same_bits(make):
    torch.manual_seed(0)
    module, x = make(Net()), torch.randn(2, 4)
    plain = module(x)
    with graphdebug.record() as run:
        recorded = module(x)
        recorded.backward()
    assert torch.equal(plain, recorded)
    assert {"linear", "relu", "sum"} <= set(functions(run))
    assert "matmul" in functions(run, "backward")
    linear = next(node for node in run.nodes if node.function == "linear")
    assert {one.name for one in linear.inputs} >= {"fc.bias"}


def test_a_failure_in_a_script_names_the_line_of_the_script_and_its_operands():
    module = torch.jit.script(Net())
    with pytest.raises(RuntimeError, match="mat1 and mat2"), graphdebug.record() as run:
        module(torch.ones(2, 5))
    (failure,) = run.failures
    assert (failure.category, failure.function) == ("shape", "linear")
    assert failure.site.line == line_of("h = self.fc(x)")
    assert failure.run_site.line == line_of("module(torch.ones(2, 5))")
    assert {operand.fact.shape for operand in failure.operands} == {(3,), (2, 5), (3, 4)}


def test_an_exported_program_is_recorded_with_the_lines_that_were_exported():
    program = torch.export.export(Net(), (torch.ones(2, 4),))
    with graphdebug.record() as run:
        program.module()(torch.ones(2, 4)).backward()
    lines = {node.function: node.site.line for node in run.nodes if node.site.file == __file__}
    assert lines["linear"] == line_of("h = self.fc(x)")
    assert lines["relu"] == line_of("return torch.relu(h).sum()")
    back = next(node for node in run.nodes if node.phase == "backward" and node.function == "matmul")
    assert back.site.line == line_of("h = self.fc(x)")


def test_an_fx_module_is_recorded_with_its_generated_lines_and_module_paths():
    module = torch.fx.symbolic_trace(Net())
    with graphdebug.record() as run:
        module(torch.ones(2, 4)).backward()
    linear = next(node for node in run.nodes if node.function == "linear")
    assert linear.module == "fc"
    assert "self.fc(x)" in run.source_lines(linear.site.file)[linear.site.line - 1]


def test_vmap_and_grad_are_recorded_with_user_lines_and_the_same_bits():
    net = Net()
    parameters = dict(net.named_parameters())

    def loss(params, x):
        return functional_call(net, params, (x,))

    per_sample = vmap(grad(loss), in_dims=(None, 0))
    x = torch.randn(5, 4)
    plain = per_sample(parameters, x)
    with graphdebug.record() as run:
        recorded = per_sample(parameters, x)
    assert all(torch.equal(plain[key], recorded[key]) for key in plain)
    assert {node.site.line for node in run.nodes} >= {
        line_of("h = self.fc(x)"),
        line_of("return torch.relu(h).sum()"),
    }
    assert not run.tool_errors


def test_data_parallel_without_gpus_is_recorded_like_the_module_inside():
    model = nn.DataParallel(Net())
    with graphdebug.record() as run:
        model(torch.ones(2, 4)).backward()
    linear = next(node for node in run.nodes if node.function == "linear")
    assert linear.module == "module.fc"
    assert {one.name for one in run.gradients} == {"module.fc.weight", "module.fc.bias"}


class Points(Dataset):
    def __init__(self, broken=False):
        self.broken = broken

    def __len__(self):
        return 8

    def __getitem__(self, index):
        item = torch.full((4,), float(index))
        if self.broken and index == 5:
            item = item + torch.ones(3)
        return item * 2


def test_workers_of_a_data_loader_write_nothing_into_the_log(tmp_path):
    path = tmp_path / "run.jsonl"
    with graphdebug.record(path):
        for batch in DataLoader(Points(), batch_size=2, num_workers=2):
            batch.sum()
    run = graphdebug.load(path)
    assert not run.damage
    assert run.end.status == "completed"
    assert functions(run).count("sum") == 4
    assert "mul" not in functions(run), "the workers' ops are not of this process"
    seqs = [event.seq for event in run.events]
    assert len(seqs) == len(set(seqs))


@pytest.mark.parametrize(("workers", "context"), [(0, None), (2, None), (1, "spawn")])
def test_an_exception_in_a_data_loader_is_explained_at_the_datasets_line(workers, context):
    loader = DataLoader(Points(broken=True), batch_size=2, num_workers=workers, multiprocessing_context=context)
    with pytest.raises(RuntimeError, match="must match") as caught, graphdebug.record():
        for _ in loader:
            pass
    (note,) = caught.value.__notes__
    assert f"{Path(__file__).name}:{line_of('item = item + torch.ones(3)')}" in note


class Divided(Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        return torch.zeros(3) / index


def test_data_of_a_worker_that_are_not_finite_are_named_as_data():
    with graphdebug.record() as run:
        for batch in DataLoader(Divided(), batch_size=2, num_workers=1):
            batch.mul(2).sum()  # the worker's data
    (finding,) = run.findings
    line = line_of("batch.mul(2).sum()  # the worker's data")
    assert finding.text.splitlines()[0].startswith(
        "graphdebug: argument batch is not finite to begin with, at "
    )
    assert {finding.site.line} | {one.site.line for one in finding.candidates} <= {line - 1, line}
    first = next(node for node in run.nodes if node.function == "mul")
    assert (first.inputs[0].origin, first.inputs[0].name) == ("argument", "batch")


class Named(Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        return torch.tensor({0: 1.0}[index])  # no such key


def test_any_exception_of_a_worker_is_told_with_its_own_words_at_its_line():
    with pytest.raises(KeyError) as caught, graphdebug.record():
        for _ in DataLoader(Named(), batch_size=2, num_workers=1):
            pass
    (note,) = caught.value.__notes__
    assert f"{Path(__file__).name}:{line_of('return torch.tensor({0: 1.0}[index])  # no such key')}" in note
    assert "  Caught KeyError in DataLoader worker process 0.\n  KeyError: 1\n" in note


def test_a_reentrant_checkpoint_is_recorded_with_what_it_runs_again():
    torch.manual_seed(0)
    net, x = Net(), torch.randn(2, 4, requires_grad=True)
    results = []
    for recorded in (False, True):
        net.zero_grad()
        x.grad = None
        if recorded:
            with graphdebug.record() as run:
                checkpoint(net, x, use_reentrant=True).backward()
        else:
            checkpoint(net, x, use_reentrant=True).backward()
        results.append([x.grad.clone(), *(one.grad.clone() for one in net.parameters())])
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))
    again = [node for node in run.nodes if node.phase == "recompute" and node.forward is not None]
    assert [(node.function, node.site.line, node.module) for node in again if node.function != "transpose"] == [
        ("linear", line_of("h = self.fc(x)"), "fc"),
        ("relu", line_of("return torch.relu(h).sum()"), ""),
        ("sum", line_of("return torch.relu(h).sum()"), ""),
    ]
    assert all(run.node(node.forward).function == node.function for node in again)
    back = next(node for node in run.nodes if node.phase == "backward" and node.function == "matmul")
    assert run.node(back.forward).phase == "recompute"
    assert back.site.line == line_of("h = self.fc(x)")
    gradients = {one.name: run.node(one.node).function for one in run.gradients if one.name.startswith("fc.")}
    assert gradients == {"fc.weight": "transpose", "fc.bias": "linear"}
