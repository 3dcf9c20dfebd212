"""The ways to compile and to run control flow: each is recorded, and gives the bits it gives without us."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch._higher_order_ops.scan import scan
from torch._higher_order_ops.while_loop import while_loop
from torch.nn.attention.flex_attention import flex_attention

import graphdebug

LINES = Path(__file__).read_text().splitlines()


def line_of(text):
    return next(i for i, line in enumerate(LINES, 1) if line.strip() == text)


def branched(x):
    return torch.cond(x.sum() > 0, lambda x: x.sin(), lambda x: x.cos(), (x,))


def looped(x):
    return while_loop(lambda i, x: i < 3, lambda i, x: (i + 1, x * 2), (torch.tensor(0), x))[1]


def scanned(x):
    return scan(lambda total, one: (total + one, (total + one).clone()), torch.zeros(3), x, dim=0)[1]


def attended(x):
    heads = x.reshape(1, 1, 4, 3).repeat(1, 1, 1, 6)
    return flex_attention(heads, heads, heads)


CONTROL = {"cond": branched, "while_loop": looped, "scan": scanned, "flex_attention": attended}


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
@pytest.mark.parametrize("name", CONTROL)
def test_a_higher_order_op_is_one_node_at_the_users_line(name, compiled):
    function = CONTROL[name]
    results = []
    for recorded in (False, True):
        torch._dynamo.reset()
        run_it = torch.compile(function, backend="aot_eager") if compiled else function
        if recorded:
            with graphdebug.record(level="stats") as run:
                results.append(run_it(torch.ones(4, 3)))
        else:
            results.append(run_it(torch.ones(4, 3)))
    assert torch.equal(*results)
    assert not run.tool_errors
    (node,) = [node for node in run.nodes if node.op == f"higher_order::{name}"]
    assert node.family == "control"
    assert (node.site.file, LINES[node.site.line - 1].split("(")[0]) in [
        (__file__, f"    return {text}") for text in (name, f"torch.{name}")
    ]
    assert node.outputs[-1].stats is not None


def test_a_backward_under_compiled_autograd_is_recorded_as_backward():
    torch._dynamo.reset()
    w = torch.ones(3, requires_grad=True)
    with graphdebug.record() as run:
        loss = (w * 2).sum()
        with torch._dynamo.compiled_autograd._enable(torch.compile(backend="aot_eager")):
            loss.backward()
    assert torch.equal(w.grad, torch.full((3,), 2.0))
    compiled = [node for node in run.nodes if node.mode == "compiled"]
    assert "mul" in [node.function for node in compiled]
    assert {node.phase for node in compiled} == {"backward"}
    assert {node.site.line for node in compiled} == {line_of("loss.backward()")}
    assert not run.tool_errors


def stepped(x):
    h = torch.relu(x @ x.t())
    return (h / h.amax()).sum()


@pytest.mark.parametrize(
    "options",
    [
        {"dynamic": True},
        {"fullgraph": True},
        {"mode": "reduce-overhead"},
        {"mode": "max-autotune-no-cudagraphs"},
    ],
    ids=lambda options: "-".join(map(str, *options.items())),
)
def test_inductor_with_each_option_is_recorded_forward_and_backward_with_the_same_bits(options):
    results = []
    for recorded in (False, True):
        torch._dynamo.reset()
        compiled = torch.compile(stepped, **options)
        made = []
        for size in (4, 6, 4):
            torch.manual_seed(size)
            x = torch.randn(size, 3, requires_grad=True)
            if recorded:
                with graphdebug.record() as run:
                    loss = compiled(x)
                    loss.backward()
            else:
                loss = compiled(x)
                loss.backward()
            made += [loss.detach(), x.grad]
        results.append(made)
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))
    assert not run.tool_errors
    forward = {node.function: node.site.line for node in run.nodes if node.phase == "forward" and node.site}
    assert forward["relu"] == line_of("h = torch.relu(x @ x.t())")
    assert forward["amax"] == line_of("return (h / h.amax()).sum()")
    backward = [node for node in run.nodes if (node.phase, node.mode) == ("backward", "compiled")]
    assert {node.site.line for node in backward} == {forward["relu"], forward["amax"]}
