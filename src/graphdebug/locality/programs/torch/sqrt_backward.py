# non-finite backward: the derivative of a square root at zero
import torch
from torch import nn

torch.manual_seed(0)
embed = nn.Linear(4, 8)
optimizer = torch.optim.SGD(embed.parameters(), lr=0.1)


# COMPILED: @torch.compile
def distance(a, b):
    squared = ((a - b) ** 2).sum(dim=1)
    return torch.sqrt(squared)  # FAULT: return torch.sqrt(squared + 1e-8)


anchor, positive = torch.randn(6, 4), torch.randn(6, 4)
positive[2] = anchor[2]
for step in range(3):
    loss = distance(embed(anchor), embed(positive)).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print("step", step, "loss", loss.item())
