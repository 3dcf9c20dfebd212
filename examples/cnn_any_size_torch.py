"""The same CNN made to take images of any size: adaptive pooling brings every feature map to 7x7."""

import torch
import torch.nn.functional as F
from torch import nn

import graphdebug


class AnySizeNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3, padding=1)
        self.conv2 = nn.Conv2d(32, 64, 3, padding=1)
        self.pool = nn.AdaptiveAvgPool2d((7, 7))
        self.fc = nn.Linear(64 * 7 * 7, 10)

    def forward(self, images):
        x = F.max_pool2d(F.relu(self.conv1(images)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = self.pool(x).flatten(1)
        return self.fc(x)


net = AnySizeNet()

with graphdebug.record("cnn_any_size_torch.jsonl") as run:
    for size in (28, 100, 57):
        logits = net(torch.randn(8, 1, size, size))
        print(f"{size}x{size}: logits {tuple(logits.shape)}")

print(f"findings: {len(run.findings)}")
