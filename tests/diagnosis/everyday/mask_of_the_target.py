# memory network: mask of lengths (B,) broadcast wrong; here lengths from the unsorted batch
import torch
import torch.nn as nn
import torch.nn.functional as F

torch.manual_seed(0)


class Attn(nn.Module):
    def __init__(self, h):
        super().__init__()
        self.W = nn.Linear(h, h, bias=False)

    def forward(self, q, keys, mask):
        e = torch.bmm(self.W(q).unsqueeze(1), keys.transpose(1, 2)).squeeze(1)
        e.masked_fill_(mask, -1e9)
        return torch.bmm(F.softmax(e, 1).unsqueeze(1), keys).squeeze(1)


class S2S(nn.Module):
    def __init__(self, v=25, h=20):
        super().__init__()
        self.e = nn.Embedding(v, h)
        self.enc = nn.GRU(h, h, batch_first=True)
        self.dec = nn.GRUCell(h, h)
        self.at = Attn(h)
        self.o = nn.Linear(2 * h, v)

    def forward(self, src, tgt):
        mem, s = self.enc(self.e(src))
        s = s[0]
        out = []
        mask = tgt.eq(0)  # <- fault
        for t in range(tgt.size(1)):
            s = self.dec(self.e(tgt[:, t]), s)
            out.append(self.o(torch.cat([s, self.at(s, mem, mask)], 1)))
        return torch.stack(out, 1)


net = S2S()
print(net(torch.randint(1, 25, (5, 9)), torch.randint(1, 25, (5, 7))).shape)
