# non-finite forward: the logarithm of a saturated softmax
import torch
from torch import nn

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 3))
optimizer = torch.optim.SGD(model.parameters(), lr=0.05)


# COMPILED: @torch.compile
def negative_log_likelihood(logits, labels):
    probabilities = torch.softmax(logits, dim=1)
    picked = probabilities[torch.arange(len(labels)), labels]
    return -torch.log(picked).mean()  # FAULT: return -torch.log(picked + 1e-8).mean()


x = torch.randn(32, 10)
y = torch.randint(0, 3, (32,))
for step in range(4):
    scale = 1.0 if step < 2 else 5000.0
    loss = negative_log_likelihood(model(x) * scale, y)
    optimizer.zero_grad()
    if step < 2:
        loss.backward()
        optimizer.step()
    print("step", step, "loss", loss.item())
