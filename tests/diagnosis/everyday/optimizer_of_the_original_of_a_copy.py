import copy

import torch
import torch.nn as nn

torch.manual_seed(0)
X = torch.randn(128, 10)
Y = X[:, :1] * 2
base = nn.Sequential(nn.Linear(10, 16), nn.Tanh(), nn.Linear(16, 1))
net = copy.deepcopy(base)
opt = torch.optim.Adam(base.parameters(), lr=0.01)  # <- fault
for _ep in range(30):
    opt.zero_grad()
    loss = ((net(X) - Y) ** 2).mean()
    loss.backward()
    opt.step()
print(loss.item())
