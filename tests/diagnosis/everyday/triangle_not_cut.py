import torch
import torch.nn as nn
import torch.nn.functional as F

torch.manual_seed(0)
cfg = {"d": 32, "heads": 4, "T": 16}


class CausalSelfAttention(nn.Module):
    def __init__(self, d, heads, T):
        super().__init__()
        self.c_attn, self.c_proj, self.h = nn.Linear(d, 3 * d), nn.Linear(d, d), heads
        self.register_buffer("bias", torch.tril(torch.ones(T, T)).view(1, 1, T, T))

    def forward(self, x):
        B, T, C = x.size()
        q, k, v = self.c_attn(x).split(C, dim=2)
        q, k, v = (t.view(B, T, self.h, C // self.h).transpose(1, 2) for t in (q, k, v))
        att = (q @ k.transpose(-2, -1)) * (C // self.h) ** -0.5
        att = att.masked_fill(self.bias == 0, float("-inf"))  # <- fault
        return self.c_proj((F.softmax(att, -1) @ v).transpose(1, 2).reshape(B, T, C))


net = CausalSelfAttention(**cfg)
for T in (16, 12):
    print(net(torch.randn(4, T, 32)).shape)
