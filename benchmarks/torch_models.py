"""The networks that the torch benchmarks and tests train, from microseconds to a quarter of a second a step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn


@dataclass
class Training:
    """One network with its batch: `step` does forward, backward and an optimizer step."""

    net: nn.Module
    batch: tuple[torch.Tensor, ...]
    loss: Callable[..., torch.Tensor]
    optimizer: torch.optim.Optimizer

    def step(self) -> torch.Tensor:
        self.optimizer.zero_grad()
        loss = self.loss(self.net(*self.batch[:-1]), self.batch[-1])
        loss.backward()
        self.optimizer.step()
        return loss.detach()


def tiny_mlp() -> Training:
    net = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4))
    batch = torch.randn(8, 16), torch.randint(0, 4, (8,))
    return Training(net, batch, F.cross_entropy, torch.optim.SGD(net.parameters(), lr=0.01, foreach=False))


def lenet() -> Training:
    net = nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(64 * 7 * 7, 128), nn.ReLU(), nn.Linear(128, 10),
    )  # fmt: skip
    batch = torch.randn(12, 1, 28, 28), torch.randint(0, 10, (12,))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, foreach=False)
    return Training(net, batch, F.cross_entropy, optimizer)


class Block(nn.Module):
    """Two convolutions with a shortcut."""

    def __init__(self, width: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.shortcut = nn.Identity()
        if stride != 1 or width != out:
            self.shortcut = nn.Sequential(nn.Conv2d(width, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class ResNet(nn.Module):
    """Eight residual blocks in four stages, as in ResNet-18."""

    def __init__(self, classes: int = 10, width: int = 64) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, width, 7, 2, 3, bias=False), nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(3, 2, 1)
        )
        blocks: list[nn.Module] = []
        inner = width
        for stage in range(4):
            out = width * 2**stage
            blocks += [Block(inner, out, 1 if stage == 0 else 2), Block(out, out, 1)]
            inner = out
        self.stages = nn.Sequential(*blocks)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(inner, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.pool(self.stages(self.stem(x))).flatten(1))


def resnet(size: int = 112, batch: int = 8, width: int = 64) -> Training:
    net = ResNet(width=width)
    data = torch.randn(batch, 3, size, size), torch.randint(0, 10, (batch,))
    return Training(net, data, F.cross_entropy, torch.optim.SGD(net.parameters(), lr=0.01, foreach=False))


class Attention(nn.Module):
    """Causal self-attention and a feed-forward part, each behind a norm and beside a shortcut, as in GPT."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.feed = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width), nn.Dropout(dropout)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, length, width = x.shape
        split = self.qkv(self.norm1(x)).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(*split.unbind(0), dropout_p=self.dropout, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, length, width))
        return x + self.feed(self.norm2(x))


class Transformer(nn.Module):
    """Embeddings of tokens and places, attention layers and a head over the vocabulary."""

    def __init__(self, layers: int = 4, width: int = 256, length: int = 64, words: int = 1000) -> None:
        super().__init__()
        self.embed, self.place = nn.Embedding(words, width), nn.Embedding(length, width)
        self.layers = nn.Sequential(*(Attention(width, 4, dropout=0.1) for _ in range(layers)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, words)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        places = torch.arange(tokens.shape[1])
        return self.head(self.norm(self.layers(self.embed(tokens) + self.place(places))))


def transformer(layers: int = 4, width: int = 256, length: int = 96, batch: int = 8) -> Training:
    net = Transformer(layers, width, length)
    data = torch.randint(0, 1000, (batch, length)), torch.randint(0, 1000, (batch, length))

    def loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(logits.flatten(0, 1), labels.flatten())

    return Training(net, data, loss, torch.optim.SGD(net.parameters(), lr=0.01, foreach=False))


def transformer_adamw() -> Training:
    """The same, with an optimizer that runs ten ops for each parameter, one by one."""
    training = transformer()
    training.optimizer = torch.optim.AdamW(training.net.parameters(), lr=1e-4, foreach=False)
    return training


NETWORKS: dict[str, Callable[[], Training]] = {
    "tiny MLP": tiny_mlp,
    "LeNet-like": lenet,
    "ResNet-18-like": resnet,
    "transformer, 4 layers": transformer,
    "transformer, AdamW": transformer_adamw,
}
