import itertools

import torch
import torch.nn as nn

torch.manual_seed(0)


def mlp(*d):
    out = []
    for a, b in itertools.pairwise(d):
        out += [nn.Linear(a, b), nn.BatchNorm1d(b), nn.ReLU()]
    return nn.Sequential(*out, nn.Linear(d[-1], 1))


model = mlp(5, 16, 8)
opt = torch.optim.SGD(model.parameters(), lr=0.05)
X = torch.randn(120, 5)
Y = X.sum(1, keepdim=True)
for _e in range(3):
    model.train()
    for i in range(0, 120, 30):
        loss = nn.MSELoss()(model(X[i : i + 30]), Y[i : i + 30])
        opt.zero_grad()
        loss.backward()
        opt.step()


@torch.no_grad()  # <- fault
def predict(row):
    x = torch.tensor(row).float().unsqueeze(0)
    return model(x).item()  # <- fault


print(predict([1, 2, 3, 4, 5]))  # <- fault
