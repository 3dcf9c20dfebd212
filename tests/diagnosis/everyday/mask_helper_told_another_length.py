import torch
import torch.nn as nn
import torch.nn.functional as F

torch.manual_seed(0)


def padding_mask(lengths, t):
    return torch.arange(t)[None] < lengths[:, None]


class Pool(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.score = nn.Linear(d, 1)

    def forward(self, h, mask):
        s = self.score(h).squeeze(-1).masked_fill(~mask, -1e4)
        return (s.softmax(1).unsqueeze(-1) * h).sum(1)


class Model(nn.Module):
    def __init__(self, v=30, d=24):
        super().__init__()
        self.e, self.r, self.p, self.f = (
            nn.Embedding(v, d),
            nn.GRU(d, d, batch_first=True),
            Pool(d),
            nn.Linear(d, 2),
        )

    def forward(self, x, n):
        h, _ = self.r(self.e(x))
        return self.f(self.p(h, padding_mask(n, 20)))  # <- fault


m = Model()
n = torch.tensor([3, 9, 7, 12])
x = torch.randint(0, 30, (4, 12))
F.cross_entropy(m(x, n), torch.tensor([0, 1, 1, 0])).backward()
