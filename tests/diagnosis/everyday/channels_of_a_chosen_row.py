import torch
import torch.nn as nn

torch.manual_seed(0)
ROWS = {
    "small": {"channels": 3, "base": 8},  # <- fault: the scans are grey
    "large": {"channels": 3, "base": 16},
}
chosen = "small"


def block(i, o):
    return nn.Sequential(nn.Conv2d(i, o, 3, padding=1, bias=False), nn.BatchNorm2d(o), nn.ReLU())


class Scanner(nn.Module):
    def __init__(self, channels, base, classes=4):
        super().__init__()
        self.body = nn.Sequential(block(channels, base), nn.MaxPool2d(2), block(base, 2 * base))
        self.head = nn.Linear(2 * base, classes)

    def forward(self, x):
        return self.head(self.body(x).mean((2, 3)))


def main():
    scans = torch.rand(24, 1, 20, 20)
    kinds = torch.randint(0, 4, (24,))
    net = Scanner(**ROWS[chosen])  # <- fault
    for batch, labels in zip(scans.split(8), kinds.split(8), strict=True):
        nn.functional.cross_entropy(net(batch), labels).backward()


main()
