import argparse

import torch
import torch.nn as nn

p = argparse.ArgumentParser()
p.add_argument("--lr", type=float, default=0)  # <- fault
a = p.parse_args([])
net = nn.Linear(3, 1)


def make_opt(params, lr):
    return torch.optim.SGD(params, lr=lr, momentum=0.9)


opt = make_opt(net.parameters(), a.lr)
x = torch.randn(50, 3)
y = x.sum(1, keepdim=True)
for _ep in range(20):
    loss = ((net(x) - y) ** 2).mean()
    opt.zero_grad()
    loss.backward()
    opt.step()
print(loss.item())
