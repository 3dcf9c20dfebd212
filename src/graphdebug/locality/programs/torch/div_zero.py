# non-finite forward: a constant feature is divided by its deviation, which is zero
import torch
from torch import nn


# COMPILED: @torch.compile
def standardize(x):
    mean = x.mean(dim=0)
    std = x.std(dim=0)
    return (x - mean) / std  # FAULT: return (x - mean) / (std + 1e-6)


torch.manual_seed(0)
table = torch.randn(64, 5)
table[:, 3] = 1.0
target = table[:, :1] * 2
model = nn.Linear(5, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for epoch in range(3):
    prediction = model(standardize(table))
    loss = nn.functional.mse_loss(prediction, target)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print("epoch", epoch, "loss", loss.item())
