# masked: `where` hides the log of zero in forward, and its gradient is NaN all the same
import torch
from torch import nn

torch.manual_seed(0)
layer = nn.Linear(6, 6)
optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)


# COMPILED: @torch.compile
def safe_log(x):
    return torch.where(x > 0, torch.log(x), torch.zeros_like(x))  # FAULT: return torch.where(x > 0, torch.log(torch.where(x > 0, x, torch.ones_like(x))), torch.zeros_like(x))


data = torch.randn(10, 6)
for step in range(3):
    activations = torch.relu(layer(data))
    loss = safe_log(activations).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(f"step {step} loss {loss.item():.5f}")
