import torch
import torch.nn as nn

torch.manual_seed(1)
CFG = {"lr": 0.5, "hidden": 32, "epochs": 15}  # <- fault
X = torch.randn(256, 10)
y = (X[:, 0] * X[:, 1] > 0).float()


class Clf(nn.Module):
    def __init__(self, h):
        super().__init__()
        self.a = nn.Linear(10, h)
        self.b = nn.Linear(h, h)
        self.c = nn.Linear(h, 1)

    def forward(self, x):
        return self.c(torch.sigmoid(self.b(torch.sigmoid(self.a(x))))).squeeze(1)


net = Clf(CFG["hidden"])


def make(params):
    return torch.optim.RMSprop(params, lr=CFG["lr"])


opt = make(net.parameters())
for ep in range(CFG["epochs"]):
    tot = 0
    for i in range(0, 256, 32):
        loss = nn.functional.binary_cross_entropy_with_logits(net(X[i : i + 32]), y[i : i + 32])
        opt.zero_grad()
        loss.backward()
        opt.step()
        tot += loss.item()
    print(ep, tot / 8)
