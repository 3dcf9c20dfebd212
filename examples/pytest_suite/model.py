"""A small network and two functions, with faults for the tests beside it to find."""

from __future__ import annotations

import torch
from torch import nn


class Net(nn.Module):
    """Made for images of 28x28."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 8, 5)
        self.fc = nn.Linear(8 * 12 * 12, 10)
        self.spare = nn.Linear(10, 10)

    def forward(self, images):
        hidden = torch.max_pool2d(torch.relu(self.conv(images)), 2)
        return self.fc(hidden.flatten(1))


def loss_of(logits, labels):
    """Cross entropy written by hand: the logarithm of a probability that has become 0."""
    probabilities = torch.softmax(logits, 1)
    return -torch.log(probabilities[range(len(labels)), labels]).mean()


def error_of(prediction, target):
    """Mean squared error; a target of another shape is stretched without a word."""
    return ((prediction - target) ** 2).mean()
