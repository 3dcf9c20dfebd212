import math

import torch
import torch.nn as nn
import torch.nn.functional as F

torch.manual_seed(0)


class MHA(nn.Module):
    def __init__(self, d, h):
        super().__init__()
        self.h, self.dk = h, d // h
        self.q, self.k, self.v, self.o = (nn.Linear(d, d) for _ in range(4))

    def split(self, x):
        b, t, _ = x.shape
        return x.view(b, t, self.h, self.dk).transpose(1, 2)

    def forward(self, x, mask):
        q, k, v = self.split(self.q(x)), self.split(self.k(x)), self.split(self.v(x))
        s = q @ k.transpose(-2, -1) / math.sqrt(self.dk)
        s = s.masked_fill(mask == 0, -1e9)  # <- fault
        y = (F.softmax(s, -1) @ v).transpose(1, 2).flatten(2)
        return self.o(y)


net = MHA(32, 4)
ids = torch.randint(0, 20, (6, 11))
pad = ids != 0  # <- fault
emb = nn.Embedding(20, 32)
out = net(emb(ids), pad)  # <- fault
out.sum().backward()
