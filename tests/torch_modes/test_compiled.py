"""Programs under torch.compile are recorded node by node, and run as they run without us."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torch._dynamo import eval_frame

import graphdebug


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(8, 16)
        self.layers = nn.ModuleList([nn.Linear(16, 16)])
        self.norm = nn.BatchNorm1d(16)

    def forward(self, x):
        h = torch.relu(self.fc1(x))
        h = self.norm(self.layers[0](h))
        h = nn.functional.dropout(h, 0.25)
        return (h * h).sum()


LINES = Path(__file__).read_text().splitlines()


def line_of(text):
    return next(i for i, line in enumerate(LINES, 1) if line.strip() == text)


def training(backend):
    """A model compiled and warmed up before any recording, and a function that trains it one step."""
    torch._dynamo.reset()
    torch.manual_seed(0)
    net = Net()
    compiled = torch.compile(net, backend=backend)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    x = torch.randn(4, 8)

    def step():
        optimizer.zero_grad()
        loss = compiled(x)
        loss.backward()
        optimizer.step()
        return loss

    step()
    return net, step


def bits(net, loss):
    return [loss.detach().clone(), *(p.grad.clone() for p in net.parameters()), *net.state_dict().values()]


@pytest.fixture(scope="module", params=["aot_eager", "inductor"])
def trained(request):
    """Two steps of one program, plain and recorded: the results of both, and the run."""
    results = []
    for recorded in (False, True):
        net, step = training(request.param)
        torch.manual_seed(1)
        if recorded:
            with graphdebug.record(level="stats") as run:
                losses = [step(), step()]
        else:
            losses = [step(), step()]
        results.append([torch.stack(losses).detach(), *bits(net, losses[-1]), torch.get_rng_state()])
    torch._dynamo.reset()
    return request.param, *results, run


def test_a_recorded_compiled_program_gives_the_same_bits(trained):
    _, plain, recorded, _ = trained
    assert all(torch.equal(a, b) for a, b in zip(plain, recorded, strict=True))


def test_forward_and_backward_are_recorded_with_user_lines_and_module_paths(trained):
    _, _, _, run = trained
    nodes = [node for node in run.step(0).nodes if node.mode == "compiled"]
    assert {node.phase for node in nodes} >= {"forward", "backward"}
    of_user = [node for node in nodes if node.op != "prims::inductor_seeds"]
    assert all(node.site is not None and node.site.file == __file__ for node in of_user)
    linear = next(node for node in nodes if node.function == "linear")
    assert (linear.module, linear.site.line) == ("fc1", line_of("h = torch.relu(self.fc1(x))"))
    assert linear.site.column == LINES[linear.site.line - 1].index("self.fc1(x)")
    assert {one.name for one in linear.inputs} >= {"fc1.bias", "x"}
    assert linear.run_site.line == line_of("loss = compiled(x)")
    back = [node for node in nodes if node.phase == "backward" and node.forward is not None]
    assert back
    assert all(run.node(node.forward).site.line == node.site.line for node in back)
    assert {node.run_site.line for node in back} == {line_of("loss.backward()")}
    assert any(run.node(node.forward) == linear for node in back)


def test_every_operand_leads_to_an_earlier_node_or_a_name(trained):
    _, _, _, run = trained
    for node in run.nodes:
        for one in node.inputs:
            if one.origin == "node":
                assert run.node(one.producer).seq < node.seq
                assert one.fact.shape == run.node(one.producer).outputs[one.output].shape


def test_values_that_reach_memory_have_statistics_and_the_log_says_what_was_fused(trained):
    backend, _, _, run = trained
    nodes = [node for node in run.step(1).nodes if node.mode == "compiled"]
    floats = [(node, fact) for node in nodes for fact in node.outputs if fact.dtype.startswith("float")]
    seen = [fact for node, fact in floats if node.execution == "executed" and fact.alias_of is None]
    assert seen
    assert sum(fact.stats is not None for fact in seen) > 0.8 * len(seen)
    fused = [fact for node, fact in floats if node.execution == "fused"]
    texts = [one.text for one in run.notices if one.topic == "fused"]
    if backend == "aot_eager":
        assert not fused
        assert not texts
    else:
        assert fused
        assert {fact.unchecked for fact in fused if fact.stats is None} == {"fused: never in memory"}
        count = sum(node.execution == "fused" for node in nodes if node.phase == "forward")
        total = sum(node.phase == "forward" for node in nodes)
        assert texts[0] == (
            f"inductor fused {count} of {total} nodes of this forward graph: "
            "their values never reach memory, so they are checked only if a value that does is not finite; "
            "compile with backend='aot_eager' to see every one"
        )


def test_gradients_of_a_compiled_backward_are_tied_to_its_nodes(trained):
    _, _, _, run = trained
    gradient = next(one for one in run.step(1).gradients if one.name == "fc1.weight")
    assert gradient.fact.shape == (16, 8)
    assert run.node(gradient.producer).mode == "compiled"
    assert run.node(gradient.producer).module == "fc1"


def test_after_the_block_the_program_is_the_one_compiled_before():
    _, step = training("aot_eager")
    code = Net.forward.__code__
    before = eval_frame._debug_get_cache_entry_list(code)
    with graphdebug.record():
        step()
    frames = torch._dynamo.utils.counters["frames"]["total"]
    step()
    assert torch._dynamo.utils.counters["frames"]["total"] == frames, "it was compiled again"
    left = torch._C._dynamo.eval_frame._get_cache_entries_for_region(code, -1)
    assert len(left) == len(before)


def test_many_recordings_do_not_use_up_the_users_recompilations():
    torch._dynamo.reset()

    @torch.compile(backend="aot_eager", dynamic=False)
    def double(x):
        return x * 2

    for size in range(2, 5):
        for _ in range(4):
            with graphdebug.record() as run:
                double(torch.ones(size))
            assert [node.mode for node in run.nodes if node.function == "mul"] == ["compiled"]
    with torch._dynamo.config.patch(error_on_recompile=False):
        compiled = torch._dynamo.utils.counters["stats"]["unique_graphs"]
        for size in range(10, 17):
            double(torch.ones(size))
        assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == compiled + 7


def test_a_compiled_program_stays_compiled_after_more_recordings_than_dynamo_compiles_one_function():
    torch._dynamo.reset()

    @torch.compile(backend="aot_eager")
    def double(x):
        return (x * 2).sum()

    x = torch.ones(3)
    double(x)
    counters = torch._dynamo.utils.counters
    with torch._dynamo.config.patch(accumulated_recompile_limit=12):  # 256 by default
        for _ in range(30):
            with graphdebug.record(level="shapes") as run:
                double(x)
            assert [node.mode for node in run.nodes if node.function == "mul"] == ["compiled"]
        with torch.compiler.set_stance("fail_on_recompile"):
            double(x)
        graphs = counters["stats"]["unique_graphs"]
        double(torch.ones(4))  # the user's own recompilation, for another size
        assert counters["stats"]["unique_graphs"] == graphs + 1


def test_a_function_compiled_inside_the_block_is_recorded_and_a_graph_break_is_named():
    torch._dynamo.reset()

    def broken(x):
        y = x + 1
        print("x", end="")
        return y.sqrt()

    with graphdebug.record() as run:
        torch.compile(broken, backend="aot_eager")(torch.ones(3))
    assert [(node.function, node.mode) for node in run.nodes if node.function in ("add", "sqrt")] == [
        ("add", "compiled"),
        ("sqrt", "compiled"),
    ]
    notice = next(one for one in run.notices if one.topic == "graph_break")
    assert notice.site.line == line_of('print("x", end="")')
    assert notice.text.startswith("torch.compile ended a graph here: ")


@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_the_birth_of_a_nan_among_fused_nodes_is_found(backend):
    torch._dynamo.reset()

    def faulty(x):
        a = x * 2 - 3
        b = a.log()
        c = torch.relu(b) + a
        return c.mean()

    compiled = torch.compile(faulty, backend=backend)
    with graphdebug.record() as run:
        for value in (2.0, 1.0):
            compiled(torch.full((5,), value))
            run.step()
    bad = next(node for node in run.nodes if any(fact.finite is False for fact in node.outputs))
    assert (bad.step, bad.function, bad.site.line) == (1, "log", line_of("b = a.log()"))
    replayed = [one.text for one in run.notices if one.topic == "replay"]
    assert replayed == (
        ["a fused graph gave a value that is not finite: it was run again op by op on the same inputs"]
        if backend == "inductor"
        else []
    )


def test_symbolic_sizes_are_the_numbers_of_the_run():
    torch._dynamo.reset()

    def scaled(x):
        return (x * 3).reshape(-1, 2)

    compiled = torch.compile(scaled, backend="aot_eager", dynamic=True)
    with graphdebug.record() as run:
        compiled(torch.ones(4, 6))
        compiled(torch.ones(5, 8))
    assert [node.outputs[0].shape for node in run.nodes if node.function == "mul"] == [(4, 6), (5, 8)]


def test_no_op_of_a_compiled_graph_is_recorded_twice(trained):
    _, _, _, run = trained
    eager = {node.function for node in run.nodes if node.mode == "eager" and node.phase == "forward"}
    assert eager <= {"ones_like", "fill"}
