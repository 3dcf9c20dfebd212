# the mask is made inline of the wrong axis
import torch
import torch.nn as nn

torch.manual_seed(0)


class LM(nn.Module):
    def __init__(self, v=40, d=32):
        super().__init__()
        self.e = nn.Embedding(v, d)
        layer = nn.TransformerEncoderLayer(d, 4, 64, batch_first=True)
        self.enc = nn.TransformerEncoder(layer, 2)
        self.o = nn.Linear(d, v)

    def forward(self, x):
        n = x.size(0)  # <- fault
        mask = torch.full((n, n), float("-inf")).triu(1)  # <- fault
        return self.o(self.enc(self.e(x), mask=mask))


net = LM()
x = torch.randint(0, 40, (6, 15))
net(x).sum().backward()
