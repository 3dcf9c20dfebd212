# meta-learning by hand: the adapted weights are used
import torch
import torch.nn as nn

torch.manual_seed(0)
net = nn.Linear(5, 1)
x = torch.randn(40, 5)
y = x.sum(1, keepdim=True)
for _ep in range(8):
    loss = ((net(x) - y) ** 2).mean()
    net.zero_grad()
    loss.backward()
    w = net.weight - 0.1 * net.weight.grad
    b = net.bias - 0.1 * net.bias.grad
    print(((x @ w.T + b - y) ** 2).mean().item())
for _ep in range(8):
    loss = ((net(x) - y) ** 2).mean()
    net.zero_grad()
    loss.backward()
    for p in net.parameters():
        p.data = p.data - 0.1 * p.grad
print(loss.item())
