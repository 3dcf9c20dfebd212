# non-finite forward: a hand-written cross entropy takes the log of 1 - p where p has become 1
import torch
from torch import nn


class LogisticRegression(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 1)

    def forward(self, x):
        return torch.sigmoid(self.linear(x)).squeeze(1)


# COMPILED: @torch.compile
def cross_entropy(p, y):
    p = p.clamp(0, 1)  # MENDED: p = p.clamp(1e-6, 1 - 1e-6)
    return -(y * torch.log(p) + (1 - y) * torch.log(1 - p)).mean()  # FAULT


torch.manual_seed(0)
model = LogisticRegression()
with torch.no_grad():
    model.linear.weight.fill_(1.0)
x = torch.tensor([[0.5, 0.2], [40.0, 30.0], [-1.0, 0.4]])
y = torch.tensor([1.0, 1.0, 0.0])
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for epoch in range(2):
    loss = cross_entropy(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print("epoch", epoch, "loss", loss.item())
