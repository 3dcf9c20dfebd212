# segmentation with void = -1, functional loss
import torch
import torch.nn as nn
import torch.nn.functional as F

torch.manual_seed(0)


def batch(n=4):
    m = torch.randint(0, 3, (n, 16, 16))
    m[:, :2] = -1
    m[:, :, -2:] = -1
    return torch.rand(n, 3, 16, 16), m


net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 3, 1))
opt = torch.optim.Adam(net.parameters())
for _i in range(3):
    x, m = batch()
    loss = F.cross_entropy(net(x), m)  # <- fault
    opt.zero_grad()
    loss.backward()
    opt.step()
