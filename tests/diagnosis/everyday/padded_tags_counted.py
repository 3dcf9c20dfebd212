import torch
import torch.nn as nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader

torch.manual_seed(0)
PAD_TAG = -1
data = [(torch.randint(1, 30, (n,)), torch.randint(0, 4, (n,))) for n in (5, 8, 3, 7, 6, 4, 9, 2)]


def collate(b):
    xs, ys = zip(*b, strict=False)
    return pad_sequence(xs, batch_first=True), pad_sequence(ys, batch_first=True, padding_value=PAD_TAG)


class Tagger(nn.Module):
    def __init__(self, v, k, d=16):
        super().__init__()
        self.emb, self.rnn, self.out = (
            nn.Embedding(v, d, padding_idx=0),
            nn.GRU(d, d, batch_first=True),
            nn.Linear(d, k),
        )

    def forward(self, x):
        return self.out(self.rnn(self.emb(x))[0])


class Runner:
    def __init__(self):
        self.net = Tagger(30, 4)
        self.criterion = nn.CrossEntropyLoss()  # <- fault
        self.opt = torch.optim.Adam(self.net.parameters())

    def run(self):
        for x, y in DataLoader(data, 4, collate_fn=collate):
            s = self.net(x)
            loss = self.criterion(s.reshape(-1, s.size(-1)), y.reshape(-1))  # <- fault
            self.opt.zero_grad()
            loss.backward()
            self.opt.step()


Runner().run()
