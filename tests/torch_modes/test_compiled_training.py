"""Whole training steps under torch.compile, and checkpoints in compiled programs."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch._dynamo import convert_frame, trace_rules
from torch.utils.checkpoint import checkpoint

import graphdebug

LINES = Path(__file__).read_text().splitlines()


def line_of(text):
    return next(i for i, line in enumerate(LINES, 1) if line.strip() == text)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(8, 8)
        self.outer = nn.Linear(8, 8)

    def forward(self, x):
        heads = self.inner(x).reshape(2, 1, 4, 8)
        mixed = F.scaled_dot_product_attention(heads, heads, heads, dropout_p=0.0)
        h = F.dropout(mixed.reshape(2, 4, 8), 0.5, self.training)
        return x + self.outer(h)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.block = Block()

    def forward(self, x):
        return checkpoint(self.block, x, use_reentrant=False)


@pytest.fixture(autouse=True)
def fresh():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_what_a_checkpoint_draws_again_is_the_op_itself_with_its_line_and_operands(backend):
    results = []
    for recorded in (False, True):
        torch.manual_seed(0)
        net, x = Net(), torch.randn(2, 4, 8, requires_grad=True)
        compiled = torch.compile(net, backend=backend)
        if recorded:
            with graphdebug.record(level="stats") as run:
                compiled(x).sum().backward()
        else:
            compiled(x).sum().backward()
        results.append([x.grad, *(one.grad for one in net.parameters())])
        torch._dynamo.reset()
    assert all(map(torch.equal, *results))
    assert not run.tool_errors
    nodes = [node for node in run.nodes if node.mode == "compiled"]
    assert not [node for node in nodes if "rng_state" in node.op]
    assert not [one for node in nodes for one in node.inputs if one.fact.dtype == "uint8"], "no random state"
    dropouts = [node for node in nodes if node.op == "aten::native_dropout"]
    if backend == "aot_eager":
        assert [node.phase for node in dropouts] == ["forward", "recompute"]
        first, again = dropouts
        assert again.forward == first.seq
        assert (first.module, first.site.line) == (
            "block",
            line_of("h = F.dropout(mixed.reshape(2, 4, 8), 0.5, self.training)"),
        )
        assert [one.fact.shape for one in first.inputs] == [(2, 4, 8)]
        assert [fact.shape for fact in first.outputs] == [(2, 4, 8), (2, 4, 8)]
        taking = [node for node in nodes if any(one.producer == first.seq for one in node.inputs)]
        assert {one.fact.shape for node in taking for one in node.inputs if one.producer == first.seq} == {
            (2, 4, 8)
        }
        back = next(node for node in nodes if node.op == "aten::native_dropout_backward")
        assert back.forward == first.seq


def test_a_compiled_step_with_its_backward_and_optimizer_does_not_have_our_own_code_compiled(caplog):
    before = list(trace_rules.SKIP_DIRS)
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))
    optimizer = torch.optim.Adam(net.parameters())

    def step(x, y):
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.detach()

    compiled = torch.compile(step, backend="aot_eager")
    with caplog.at_level(logging.WARNING, "torch._dynamo"), graphdebug.record() as run:
        for _ in range(3):
            compiled(torch.randn(4, 8), torch.randint(0, 2, (4,)))
    assert not run.tool_errors
    assert "recompile_limit" not in caplog.text
    own = str(Path(graphdebug.__file__).parent)
    assert not [code for code in convert_frame.output_codes.seen if own in getattr(code(), "co_filename", "")]
    assert run.steps[:3] == [0, 1, 2]
    compiled_nodes = [node for node in run.nodes if node.mode == "compiled"]
    assert {node.phase for node in compiled_nodes} >= {"forward", "backward", "optimizer"}
    backward = [node for node in compiled_nodes if node.phase == "backward"]
    assert {node.site.line for node in backward} == {line_of("loss = F.cross_entropy(net(x), y)")}
    assert before == trace_rules.SKIP_DIRS, "what dynamo was told is taken back"
