import torch
import torch.nn as nn
from torch.utils.data import DataLoader, TensorDataset

ds = TensorDataset(torch.randn(64, 4), torch.randn(64, 1))
loader = DataLoader(ds, batch_size=16)
net = nn.Linear(4, 1)
opt = torch.optim.Adam(net.parameters(), lr=1e-2)
ACC = 8
for _ep in range(4):
    for i, (x, t) in enumerate(loader):
        loss = nn.functional.mse_loss(net(x), t) / ACC
        loss.backward()
        if (i + 1) % ACC == 0:  # <- fault
            opt.step()
            opt.zero_grad()
    print(loss.item())
