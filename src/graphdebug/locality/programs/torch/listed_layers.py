# gradient: layers kept in a plain list are in no optimizer, so they never learn
import torch
from torch import nn


class Classifier(nn.Module):
    def __init__(self, depth):
        super().__init__()
        self.first = nn.Linear(6, 16)
        self.hidden = [nn.Linear(16, 16) for _ in range(depth)]  # FAULT: self.hidden = nn.ModuleList([nn.Linear(16, 16) for _ in range(depth)])
        self.last = nn.Linear(16, 2)

    def forward(self, x):
        x = torch.relu(self.first(x))
        for layer in self.hidden:
            x = torch.relu(layer(x))
        return self.last(x)


torch.manual_seed(0)
model = Classifier(2)  # COMPILED: model = torch.compile(Classifier(2))
optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
x, y = torch.randn(24, 6), torch.randint(0, 2, (24,))
for step in range(4):
    loss = nn.functional.cross_entropy(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print("step", step, "loss", loss.item())
