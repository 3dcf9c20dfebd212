# evaluation in the epoch's loop, with gradients on, through a helper
import torch
import torch.nn as nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.f = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 2))

    def forward(self, x):
        return self.f(x)


def fit(net, opt, loader):
    for x, y in loader:
        loss = nn.functional.cross_entropy(net(x), y)
        opt.zero_grad()
        loss.backward()
        opt.step()


def accuracy(net, loader):
    ok = 0
    for x, y in loader:
        ok += (net(x).argmax(1) == y).sum().item()  # <- fault
    return ok


net = Net()
opt = torch.optim.Adam(net.parameters())
tr = DataLoader(TensorDataset(torch.randn(64, 6), torch.randint(0, 2, (64,))), 16)
va = DataLoader(TensorDataset(torch.randn(17, 6), torch.randint(0, 2, (17,))), 16)
for _ep in range(2):
    fit(net, opt, tr)
    print(accuracy(net, va))
