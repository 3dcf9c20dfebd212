import torch
from torch import nn

torch.manual_seed(0)
X = torch.randn(200, 6)
y = (X.sum(1) > 0).long()


def build(cfg):
    return nn.Sequential(nn.Linear(6, cfg["h"]), nn.ReLU(), nn.Linear(cfg["h"], 2))


class Trainer:
    def __init__(self, cfg):
        self.net = build(cfg)
        self.opt = torch.optim.SGD(self.net.parameters(), lr=cfg["lr"])
        self.crit = nn.CrossEntropyLoss()

    def step(self, xb, yb):
        self.opt.zero_grad()
        loss = self.crit(self.net(xb), yb)
        loss.backward()  # <- fault
        return loss.item()

    def fit(self):
        for e in range(5):
            print(e, sum(self.step(X[i : i + 40], y[i : i + 40]) for i in range(0, 200, 40)))


def main():
    Trainer({"h": 8, "lr": 0.1}).fit()


main()
