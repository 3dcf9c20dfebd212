"""Correct programs that are near to the faulty ones of torch_loops."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def _descend(optimizer, loss):
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def ctc_loss():
    model = nn.Linear(6, 5)
    optimizer = torch.optim.Adam(model.parameters())
    for _ in range(3):
        logits = model(torch.randn(12, 2, 6)).log_softmax(2)
        lengths = torch.full((2,), 12), torch.full((2,), 4)
        _descend(optimizer, F.ctc_loss(logits, torch.randint(1, 5, (2, 4)), *lengths))


def trained_through_a_network_that_is_not():
    maker, judge = nn.Linear(4, 6), nn.Sequential(nn.Linear(6, 8), nn.ReLU())
    optimizer = torch.optim.Adam(maker.parameters())
    for _ in range(4):
        x = torch.randn(5, 6)
        _descend(optimizer, F.mse_loss(judge(maker(x[:, :4])), judge(x)))


def critic_of_a_detached_maker():
    maker, critic = nn.Linear(4, 6), nn.Linear(6, 1)
    of_maker, of_critic = (torch.optim.Adam(one.parameters()) for one in (maker, critic))
    for _ in range(4):
        made = maker(torch.randn(5, 4))
        _descend(of_critic, critic(made.detach()).mean() - critic(torch.randn(5, 6)).mean())
        _descend(of_maker, -critic(made).mean())


def loss_that_comes_to_rest():
    weight = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([weight], lr=0.5)
    for _ in range(15):
        _descend(optimizer, (weight - 3).pow(2).mean() + 1)


def last_batch_of_one_without_a_norm():
    model = nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6), nn.Linear(6, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for (x,) in DataLoader(TensorDataset(torch.randn(9, 4)), batch_size=4):
        _descend(optimizer, model(x).squeeze(1).pow(2).mean())
