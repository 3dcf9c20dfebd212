import torch
import torch.nn as nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.c = nn.Sequential(
            nn.Conv2d(1, 8, 3, 2), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )
        self.f = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 2))

    def forward(self, x):
        return self.f(self.c(x))


tr = TensorDataset(torch.randn(64, 1, 12, 12), torch.randint(0, 2, (64,)))
va = TensorDataset(torch.randn(33, 1, 12, 12), torch.randint(0, 2, (33,)))
net = Net()
opt = torch.optim.Adam(net.parameters())
for ep in range(2):
    for x, y in DataLoader(tr, 16, shuffle=True):
        opt.zero_grad()
        loss = nn.functional.cross_entropy(net(x), y)
        loss.backward()
        opt.step()
    ok = 0
    with torch.no_grad():  # <- fault
        for x, y in DataLoader(va, 16):  # <- fault
            ok += (net(x).argmax(1) == y).sum().item()  # <- fault
    print(ep, ok)
