# src mask made in the collate of the padded batch before it was cut
import torch
import torch.nn as nn
from torch.utils.data import DataLoader

torch.manual_seed(0)
MAX = 20


def collate(b):
    n = torch.tensor([len(s) for s in b])
    x = torch.zeros(len(b), MAX, dtype=torch.long)
    for i, s in enumerate(b):
        x[i, : len(s)] = s
    mask = torch.arange(MAX)[None] >= n[:, None]  # <- fault
    return x[:, : n.max()], mask


class Enc(nn.Module):
    def __init__(self):
        super().__init__()
        self.e = nn.Embedding(30, 16)
        self.a = nn.MultiheadAttention(16, 2, batch_first=True)

    def forward(self, x, m):
        h = self.e(x)
        return self.a(h, h, h, key_padding_mask=m)[0].mean(1)


data = [torch.randint(1, 30, (k,)) for k in (4, 9, 12, 7, 5, 11, 3, 8)]
net = Enc()
for x, m in DataLoader(data, 4, collate_fn=collate):
    net(x, m).sum().backward()
