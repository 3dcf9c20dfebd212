# noisy: random labels, small batch, never learns, lr fine
import torch
import torch.nn as nn

torch.manual_seed(0)
net = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 5))
opt = torch.optim.Adam(net.parameters(), lr=0.03)
for _i in range(80):
    x, y = torch.randn(4, 20), torch.randint(0, 5, (4,))
    loss = nn.functional.cross_entropy(net(x), y)
    opt.zero_grad()
    loss.backward()
    opt.step()
print(loss.item())
