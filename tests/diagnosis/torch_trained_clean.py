"""Correct training programs that look like faulty ones: none may be accused."""

import torch
import torch.nn.functional as F
from torch import nn

from tests.diagnosis.torch_trained import _train


def head_alone_is_trained():
    body, head = nn.Sequential(nn.Linear(4, 8), nn.ReLU()), nn.Linear(8, 2)
    optimizer = torch.optim.SGD(head.parameters(), lr=0.1)
    _train(body, lambda model: head(model(torch.randn(5, 4))).pow(2).mean(), optimizer)


def critic_keeps_its_gradients():
    generator, critic = nn.Linear(3, 4), nn.Linear(4, 1)
    optimizer = torch.optim.Adam(generator.parameters())
    _train(generator, lambda model: -critic(model(torch.randn(5, 3))).mean(), optimizer)


class _Listed(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = [nn.Linear(4, 4), nn.Linear(4, 4)]

    def forward(self, x):
        for block in self.blocks:
            x = nn.Tanh()(block(x))
        return x


def listed_layers_given_to_the_optimizer():
    model = _Listed()
    parameters = [one for block in model.blocks for one in block.parameters()]
    _train(model, lambda model: model(torch.randn(5, 4)).pow(2).mean(), torch.optim.SGD(parameters, lr=0.1))


def two_optimizers_in_turn():
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))
    for optimizer in (torch.optim.Adam(model.parameters()), torch.optim.SGD(model.parameters(), lr=0.1)):
        _train(model, lambda model: model(torch.randn(5, 4)).pow(2).mean(), optimizer)


def whole_division_of_places():
    places = torch.rand(2, 12).argmax(1)
    rows = (places // 4).float()
    F.mse_loss(nn.Linear(2, 2)(rows[None]), rows[None])
