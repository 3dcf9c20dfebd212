import torch
import torch.nn as nn

torch.manual_seed(0)


class Block(nn.Module):
    def __init__(self, d, h, max_len):
        super().__init__()
        self.attn = nn.MultiheadAttention(d, h, batch_first=True)
        self.register_buffer("mask", torch.triu(torch.ones(max_len, max_len), 1).bool())

    def forward(self, x):
        y, _ = self.attn(x, x, x, attn_mask=self.mask)  # <- fault
        return x + y


class GPT(nn.Module):
    def __init__(self, v=50, d=32, h=4, n=2, max_len=64):
        super().__init__()
        self.tok = nn.Embedding(v, d)
        self.pos = nn.Embedding(max_len, d)
        self.blocks = nn.Sequential(*[Block(d, h, max_len) for _ in range(n)])
        self.head = nn.Linear(d, v)

    def forward(self, ix):
        x = self.tok(ix) + self.pos(torch.arange(ix.size(1)))
        return self.head(self.blocks(x))


net = GPT()
opt = torch.optim.AdamW(net.parameters())
data = torch.randint(0, 50, (8, 33))
logits = net(data[:, :-1])
loss = nn.functional.cross_entropy(logits.flatten(0, 1), data[:, 1:].flatten())
loss.backward()
opt.step()
