import torch
import torch.nn as nn

torch.manual_seed(0)


class Net(nn.Module):
    def __init__(self, k):
        super().__init__()
        self.feat = nn.Sequential(nn.Linear(12, 32), nn.ReLU())
        self.mid = nn.Linear(32, 32)
        self.out = nn.Linear(32, k)

    def forward(self, x):
        return self.out(torch.relu(self.mid(self.feat(x))))


net = Net(5)
opt = torch.optim.Adam(net.parameters(), lr=1e-2)  # <- fault
net.mid = nn.Linear(32, 32)
x = torch.randn(60, 12)
y = torch.randint(0, 5, (60,))
for _ep in range(10):
    loss = nn.functional.cross_entropy(net(x), y)
    opt.zero_grad()
    loss.backward()
    opt.step()
    print(loss.item())
