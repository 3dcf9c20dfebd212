"""Programs that ran, and computed what was not meant: the line with ``# <- fault`` is to be named."""

import math

import torch
import torch.nn.functional as F
from torch import nn


class Dropped(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * torch.sigmoid(x)

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        s = torch.sigmoid(x)
        return s * (1 + x * (1 - s))  # <- fault: dropped


def derivative_without_the_chain_rule():
    net = nn.Sequential(nn.Linear(4, 4))
    for _ in range(3):
        loss = (Dropped.apply(net(torch.randn(6, 4))) * 3).mean()
        loss.backward()


def _attention(q, k, v, dim, mask=None):
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(mask, -1e9)
    return torch.softmax(scores, dim=dim) @ v  # <- fault: axis


def _qkv(heads=4):
    layer = nn.Linear(16, 48)
    x = torch.randn(3, 7, 16)
    q, k, v = layer(x).chunk(3, -1)
    if heads:
        q, k, v = (t.view(3, 7, heads, 16 // heads).transpose(1, 2) for t in (q, k, v))
    return q, k, v


def softmax_over_heads():
    _attention(*_qkv(), dim=1, mask=torch.ones(7, 7).triu(1).bool()).sum().backward()


def softmax_over_queries():
    _attention(*_qkv(0), dim=1)


def gate_over_batch():
    gate = nn.Linear(6, 4)
    experts = nn.ModuleList([nn.Linear(6, 1) for _ in range(4)])
    X = torch.randn(64, 6)
    for i in range(0, 64, 16):
        x = X[i : i + 16]
        w = F.softmax(gate(x), dim=0)  # <- fault
        outs = torch.stack([e(x) for e in experts], 1)
        (w.unsqueeze(-1) * outs).sum(1).mean().backward()


def probabilities_to_a_divergence():
    net = nn.Linear(6, 4)
    kl = nn.KLDivLoss(reduction="batchmean")
    x = torch.randn(16, 6)
    t = F.softmax(torch.randn(16, 4) * 3, dim=1)
    out = F.softmax(net(x), dim=1)  # <- fault
    kl(out, t).backward()


def view_for_permute():
    images = torch.rand(10, 8, 8, 3)
    images = images.view(10, 3, 8, 8)  # <- fault
    nn.Conv2d(3, 4, 3)(images)


def compiled_column_against_row():
    net = nn.Linear(5, 1)
    f = torch.compile(lambda x, y: ((net(x) - y) ** 2).mean(), backend="aot_eager")  # <- fault
    for _ in range(3):
        f(torch.randn(8, 5), torch.randn(8)).backward()


class Att(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.qkv = nn.Linear(16, 48)
        self.dim = dim

    def forward(self, x):
        q, k, v = self.qkv(x).view(3, 7, 3, 4, 4).permute(2, 0, 3, 1, 4)
        a = q @ k.transpose(-2, -1) / 2
        a = a.softmax(self.dim)  # <- fault: att
        return (a @ v).transpose(1, 2).reshape(3, 7, 16)


def compiled_softmax_over_heads():
    torch.compile(Att(1), backend="aot_eager")(torch.randn(3, 7, 16)).sum().backward()


def compiled_softmax_twice():
    net = nn.Sequential(nn.Linear(5, 4), nn.Softmax(1))  # <- fault
    f = torch.compile(lambda x, y: F.cross_entropy(net(x), y), backend="aot_eager")
    for _ in range(2):
        f(torch.randn(8, 5), torch.randint(0, 4, (8,))).backward()
