# char rnn, momentum
import torch
import torch.nn as nn

torch.manual_seed(0)
text = "hello world this is a tiny corpus for a tiny rnn " * 20
chars = sorted(set(text))
ix = {c: i for i, c in enumerate(chars)}
data = torch.tensor([ix[c] for c in text])


class Rnn(nn.Module):
    def __init__(self, v, h):
        super().__init__()
        self.e = nn.Embedding(v, 16)
        self.r = nn.GRU(16, h, batch_first=True)
        self.o = nn.Linear(h, v)

    def forward(self, x):
        return self.o(self.r(self.e(x))[0])


class Args:
    lr = 30.0  # <- fault
    mom = 0.9


def train(args=Args):
    net = Rnn(len(chars), 32)
    opt = torch.optim.SGD(net.parameters(), args.lr, momentum=args.mom)
    for step in range(24):
        i = torch.randint(0, len(data) - 21, (8,))
        xb = torch.stack([data[j : j + 20] for j in i])
        yb = torch.stack([data[j + 1 : j + 21] for j in i])
        loss = nn.CrossEntropyLoss()(net(xb).transpose(1, 2), yb)
        opt.zero_grad()
        loss.backward()
        opt.step()
        if step % 10 == 0:
            print(step, loss.item())


train()
