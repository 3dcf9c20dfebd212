# silent fold: a reshape mixes channels of several images and nothing ever fails
import torch
from torch import nn


class Scorer(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.score = nn.Linear(8 * 14 * 14, 1)  # MENDED: self.score = nn.Linear(8 * 28 * 28, 1)

    def forward(self, x):
        x = torch.relu(self.conv(x))
        x = x.reshape(-1, 8 * 14 * 14)  # FAULT: x = x.reshape(len(x), -1)
        return self.score(x)


torch.manual_seed(0)
model = Scorer()  # COMPILED: model = torch.compile(Scorer())
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
for epoch in range(3):
    real = torch.rand(6, 3, 56, 56)
    loss = (1 - model(real)).relu().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(f"epoch {epoch}: hinge loss {loss.item():.4f}")
