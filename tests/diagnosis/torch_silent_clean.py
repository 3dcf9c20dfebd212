"""Programs that look like those of torch_silent and are right."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from tests.diagnosis.torch_silent import _qkv


class Used(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * torch.sigmoid(x)

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        s = torch.sigmoid(x)
        return g * s * (1 + x * (1 - s))


class Reversed(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.view_as(x)

    @staticmethod
    def backward(ctx, g):
        return -0.5 * g


class Straight(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.sign()

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        mask = (x.abs() < 1).float()
        return g * mask


class Own(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, y):
        p = x.softmax(1)
        ctx.save_for_backward(p, y)
        return -p.gather(1, y[:, None]).log().mean()

    @staticmethod
    def backward(ctx, g):
        p, y = ctx.saved_tensors
        d = p.clone()
        d[torch.arange(len(y)), y] -= 1
        return d / len(y), None


def functions_of_our_own():
    net = nn.Linear(4, 4)
    for _ in range(3):
        x = net(torch.randn(6, 4))
        h = Straight.apply(Reversed.apply(Used.apply(x))) * 3
        Own.apply(h, torch.randint(0, 4, (6,))).backward()


def _right(q, k, v):
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    w = F.dropout(F.softmax(scores, dim=-1), 0.1)
    return w @ v


def right_attention():
    _right(*_qkv())
    _right(*_qkv(0))
    layer = nn.MultiheadAttention(16, 4, batch_first=True)
    x = torch.randn(2, 5, 16)
    layer(x, x, x)


def linear_attention():
    q, k, v = _qkv()
    q, k = q.softmax(-1), k.softmax(-2)
    context = k.transpose(-2, -1) @ v
    return q @ context


def pooled_to_clusters():
    x = torch.randn(3, 9, 16)
    s = nn.Linear(16, 4)(x).softmax(-1)
    return s.transpose(1, 2) @ x


def soft_assignment():
    x = torch.randn(3, 16, 9)
    a = nn.Conv1d(16, 4, 1)(x).softmax(1)
    c = nn.Parameter(torch.randn(4, 16))
    r = x[:, None] - c[None, :, :, None]
    return (r * a[:, :, None]).sum(-1)


def slots():
    x = torch.randn(2, 9, 16)
    s = torch.randn(2, 3, 16)
    k, q, v = nn.Linear(16, 16)(x), nn.Linear(16, 16)(s), nn.Linear(16, 16)(x)
    a = (q @ k.transpose(1, 2)).softmax(1)
    a = a / a.sum(-1, keepdim=True)
    return a @ v


def logarithms_to_a_divergence():
    net = nn.Linear(6, 4)
    x = torch.randn(16, 6)
    t = F.softmax(torch.randn(16, 4) * 3, dim=1)
    F.kl_div(F.log_softmax(net(x), 1), t, reduction="batchmean").backward()
    F.kl_div(F.log_softmax(net(x), 1), t.log(), log_target=True, reduction="batchmean").backward()


def views_that_are_right():
    x = torch.rand(4, 8, 6, 6)
    y = x.view(4, 2, 4, 6, 6).transpose(1, 2).reshape(4, 8, 6, 6)
    z = torch.rand(4, 6, 12).view(4, 6, 3, 4).transpose(1, 2)
    nn.Conv2d(8, 2, 3)(y)
    nn.Linear(4, 2)(z)
    torch.rand(2, 4, 8).view(2, 2, 2, 8)


def frozen_backbone_right():
    body, head = nn.Linear(6, 8), nn.Linear(8, 3)
    for p in body.parameters():
        p.requires_grad = False
    opt = torch.optim.SGD(head.parameters(), lr=0.1)
    for _ in range(3):
        with torch.no_grad():
            teacher = body(torch.randn(5, 6))
        loss = 0 * teacher.mean() + (
            F.cross_entropy(head(body(torch.randn(5, 6))), torch.tensor([0, 1, 2, 0, 1])) + 0 * teacher.mean()
        )
        opt.zero_grad()
        loss.backward()
        opt.step()


def weights_over_the_steps_of_one_sample():
    score, head = nn.Linear(5, 3), nn.Linear(5, 2)
    steps = torch.randn(4, 7, 5)
    for i in range(4):
        one = steps[i]
        weights = score(one).softmax(0)
        head(weights.t() @ one).sum().backward()
