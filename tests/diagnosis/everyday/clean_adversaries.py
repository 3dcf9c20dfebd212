# a GAN, small; generator's loss rises
import torch
import torch.nn as nn

torch.manual_seed(0)
G = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2))
D = nn.Sequential(nn.Linear(2, 16), nn.LeakyReLU(), nn.Linear(16, 1))
og = torch.optim.Adam(G.parameters(), lr=2e-4)
od = torch.optim.Adam(D.parameters(), lr=1e-2)
bce = nn.BCEWithLogitsLoss()
for _i in range(80):
    real = torch.randn(32, 2) + 4
    z = torch.randn(32, 4)
    ld = bce(D(real), torch.ones(32, 1)) + bce(D(G(z).detach()), torch.zeros(32, 1))
    od.zero_grad()
    ld.backward()
    od.step()
    lg = bce(D(G(torch.randn(32, 4))), torch.ones(32, 1))
    og.zero_grad()
    lg.backward()
    og.step()
print(ld.item(), lg.item())
