"""A CNN that takes 28x28 images only, fed 100x100: its last layer was declared for 7x7 features."""

import torch
import torch.nn.functional as F
from torch import nn

import graphdebug


class DigitNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3, padding=1)
        self.conv2 = nn.Conv2d(32, 64, 3, padding=1)
        self.fc = nn.Linear(64 * 7 * 7, 10)

    def forward(self, images):
        x = F.max_pool2d(F.relu(self.conv1(images)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = x.flatten(1)
        return self.fc(x)


net = DigitNet()
optimizer = torch.optim.SGD(net.parameters(), lr=0.01)

with graphdebug.record("cnn_one_size_torch.jsonl"):
    for size in (28, 100):
        images, labels = torch.randn(8, 1, size, size), torch.randint(0, 10, (8,))
        optimizer.zero_grad()
        loss = F.cross_entropy(net(images), labels)
        loss.backward()
        optimizer.step()
        print(f"{size}x{size}: loss {loss.item():.2f}")
