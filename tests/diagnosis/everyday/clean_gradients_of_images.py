# saliency and an attack: gradients, no step, no optimizer
import torch
import torch.nn as nn

torch.manual_seed(0)
net = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)).eval()
for _i in range(10):
    img = torch.rand(1, 1, 8, 8, requires_grad=True)
    score = net(img).max()
    score.backward()
    print(img.grad.abs().sum().item())
x = torch.rand(4, 1, 8, 8)
y = torch.randint(0, 10, (4,))
delta = torch.zeros_like(x, requires_grad=True)
opt = torch.optim.SGD([delta], lr=0.1)
for _ in range(10):
    loss = -nn.functional.cross_entropy(net(x + delta), y)
    opt.zero_grad()
    loss.backward()
    opt.step()
    delta.data.clamp_(-0.1, 0.1)
