"""Faults in the shape of a gradient, as PyTorch programs: ``# <- fault`` marks where each was born."""

import torch
from torch import nn


class _Transposed(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, w):
        ctx.save_for_backward(x, w)
        return x @ w

    @staticmethod
    def backward(ctx, grad):
        x, w = ctx.saved_tensors
        return grad @ w.t(), grad.t() @ x  # <- fault: transposed


def function_returns_a_transposed_gradient():
    net = nn.Linear(6, 5)
    w = nn.Parameter(torch.randn(5, 3))
    _Transposed.apply(net(torch.randn(4, 6)), w).sum().backward()


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, w):
        ctx.save_for_backward(x, w)
        return x @ w

    @staticmethod
    def backward(ctx, grad):
        x, w = ctx.saved_tensors
        return grad @ w, x.t() @ grad  # <- fault: w.t()


def function_multiplies_wrongly_in_backward():
    net = nn.Linear(6, 5)
    w = nn.Parameter(torch.randn(5, 3))
    _Product.apply(net(torch.randn(4, 6)), w).sum().backward()


def hook_reshapes_the_gradient():
    net = nn.Linear(6, 5)
    h = net(torch.randn(4, 6))
    h.register_hook(lambda g: g.sum(1))  # <- fault
    h.pow(2).sum().backward()


def _first_columns(g):
    return g[:, :2]  # <- fault


def hook_cuts_columns_off():
    net = nn.Linear(6, 5)
    h = net(torch.randn(4, 6))
    h.register_hook(_first_columns)
    h.pow(2).sum().backward()


def hook_of_a_parameter_averages():
    net = nn.Linear(6, 5)
    net.weight.register_hook(lambda g: g.mean(0))  # <- fault
    net(torch.randn(4, 6)).sum().backward()


def backward_with_gradient_of_another_shape():
    out = nn.Linear(6, 5)(torch.randn(4, 6))
    seed = torch.ones(4)  # <- fault
    out.backward(seed)


def grad_outputs_of_another_shape():
    x = torch.randn(4, 6, requires_grad=True)
    out = nn.Linear(6, 5)(x)
    torch.autograd.grad(out, x, grad_outputs=torch.ones(4, 1))  # <- fault


def hook_of_a_module_gives_another_shape():
    net = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 2))
    net[0].register_full_backward_hook(lambda m, gi, go: (torch.zeros(2, 2),))  # <- fault
    net(torch.randn(4, 6, requires_grad=True)).sum().backward()


def gradient_given_on_the_way_does_not_fit():
    x = torch.randn(4, 6, requires_grad=True)
    out = nn.Linear(6, 5)(x)
    seeds = [torch.ones(4, 3)]  # <- fault
    torch.autograd.backward([out], grad_tensors=seeds)
