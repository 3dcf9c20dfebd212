# right attention of several forms
import math

import torch
import torch.nn as nn

torch.manual_seed(0)


class A(nn.Module):
    def __init__(self, d, h, T):
        super().__init__()
        self.h = h
        self.qkv = nn.Linear(d, 3 * d)
        self.o = nn.Linear(d, d)
        self.register_buffer("tri", torch.tril(torch.ones(T, T)).bool())

    def forward(self, x, pad):
        B, T, C = x.shape
        q, k, v = (t.view(B, T, self.h, -1).transpose(1, 2) for t in self.qkv(x).chunk(3, -1))
        s = q @ k.transpose(-2, -1) / math.sqrt(C // self.h)
        s = s.masked_fill(~self.tri[:T, :T], -1e9).masked_fill(pad[:, None, None], -1e9)
        return self.o((s.softmax(-1) @ v).transpose(1, 2).reshape(B, T, C))


net = A(32, 4, 50)
opt = torch.optim.Adam(net.parameters(), 1e-3)
for T in (9, 14, 20, 7, 9, 30):
    x = torch.randn(3, T, 32)
    pad = torch.zeros(3, T).bool()
    pad[0, -2:] = True
    loss = (net(x, pad) - x.roll(1, 1)).pow(2).mean()
    opt.zero_grad()
    loss.backward()
    opt.step()
