"""Training loops in PyTorch: eager and compiled."""

from __future__ import annotations

import torch
from torch import nn

from tests.options.loop import Loop, as_it_is, nothing


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Linear(4, 8)
        self.head = nn.Linear(8, 1)

    def forward(self, x):
        return self.head(torch.relu(self.encoder(x)))


def loop(compiled):
    torch.manual_seed(0)
    torch._dynamo.reset()
    net = Net()
    model = torch.compile(net, backend="aot_eager") if compiled else net
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-5)

    def train(steps, spoil=as_it_is, before=nothing):
        for step in range(steps):
            before(step)
            x = spoil(step, torch.randn(16, 4))
            optimizer.zero_grad()
            model(x).square().mean().backward()
            optimizer.step()

    names = {"encoder.weight", "encoder.bias", "head.weight", "head.bias"}
    return Loop(train, encoder="encoder*", relu="relu", parameters=names)


LOOPS = {"torch": lambda: loop(compiled=False), "torch.compile": lambda: loop(compiled=True)}
