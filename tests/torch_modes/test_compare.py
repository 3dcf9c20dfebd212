"""compare_compiled names the first value where a compiled program differs from eager."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import graphdebug

LINES = Path(__file__).read_text().splitlines()


def line_of(text):
    return next(i for i, line in enumerate(LINES, 1) if line.strip() == text)


def rounding(x):
    big = x + 256
    back = big - 256
    return back * 2


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(8, 16)
        self.norm = nn.BatchNorm1d(16)

    def forward(self, x):
        h = nn.functional.gelu(self.norm(self.fc(x)))
        return nn.functional.dropout(h, 0.3).sum()


def test_the_first_difference_is_named_with_what_was_fused_into_it():
    made = graphdebug.compare_compiled(rounding, torch.linspace(1, 2, 8, dtype=torch.bfloat16))
    assert not made
    assert (made.op, made.phase, made.site.line) == ("aten::mul", "forward", line_of("return back * 2"))
    here = Path(__file__).name
    unseen = f"add {here}:{line_of('big = x + 256')}, sub {here}:{line_of('back = big - 256')}"
    way_out = "eager rounds to bfloat16 after each op, a kernel once"
    assert made.text == "\n".join([
        f"graphdebug: compiled (inductor) differs from eager at mul, at {__file__}:{made.site.line} (forward)",
        f"{made.site.line:>6} |  return back * 2",
        "  eager     0 at [0] of 8 bfloat16",
        "  compiled  2",
        "  apart by 0.5 of the largest value; 7 elements by more than 0.05",
        f"  computed from, in the same kernel and so not compared: {unseen}",
        "  every value before it agrees",
        f"  try: torch._inductor.config.emulate_precision_casts = True: {way_out}",
    ])  # fmt: skip


def test_a_program_that_agrees_says_how_much_was_compared_and_is_left_as_it_was():
    torch.manual_seed(3)
    net, x = Net(), torch.randn(4, 8)
    before = [value.clone() for value in net.state_dict().values()]
    state = torch.get_rng_state()
    made = graphdebug.compare_compiled(net, x)
    assert made, made.text
    assert (
        made.text == f"graphdebug: compiled (inductor) and eager agree in {made.compared} values and 5 results"
    )
    assert made.compared > 5
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(before, net.state_dict().values(), strict=True))
    assert all(parameter.grad is None for parameter in net.parameters())


def wrong_backend(module, inputs):
    """A compiler with a fault: its backward doubles, its forward is right."""
    from torch._dynamo.backends.common import aot_autograd

    def right(graph, _):
        return graph.forward

    def doubling(graph, _):
        return lambda *args: [one if one is None else one * 2 for one in graph.forward(*args)]

    return aot_autograd(fw_compiler=right, bw_compiler=doubling)(module, inputs)


def test_a_difference_in_backward_only_is_found_at_the_forward_line():
    def cubed(x):
        return (x * x * x).sum()

    made = graphdebug.compare_compiled(cubed, torch.ones(3, requires_grad=True), backend=wrong_backend)
    assert (made.agrees, made.phase) == (False, "backward")
    assert made.site.line == line_of("return (x * x * x).sum()")


def slightly_wrong(module, inputs):
    """A compiler with a fault: its tanh is a thousandth too large."""
    from torch._dynamo.backends.common import aot_autograd

    def compiler(graph, _):
        for node in list(graph.graph.nodes):
            if node.target is torch.ops.aten.tanh.default:
                with graph.graph.inserting_after(node):
                    scaled = graph.graph.call_function(torch.ops.aten.mul.Tensor, (node, 1.001))
                node.replace_all_uses_with(scaled, delete_user_cb=lambda user, own=scaled: user is not own)
        graph.recompile()
        return graph.forward

    return aot_autograd(fw_compiler=compiler, bw_compiler=compiler)(module, inputs)


def test_the_node_whose_numbers_a_backend_changed_is_named():
    def squashed(x):
        h = x * 2
        t = torch.tanh(h)
        e = t.exp()
        return e, t

    made = graphdebug.compare_compiled(squashed, torch.linspace(0.5, 1, 8), backend=slightly_wrong)
    assert (made.agrees, made.op, made.phase) == (False, "aten::tanh", "forward"), made.text
    assert made.site.line == line_of("t = torch.tanh(h)")


@pytest.mark.parametrize(
    ("rtol", "agrees"), [(None, True), (1e-12, False)], ids=["tolerance of the dtype", "none at all"]
)
def test_the_tolerance_can_be_given(rtol, agrees):
    torch.manual_seed(0)
    x = torch.randn(64, 64)
    assert bool(graphdebug.compare_compiled(torch.softmax, x, -1, rtol=rtol)) is agrees
